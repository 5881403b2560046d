//! Closed channels: by `close`, or because one side is gone.

mod chan_parties;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use chan_parties::{
    BUFFERS, CAPACITIES, Cast, Party, assert_each_once, callers, channel, give_way, parties,
};
use fibra::chan::{
    Receiver, RecvError, RecvTimeoutError, SendError, SendTimeoutError, Sender, TryRecvError,
    TrySendError, bounded, unbounded,
};
use fibra_tests::{Drops, FOREVER, Token};

/// Fails unless every way to receive says that the channel is closed and empty.
fn assert_no_more<T: Send>(rx: &Receiver<T>) {
    let past = Instant::now();
    for _ in 0..2 {
        assert_eq!(rx.recv().err(), Some(RecvError));
        assert_eq!(rx.try_recv().err(), Some(TryRecvError::Disconnected));
        let ended = Some(RecvTimeoutError::Disconnected);
        assert_eq!(rx.recv_timeout(FOREVER).err(), ended);
        assert_eq!(rx.recv_timeout(Duration::ZERO).err(), ended);
        assert_eq!(rx.recv_deadline(past).err(), ended);
        assert_eq!(rx.recv_deadline(past + FOREVER).err(), ended);
        assert!(rx.iter().next().is_none());
        assert!(rx.try_iter().next().is_none());
    }
}

/// Fails unless every way to send gives the value back.
fn assert_refused(tx: &Sender<u32>) {
    let past = Instant::now();
    assert!(tx.is_closed());
    for _ in 0..2 {
        assert_eq!(tx.send(1), Err(SendError(1)));
        assert_eq!(tx.try_send(2), Err(TrySendError::Disconnected(2)));
        assert_eq!(tx.send_timeout(3, FOREVER), Err(SendTimeoutError::Disconnected(3)));
        assert_eq!(tx.send_timeout(4, Duration::ZERO), Err(SendTimeoutError::Disconnected(4)));
        assert_eq!(tx.send_deadline(5, past), Err(SendTimeoutError::Disconnected(5)));
        assert_eq!(tx.send_deadline(6, past + FOREVER), Err(SendTimeoutError::Disconnected(6)));
    }
}

#[test]
fn what_was_buffered_is_received() {
    type Close = fn(&Sender<u32>, &Receiver<u32>);
    let closings: [Close; 3] = [
        |tx, _| tx.close(),
        |_, rx| rx.close(),
        |tx, rx| {
            tx.close();
            rx.clone().close();
            tx.clone().close();
        },
    ];
    callers(|| {
        for capacity in CAPACITIES {
            for close in closings {
                for count in 0..=capacity.unwrap_or(70).min(70) as u32 {
                    let (tx, rx) = channel(capacity);
                    (0..count).for_each(|i| tx.send(i).unwrap());
                    assert!(!tx.is_closed());
                    close(&tx, &rx);
                    assert_refused(&tx);
                    assert_eq!(rx.len(), count as usize);
                    for i in 0..count {
                        assert_eq!(rx.recv(), Ok(i));
                    }
                    assert_no_more(&rx);
                }
            }
        }
    });
}

#[test]
fn the_last_sender_closes() {
    callers(|| {
        for capacity in BUFFERS {
            let (tx, rx) = channel(capacity);
            let clone = tx.clone();
            drop(tx);
            clone.send(1).unwrap();
            assert_eq!(rx.recv(), Ok(1));
            assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
            clone.clone().send(2).unwrap();
            drop(clone);
            assert_eq!(rx.recv(), Ok(2));
            assert_no_more(&rx);
        }
        let (tx, rx) = bounded::<u8>(0);
        drop(tx);
        assert_no_more(&rx);
    });
}

#[test]
fn the_last_receiver_closes() {
    callers(|| {
        for capacity in CAPACITIES {
            let (tx, rx) = channel(capacity);
            let clone = rx.clone();
            drop(rx);
            assert!(!tx.is_closed());
            let full = capacity.unwrap_or(3);
            (0..full).for_each(|_| tx.send(0).unwrap());
            drop(clone);
            assert_refused(&tx);
            assert!(tx.is_empty());
            assert_eq!((tx.len(), tx.capacity()), (0, capacity));
        }
    });
}

#[test]
fn every_end_notices() {
    parties(|cast| {
        for capacity in CAPACITIES {
            let (tx, rx) = channel(capacity);
            let (clone, receiver) = (tx.clone(), rx.clone());
            cast.spawn(move || receiver.close()).join();
            assert_refused(&tx);
            assert_refused(&clone);
            assert_no_more(&rx);
            cast.spawn(move || assert_no_more(&rx)).join();
        }
    });
}

/// Lets this many parties wait, then `end`s that; gives what they say.
fn waiting<T: Send + 'static>(
    cast: &Cast<'_>,
    yields: usize,
    wait: impl Fn(usize) -> T + Send + Sync + Clone + 'static,
    end: impl FnOnce(),
) -> Vec<T> {
    let parties: Vec<Party<T>> = (0..6)
        .map(|i| {
            let wait = wait.clone();
            cast.spawn(move || wait(i))
        })
        .collect();
    give_way(yields);
    end();
    parties.into_iter().map(Party::join).collect()
}

fn wait_to_receive(rx: &Receiver<usize>, way: usize) -> bool {
    match way {
        0 | 1 => rx.recv().is_err(),
        2 => rx.recv_timeout(FOREVER) == Err(RecvTimeoutError::Disconnected),
        3 => rx.recv_deadline(Instant::now() + FOREVER) == Err(RecvTimeoutError::Disconnected),
        4 => rx.iter().next().is_none(),
        _ => fibra::select! { recv(rx) -> value => value == Err(RecvError) },
    }
}

#[test]
fn parked_receivers_learn_it() {
    parties(|cast| {
        for capacity in CAPACITIES {
            for yields in [0, 20] {
                let (tx, rx) = channel(capacity);
                let wait = move |way| wait_to_receive(&rx, way);
                let end = || drop(tx);
                assert_eq!(waiting(cast, yields, wait, end), [true; 6]);

                let (tx, rx) = channel(capacity);
                let closer = rx.clone();
                let wait = move |way| wait_to_receive(&rx, way);
                assert_eq!(waiting(cast, yields, wait, || closer.close()), [true; 6]);
                assert!(tx.is_closed());
            }
        }
    });
}

fn wait_to_send(tx: &Sender<usize>, way: usize) -> Option<usize> {
    let deadline = Instant::now() + FOREVER;
    match way {
        0 | 1 => tx.send(way).err().map(SendError::into_inner),
        2 => tx.send_timeout(way, FOREVER).err().map(SendTimeoutError::into_inner),
        3 => tx.send_deadline(way, deadline).err().map(SendTimeoutError::into_inner),
        _ => fibra::select! { send(tx, way) -> sent => sent.err().map(SendError::into_inner) },
    }
}

#[test]
fn parked_senders_get_their_values_back() {
    parties(|cast| {
        for capacity in [0, 1, 3] {
            for yields in [0, 20] {
                for ending in 0..3 {
                    let (tx, rx) = bounded(capacity);
                    (0..capacity).for_each(|_| tx.send(100).unwrap());
                    let closer = tx.clone();
                    let wait = move |way| wait_to_send(&tx, way);
                    let mut rx = Some(rx);
                    let end = || match ending {
                        0 => closer.close(),
                        1 => rx.as_ref().unwrap().close(),
                        _ => drop(rx.take()),
                    };
                    let returned = waiting(cast, yields, wait, end);
                    assert!(returned.into_iter().eq((0..6).map(Some)));
                    // Only what was buffered before is there.
                    let left = rx.map_or(0, |rx| rx.iter().filter(|&value| value == 100).count());
                    assert_eq!(left, if ending < 2 { capacity } else { 0 });
                }
            }
        }
    });
}

#[test]
fn the_last_receiver_takes_the_buffered_values_along() {
    callers(|| {
        for capacity in BUFFERS {
            let drops = Drops::new();
            let (tx, rx) = channel(capacity);
            let count = capacity.unwrap_or(100);
            // From every place in the ring.
            for start in 0..5 {
                for _ in 0..start {
                    tx.send(drops.token()).unwrap();
                    drop(rx.recv().unwrap());
                }
            }
            assert_eq!(drops.count(), 10);
            (0..count).for_each(|_| tx.send(drops.token()).unwrap());
            let other = rx.clone();
            drop(rx);
            assert_eq!(drops.count(), 10);
            drop(other);
            assert_eq!(drops.count(), 10 + count);
            drop(tx.send(drops.token()).unwrap_err());
            drop(tx);
            assert_eq!(drops.count(), 11 + count);
        }
    });
}

#[test]
fn without_a_sender_values_wait_for_the_last_receiver() {
    callers(|| {
        for capacity in BUFFERS {
            for close in [false, true] {
                let drops = Drops::new();
                let (tx, rx) = channel(capacity);
                tx.send(drops.token()).unwrap();
                if close {
                    rx.close();
                }
                drop(tx);
                assert_eq!((drops.count(), rx.len()), (0, 1));
                drop(rx);
                assert_eq!(drops.count(), 1);
            }
        }
    });
}

#[test]
fn a_close_races_with_sends_and_receives() {
    parties(|cast| {
        for capacity in CAPACITIES {
            for round in 0..4 {
                let (tx, rx) = channel(capacity);
                let next = Arc::new(AtomicUsize::new(0));
                let senders: Vec<_> = (0..2)
                    .map(|_| {
                        let (tx, next) = (tx.clone(), next.clone());
                        cast.spawn(move || {
                            loop {
                                let value = next.fetch_add(1, Ordering::SeqCst);
                                if let Err(SendError(value)) = tx.send(value) {
                                    return value;
                                }
                                fibra::yield_now();
                            }
                        })
                    })
                    .collect();
                let receivers: Vec<_> = (0..2)
                    .map(|_| {
                        let rx = rx.clone();
                        cast.spawn(move || rx.iter().collect::<Vec<_>>())
                    })
                    .collect();
                give_way(round);
                if round % 2 == 0 {
                    tx.close()
                } else {
                    rx.close()
                }
                let returned: Vec<_> = senders.into_iter().map(Party::join).collect();
                let received = receivers.into_iter().flat_map(Party::join);
                // Received, or given back.
                let all = received.chain(returned);
                assert_each_once(all, next.load(Ordering::SeqCst));
            }
        }
    });
}

#[test]
fn the_last_receiver_goes_while_values_come() {
    parties(|cast| {
        for capacity in CAPACITIES {
            for round in 0..8 {
                let (drops, (tx, rx)) = (Drops::new(), channel::<Token>(capacity));
                let senders: Vec<_> = (0..2)
                    .map(|_| {
                        let (tx, drops) = (tx.clone(), drops.clone());
                        cast.spawn(move || {
                            for made in 1.. {
                                if tx.send(drops.token()).is_err() {
                                    return made;
                                }
                                give_way(1);
                            }
                            unreachable!()
                        })
                    })
                    .collect();
                let receiver = cast.spawn(move || {
                    let received = rx.iter().take(round).count();
                    give_way(round);
                    received
                });
                assert_eq!(receiver.join(), round);
                let made: usize = senders.into_iter().map(Party::join).sum();
                // The channel has nothing any more, although this end is still there.
                assert_eq!(drops.count(), made);
                assert!(tx.is_closed() && tx.is_empty());
            }
        }
    });
}

#[test]
fn both_sides_go_at_once() {
    parties(|cast| {
        for capacity in BUFFERS {
            for _ in 0..20 {
                let (drops, (tx, rx)) = (Drops::new(), channel(capacity));
                tx.send(drops.token()).unwrap();
                let other = cast.spawn(move || drop(tx));
                drop(rx);
                other.join();
                assert_eq!(drops.count(), 1);
            }
        }
    });
}

#[test]
fn ends_travel_through_channels() {
    parties(|cast| {
        let (tx, rx) = unbounded::<(Sender<u32>, Receiver<u32>)>();
        let worker = cast.spawn(move || {
            for (answers, questions) in rx {
                questions.iter().for_each(|question| answers.send(question * 2).unwrap());
            }
        });
        for capacity in CAPACITIES {
            let ((ask, questions), (answers, answered)) = (channel(capacity), channel(capacity));
            tx.send((answers, questions)).unwrap();
            for i in 0..10 {
                ask.send(i).unwrap();
                assert_eq!(answered.recv(), Ok(2 * i));
            }
            drop(ask);
            assert_eq!(answered.recv(), Err(RecvError));
        }
        drop(tx);
        worker.join();
    });
}
