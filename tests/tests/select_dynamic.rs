//! `Select`: arms whose number is known at run time only.

mod chan_parties;

use std::error::Error;
use std::time::{Duration, Instant};

use chan_parties::{CAPACITIES, assert_each_once, callers, channel, give_way, parties};
use fibra::chan::{
    Receiver, RecvError, Select, SelectTimeoutError, SendError, TrySelectError, after, bounded,
    never, unbounded,
};
use fibra_tests::{Drops, FOREVER};

const SHORT: Duration = Duration::from_millis(2);

#[test]
fn it_receives_and_sends() {
    callers(|| {
        let ((tx1, rx1), (tx2, rx2)) = (bounded(1), bounded(1));
        for i in 0..20 {
            tx1.send(i).unwrap();
            let mut select = Select::new();
            assert_eq!((select.recv(&rx1), select.recv(&rx2)), (0, 1));
            let op = select.select();
            assert_eq!(op.index(), 0);
            assert_eq!(op.recv(&rx1), Ok(i));

            tx1.send(0).unwrap();
            let mut select = Select::new();
            assert_eq!((select.send(&tx1, i), select.send(&tx2, i)), (0, 1));
            let op = select.try_select().unwrap();
            assert_eq!(op.index(), 1);
            assert_eq!(op.send(&tx2), Ok(()));
            assert_eq!((rx1.recv(), rx2.recv()), (Ok(0), Ok(i)));
        }
    });
}

#[test]
fn nothing_is_ready() {
    callers(|| {
        let ((full, _filled), (_open, rx)) = (bounded(0), bounded::<u8>(1));
        let drops = Drops::new();
        let mut select = Select::new();
        assert_eq!(select.try_select().err(), Some(TrySelectError));
        select.recv(&rx);
        select.send(&full, drops.token());
        assert_eq!(select.try_select().err(), Some(TrySelectError));
        let start = Instant::now();
        assert_eq!(select.select_timeout(SHORT).err(), Some(SelectTimeoutError));
        assert!(start.elapsed() >= SHORT);
        let start = Instant::now();
        assert_eq!(select.select_deadline(start + SHORT).err(), Some(SelectTimeoutError));
        assert!(start.elapsed() >= SHORT);
        assert_eq!(select.select_timeout(Duration::ZERO).err(), Some(SelectTimeoutError));
        assert_eq!(select.select_deadline(start).err(), Some(SelectTimeoutError));
        assert_eq!(drops.count(), 0);
        drop(select);
        assert_eq!(drops.count(), 1);
    });
}

#[test]
fn without_arms_it_gives_up_too() {
    callers(|| {
        assert!(Select::new().select_timeout(Duration::ZERO).is_err());
        let start = Instant::now();
        assert!(Select::new().select_timeout(SHORT).is_err());
        assert!(start.elapsed() >= SHORT);
        let never = never::<u8>();
        let mut select = Select::new();
        select.recv(&never);
        assert!(select.try_select().is_err());
        assert!(select.select_timeout(SHORT).is_err());
    });
}

#[test]
fn what_is_ready_is_never_too_late() {
    callers(|| {
        let (tx, rx) = bounded(1);
        let past = Instant::now();
        for i in 0..50 {
            let mut select = Select::new();
            select.send(&tx, i);
            select.select_deadline(past).unwrap().send(&tx).unwrap();
            let mut select = Select::new();
            select.recv(&rx);
            assert_eq!(select.select_timeout(Duration::ZERO).unwrap().recv(&rx), Ok(i));
            let mut select = Select::new();
            select.send(&tx, i);
            select.select_timeout(Duration::MAX).unwrap().send(&tx).unwrap();
            assert_eq!(rx.recv(), Ok(i));
        }
        let rx = after(SHORT);
        let mut select = Select::new();
        select.recv(&rx);
        assert!(select.select_timeout(FOREVER).unwrap().recv(&rx).unwrap() > past);
    });
}

#[test]
fn closed_channels_are_ready() {
    callers(|| {
        for capacity in CAPACITIES {
            let (tx, rx) = channel(capacity);
            tx.close();
            let mut select = Select::new();
            select.recv(&rx);
            for _ in 0..3 {
                assert_eq!(select.select().recv(&rx), Err(RecvError));
            }
            let mut select = Select::new();
            select.send(&tx, 7);
            assert_eq!(select.try_select().unwrap().send(&tx), Err(SendError(7)));
        }
    });
}

#[test]
fn it_waits() {
    parties(|cast| {
        for capacity in CAPACITIES {
            let ((tx, rx), (back, answers)) = (channel(capacity), channel(capacity));
            let echo = cast.spawn(move || {
                for value in rx {
                    back.send(value).unwrap();
                    give_way(value % 2);
                }
            });
            let (mut sent, mut received) = (0, 0_usize);
            while received < 40 {
                let mut select = Select::new();
                let receives = select.recv(&answers);
                let sends = if sent < 40 { select.send(&tx, sent) } else { usize::MAX };
                let op = select.select();
                if op.index() == receives {
                    assert_eq!(op.recv(&answers), Ok(received));
                    received += 1;
                } else {
                    assert_eq!(op.index(), sends);
                    op.send(&tx).unwrap();
                    sent += 1;
                }
            }
            drop(tx);
            echo.join();
        }
    });
}

#[test]
fn it_can_be_used_again() {
    parties(|cast| {
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..50).map(|i| bounded(i % 3)).unzip();
        let sender = cast.spawn(move || {
            for round in 0..4 {
                for (i, tx) in senders.iter().enumerate() {
                    tx.send(round * 50 + i).unwrap();
                }
            }
        });
        let mut select = Select::new();
        for (i, rx) in receivers.iter().enumerate() {
            assert_eq!(select.recv(rx), i);
        }
        let (mut received, mut open) = (Vec::new(), 50);
        // Those that are closed are taken out.
        while open > 0 {
            let op = select.select();
            let index = op.index();
            match op.recv(&receivers[index]) {
                Ok(value) => {
                    assert_eq!(value % 50, index);
                    received.push(value);
                }
                Err(RecvError) => {
                    select.remove(index);
                    open -= 1;
                }
            }
        }
        assert!(select.try_select().is_err());
        assert_each_once(received, 200);
        sender.join();
    });
}

#[test]
fn a_value_that_lost_may_win_later() {
    callers(|| {
        let ((full, filled), (tx, rx)) = (bounded(1), bounded(3));
        full.send(0).unwrap();
        let mut select = Select::new();
        let (sends, receives) = (select.send(&full, 1), select.recv(&rx));
        for i in 0..3 {
            assert!(select.try_select().is_err());
            tx.send(i).unwrap();
            let op = select.select();
            assert_eq!(op.index(), receives);
            assert_eq!(op.recv(&rx), Ok(i));
        }
        assert_eq!(filled.recv(), Ok(0));
        let op = select.select();
        assert_eq!(op.index(), sends);
        assert_eq!(op.send(&full), Ok(()));
        assert_eq!(filled.recv(), Ok(1));
    });
}

#[test]
fn an_arm_that_was_removed_does_not_happen() {
    callers(|| {
        let ((tx1, rx1), (tx2, rx2), drops) = (bounded(1), bounded(1), Drops::new());
        tx1.send(1).unwrap();
        tx2.send(2).unwrap();
        let (room, _rx) = bounded(2);
        for _ in 0..30 {
            let mut select = Select::new();
            let (first, second) = (select.recv(&rx1), select.recv(&rx2));
            let third = select.send(&room, drops.token());
            select.remove(first);
            select.remove(third);
            // A new one does not take its place.
            let fourth = select.recv(&rx1);
            assert_eq!((first, second, third, fourth), (0, 1, 2, 3));
            select.remove(fourth);
            let op = select.select();
            assert_eq!(op.index(), second);
            assert_eq!(op.recv(&rx2), Ok(2));
            tx2.send(2).unwrap();
        }
        assert_eq!((drops.count(), room.len(), rx1.len()), (30, 0, 1));
    });
}

#[test]
fn different_types_and_many_arms_of_one_channel() {
    callers(|| {
        let ((tx1, rx1), (tx2, rx2)) = (unbounded::<String>(), unbounded::<[u64; 9]>());
        let never: Receiver<()> = never();
        let mut select = Select::new();
        for _ in 0..40 {
            select.recv(&rx1);
            select.recv(&rx2);
            select.recv(&never);
        }
        for i in 0..20 {
            tx1.send(i.to_string()).unwrap();
            tx2.send([i; 9]).unwrap();
            for _ in 0..2 {
                let op = select.select();
                match op.index() % 3 {
                    0 => assert_eq!(op.recv(&rx1), Ok(i.to_string())),
                    1 => assert_eq!(op.recv(&rx2), Ok([i; 9])),
                    _ => panic!("never"),
                }
            }
            assert!(select.try_select().is_err());
        }
    });
}

#[test]
fn it_does_not_meet_itself() {
    callers(|| {
        let (tx, rx) = bounded(0);
        let mut select = Select::new();
        select.send(&tx, 1);
        select.recv(&rx);
        select.send(&tx, 2);
        select.recv(&rx);
        assert!(select.try_select().is_err());
        assert!(select.select_timeout(SHORT).is_err());
    });
}

#[test]
fn errors_are_errors() {
    fn check<E: Error + Copy + Eq + Send + Sync + 'static>(error: E) {
        assert!(!error.to_string().is_empty() && !format!("{error:?}").is_empty());
        let copy = error;
        assert!(error == copy);
    }
    check(TrySelectError);
    check(SelectTimeoutError);
    let shown = format!("{:?}", Select::new());
    assert!(!shown.is_empty());
}
