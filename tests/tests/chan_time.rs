//! Waits that end by themselves: timeouts and deadlines, `after`, `tick`, `never`.

mod chan_parties;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use chan_parties::{
    BUFFERS, CAPACITIES, assert_each_once, callers, channel, give_way, parties, until,
};
use fibra::chan::{
    Receiver, RecvTimeoutError, SendTimeoutError, TryRecvError, after, bounded, never, tick,
};
use fibra::select;
use fibra_tests::{Drops, FOREVER, everywhere};

const SHORT: Duration = Duration::from_millis(2);

/// Fails unless `wait` lasts at least that long.
#[track_caller]
fn lasts<T>(limit: Duration, wait: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let value = wait();
    assert!(start.elapsed() >= limit, "it took {:?} only", start.elapsed());
    value
}

/// A time that is over.
fn past() -> Instant {
    let now = Instant::now();
    now.checked_sub(Duration::from_secs(1)).unwrap_or(now)
}

#[test]
fn receiving_gives_up() {
    callers(|| {
        for capacity in CAPACITIES {
            let (tx, rx) = channel::<u8>(capacity);
            let timeout = Err(RecvTimeoutError::Timeout);
            assert_eq!(lasts(SHORT, || rx.recv_timeout(SHORT)), timeout);
            assert_eq!(lasts(SHORT, || rx.recv_deadline(Instant::now() + SHORT)), timeout);
            assert_eq!(rx.recv_timeout(Duration::ZERO), timeout);
            assert_eq!(rx.recv_deadline(past()), timeout);
            drop(tx);
            assert_eq!(rx.recv_deadline(past()), Err(RecvTimeoutError::Disconnected));
        }
    });
}

#[test]
fn sending_gives_up() {
    callers(|| {
        for capacity in [0, 1, 3] {
            let (tx, rx) = bounded(capacity);
            (0..capacity).for_each(|i| tx.send(i).unwrap());
            let timeout = Err(SendTimeoutError::Timeout(9));
            assert_eq!(lasts(SHORT, || tx.send_timeout(9, SHORT)), timeout);
            assert_eq!(lasts(SHORT, || tx.send_deadline(9, Instant::now() + SHORT)), timeout);
            assert_eq!(tx.send_timeout(9, Duration::ZERO), timeout);
            assert_eq!(tx.send_deadline(9, past()), timeout);
            // None of those has come in.
            assert!(rx.try_iter().eq(0..capacity));
            drop(rx);
            assert_eq!(tx.send_deadline(9, past()), Err(SendTimeoutError::Disconnected(9)));
        }
    });
}

#[test]
fn what_can_be_done_at_once_is_never_too_late() {
    callers(|| {
        for capacity in BUFFERS {
            let (tx, rx) = channel(capacity);
            for _ in 0..100 {
                assert_eq!(tx.send_timeout(1, Duration::ZERO), Ok(()));
                assert_eq!(rx.recv_timeout(Duration::ZERO), Ok(1));
                assert_eq!(tx.send_deadline(2, past()), Ok(()));
                assert_eq!(rx.recv_deadline(past()), Ok(2));
                assert_eq!(tx.send_timeout(3, Duration::MAX), Ok(()));
                assert_eq!(rx.recv_timeout(Duration::MAX), Ok(3));
            }
        }
    });
}

#[test]
fn a_partner_that_waits_is_never_too_late() {
    parties(|cast| {
        let (tx, rx) = bounded(0);
        let sender = cast.spawn(move || (0..30).for_each(|i| tx.send(i).unwrap()));
        for i in 0..30 {
            let receive = || match i % 2 {
                0 => rx.recv_timeout(Duration::ZERO).ok(),
                _ => rx.recv_deadline(past()).ok(),
            };
            assert_eq!(until(receive), i);
        }
        sender.join();

        let (tx, rx) = bounded(0);
        let receiver = cast.spawn(move || rx.iter().collect::<Vec<_>>());
        for i in 0..30 {
            until(|| tx.send_timeout(i, Duration::ZERO).ok());
        }
        drop(tx);
        assert!(receiver.join().into_iter().eq(0..30));
    });
}

#[test]
fn a_wait_as_long_as_the_clock_goes_is_ended_by_a_value() {
    parties(|cast| {
        for capacity in CAPACITIES {
            let ((tx, rx), (back, answers)) = (channel(capacity), channel(capacity));
            let echo = cast.spawn(move || {
                for _ in 0..10 {
                    back.send_timeout(rx.recv_timeout(Duration::MAX).unwrap(), Duration::MAX)
                        .unwrap();
                }
            });
            for i in 0..10 {
                tx.send_timeout(i, FOREVER).unwrap();
                let received = select! {
                    recv(answers) -> value => value,
                    default(Duration::MAX) => panic!("that was not so long"),
                };
                assert_eq!(received, Ok(i));
            }
            echo.join();
        }
    });
}

#[test]
fn timeouts_race_with_values() {
    parties(|cast| {
        for capacity in [Some(0), Some(1), None] {
            let (tx, rx) = channel(capacity);
            let senders: Vec<_> = (0..2)
                .map(|sender| {
                    let tx = tx.clone();
                    cast.spawn(move || {
                        for i in 0..40 {
                            let mut value = 40 * sender + i;
                            let limit = Duration::from_micros(i as u64 % 4 * 20);
                            while let Err(error) = tx.send_timeout(value, limit) {
                                let SendTimeoutError::Timeout(back) = error else {
                                    panic!("it is not closed");
                                };
                                value = back;
                                // There need not have been a wait in between.
                                fibra::yield_now();
                            }
                        }
                    })
                })
                .collect();
            drop(tx);
            let mut received = Vec::new();
            for i in 0_u64.. {
                match rx.recv_timeout(Duration::from_micros(i % 5 * 20)) {
                    Ok(value) => received.push(value),
                    Err(RecvTimeoutError::Timeout) => fibra::yield_now(),
                    Err(RecvTimeoutError::Disconnected) => break,
                }
            }
            assert_each_once(received, 80);
            senders.into_iter().for_each(|sender| sender.join());
        }
    });
}

#[test]
fn a_value_that_came_too_late_is_dropped_once() {
    callers(|| {
        let (drops, (tx, rx)) = (Drops::new(), bounded(0));
        let back = tx.send_timeout(drops.token(), Duration::from_micros(50)).unwrap_err();
        assert_eq!(drops.count(), 0);
        drop(back);
        assert_eq!(drops.count(), 1);
        drop(tx);
        assert!(rx.recv().is_err());
    });
}

#[test]
fn never_is_never() {
    callers(|| {
        let rx: Receiver<u8> = never();
        assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
        let timeout = Err(RecvTimeoutError::Timeout);
        assert_eq!(lasts(SHORT, || rx.clone().recv_timeout(SHORT)), timeout);
        assert_eq!((rx.len(), rx.is_empty()), (0, true));
        assert_eq!(rx.try_iter().next(), None);
    });
}

#[test]
fn after_fires_once_and_never_early() {
    callers(|| {
        for limit in [Duration::ZERO, Duration::from_micros(10), SHORT] {
            let start = Instant::now();
            let rx = after(limit);
            let other = rx.clone();
            let fired = rx.recv().unwrap();
            let now = Instant::now();
            assert!(start + limit <= fired && fired <= now);
            // Neither again nor for another one, and it is not closed.
            for rx in [rx, other] {
                assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
                assert_eq!(rx.recv_timeout(limit), Err(RecvTimeoutError::Timeout));
            }
        }
    });
}

#[test]
fn after_waits_for_its_receiver() {
    callers(|| {
        let rx = after(SHORT);
        assert_eq!(rx.capacity(), Some(1));
        until(|| (!rx.is_empty()).then_some(()));
        assert_eq!((rx.len(), rx.is_full()), (1, true));
        assert!(rx.try_recv().is_ok());
        assert_eq!((rx.len(), rx.is_full()), (0, false));
    });
}

#[test]
fn after_an_eternity_is_never() {
    callers(|| {
        for limit in [FOREVER, Duration::MAX] {
            let rx = after(limit);
            assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
            assert_eq!(rx.recv_timeout(SHORT), Err(RecvTimeoutError::Timeout));
        }
        // Those that are dropped leave nothing behind.
        (0..1000).for_each(|_| drop((after(FOREVER), tick(FOREVER))));
    });
}

#[test]
fn one_of_all_that_wait_gets_it() {
    parties(|cast| {
        let rx = after(SHORT);
        let (stop, stopped) = bounded::<()>(0);
        let (count, fired) = (Arc::new(AtomicUsize::new(0)), bounded(1));
        let waiters: Vec<_> = (0..4)
            .map(|_| {
                let (rx, stopped, fired) = (rx.clone(), stopped.clone(), fired.0.clone());
                let count = count.clone();
                cast.spawn(move || {
                    select! {
                        recv(rx) -> value => {
                            value.unwrap();
                            count.fetch_add(1, Ordering::SeqCst);
                            fired.send(()).unwrap();
                        }
                        recv(stopped) -> _ => {}
                    }
                })
            })
            .collect();
        fired.1.recv().unwrap();
        give_way(20);
        drop(stop);
        waiters.into_iter().for_each(|waiter| waiter.join());
        assert_eq!(count.load(Ordering::SeqCst), 1);
        assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    });
}

#[test]
fn it_fires_although_its_maker_is_gone() {
    parties(|cast| {
        let (after, tick) = cast.spawn(|| (after(SHORT), tick(SHORT))).join();
        after.recv().unwrap();
        let times: Vec<_> = tick.iter().take(3).collect();
        assert!(times.is_sorted());
    });
    everywhere(|setup| {
        let (after, tick) = setup.run(|| (after(SHORT), tick(SHORT)));
        after.recv().unwrap();
        (0..3).for_each(|_| assert!(tick.recv().is_ok()));
    });
}

#[test]
fn ticks_never_come_early() {
    callers(|| {
        let start = Instant::now();
        let rx = tick(SHORT);
        assert_eq!(rx.capacity(), Some(1));
        let mut last = start;
        for i in 1..=5 {
            let time = rx.recv().unwrap();
            assert!(start + SHORT * i <= time && last < time && time <= Instant::now());
            last = time;
        }
    });
}

#[test]
fn missed_ticks_are_skipped() {
    callers(|| {
        let rx = tick(SHORT);
        for _ in 0..3 {
            fibra::sleep(SHORT * 10);
            assert_eq!(rx.len(), 1);
            let start = Instant::now();
            let count = rx.try_iter().count();
            // The one that waited, and those that came due meanwhile.
            let meanwhile = start.elapsed().as_nanos() / SHORT.as_nanos() + 1;
            assert!((1..=1 + meanwhile).contains(&(count as u128)), "{count} in {meanwhile}");
        }
    });
}

#[test]
fn a_tick_is_for_one() {
    parties(|cast| {
        let start = Instant::now();
        let rx = tick(SHORT);
        let receivers: Vec<_> = (0..3)
            .map(|_| {
                let rx = rx.clone();
                cast.spawn(move || rx.iter().take(2).collect::<Vec<_>>())
            })
            .collect();
        let times = receivers.into_iter().flat_map(|receiver| receiver.join());
        let mut times: Vec<_> = times.collect();
        times.sort();
        assert!(start.elapsed() >= SHORT * 6);
        assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "one tick came twice");
    });
}

#[test]
fn a_select_gives_up() {
    callers(|| {
        let rx: Receiver<u8> = never();
        for limit in [SHORT, Duration::ZERO] {
            let waited = lasts(limit, || {
                select! {
                    recv(rx) -> _ => false,
                    default(limit) => true,
                }
            });
            assert!(waited);
            let start = Instant::now();
            let fired = select! {
                recv(rx) -> _ => panic!("it came"),
                recv(after(limit)) -> time => time.unwrap(),
            };
            assert!(start + limit <= fired);
        }
    });
}

#[test]
fn a_select_with_a_ready_arm_is_never_too_late() {
    callers(|| {
        let (tx, rx) = bounded(1);
        for i in 0..200 {
            select! {
                send(tx, i) -> sent => sent.unwrap(),
                default(Duration::ZERO) => panic!("there is room"),
            }
            select! {
                recv(rx) -> value => assert_eq!(value, Ok(i)),
                default(Duration::ZERO) => panic!("it is there"),
            }
        }
    });
}

#[test]
fn threads_without_a_runtime_wait_too() {
    fibra_tests::alone(|| {
        let start = Instant::now();
        let waiter = thread::spawn(|| after(SHORT).recv().unwrap());
        tick(SHORT).recv().unwrap();
        assert!(waiter.join().unwrap() >= start + SHORT);
    });
}
