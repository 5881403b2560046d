//! `select!`: which arms happen, what they give, what becomes of the values of the others.

mod chan_parties;

use std::panic::{self, AssertUnwindSafe};
use std::thread;
use std::time::Duration;

use chan_parties::{CAPACITIES, callers, channel, give_way, parties};
use fibra::chan::{Receiver, RecvError, SendError, Sender, bounded, never};
use fibra::select;
use fibra_tests::{Drops, FOREVER, Signal, alone, text};

#[test]
fn the_arm_that_is_ready_happens() {
    callers(|| {
        let ((tx1, rx1), (tx2, rx2)) = (bounded(1), bounded(1));
        for i in 0..50 {
            let tx = if i % 2 == 0 { &tx1 } else { &tx2 };
            tx.send(i).unwrap();
            let arm = select! {
                recv(rx1) -> value => (0, value),
                recv(rx2) -> value => (1, value),
            };
            assert_eq!(arm, (i % 2, Ok(i)));
            // Now there is room in both; then in one.
            tx.send(i).unwrap();
            let arm = select! {
                send(tx1, i) -> sent => (1, sent),
                send(tx2, i) -> sent => (0, sent),
            };
            assert_eq!(arm, (i % 2, Ok(())));
            assert_eq!((rx1.recv(), rx2.recv()), (Ok(i), Ok(i)));
        }
    });
}

#[test]
fn default_happens_only_if_nothing_is_ready() {
    callers(|| {
        for capacity in CAPACITIES {
            let (tx, rx) = channel(capacity);
            let (full, _rx) = bounded(0);
            for i in 0..20 {
                let arm = select! {
                    recv(rx) -> _ => 0,
                    send(full, 1) -> _ => 1,
                    recv(never::<u8>()) -> _ => 2,
                    default => 3,
                };
                assert_eq!(arm, 3);
                if capacity != Some(0) {
                    tx.send(i).unwrap();
                    let value = select! {
                        recv(rx) -> value => value,
                        send(full, 1) -> _ => panic!("nobody receives it"),
                        default => panic!("a value is there"),
                    };
                    assert_eq!(value, Ok(i));
                }
            }
            drop(tx);
            select! {
                recv(rx) -> value => assert_eq!(value, Err(RecvError)),
                default => panic!("it is closed"),
            }
        }
    });
}

#[test]
fn default_may_stand_anywhere_and_alone() {
    callers(|| {
        let (tx, rx) = bounded(1);
        let mut count = 0;
        for _ in 0..2 {
            count += select! {
                default => 1,
                recv(rx) -> value => value.unwrap(),
            };
            let _full = tx.try_send(10);
        }
        assert_eq!(count, 11);
        assert_eq!(select! { default => 5 }, 5);
        assert_eq!(select! { default(Duration::from_micros(10)) => 5 }, 5);
    });
}

#[test]
fn a_closed_channel_is_ready() {
    callers(|| {
        for capacity in CAPACITIES {
            for close in [true, false] {
                let (tx, rx) = channel(capacity);
                let keep = (tx.clone(), rx.clone());
                if close {
                    tx.close()
                } else {
                    drop(keep.1)
                }
                let sent = if close { Some(&tx) } else { None };
                for _ in 0..5 {
                    if let Some(tx) = sent {
                        select! {
                            send(tx, 5) -> sent => assert_eq!(sent, Err(SendError(5))),
                            default => panic!("it is closed"),
                        }
                        select! {
                            recv(rx) -> value => assert_eq!(value, Err(RecvError)),
                            default(FOREVER) => panic!("it is closed"),
                        }
                    }
                }
                drop(rx);
                select! { send(tx, 6) -> sent => assert_eq!(sent, Err(SendError(6))) }
            }
        }
    });
}

#[test]
fn a_close_ends_a_select_that_waits() {
    parties(|cast| {
        for capacity in [0, 1] {
            for yields in [0, 10] {
                let ((tx, rx), (full, _filled)) = (bounded::<u8>(capacity), bounded(capacity));
                (0..capacity).for_each(|_| full.send(0).unwrap());
                let (closer, noticed) = (full.clone(), Signal::new());
                let notices = noticed.clone();
                let waiter = cast.spawn(move || {
                    select! {
                        recv(rx) -> value => assert!(value.is_err()),
                        send(full, 1) -> _ => panic!("there is no room"),
                    }
                    notices.set();
                    select! {
                        recv(never::<u8>()) -> _ => panic!("never"),
                        send(full, 1) -> sent => assert_eq!(sent, Err(SendError(1))),
                    }
                });
                give_way(yields);
                drop(tx);
                noticed.wait();
                give_way(yields);
                closer.close();
                waiter.join();
            }
        }
    });
}

#[test]
fn an_empty_one_blocks_a_thread_for_ever() {
    alone(|| {
        // Left behind.
        let waits: [fn(); 2] = [
            || select! {},
            || {
                select! {
                    recv(never::<u8>()) -> _ => {}
                    recv(None::<Receiver<u8>>) -> _ => {}
                }
            },
        ];
        let waits = waits.map(thread::spawn);
        give_way(200);
        assert!(waits.iter().all(|wait| !wait.is_finished()));
    });
}

#[test]
fn a_value_that_is_not_sent_is_dropped() {
    parties(|cast| {
        let drops = Drops::new();
        let ((full, _filled), (tx, rx)) = (bounded(0), bounded(0));
        for i in 1..=20 {
            select! {
                send(full, drops.token()) -> _ => panic!("nobody receives it"),
                default => {}
            }
            assert_eq!(drops.count(), 3 * i - 2);
            // Also when it has waited.
            let other = tx.clone();
            let sender = cast.spawn(move || other.send(i).unwrap());
            select! {
                send(full, drops.token()) -> _ => panic!("nobody receives it"),
                recv(rx) -> value => assert_eq!(value, Ok(i)),
                send(full, drops.token()) -> _ => panic!("nobody receives it"),
            }
            sender.join();
            assert_eq!(drops.count(), 3 * i);
        }
    });
}

#[test]
fn a_value_that_is_sent_is_not_dropped() {
    parties(|cast| {
        for capacity in CAPACITIES {
            let (drops, (tx, rx)) = (Drops::new(), channel(capacity));
            let receiver = cast.spawn(move || rx.iter().take(10).collect::<Vec<_>>());
            for _ in 0..10 {
                select! { send(tx, drops.token()) -> sent => sent.unwrap() }
            }
            let received = receiver.join();
            assert_eq!((received.len(), drops.count()), (10, 0));
            select! {
                send(tx, drops.token()) -> sent => assert_eq!((sent.is_err(), drops.count()), (true, 0)),
            }
            assert_eq!(drops.count(), 1);
        }
    });
}

#[test]
fn a_panic_in_an_expression_leaves_the_channels_usable() {
    fn fails<T>(message: &str) -> T {
        panic!("{message}")
    }
    callers(|| {
        let (drops, (tx, rx), (tx2, rx2)) = (Drops::new(), bounded(1), bounded(0));
        let turns: [&dyn Fn(); 5] = [
            &|| select! { recv(rx) -> _ => {}, recv(fails::<Receiver<u8>>("here")) -> _ => {} },
            &|| {
                select! {
                    send(tx, drops.token()) -> _ => {}
                    send(fails::<Sender<u8>>("here"), 1) -> _ => {}
                }
            },
            &|| {
                select! {
                    send(tx, drops.token()) -> _ => {}
                    recv(rx2) -> _ => {}
                    send(tx2, fails("here")) -> _ => {}
                }
            },
            &|| select! { recv(rx2) -> _ => {}, default => fails("here") },
            &|| {
                select! {
                    send(tx, drops.token()) -> sent => {
                        drop((sent.unwrap(), rx.recv().unwrap()));
                        fails("here")
                    }
                }
            },
        ];
        for turn in turns {
            let caught = panic::catch_unwind(AssertUnwindSafe(turn));
            assert_eq!(text(&*caught.unwrap_err()), "here");
            assert_eq!((tx.len(), tx2.try_send(1).is_err()), (0, true));
        }
        assert_eq!(drops.count(), 3);
        tx.send(drops.token()).unwrap();
        select! { recv(rx) -> value => drop(value.unwrap()), recv(rx2) -> _ => {} }
        assert_eq!(drops.count(), 4);
    });
}
