//! Cancelled, shut down, panicked: whoever waits in a channel goes, and the channel goes on.

mod chan_parties;

use std::panic;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use chan_parties::{CAPACITIES, assert_each_once, channel, give_way, parties};
use fibra::chan::{Receiver, Select, Sender, TryRecvError, after, bounded, never, tick, unbounded};
use fibra::{Cancelled, JoinHandle, go, select};
use fibra_tests::{Drops, FOREVER, Signal, Token, assert_cancelled, everywhere, join, outcome};

type Wait = fn(&Sender<Token>, &Receiver<Token>, Token);

/// All ways to wait for a value.
const RECEIVES: [Wait; 9] = [
    |_, rx, _| drop(rx.recv()),
    |_, rx, _| drop(rx.recv_timeout(FOREVER)),
    |_, rx, _| drop(rx.recv_deadline(Instant::now() + FOREVER)),
    |_, rx, _| drop(rx.iter().next()),
    |_, rx, _| rx.into_iter().for_each(drop),
    |_, rx, _| select! { recv(rx) -> value => drop(value) },
    |_, rx, _| {
        select! {
            recv(rx) -> value => drop(value),
            recv(rx) -> value => drop(value),
            recv(never::<u8>()) -> _ => {}
            default(FOREVER) => {}
        }
    },
    |_, rx, _| {
        let mut select = Select::new();
        select.recv(rx);
        drop(select.select().recv(rx));
    },
    |_, rx, _| {
        let mut select = Select::new();
        select.recv(rx);
        drop(select.select_timeout(FOREVER).unwrap().recv(rx));
    },
];

/// All ways to wait for room.
const SENDS: [Wait; 7] = [
    |tx, _, value| drop(tx.send(value)),
    |tx, _, value| drop(tx.send_timeout(value, FOREVER)),
    |tx, _, value| drop(tx.send_deadline(value, Instant::now() + FOREVER)),
    |tx, _, value| select! { send(tx, value) -> sent => drop(sent) },
    |tx, _, value| {
        select! {
            recv(never::<u8>()) -> _ => {}
            send(tx, value) -> sent => drop(sent),
            default(FOREVER) => {}
        }
    },
    |tx, _, value| {
        let mut select = Select::new();
        select.send(tx, value);
        drop(select.select().send(tx));
    },
    |tx, _, value| {
        let mut select = Select::new();
        select.send(tx, value);
        let deadline = Instant::now() + FOREVER;
        drop(select.select_deadline(deadline).unwrap().send(tx));
    },
];

/// A goroutine that waits like this, with two tokens, and is about to or does already.
fn waiter(wait: Wait, channel: &(Sender<Token>, Receiver<Token>), drops: &Drops) -> JoinHandle<()> {
    let (ready, (tx, rx)) = (Signal::new(), channel.clone());
    let (reached, value, local) = (ready.clone(), drops.token(), drops.token());
    let handle = go!({
        let _local = local;
        reached.set();
        wait(&tx, &rx, value);
        // The wait ended otherwise.
        fibra::park();
    });
    ready.wait();
    handle
}

#[test]
fn ends_every_wait_for_a_value() {
    everywhere(|setup| {
        setup.run(|| {
            for capacity in CAPACITIES {
                for wait in RECEIVES {
                    for yields in [0, 1, 40] {
                        let (drops, channel) = (Drops::new(), channel(capacity));
                        let handle = waiter(wait, &channel, &drops);
                        give_way(yields);
                        handle.cancel();
                        assert_cancelled(outcome(handle));
                        assert_eq!(drops.count(), 2);
                        goes_on(channel, capacity, &drops);
                    }
                }
            }
        });
    });
}

#[test]
fn ends_every_wait_for_room() {
    everywhere(|setup| {
        setup.run(|| {
            for capacity in [0, 1, 3] {
                for wait in SENDS {
                    for yields in [0, 1, 40] {
                        let (drops, (tx, rx)) = (Drops::new(), bounded(capacity));
                        (0..capacity).for_each(|_| tx.send(drops.token()).unwrap());
                        let channel = (tx, rx);
                        let handle = waiter(wait, &channel, &drops);
                        give_way(yields);
                        handle.cancel();
                        assert_cancelled(outcome(handle));
                        // The value that waited has gone with it, and does not come in later.
                        assert_eq!((drops.count(), channel.0.len()), (2, capacity));
                        channel.1.try_iter().for_each(drop);
                        assert_eq!(drops.count(), 2 + capacity);
                        goes_on(channel, Some(capacity), &drops);
                    }
                }
            }
        });
    });
}

/// Fails unless a channel that is empty works and nobody waits in it.
fn goes_on((tx, rx): (Sender<Token>, Receiver<Token>), capacity: Option<usize>, drops: &Drops) {
    assert!(matches!(rx.try_recv(), Err(TryRecvError::Empty)));
    let before = drops.count();
    let sends = capacity.unwrap_or(10);
    for _ in 0..sends {
        tx.try_send(drops.token()).unwrap();
    }
    if capacity.is_some() {
        assert!(tx.try_send(drops.token()).unwrap_err().is_full());
    }
    assert_eq!(rx.try_iter().count(), sends);
    let (other, token) = (tx.clone(), drops.token());
    let sender = go!(move || other.send(token).unwrap());
    assert!(rx.recv().is_ok());
    join(sender);
    drop(tx);
    assert!(rx.recv().is_err());
    assert_eq!(drops.count(), before + sends + 1 + usize::from(capacity.is_some()));
}

#[test]
fn ends_waits_for_what_never_comes() {
    let waits: [fn(); 5] = [
        || assert!(never::<u8>().recv().is_err()),
        || assert!(after(FOREVER).recv().is_err()),
        || assert!(tick(FOREVER).recv().is_err()),
        || select! {},
        || assert!(Select::new().select().index() > 0),
    ];
    everywhere(|setup| {
        setup.run(|| {
            for wait in waits {
                for yields in [0, 1, 40] {
                    let ready = Signal::new();
                    let reached = ready.clone();
                    let handle = go!({
                        reached.set();
                        wait();
                    });
                    ready.wait();
                    give_way(yields);
                    assert!(!handle.is_finished());
                    handle.cancel();
                    assert_cancelled(outcome(handle));
                }
            }
        });
    });
}

#[test]
fn cancelled_receivers_lose_nothing() {
    parties(|cast| {
        for capacity in CAPACITIES {
            let (tx, rx) = channel(capacity);
            let sender = cast.spawn(move || (0..150).for_each(|i| tx.send(i).unwrap()));
            let received = Arc::new(Mutex::new(Vec::new()));
            for turn in 0.. {
                let (values, got) = (rx.clone(), received.clone());
                let lets_go = turn % 4 == 0;
                let receiver = cast.go(move || {
                    for value in values.iter().take(if lets_go { 3 } else { usize::MAX }) {
                        got.lock().unwrap().push(value);
                    }
                });
                if !lets_go {
                    give_way(turn % 13);
                    receiver.cancel();
                }
                drop(outcome(receiver));
                if sender.is_finished() && rx.is_empty() {
                    break;
                }
            }
            sender.join();
            // One after the other they have received everything, in order.
            assert!(received.lock().unwrap().iter().copied().eq(0..150));
        }
    });
}

#[test]
fn cancelled_senders_lose_what_was_not_sent() {
    parties(|cast| {
        for capacity in [0, 1, 3] {
            let (tx, rx) = bounded(capacity);
            let (drops, mut made) = (Drops::new(), 0);
            let receiver = cast.spawn(move || {
                let mut counts = vec![0; 15];
                for (sender, number, _token) in rx {
                    assert_eq!(counts[sender], number, "of sender {sender}");
                    counts[sender] += 1;
                    give_way(number % 3);
                }
                counts
            });
            let mut accepted = Vec::new();
            for number in 0..15 {
                let counts = Arc::new([const { AtomicUsize::new(0) }; 2]);
                let (tx, counting, drops) = (tx.clone(), counts.clone(), drops.clone());
                let sender = cast.go(move || {
                    for i in 0.. {
                        counting[0].fetch_add(1, Ordering::SeqCst);
                        tx.send((number, i, drops.token())).unwrap();
                        counting[1].fetch_add(1, Ordering::SeqCst);
                        // Should there always be room.
                        fibra::checkpoint();
                    }
                });
                give_way(number % 7);
                sender.cancel();
                assert_cancelled(outcome(sender));
                made += counts[0].load(Ordering::SeqCst);
                accepted.push(counts[1].load(Ordering::SeqCst));
            }
            drop(tx);
            assert_eq!(receiver.join(), accepted);
            assert_eq!(drops.count(), made);
        }
    });
}

#[test]
fn the_others_keep_their_order() {
    parties(|cast| {
        for capacity in [0, 1, 3] {
            let (tx, rx) = bounded(capacity);
            let (senders, doomed): (Vec<_>, Vec<_>) = (0..3)
                .map(|sender| {
                    let (tx, other) = (tx.clone(), tx.clone());
                    let sender =
                        cast.spawn(move || (0..50).for_each(|i| tx.send(50 * sender + i).unwrap()));
                    let doomed = cast.go(move || {
                        while other.send(1000).is_ok() {
                            fibra::checkpoint();
                        }
                    });
                    (sender, doomed)
                })
                .unzip();
            drop(tx);
            let mut doomed = doomed.into_iter();
            let (mut received, mut last) = (Vec::new(), [None; 3]);
            for (turn, value) in rx.iter().enumerate() {
                if turn % 16 == 5
                    && let Some(handle) = doomed.next()
                {
                    handle.cancel();
                    assert_cancelled(outcome(handle));
                }
                if value < 1000 {
                    let last = &mut last[value / 50];
                    assert!(Some(value % 50) > *last, "{value} came after {last:?}");
                    *last = Some(value % 50);
                    received.push(value);
                }
            }
            assert_each_once(received, 150);
            senders.into_iter().for_each(|sender| sender.join());
        }
    });
}

#[test]
fn one_that_is_put_off_receives() {
    everywhere(|setup| {
        setup.run(|| {
            let ((tx, rx), ready) = (bounded(0), Signal::new());
            let reached = ready.clone();
            let handle = go!({
                reached.set();
                let value = fibra::uncancellable(|| rx.recv());
                assert_eq!(value, Ok(1));
                let caught = panic::catch_unwind(|| rx.recv());
                assert!(caught.unwrap_err().is::<Cancelled>());
                // What needs no waiting need not notice.
                drop(rx);
            });
            ready.wait();
            handle.cancel();
            give_way(20);
            assert!(!handle.is_finished());
            tx.send(1).unwrap();
            join(handle);
            assert!(tx.is_closed());
        });
    });
}

#[test]
fn a_shutdown_ends_all_waits_and_leaves_the_channel() {
    everywhere(|setup| {
        for capacity in [0, 1] {
            let (drops, (tx, rx)) = (Drops::new(), bounded(capacity));
            let (empty_tx, empty_rx) = unbounded();
            (0..capacity).for_each(|_| tx.send(drops.token()).unwrap());
            let runtime = setup.runtime();
            let waits = RECEIVES.into_iter().map(|wait| (wait, &empty_tx, &empty_rx));
            let waits = waits.chain(SENDS.into_iter().map(|wait| (wait, &tx, &rx)));
            for (wait, tx, rx) in waits {
                let (tx, rx, ready) = (tx.clone(), rx.clone(), Signal::new());
                let (reached, value) = (ready.clone(), drops.token());
                drop(runtime.spawn(move || {
                    reached.set();
                    wait(&tx, &rx, value);
                    fibra::park();
                }));
                ready.wait();
            }
            drop(runtime);
            assert_eq!(drops.count(), RECEIVES.len() + SENDS.len());
            assert_eq!(rx.try_iter().count(), capacity);
            empty_tx.send(drops.token()).unwrap();
            assert!(empty_rx.try_recv().is_ok());
            let receiver = thread::spawn(move || rx.recv().is_ok());
            tx.send(drops.token()).unwrap();
            assert!(receiver.join().unwrap());
        }
    });
}

#[test]
fn a_panic_leaves_the_channel_to_the_others() {
    everywhere(|setup| {
        setup.run(|| {
            for capacity in CAPACITIES {
                let (drops, (tx, rx)) = (Drops::new(), channel(capacity));
                let (other, token) = (tx.clone(), drops.token());
                let handle = go!(move || -> () {
                    let result = other.send((1, Some(token)));
                    panic!("with {result:?}");
                });
                assert_eq!(rx.recv().map(|value| value.0), Ok(1));
                assert!(outcome(handle).is_err());
                assert_eq!(drops.count(), 1);
                let receiver = go!(move || assert_eq!(rx.recv().map(|value| value.0), Ok(2)));
                tx.send((2, None)).unwrap();
                join(receiver);
            }
        });
    });
}
