//! Sleeping, ticking and giving up.

mod chan_parties;

use std::collections::BTreeSet;
use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use chan_parties::{callers, give_way, parties};
use fibra::chan::{Select, bounded, never};
use fibra::time::{Elapsed, Ticker, sleep, sleep_until, timeout};
use fibra::{Cancelled, go, select};
use fibra_tests::{
    Drops, FOREVER, LONG, OnDrop, Signal, assert_cancelled, everywhere, join, outcome, text,
};

const SHORT: Duration = Duration::from_millis(3);

/// A time that is over.
fn past() -> Instant {
    let now = Instant::now();
    now.checked_sub(Duration::from_secs(1)).unwrap_or(now)
}

#[test]
fn sleep_is_never_early() {
    callers(|| {
        for micros in [0, 1, 300, 2500] {
            let (start, duration) = (Instant::now(), Duration::from_micros(micros));
            sleep(duration);
            assert!(start.elapsed() >= duration);
            let deadline = Instant::now() + duration;
            sleep_until(deadline);
            assert!(Instant::now() >= deadline);
        }
        sleep_until(past());
    });
}

#[test]
fn sleep_gives_way() {
    everywhere(|setup| {
        setup.run(|| {
            let sleeps: [fn(); 4] = [
                || sleep(Duration::ZERO),
                || sleep(SHORT),
                || sleep_until(past()),
                || sleep_until(Instant::now() + SHORT),
            ];
            for sleep in sleeps {
                let signal = Signal::new();
                let sets = signal.clone();
                let other = go!(sets.set());
                while !signal.is_set() {
                    sleep();
                }
                other.join().unwrap();
            }
        });
    });
}

#[test]
fn ticks_come_at_the_multiples() {
    callers(|| {
        for micros in [200, 1000, 3000] {
            let (start, period) = (Instant::now(), Duration::from_micros(micros));
            let ticker = Ticker::new(period);
            let first = ticker.recv();
            assert!(first >= start + period);
            let mut last = first;
            for _ in 0..10 {
                let due = ticker.recv();
                assert!(Instant::now() >= due, "it came early");
                let since = due - last;
                assert!(since >= period, "{since:?}");
                last = due;
            }
            // No drift: the last one is where it would be without any delay.
            assert_eq!((last - first).as_nanos() % period.as_nanos(), 0);
        }
    });
}

#[test]
fn what_nobody_received_in_time_is_left_out() {
    callers(|| {
        let period = Duration::from_millis(1);
        let ticker = Ticker::new(period);
        let first = ticker.recv();
        // The next one is due a period from now at the latest.
        let busy_until = Instant::now() + 10 * period;
        sleep_until(busy_until);
        // The oldest one is there, and those after it are gone.
        let late = ticker.recv();
        assert!(late > first && late < busy_until);
        assert_eq!((late - first).as_nanos() % period.as_nanos(), 0);
        let next = ticker.recv();
        assert!(next > busy_until, "missed ticks came");
        assert_eq!((next - first).as_nanos() % period.as_nanos(), 0);
    });
}

#[test]
fn several_receive_from_one_ticker() {
    parties(|cast| {
        let ticker = Arc::new(Ticker::new(Duration::from_micros(500)));
        let receivers: Vec<_> = (0..3)
            .map(|n| {
                let ticker = ticker.clone();
                cast.spawn(move || {
                    let receive = || match n {
                        0 => select! { recv(&*ticker) -> due => due.unwrap() },
                        _ => ticker.recv(),
                    };
                    (0..8).map(|_| receive()).collect::<Vec<_>>()
                })
            })
            .collect();
        let all: Vec<_> = receivers.into_iter().flat_map(|receiver| receiver.join()).collect();
        let distinct: BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), 24, "each tick comes once");
    });
}

#[test]
fn a_ticker_among_others() {
    callers(|| {
        let start = Instant::now();
        let ticker = Ticker::new(SHORT);
        let slow = Ticker::new(FOREVER);
        let (tx, rx) = bounded(1);
        tx.send(5).unwrap();
        let (mut values, mut ticks) = (0, 0);
        while ticks < 3 {
            select! {
                recv(ticker) -> due => {
                    ticks += 1;
                    let due = due.unwrap();
                    assert!(due >= start + ticks * SHORT && Instant::now() >= due);
                }
                recv(slow) -> _ => panic!("for ever"),
                recv(rx) -> value => {
                    values += value.unwrap();
                }
            }
        }
        assert_eq!(values, 5);

        let mut select = Select::new();
        let (slow, fast) = (select.recv(&slow), select.recv(&ticker));
        for _ in 0..2 {
            let operation = select.select();
            assert!(operation.index() == fast && operation.index() != slow);
            assert!(operation.recv(&ticker).unwrap() >= start + 4 * SHORT);
        }
        drop(tx);
    });
}

#[test]
fn a_stopped_ticker_ticks_no_more() {
    callers(|| {
        let mut ticker = Ticker::new(Duration::from_micros(100));
        sleep(SHORT);
        // One is due.
        ticker.stop();
        select! {
            recv(ticker) -> _ => panic!("a tick"),
            default(SHORT) => {}
        }
        ticker.stop();
        let start = Instant::now();
        ticker.reset(SHORT);
        assert!(ticker.recv() >= start + SHORT);
    });
}

#[test]
fn a_reset_begins_anew() {
    callers(|| {
        let mut ticker = Ticker::new(FOREVER);
        for period in [SHORT, Duration::from_micros(300)] {
            let start = Instant::now();
            ticker.reset(period);
            let first = ticker.recv();
            assert!(first >= start + period && Instant::now() >= first);
            assert!(ticker.recv() >= first + period);
        }
        sleep(SHORT);
        // The one that is due is gone.
        ticker.reset(FOREVER);
        select! {
            recv(ticker) -> _ => panic!("a tick"),
            default => {}
        }
        ticker.reset(Duration::MAX);
        select! {
            recv(ticker) -> _ => panic!("a tick"),
            default(SHORT) => {}
        }
    });
}

#[test]
fn a_period_of_nothing_is_refused() {
    callers(|| {
        let make = || drop(Ticker::new(Duration::ZERO));
        let reset = || Ticker::new(SHORT).reset(Duration::ZERO);
        for refused in [panic::catch_unwind(make), panic::catch_unwind(reset)] {
            assert_eq!(text(&*refused.unwrap_err()), "the period of a ticker is zero");
        }
    });
}

#[test]
fn every_wait_for_time_can_be_cancelled() {
    let waits: [fn(); 7] = [
        || sleep(FOREVER),
        || sleep_until(Instant::now() + FOREVER),
        || {
            Ticker::new(FOREVER).recv();
        },
        || {
            let mut ticker = Ticker::new(FOREVER);
            ticker.stop();
            ticker.recv();
        },
        || select! { recv(Ticker::new(FOREVER)) -> _ => {} },
        || assert!(timeout(FOREVER, fibra::park).is_err()),
        || assert!(timeout(FOREVER, || timeout(FOREVER, fibra::park)).is_err()),
    ];
    everywhere(|setup| {
        setup.run(|| {
            for wait in waits {
                for yields in [0, 1, 30] {
                    let (ready, drops) = (Signal::new(), Drops::new());
                    let (reached, token) = (ready.clone(), drops.token());
                    let waiter = go!({
                        let _token = token;
                        reached.set();
                        wait();
                        fibra::park();
                    });
                    ready.wait();
                    give_way(yields);
                    waiter.cancel();
                    assert_cancelled(outcome(waiter));
                    assert_eq!(drops.count(), 1);
                }
            }
        });
    });
}

#[test]
fn in_time_the_value_comes() {
    callers(|| {
        for limit in [LONG, FOREVER, Duration::MAX] {
            let (words, mut count) = (["to", "be"], 0);
            let longest = timeout(limit, || {
                fibra::yield_now();
                count += words.len();
                words.iter().max_by_key(|word| word.len())
            });
            assert_eq!(longest, Ok(Some(&"be")));
            assert_eq!(count, 2);
        }
    });
}

#[test]
fn a_timeout_is_never_early_and_leaves_nothing() {
    let waits: [fn(&Drops); 5] = [
        |_| fibra::park(),
        |_| sleep(FOREVER),
        |_| assert!(never::<u8>().recv().is_err()),
        |_| assert!(timeout(FOREVER, fibra::park).is_err()),
        |drops| {
            fibra::scope(|s| {
                for _ in 0..3 {
                    s.go(|| {
                        let _token = drops.token();
                        fibra::park();
                    });
                }
                fibra::park();
            });
        },
    ];
    callers(|| {
        for wait in waits {
            let (drops, begun) = (Drops::new(), AtomicU32::new(0));
            let start = Instant::now();
            let result = timeout(SHORT, || {
                let _token = drops.token();
                begun.fetch_add(1, Ordering::Relaxed);
                wait(&drops);
            });
            assert_eq!(result, Err(Elapsed));
            assert!(start.elapsed() >= SHORT);
            // What has begun has ended.
            assert!(drops.count() >= begun.into_inner() as usize);
        }
    });
}

#[test]
fn a_limit_of_nothing_lets_nothing_wait() {
    callers(|| {
        for _ in 0..20 {
            let drops = Drops::new();
            let token = drops.token();
            let result = timeout(Duration::ZERO, || {
                let _token = token;
                fibra::park();
            });
            assert_eq!(result, Err(Elapsed));
            assert_eq!(drops.count(), 1);
        }
    });
}

#[test]
fn a_value_counts_however_late() {
    callers(|| {
        let (begun, cancelled) = (Signal::new(), Signal::new());
        let value = timeout(SHORT, || {
            begun.set();
            fibra::uncancellable(|| sleep(2 * SHORT));
            // The cancel is there, but nothing parks any more.
            cancelled.set();
            "late"
        });
        // It may be so slow here that it does not begin in time.
        assert_eq!(value, if begun.is_set() { Ok("late") } else { Err(Elapsed) });
        assert_eq!(begun.is_set(), cancelled.is_set());

        let caught = timeout(SHORT, || {
            let caught = panic::catch_unwind(fibra::park).unwrap_err();
            caught.is::<Cancelled>()
        });
        assert!(matches!(caught, Ok(true) | Err(Elapsed)));
    });
}

#[test]
fn a_panic_goes_on_in_the_caller() {
    callers(|| {
        let payload = panic::catch_unwind(|| timeout(LONG, || panic!("of f"))).unwrap_err();
        assert_eq!(text(&*payload), "of f");
        let unwinding = || {
            timeout(SHORT, || {
                let caught = panic::catch_unwind(fibra::park);
                assert!(caught.is_err());
                panic!("late");
            })
        };
        match panic::catch_unwind(unwinding) {
            Err(payload) => assert_eq!(text(&*payload), "late"),
            Ok(result) => assert_eq!(result, Err(Elapsed), "it did not begin in time"),
        }
        assert!(!thread::panicking());
    });
}

#[test]
fn a_caller_that_is_cancelled_unwinds_after_it() {
    everywhere(|setup| {
        setup.run(|| {
            for yields in [0, 1, 30] {
                let (ready, order) = (Signal::new(), Arc::new(AtomicU32::new(0)));
                let (reached, ended) = (ready.clone(), order.clone());
                let caller = go!({
                    let _last = OnDrop(|| {
                        let _ = ended.compare_exchange(1, 2, Ordering::SeqCst, Ordering::SeqCst);
                    });
                    timeout(FOREVER, || {
                        let _first = OnDrop(|| {
                            let _ =
                                ended.compare_exchange(0, 1, Ordering::SeqCst, Ordering::SeqCst);
                        });
                        reached.set();
                        let unwinds = panic::catch_unwind(fibra::park);
                        // It may take its time.
                        fibra::uncancellable(|| give_way(20));
                        panic::resume_unwind(unwinds.unwrap_err());
                    })
                });
                ready.wait();
                give_way(yields);
                caller.cancel();
                assert_cancelled(outcome(caller));
                assert_eq!(order.load(Ordering::SeqCst), 2);
            }
        });
    });
}

#[test]
fn a_cancel_after_the_limit_is_not_lost() {
    everywhere(|setup| {
        setup.run(|| {
            let (over, go_on, went_on) = (Signal::new(), Signal::new(), Signal::new());
            let (told, waits, goes_on) = (over.clone(), go_on.clone(), went_on.clone());
            let caller = go!({
                // It may be so slow here that it does not begin in time.
                while !told.is_set() {
                    let result = timeout(SHORT, || {
                        let cancelled = panic::catch_unwind(fibra::park);
                        told.set();
                        fibra::uncancellable(|| waits.wait());
                        panic::resume_unwind(cancelled.unwrap_err());
                    });
                    assert_eq!(result, Err(Elapsed));
                }
                goes_on.set();
            });
            over.wait();
            caller.cancel();
            give_way(10);
            assert!(!caller.is_finished());
            go_on.set();
            assert_cancelled(outcome(caller));
            assert!(!went_on.is_set());
        });
    });
}

#[test]
fn limits_nest() {
    callers(|| {
        let inner_first = timeout(LONG, || timeout(SHORT, fibra::park));
        assert_eq!(inner_first, Ok(Err(Elapsed)));
        let outer_first = timeout(SHORT, || timeout(FOREVER, fibra::park));
        assert_eq!(outer_first, Err(Elapsed));
        let both: Vec<_> = (0..20).map(|_| timeout(LONG, || timeout(LONG, || 5))).collect();
        assert!(both.into_iter().all(|result| result == Ok(Ok(5))));
    });
}

#[test]
fn a_shutdown_ends_a_timeout() {
    everywhere(|setup| {
        let (drops, ready, runtime) = (Drops::new(), Signal::new(), setup.runtime());
        let (tokens, reached) = ([drops.token(), drops.token()], ready.clone());
        drop(runtime.spawn(move || {
            let [outer, inner] = tokens;
            let _outer = outer;
            let _result = timeout(FOREVER, move || {
                let _inner = inner;
                reached.set();
                fibra::park();
            });
            fibra::park();
        }));
        ready.wait();
        drop(runtime);
        assert_eq!(drops.count(), 2);
    });
}

#[test]
fn elapsed_is_an_error() {
    let error = std::io::Error::from(Elapsed);
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    assert_eq!(error.to_string(), Elapsed.to_string());
}

/// The time is over before the park begins; those who wait for the worker get it all the same.
#[test]
fn whoever_sleeps_for_next_to_nothing_is_no_hog() {
    let naps: [fn(); 2] =
        [|| sleep(Duration::from_nanos(1)), || fibra::park_timeout(Duration::from_nanos(1))];
    for nap in naps {
        everywhere(|setup| {
            setup.run(|| {
                let (napping, over) = (Signal::new(), Arc::new(AtomicBool::new(false)));
                let handle = {
                    let (reached, over) = (napping.clone(), over.clone());
                    go!(move || {
                        while !over.load(Ordering::Relaxed) {
                            nap();
                            reached.set();
                        }
                    })
                };
                napping.wait();
                over.store(true, Ordering::Relaxed);
                join(handle);
            });
        });
    }
}
