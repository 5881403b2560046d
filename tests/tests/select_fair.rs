//! Arms that can go ahead together are chosen evenly, and what happens meanwhile elsewhere never makes
//! a select believe that none can.

mod chan_parties;

use std::thread;

use chan_parties::{Cast, callers, give_way, parties, until};
use fibra::chan::{Receiver, Select, Sender, bounded, never, unbounded};
use fibra::{go, select};
use fibra_tests::{alone, everywhere, join};

const ROUNDS: usize = 10_000;

/// Fails unless each of four arms was taken in 15 % of the rounds. Of few rounds less is enough: seven
/// standard deviations are allowed in any case, which even chances exceed once in more runs than there
/// will be.
#[track_caller]
fn assert_even(counts: [usize; 4]) {
    let all: usize = counts.iter().sum();
    let least = (all * 15 / 100).min(all / 4 - 7 * (all * 3 / 16).isqrt());
    assert!(counts.iter().all(|&count| count >= least), "{counts:?}");
}

/// Chooses again and again, with arms that are always ready.
#[track_caller]
fn check(choose: impl Fn() -> usize) {
    let mut counts = [0; 4];
    (0..ROUNDS).for_each(|_| counts[choose()] += 1);
    assert_even(counts);
}

fn full<T: Default>() -> (Sender<T>, Receiver<T>) {
    let (tx, rx) = bounded(1);
    assert!(tx.send(T::default()).is_ok());
    (tx, rx)
}

#[test]
fn receives() {
    callers(|| {
        let ends: [(Sender<u8>, Receiver<u8>); 4] = std::array::from_fn(|_| full());
        check(|| {
            let arm = select! {
                recv(ends[0].1) -> _ => 0,
                recv(ends[1].1) -> _ => 1,
                recv(ends[2].1) -> _ => 2,
                recv(ends[3].1) -> _ => 3,
            };
            ends[arm].0.try_send(0).unwrap();
            arm
        });
    });
}

#[test]
fn sends() {
    callers(|| {
        let ends: [(Sender<u8>, Receiver<u8>); 4] = std::array::from_fn(|_| bounded(1));
        check(|| {
            let arm = select! {
                send(ends[0].0, 0) -> _ => 0,
                send(ends[1].0, 0) -> _ => 1,
                send(ends[2].0, 0) -> _ => 2,
                send(ends[3].0, 0) -> _ => 3,
            };
            ends[arm].1.try_recv().unwrap();
            arm
        });
    });
}

#[test]
fn all_kinds_beside_arms_that_are_not_ready() {
    callers(|| {
        let ((tx, rx), (room_tx, room), (busy, _busy)) = (full(), bounded(1), bounded(0));
        let ((closed, gone), (_open, empty)) = (bounded::<u8>(1), bounded::<u8>(1));
        let (closed_tx, closed_rx) = bounded::<u8>(1);
        drop((gone, closed_tx));
        check(|| {
            let arm = select! {
                recv(empty) -> _ => 4,
                recv(rx) -> _ => 0,
                send(room_tx, 0) -> _ => 1,
                recv(None::<Receiver<u8>>) -> _ => 4,
                send(busy, 0) -> _ => 4,
                send(closed, 0) -> _ => 2,
                recv(never::<u8>()) -> _ => 4,
                recv(closed_rx) -> _ => 3,
                default => 4,
            };
            match arm {
                0 => tx.try_send(0).unwrap(),
                1 => assert_eq!(room.try_recv(), Ok(0)),
                _ => {}
            }
            arm
        });
    });
}

#[test]
fn arms_of_one_channel() {
    callers(|| {
        let (tx, rx) = unbounded();
        check(|| {
            tx.send(1).unwrap();
            tx.send(1).unwrap();
            let arm = select! {
                recv(rx) -> _ => 0,
                recv(rx) -> _ => 1,
                recv(&rx.clone()) -> _ => 2,
                recv(rx) -> _ => 3,
            };
            assert_eq!((rx.try_recv(), rx.len()), (Ok(1), 0));
            arm
        });
        check(|| {
            let arm = select! {
                send(tx, 0) -> _ => 0,
                send(tx, 1) -> _ => 1,
                send(tx.clone(), 2) -> _ => 2,
                send(tx, 3) -> _ => 3,
            };
            assert_eq!(rx.try_recv(), Ok(arm));
            arm
        });
        let ((tx, rx), (other_tx, other)) = (full(), full());
        check(|| {
            let arm = select! {
                recv(rx) -> _ => 0,
                recv(rx) -> _ => 1,
                recv(other) -> _ => 2,
                recv(rx) -> _ => 3,
            };
            let _full = (tx.try_send(1), other_tx.try_send(1));
            arm
        });
    });
}

#[test]
fn arms_in_a_dynamic_select() {
    callers(|| {
        let ((tx, rx), (other_tx, other)) = (full(), full());
        let (room_tx, room) = bounded(1);
        let mut arms = Select::new();
        // Indices stay the same when one goes.
        let gone = arms.recv(&rx);
        arms.recv(&rx);
        arms.recv(&other);
        arms.recv(&rx);
        arms.remove(gone);
        let mut counts = [0; 4];
        for _ in 0..ROUNDS {
            let mut with_send = Select::new();
            with_send.recv(&rx);
            with_send.send(&room_tx, 0);
            let op = with_send.try_select().unwrap();
            if op.index() == 0 {
                op.recv(&rx).unwrap();
                tx.try_send(0).unwrap();
                counts[0] += 1;
            } else {
                op.send(&room_tx).unwrap();
                room.try_recv().unwrap();
            }
            let op = arms.select();
            match op.index() {
                2 => {
                    op.recv(&other).unwrap();
                    other_tx.try_send(0).unwrap();
                    counts[2] += 1;
                }
                index => {
                    op.recv(&rx).unwrap();
                    tx.try_send(0).unwrap();
                    counts[index] += 1;
                }
            }
        }
        // Of two, and of three.
        assert!((ROUNDS * 2 / 5..ROUNDS * 3 / 5).contains(&counts[0]), "{counts:?}");
        assert!(counts[1..].iter().all(|count| count * 4 > ROUNDS), "{counts:?}");
    });
}

#[test]
fn many_arms() {
    callers(|| {
        let ends: Vec<(Sender<u8>, Receiver<u8>)> = (0..20).map(|_| full()).collect();
        let mut arms = Select::new();
        ends.iter().for_each(|(_, rx)| assert!(arms.recv(rx) < 20));
        let mut counts = [0; 20];
        for _ in 0..ROUNDS {
            let op = arms.select();
            let index = op.index();
            op.recv(&ends[index].1).unwrap();
            ends[index].0.try_send(0).unwrap();
            counts[index] += 1;
        }
        // Of 500 each; ten standard deviations.
        assert!(counts.iter().all(|&count| count > 280), "{counts:?}");
    });
}

/// Fewer, as each needs two parties.
const MEETINGS: usize = 500;

#[test]
fn arms_of_one_channel_after_parking() {
    fn receives(cast: &Cast<'_>) {
        let (tx, rx) = bounded(0);
        let sender = cast.spawn(move || {
            // It succeeds only once the select waits.
            (0..MEETINGS).for_each(|i| until(|| tx.try_send(i).ok()));
        });
        let mut counts = [0; 4];
        for _ in 0..MEETINGS {
            let arm = select! {
                recv(rx) -> value => value.map(|_| 0),
                recv(rx) -> value => value.map(|_| 1),
                recv(rx) -> value => value.map(|_| 2),
                recv(rx) -> value => value.map(|_| 3),
            };
            counts[arm.unwrap()] += 1;
        }
        assert_even(counts);
        sender.join();
    }
    fn sends(cast: &Cast<'_>) {
        let (tx, rx) = bounded(0);
        let receiver = cast.spawn(move || {
            let mut counts = [0; 4];
            (0..MEETINGS).for_each(|_| counts[until(|| rx.try_recv().ok())] += 1);
            counts
        });
        for _ in 0..MEETINGS {
            let (arm, sent) = select! {
                send(tx, 0) -> sent => (0, sent),
                send(tx, 1) -> sent => (1, sent),
                send(tx, 2) -> sent => (2, sent),
                send(tx, 3) -> sent => (3, sent),
            };
            assert_eq!(sent, Ok(()), "arm {arm}");
        }
        assert_even(receiver.join());
    }
    parties(receives);
    parties(sends);
}

#[test]
fn a_close_after_parking() {
    everywhere(|setup| {
        setup.run(|| {
            let mut counts = [0; 4];
            for round in 0..MEETINGS {
                let (tx, rx) = bounded::<u8>(0);
                let closer = go!({
                    give_way(round % 2);
                    drop(tx);
                });
                let arm = select! {
                    recv(rx) -> _ => 0,
                    recv(rx) -> _ => 1,
                    recv(rx) -> _ => 2,
                    recv(rx) -> _ => 3,
                };
                counts[arm] += 1;
                join(closer);
            }
            assert_even(counts);
        });
    });
}

/// What one choice among four gives.
fn choose_once() -> usize {
    let ends: [(Sender<u8>, Receiver<u8>); 4] = std::array::from_fn(|_| full());
    select! {
        recv(ends[0].1) -> _ => 0,
        recv(ends[1].1) -> _ => 1,
        recv(ends[2].1) -> _ => 2,
        recv(ends[3].1) -> _ => 3,
    }
}

#[test]
fn the_first_choice_of_a_goroutine_or_a_thread() {
    everywhere(|setup| {
        setup.run(|| {
            let handles: Vec<_> = (0..MEETINGS).map(|_| go!(choose_once)).collect();
            let mut counts = [0; 4];
            handles.into_iter().for_each(|handle| counts[join(handle)] += 1);
            assert_even(counts);
        });
    });
    alone(|| {
        let mut counts = [0; 4];
        for _ in 0..MEETINGS {
            counts[thread::spawn(choose_once).join().unwrap()] += 1;
        }
        assert_even(counts);
    });
}

/// How often the tests with a mover look.
const LOOKS: usize = 300;

#[test]
fn a_token_that_moves_is_always_somewhere() {
    parties(|cast| {
        // Room for the mover's second token and the one that goes back.
        let ((tx1, rx1), (tx2, rx2)) = (bounded(3), bounded(3));
        tx1.send(()).unwrap();
        let ends = (tx1.clone(), rx1.clone(), tx2.clone(), rx2.clone());
        let mover = cast.spawn(move || {
            let (tx1, rx1, tx2, rx2) = ends;
            // Into one before it leaves the other.
            for turn in 0.. {
                let (into, from) = if turn % 2 == 0 { (&tx2, &rx1) } else { (&tx1, &rx2) };
                if into.send(()).is_err() || from.recv().is_err() {
                    break;
                }
                give_way(usize::from(turn % 7 == 0));
            }
        });
        for look in 0..LOOKS {
            let back = select! {
                recv(rx1) -> token => token.map(|()| &tx1),
                recv(rx2) -> token => token.map(|()| &tx2),
                default => panic!("it was in neither at look {look}"),
            };
            back.unwrap().send(()).unwrap();
            give_way(usize::from(look % 8 == 0));
        }
        tx1.close();
        tx2.close();
        // What is left does not keep it from noticing.
        assert!(rx1.try_iter().count() + rx2.try_iter().count() <= 2);
        mover.join();
    });
}

#[test]
fn room_that_moves_is_always_somewhere() {
    parties(|cast| {
        let ((tx1, rx1), (tx2, rx2)) = (bounded(1), bounded(1));
        tx1.send(()).unwrap();
        let ends = (tx1.clone(), rx1.clone(), tx2.clone(), rx2.clone());
        let mover = cast.spawn(move || {
            let (tx1, rx1, tx2, rx2) = ends;
            // Makes room in one before it fills the other.
            for turn in 0.. {
                let (from, into) = if turn % 2 == 0 { (&rx1, &tx2) } else { (&rx2, &tx1) };
                if from.recv().is_err() || into.send(()).is_err() {
                    break;
                }
                give_way(usize::from(turn % 7 == 0));
            }
        });
        for look in 0..LOOKS {
            let back = select! {
                send(tx1, ()) -> sent => sent.map(|()| &rx1),
                send(tx2, ()) -> sent => sent.map(|()| &rx2),
                default => panic!("both were full at look {look}"),
            };
            back.unwrap().recv().unwrap();
            give_way(usize::from(look % 8 == 0));
        }
        tx1.close();
        tx2.close();
        mover.join();
    });
}
