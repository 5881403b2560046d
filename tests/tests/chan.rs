//! Channels: order, blocking, counts, and that every value arrives once.

mod chan_parties;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use chan_parties::{
    BUFFERS, CAPACITIES, assert_each_once, callers, channel, give_way, parties, until,
};
use fibra::chan::{
    self, Receiver, RecvError, Sender, TryRecvError, TrySendError, bounded, unbounded,
};
use fibra::select;
use fibra_tests::{everywhere, join};

#[test]
fn values_arrive_in_order() {
    parties(|cast| {
        for capacity in CAPACITIES {
            let (tx, rx) = channel(capacity);
            let sender = cast.spawn(move || {
                for i in 0..100 {
                    tx.send(i).unwrap();
                }
            });
            for i in 0..100 {
                assert_eq!(rx.recv(), Ok(i));
            }
            assert_eq!(rx.recv(), Err(RecvError));
            sender.join();

            let (tx, rx) = channel(capacity);
            let receiver = cast.spawn(move || rx.iter().collect::<Vec<_>>());
            for i in 0..100 {
                tx.send(i).unwrap();
            }
            drop(tx);
            assert!(receiver.join().into_iter().eq(0..100));
        }
    });
}

#[test]
fn a_value_that_is_buffered_needs_no_partner() {
    callers(|| {
        for capacity in [1, 2, 5] {
            let (tx, rx) = bounded(capacity);
            // Twice round the ring, and from every place in it.
            for _ in 0..=2 * capacity {
                for i in 0..capacity {
                    tx.send(i).unwrap();
                }
                assert_eq!(tx.try_send(100), Err(TrySendError::Full(100)));
                for i in 0..capacity {
                    assert_eq!(rx.recv(), Ok(i));
                }
                assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
                tx.send(7).unwrap();
                assert_eq!(rx.recv(), Ok(7));
            }
        }
        let (tx, rx) = unbounded();
        for i in 0..10_000 {
            tx.send(i).unwrap();
            if i % 3 == 0 {
                assert_eq!(rx.recv(), Ok(i / 3));
            }
        }
        assert!(rx.try_iter().eq(3334..10_000));
        // It has shrunk or not: it starts again.
        tx.send(1).unwrap();
        assert_eq!(rx.recv(), Ok(1));
    });
}

#[test]
fn a_sender_is_never_further_ahead_than_the_capacity() {
    parties(|cast| {
        for capacity in [0, 1, 3] {
            let (tx, rx) = bounded(capacity);
            let sent = Arc::new(AtomicUsize::new(0));
            let count = sent.clone();
            let sender = cast.spawn(move || {
                for i in 0..60 {
                    tx.send(i).unwrap();
                    count.fetch_add(1, Ordering::SeqCst);
                }
            });
            for received in 0..60 {
                give_way(received % 4);
                assert!(sent.load(Ordering::SeqCst) <= received + capacity);
                assert_eq!(rx.recv(), Ok(received));
            }
            sender.join();
        }
    });
}

#[test]
fn each_room_lets_one_sender_go_on() {
    parties(|cast| {
        for capacity in [1, 3] {
            let ((tx, rx), (done, ended)) = (bounded(capacity), unbounded());
            (0..capacity).for_each(|_| tx.send(0).unwrap());
            for i in 1..=6 {
                let (tx, done) = (tx.clone(), done.clone());
                drop(cast.spawn(move || {
                    match i % 2 {
                        0 => tx.send(i).unwrap(),
                        _ => select! { send(tx, i) -> sent => sent.unwrap() },
                    }
                    done.send(()).unwrap();
                }));
            }
            for i in 0..6 {
                give_way(i);
                rx.recv().unwrap();
                // Although nobody receives what it sends.
                ended.recv().unwrap();
                assert_eq!((rx.len(), ended.len()), (capacity, 0));
            }
        }
    });
}

#[test]
fn each_value_lets_one_receiver_go_on() {
    parties(|cast| {
        for capacity in CAPACITIES {
            let ((tx, rx), (done, ended)) = (channel(capacity), unbounded());
            for i in 0..6 {
                let (rx, done) = (rx.clone(), done.clone());
                drop(cast.spawn(move || {
                    let value = match i % 2 {
                        0 => rx.recv(),
                        _ => select! { recv(rx) -> value => value },
                    };
                    done.send(value.unwrap()).unwrap();
                }));
            }
            for i in 0..6 {
                give_way(i);
                tx.send(i).unwrap();
                assert_eq!(ended.recv(), Ok(i));
            }
        }
    });
}

#[test]
fn a_rendezvous_tries_only_with_whoever_waits() {
    parties(|cast| {
        let (tx, rx) = bounded(0);
        assert_eq!(tx.try_send(1), Err(TrySendError::Full(1)));
        assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
        let (other_tx, other_rx) = (tx.clone(), rx.clone());
        let receiver = cast.spawn(move || (0..20).map(|_| other_rx.recv().unwrap()).collect());
        for i in 0..20 {
            until(|| tx.try_send(i).ok());
        }
        let received: Vec<_> = receiver.join();
        assert!(received.into_iter().eq(0..20));
        assert_eq!(tx.try_send(1), Err(TrySendError::Full(1)));

        let sender = cast.spawn(move || (0..20).for_each(|i| other_tx.send(i).unwrap()));
        for i in 0..20 {
            assert_eq!(until(|| rx.try_recv().ok()), i);
        }
        sender.join();
        assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    });
}

#[test]
fn whoever_only_tries_gets_along_with_whoever_waits() {
    parties(|cast| {
        for capacity in BUFFERS {
            let (tx, rx) = channel(capacity);
            let receiver = cast.spawn(move || rx.iter().collect::<Vec<_>>());
            for i in 0..100 {
                until(|| tx.try_send(i).ok());
            }
            drop(tx);
            assert!(receiver.join().into_iter().eq(0..100));

            let (tx, rx) = channel(capacity);
            let sender = cast.spawn(move || (0..100).for_each(|i| tx.send(i).unwrap()));
            for i in 0..100 {
                assert_eq!(until(|| rx.try_recv().ok()), i);
            }
            sender.join();
            assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
        }
    });
}

const EACH: usize = 100;

/// Sends the numbers from `number * EACH` on.
fn send_some(tx: &Sender<usize>, number: usize) {
    for i in 0..EACH {
        tx.send(number * EACH + i).unwrap();
        give_way(usize::from(i % 16 == number));
    }
}

/// Receives everything; fails when what comes from one sender is out of order.
fn receive_all(rx: &Receiver<usize>) -> Vec<usize> {
    let mut last = [None; 4];
    let received = rx.iter().inspect(|value| {
        let last = &mut last[value / EACH];
        assert!(Some(value % EACH) > *last, "{value} came after {last:?}");
        *last = Some(value % EACH);
    });
    received.collect()
}

#[test]
fn many_senders_and_receivers() {
    parties(|cast| {
        for capacity in CAPACITIES {
            let (tx, rx) = channel(capacity);
            let receivers: Vec<_> = (0..3)
                .map(|_| {
                    let rx = rx.clone();
                    cast.spawn(move || receive_all(&rx))
                })
                .collect();
            let senders: Vec<_> = (0..3)
                .map(|number| {
                    let tx = tx.clone();
                    cast.spawn(move || send_some(&tx, number))
                })
                .collect();
            send_some(&tx, 3);
            drop((tx, rx));
            senders.into_iter().for_each(|sender| sender.join());
            let received = receivers.into_iter().flat_map(|receiver| receiver.join());
            assert_each_once(received, 4 * EACH);
        }
    });
}

#[test]
fn two_runtimes_talk() {
    everywhere(|setup| {
        setup.with(|here| {
            let there = setup.runtime();
            for capacity in CAPACITIES {
                let ((tx, rx), (back, answers)) = (channel(capacity), channel(capacity));
                let echo = there.spawn(move || {
                    for value in rx {
                        back.send(value + 1).unwrap();
                    }
                });
                let asker = here.spawn(move || {
                    for i in 0..200 {
                        tx.send(i).unwrap();
                        assert_eq!(answers.recv(), Ok(i + 1));
                    }
                });
                join(asker);
                join(echo);
            }
        });
    });
}

#[test]
fn a_goroutine_that_unwinds_sends_and_receives() {
    everywhere(|setup| {
        setup.with(|runtime| {
            let ((tx, rx), (back, answers)) = (bounded(0), bounded(0));
            let echo = thread::spawn(move || {
                for value in rx {
                    back.send(value + 1).unwrap();
                }
            });
            let handle = runtime.spawn(move || {
                let _talks = fibra_tests::OnDrop(|| {
                    for i in 0..20 {
                        tx.send(i).unwrap();
                        assert_eq!(answers.recv(), Ok(i + 1));
                    }
                });
                panic!("now it talks");
            });
            let outcome: thread::Result<()> = fibra_tests::outcome(handle);
            assert_eq!(fibra_tests::text(&*outcome.unwrap_err()), "now it talks");
            echo.join().unwrap();
        });
    });
}

#[test]
fn iterators_end_with_the_channel() {
    parties(|cast| {
        for capacity in CAPACITIES {
            let (tx, rx) = channel(capacity);
            let sender = cast.spawn(move || (0..30).for_each(|i| tx.send(i).unwrap()));
            let mut received = Vec::new();
            for value in &rx {
                received.push(value);
                if value == 9 {
                    break;
                }
            }
            received.extend(rx.iter().take(10));
            for value in rx {
                received.push(value);
            }
            assert!(received.into_iter().eq(0..30));
            sender.join();
        }
    });
}

#[test]
fn a_try_iterator_takes_what_is_there() {
    callers(|| {
        for capacity in BUFFERS {
            let (tx, rx) = channel(capacity);
            assert_eq!(rx.try_iter().next(), None);
            tx.send(1).unwrap();
            let mut iter = rx.try_iter();
            assert_eq!((iter.next(), iter.next()), (Some(1), None));
            // It may go on later.
            tx.send(2).unwrap();
            assert_eq!((iter.next(), iter.next()), (Some(2), None));
            drop(tx);
            assert_eq!(iter.next(), None);
        }
        let (tx, rx) = bounded::<u8>(0);
        assert_eq!(rx.try_iter().next(), None);
        drop(tx);
        assert_eq!((rx.iter().next(), rx.into_iter().next()), (None, None));
    });
}

#[test]
fn iterators_have_their_types() {
    let (tx, rx) = chan::unbounded();
    (0..3).for_each(|i| tx.send(i).unwrap());
    {
        let mut iter: chan::Iter<'_, i32> = rx.iter();
        assert_eq!(iter.next(), Some(0));
        let mut try_iter: chan::TryIter<'_, i32> = rx.try_iter();
        assert_eq!(try_iter.next(), Some(1));
    }
    let mut into_iter: chan::IntoIter<i32> = rx.into_iter();
    assert_eq!(into_iter.next(), Some(2));
    // It is the last receiver.
    drop(into_iter);
    assert!(tx.send(3).is_err());
}
