//! Selects race with selects, sends, receives, timeouts, closes and cancels: no value is lost, none comes
//! twice.

mod chan_parties;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use chan_parties::{
    CAPACITIES, Cast, Party, assert_each_once, callers, channel, give_way, parties,
};
use fibra::chan::{Receiver, Select, SendError, Sender, bounded, never};
use fibra::{JoinHandle, select};
use fibra_tests::{Drops, Token, assert_cancelled, outcome};

/// Numbers that were sent, and those that were received.
#[derive(Default)]
struct Ledger {
    next: AtomicUsize,
    /// Of each number, how often it was sent and how often it was received.
    counts: Mutex<Vec<[u32; 2]>>,
}

impl Ledger {
    fn make(&self) -> usize {
        self.next.fetch_add(1, Ordering::SeqCst)
    }

    fn counts(&self, number: usize) -> MutexGuard<'_, Vec<[u32; 2]>> {
        let mut counts = self.counts.lock().unwrap();
        if counts.len() <= number {
            counts.resize(number + 1, [0; 2]);
        }
        counts
    }

    fn sent(&self, number: usize) {
        self.counts(number)[number][0] += 1;
    }

    fn received(&self, number: usize) {
        self.counts(number)[number][1] += 1;
    }

    /// How many were received. Fails unless all that were sent came, once, and nothing else did.
    #[track_caller]
    fn check(&self) -> usize {
        let counts = self.counts.lock().unwrap();
        for (number, &count) in counts.iter().enumerate() {
            assert!(count == [0, 0] || count == [1, 1], "{number} was sent, came: {count:?}");
        }
        counts.iter().filter(|&&count| count == [1, 1]).count()
    }
}

#[test]
fn a_send_arm_meets_a_receive_arm() {
    parties(|cast| {
        let ((tx, rx), (never_tx, never_rx)) = (bounded(0), bounded(0));
        let (other_never, no) = (never_rx.clone(), never_tx.clone());
        let other = cast.spawn(move || {
            for i in 0..100 {
                select! {
                    recv(rx) -> value => assert_eq!(value, Ok(i)),
                    recv(other_never) -> _ => panic!("never"),
                }
            }
            for i in 0..100 {
                let mut select = Select::new();
                select.recv(&other_never);
                select.recv(&rx);
                assert_eq!(select.select().recv(&rx), Ok(i));
            }
            drop(no);
        });
        for i in 0..200 {
            select! {
                recv(never_rx) -> _ => panic!("never"),
                send(tx, i % 100) -> sent => assert_eq!(sent, Ok(())),
            }
        }
        other.join();
        drop(never_tx);
        select! {
            recv(never_rx) -> value => assert_eq!(value.ok(), None::<u8>),
            recv(never::<u8>()) -> _ => {}
        }
    });
}

#[test]
fn a_rendezvous_does_not_meet_itself() {
    callers(|| {
        let (tx, rx) = bounded(0);
        for _ in 0..100 {
            select! {
                send(tx, 1) -> _ => panic!("nobody receives it"),
                recv(rx) -> _ => panic!("nobody sends"),
                default => {}
            }
            select! {
                recv(rx) -> _ => panic!("nobody sends"),
                send(tx, 1) -> _ => panic!("nobody receives it"),
                recv(rx) -> _ => panic!("nobody sends"),
                send(tx, 1) -> _ => panic!("nobody receives it"),
                default(Duration::from_micros(20)) => {}
            }
        }
    });
}

#[test]
fn a_buffer_is_sent_to_or_received_from() {
    callers(|| {
        let (tx, rx) = bounded(2);
        for len in [0, 1, 2, 1, 0, 1, 2] {
            while rx.len() < len {
                tx.send(1).unwrap();
            }
            rx.try_iter().take(rx.len() - len).for_each(drop);
            let now = select! {
                recv(rx) -> value => value.map(|_| len - 1).unwrap(),
                send(tx, 1) -> sent => sent.map(|()| len + 1).unwrap(),
            };
            assert_eq!((rx.len(), now <= 2), (now, true));
        }
    });
}

/// Sends to one channel and receives from another, whichever goes, until `stop` is closed.
fn trade(
    tx: &Sender<usize>,
    rx: &Receiver<usize>,
    stop: &Receiver<()>,
    ledger: &Ledger,
    trades: &Sender<()>,
) {
    loop {
        let number = ledger.make();
        select! {
            send(tx, number) -> sent => match sent {
                Ok(()) => ledger.sent(number),
                Err(SendError(back)) => {
                    assert_eq!(back, number);
                    return;
                }
            },
            recv(rx) -> value => match value {
                Ok(number) => ledger.received(number),
                Err(_) => return,
            },
            recv(stop) -> _ => return,
        }
        let _enough = trades.try_send(());
        // There may always be room.
        fibra::yield_now();
    }
}

/// Five parties trade in a ring of channels, or through one, until there were that many trades.
fn trades(cast: &Cast<'_>, capacity: Option<usize>, channels: usize, close: bool) {
    let (ledger, (stop, stopped)) = (Arc::<Ledger>::default(), bounded(0));
    let ring: Vec<_> = (0..channels).map(|_| channel(capacity)).collect();
    let (count, counted) = bounded(64);
    let parties: Vec<_> = (0..5)
        .map(|i| {
            let (tx, rx) = (ring[i % channels].0.clone(), ring[(i + 1) % channels].1.clone());
            let (stopped, ledger, count) = (stopped.clone(), ledger.clone(), count.clone());
            cast.spawn(move || trade(&tx, &rx, &stopped, &ledger, &count))
        })
        .collect();
    (0..200).for_each(|_| counted.recv().unwrap());
    if close {
        ring.iter().for_each(|(tx, _)| tx.close());
    } else {
        drop(stop);
    }
    parties.into_iter().for_each(Party::join);
    let left = ring.iter().flat_map(|(_, rx)| rx.try_iter());
    left.for_each(|number| ledger.received(number));
    assert!(ledger.check() >= 100);
}

#[test]
fn selects_race_in_a_ring() {
    parties(|cast| {
        for capacity in CAPACITIES {
            trades(cast, capacity, 5, false);
        }
    });
}

#[test]
fn selects_race_on_one_channel() {
    parties(|cast| {
        for capacity in CAPACITIES {
            trades(cast, capacity, 1, false);
            trades(cast, capacity, 2, false);
        }
    });
}

#[test]
fn selects_race_with_a_close() {
    parties(|cast| {
        for capacity in CAPACITIES {
            trades(cast, capacity, 1, true);
            trades(cast, capacity, 3, true);
        }
    });
}

/// Receives from either; `None` once both are closed and empty.
fn receive(rx: &[Receiver<usize>; 2]) -> Option<usize> {
    let [first, second] = rx;
    // Once one is closed, all senders have gone.
    let value = select! {
        recv(first) -> value => value.or_else(|_| second.recv()),
        recv(second) -> value => value.or_else(|_| first.recv()),
    };
    value.ok()
}

/// In turn with a timeout, with `default`, with both, with a dynamic select.
fn receive_somehow(turn: usize, rx: &[Receiver<usize>; 2]) -> Option<usize> {
    let [first, second] = rx;
    match turn % 5 {
        0 => first.recv_timeout(Duration::from_micros(20)).ok().or_else(|| receive(rx)),
        1 => receive(rx),
        2 => select! {
            recv(first) -> value => value.ok().or_else(|| receive(rx)),
            recv(second) -> value => value.ok().or_else(|| receive(rx)),
            default(Duration::from_micros(20)) => receive(rx),
        },
        3 => select! {
            recv(second) -> value => value.ok().or_else(|| receive(rx)),
            default => receive(rx),
        },
        _ => {
            let mut select = Select::new();
            rx.iter().for_each(|rx| assert!(select.recv(rx) < 2));
            let op = select.select();
            let index = op.index();
            op.recv(&rx[index]).ok().or_else(|| receive(rx))
        }
    }
}

fn send_somehow(number: usize, tx: &[Sender<usize>; 2]) {
    let [first, second] = tx;
    let sent = match number % 5 {
        0 => first.send(number),
        1 => select! {
            send(first, number) -> sent => sent,
            send(second, number) -> sent => sent,
        },
        2 => select! {
            send(first, number) -> sent => sent,
            send(second, number) -> sent => sent,
            default(Duration::from_micros(20)) => second.send(number),
        },
        3 => select! {
            send(second, number) -> sent => sent,
            default => first.send(number),
        },
        _ => {
            let mut select = Select::new();
            tx.iter().for_each(|tx| assert!(select.send(tx, number) < 2));
            let op = select.select();
            let index = op.index();
            op.send(&tx[index])
        }
    };
    sent.unwrap();
}

#[test]
fn every_kind_of_wait_races_with_every_other() {
    parties(|cast| {
        for capacity in CAPACITIES {
            let ((tx1, rx1), (tx2, rx2)) = (channel(capacity), channel(capacity));
            let (tx, rx) = ([tx1, tx2], [rx1, rx2]);
            let receivers: Vec<_> = (0..3)
                .map(|start| {
                    let rx = rx.clone();
                    cast.spawn(move || {
                        (start..).map_while(|turn| receive_somehow(turn, &rx)).collect::<Vec<_>>()
                    })
                })
                .collect();
            let senders: Vec<_> = (0..3)
                .map(|sender| {
                    let tx = tx.clone();
                    cast.spawn(move || (0..50).for_each(|i| send_somehow(50 * sender + i, &tx)))
                })
                .collect();
            drop((tx, rx));
            senders.into_iter().for_each(Party::join);
            assert_each_once(receivers.into_iter().flat_map(Party::join), 150);
        }
    });
}

#[test]
fn cancelled_selects_lose_nothing() {
    parties(|cast| {
        for capacity in [Some(0), Some(1), None] {
            let (ledger, (stop, stopped)) = (Arc::<Ledger>::default(), bounded(0));
            let ((tx1, rx1), (tx2, rx2)) = (channel(capacity), channel(capacity));
            let (count, _counted) = bounded(1);
            let trader = |forth: bool| {
                let (tx, rx) = if forth { (&tx1, &rx2) } else { (&tx2, &rx1) };
                let (tx, rx, stopped) = (tx.clone(), rx.clone(), stopped.clone());
                let (ledger, count) = (ledger.clone(), count.clone());
                move || trade(&tx, &rx, &stopped, &ledger, &count)
            };
            let steady: Vec<_> = (0..2).map(|i| cast.spawn(trader(i == 0))).collect();
            for round in 0..8 {
                let doomed: [JoinHandle<()>; 2] = [cast.go(trader(false)), cast.go(trader(true))];
                give_way(round % 6);
                doomed.iter().for_each(JoinHandle::cancel);
                doomed.into_iter().for_each(|handle| assert_cancelled(outcome(handle)));
            }
            drop(stop);
            steady.into_iter().for_each(Party::join);
            let left = rx1.try_iter().chain(rx2.try_iter());
            left.for_each(|number| ledger.received(number));
            ledger.check();
        }
    });
}

#[test]
fn values_of_cancelled_selects_are_dropped_once() {
    parties(|cast| {
        let (drops, made) = (Drops::new(), Arc::new(AtomicUsize::new(0)));
        for round in 0..12 {
            let ((tx, rx), goes_on) = (bounded::<Token>(0), Arc::new(AtomicBool::new(true)));
            let receiver = cast.spawn({
                let (rx, goes_on) = (rx.clone(), goes_on.clone());
                move || {
                    while goes_on.load(Ordering::SeqCst) {
                        drop(rx.try_recv());
                        fibra::yield_now();
                    }
                }
            });
            let (token, count) = (drops.clone(), made.clone());
            let make = move || {
                count.fetch_add(1, Ordering::SeqCst);
                token.token()
            };
            let sender = cast.go(move || {
                loop {
                    select! {
                        send(tx, make()) -> sent => sent.unwrap(),
                        send(tx, make()) -> sent => sent.unwrap(),
                        recv(never::<u8>()) -> _ => {}
                    }
                }
            });
            give_way(round % 8);
            sender.cancel();
            assert_cancelled(outcome(sender));
            goes_on.store(false, Ordering::SeqCst);
            receiver.join();
            assert_eq!(drops.count(), made.load(Ordering::SeqCst));
            assert!(rx.recv().is_err());
        }
    });
}
