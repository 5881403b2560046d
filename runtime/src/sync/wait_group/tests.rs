//! Loom models of the word and the gate.

use super::WaitGroup;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use std::time::Duration;

/// Whoever waits sees what was done before each `done`. Made to fail by a last `done` that leaves the gate
/// closed, by one that does not acquire what the others released, by a waiter that sets the bit without looking
/// whether the count is zero.
#[test]
fn loom_wait_against_done() {
    loom::model(|| {
        let group = WaitGroup::new();
        let results = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
        group.add(2);
        let members = [0, 1].map(|member| {
            let (group, results) = (group.clone(), results.clone());
            thread::spawn(move || {
                results[member].store(1, Ordering::Relaxed);
                group.done();
            })
        });
        group.wait();
        assert!(results.iter().all(|result| result.load(Ordering::Relaxed) == 1));
        members.into_iter().for_each(|member| member.join().unwrap());
    });
}

/// A wait that begins after the count went up again does not end with the zero before. Made to fail by a last
/// `done` that leaves the gate in place, and closes it after the lock.
#[test]
fn loom_no_wait_ends_with_an_earlier_zero() {
    loom::model(|| {
        let group = WaitGroup::new();
        let phase = Arc::new(AtomicUsize::new(0));
        group.add(1);
        let waiter = {
            let group = group.clone();
            thread::spawn(move || group.wait())
        };
        let member = {
            let (group, phase) = (group.clone(), phase.clone());
            thread::spawn(move || {
                group.done();
                group.add(1);
                phase.store(1, Ordering::Release);
                phase.store(2, Ordering::Relaxed);
                group.done();
            })
        };
        if phase.load(Ordering::Acquire) >= 1 {
            group.wait();
            assert_eq!(phase.load(Ordering::Relaxed), 2);
        }
        waiter.join().unwrap();
        member.join().unwrap();
    });
}

/// Nor does one that begins while the count goes up from zero. Made to fail by a `done` that goes to zero without
/// the lock, and takes the gate away after that.
#[test]
fn loom_no_wait_ends_above_zero() {
    loom::model(|| {
        let group = WaitGroup::new();
        group.add(1);
        // Somebody has waited, and given up.
        assert!(!group.wait_timeout(Duration::ZERO));
        let member = {
            let group = group.clone();
            thread::spawn(move || group.done())
        };
        group.add(1);
        assert!(!group.wait_timeout(Duration::ZERO));
        group.done();
        member.join().unwrap();
    });
}

/// A waiter that gives up leaves the group in order. Made to fail by a last `done` that leaves the bit set.
#[test]
fn loom_giving_up_against_done() {
    loom::model(|| {
        let group = WaitGroup::new();
        group.add(1);
        let member = {
            let group = group.clone();
            thread::spawn(move || group.done())
        };
        let _done = group.wait_timeout(Duration::ZERO);
        group.wait();
        member.join().unwrap();
        group.wait();
    });
}
