use super::*;
use crate::ticket::{Claim, Listen, Ticket};
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use std::time::Duration;

/// A thread that parks, and what a sender hands to it.
struct Receiver {
    thread: ThreadParker,
    value: UnsafeCell<usize>,
}

// SAFETY: loom checks the accesses to the value.
unsafe impl Sync for Receiver {}
// SAFETY: as above.
unsafe impl Send for Receiver {}

impl Receiver {
    fn new() -> Arc<Receiver> {
        Arc::new(Receiver { thread: ThreadParker::new(), value: UnsafeCell::new(0) })
    }

    fn read(&self) -> usize {
        // SAFETY: the sender wrote before its claim.
        self.value.with(|value| unsafe { *value })
    }
}

/// A sender that writes the value first, or only claims.
fn send(
    receiver: &Arc<Receiver>,
    ticket: Ticket,
    value: Option<usize>,
) -> thread::JoinHandle<bool> {
    let receiver = receiver.clone();
    thread::spawn(move || {
        if let Some(value) = value {
            // SAFETY: the receiver reads after the claim.
            receiver.value.with_mut(|place| unsafe { *place = value });
        }
        finish(ticket.claim(Cause::Notified))
    })
}

/// As `sched::finish_claim`.
fn finish(claim: Claim) -> bool {
    match claim {
        Claim::Lost => false,
        Claim::Early => true,
        Claim::Won(runnable) => {
            // SAFETY: only threads in this file.
            unsafe { wake(runnable) };
            true
        }
    }
}

/// A deadline that has passed when the thread blocks: loom knows no time, so what it varies is the moment.
fn past() -> Option<Instant> {
    Instant::now().checked_sub(Duration::from_secs(1))
}

/// A claim against the thread that goes to sleep: it does not sleep for ever, and sees what the claimer
/// wrote.
///
/// Fails when `wake` does not take the lock (the notification comes between the thread's look at the word
/// and its wait), when `block` does not look at the word under the lock, and when the claim is `Relaxed`.
#[test]
fn loom_a_claim_wakes_a_thread_that_blocks() {
    loom::model(|| {
        let receiver = Receiver::new();
        let ticket = receiver.thread.parker.open(Listen::NONE);
        let sender = send(&receiver, ticket, Some(7));
        assert_eq!(receiver.thread.block(None), Cause::Notified);
        assert_eq!(receiver.read(), 7);
        assert!(sender.join().unwrap());
    });
}

/// A claim against the deadline: exactly one of them ends the park, and both sides agree which.
///
/// Fails when `block` gives `Timeout` without claiming its own park, and when `expire` sets the cause
/// without a look at the one that is there.
#[test]
fn loom_a_claim_against_the_deadline() {
    loom::model(|| {
        let receiver = Receiver::new();
        let ticket = receiver.thread.parker.open(Listen::NONE);
        let sender = send(&receiver, ticket, Some(7));
        let cause = receiver.thread.block(past());
        let value = match cause {
            Cause::Notified => receiver.read(),
            _ => 0,
        };
        let sent = sender.join().unwrap();
        assert_eq!(sent, cause == Cause::Notified);
        assert!(!sent || value == 7);
    });
}

/// Two parks in a row: what is late for the first, a claim or its notification, does not end the second,
/// and the claim of the second is not lost for it.
///
/// Fails when `claim` does not compare generations, and when `block` takes every notification for its own
/// (no loop).
#[test]
fn loom_what_is_late_for_one_park_does_not_end_the_next() {
    loom::model(|| {
        let receiver = Receiver::new();
        let first = receiver.thread.parker.open(Listen::NONE);
        let late = send(&receiver, first, None);
        let cause = receiver.thread.block(past());
        let second = receiver.thread.parker.open(Listen::NONE);
        let sender = send(&receiver, second, Some(7));
        assert_eq!(receiver.thread.block(None), Cause::Notified);
        assert_eq!(receiver.read(), 7);
        assert!(sender.join().unwrap());
        assert_eq!(late.join().unwrap(), cause == Cause::Notified);
    });
}
