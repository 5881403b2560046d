//! `Select` used wrongly: it panics, and no value is lost or dropped twice.

mod chan_parties;

use std::panic::{self, AssertUnwindSafe};

use chan_parties::{callers, channel};
use fibra::chan::{Select, SelectedOperation, bounded};
use fibra_tests::{Drops, Token, text};

/// Whether it panics.
fn panics<T>(f: impl FnOnce() -> T) -> bool {
    panic::catch_unwind(AssertUnwindSafe(|| drop(f()))).is_err()
}

#[test]
fn removing_what_is_not_there_panics() {
    callers(|| {
        let (tx, rx) = bounded(1);
        tx.send(1).unwrap();
        let mut select = Select::new();
        assert!(panics(|| select.remove(0)));
        let (first, second) = (select.recv(&rx), select.recv(&rx));
        assert!(panics(|| select.remove(2)));
        select.remove(first);
        assert!(panics(|| select.remove(first)));
        let op = select.select();
        assert_eq!(op.index(), second);
        assert_eq!(op.recv(&rx), Ok(1));
    });
}

#[test]
fn the_wrong_channel_panics_and_loses_nothing_else() {
    callers(|| {
        for capacity in [Some(1), None] {
            let (drops, (tx, rx), (other_tx, other)) =
                (Drops::new(), channel(capacity), channel::<Token>(capacity));
            tx.send(drops.token()).unwrap();
            let mut select = Select::new();
            select.recv(&rx);
            let op = select.select();
            assert!(panics(|| op.recv(&other)));
            drop(select);
            // Received and dropped, or still there.
            assert_eq!(drops.count() + rx.len(), 1);
            rx.try_iter().for_each(drop);
            assert_eq!((drops.count(), other.len()), (1, 0));

            let mut select = Select::new();
            select.send(&tx, drops.token());
            let op = select.select();
            assert!(panics(|| op.send(&other_tx)));
            drop(select);
            assert_eq!(drops.count() + rx.len(), 2);
            rx.try_iter().for_each(drop);
            assert_eq!((drops.count(), other.len()), (2, 0));

            tx.send(drops.token()).unwrap();
            assert!(rx.recv().is_ok());
        }
    });
}

#[test]
fn the_wrong_side_of_the_channel_panics() {
    callers(|| {
        let (drops, (tx, rx)) = (Drops::new(), bounded(1));
        for i in 1..=5 {
            let mut select = Select::new();
            select.send(&tx, drops.token());
            let op = select.select();
            assert!(panics(|| op.recv(&rx)));
            drop(select);
            rx.try_iter().for_each(drop);
            assert_eq!(drops.count(), 2 * i - 1);

            tx.send(drops.token()).unwrap();
            let mut select = Select::new();
            select.recv(&rx);
            let op = select.select();
            assert!(panics(|| op.send(&tx)));
            drop(select);
            rx.try_iter().for_each(drop);
            assert_eq!(drops.count(), 2 * i);
        }
    });
}

#[test]
fn an_operation_that_is_not_completed_panics() {
    callers(|| {
        let (drops, (tx, rx)) = (Drops::new(), bounded(1));
        for i in 0..10 {
            let mut select = Select::new();
            if i % 2 == 0 {
                tx.send(drops.token()).unwrap();
                select.recv(&rx);
            } else {
                select.send(&tx, drops.token());
            }
            assert!(panics(|| select.select()));
            drop(select);
            // Sent, received, or neither: it is not lost.
            rx.try_iter().for_each(drop);
            assert_eq!(drops.count(), i + 1);
        }
    });
}

#[test]
fn an_operation_that_is_not_completed_because_of_a_panic() {
    callers(|| {
        let (drops, (tx, rx)) = (Drops::new(), bounded(1));
        tx.send(drops.token()).unwrap();
        let mut select = Select::new();
        select.recv(&rx);
        let caught = panic::catch_unwind(AssertUnwindSafe(|| {
            let _op: SelectedOperation<'_> = select.select();
            panic!("something else")
        }));
        assert_eq!(text(&*caught.unwrap_err()), "something else");
        drop(select);
        rx.try_iter().for_each(drop);
        assert_eq!(drops.count(), 1);
    });
}
