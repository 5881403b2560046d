//! Loom: threads wait in a queue, as `chan/core.rs` uses it.

use super::super::{Verdict, WaitQueue, Waiter};
use crate::goroutine::WaitReason;
use crate::park::{self, Parking};
use crate::primitive::Locked;
use crate::ticket::{Cause, Ticket};
use loom::sync::Arc;
use loom::thread;
use std::time::Instant;

/// A counter that can be waited for: a semaphore reduced to the queue's protocol.
struct Tokens {
    state: Locked<(u32, WaitQueue)>,
    /// Where a waiter leaves its ticket for whoever cancels it.
    ticket: Locked<Option<Ticket>>,
}

impl Tokens {
    fn new() -> Arc<Tokens> {
        Arc::new(Tokens { state: Locked::new((0, WaitQueue::new())), ticket: Locked::new(None) })
    }

    fn give(&self) {
        let mut state = self.state.lock();
        let served = state.1.serve(Verdict::Served, |_| {});
        if served.is_none() {
            state.0 += 1;
        }
        drop(state);
        if let Some(wake) = served {
            wake.wake();
        }
    }

    /// Waits for a token; false when the wait ended for another reason.
    fn take(&self, deadline: Option<Instant>) -> bool {
        let mut state = self.state.lock();
        if state.0 > 0 {
            state.0 -= 1;
            return true;
        }
        let parking = Parking::open();
        let waiter = Waiter::new();
        waiter.prepare(parking.ticket(), std::ptr::null_mut());
        *self.ticket.lock() = Some(parking.ticket());
        // SAFETY: it stays on this frame, and is removed below unless it was served.
        unsafe { state.1.push_back(&waiter) };
        drop(state);
        match parking.wait(WaitReason::Semaphore, deadline) {
            Cause::Notified => {
                assert_eq!(waiter.verdict(), Verdict::Served);
                true
            }
            Cause::Timeout | Cause::Cancelled => {
                // SAFETY: it was pushed there, if it is still queued.
                unsafe { self.state.lock().1.remove(&waiter) };
                false
            }
        }
    }

    fn left(&self) -> u32 {
        let state = self.state.lock();
        assert!(state.1.is_empty());
        state.0
    }
}

/// Two waiters, two tokens: both are served. Made to fail by a `serve` that stops at a lost claim.
#[test]
fn loom_everybody_is_served() {
    loom::model(|| {
        let tokens = Tokens::new();
        let takers: Vec<_> = (0..2)
            .map(|_| {
                let tokens = tokens.clone();
                thread::spawn(move || assert!(tokens.take(None)))
            })
            .collect();
        tokens.give();
        tokens.give();
        takers.into_iter().for_each(|taker| taker.join().unwrap());
        assert_eq!(tokens.left(), 0);
    });
}

/// A wake-up against a timeout: the token goes to the waiter, or it stays, and the waiter behind the one
/// that gave up gets it. Made to fail by a `take` that does not remove its waiter, by a `serve` that counts
/// a lost claim as served.
#[test]
fn loom_wake_against_timeout() {
    loom::model(|| {
        let tokens = Tokens::new();
        let impatient = {
            let tokens = tokens.clone();
            thread::spawn(move || tokens.take(Some(Instant::now())))
        };
        let patient = {
            let tokens = tokens.clone();
            thread::spawn(move || assert!(tokens.take(None)))
        };
        tokens.give();
        let first = impatient.join().unwrap();
        if first {
            tokens.give();
        }
        patient.join().unwrap();
        assert_eq!(tokens.left(), 0);
    });
}

/// A wake-up against a cancel by somebody who has the ticket. Made to fail as the one above.
#[test]
fn loom_wake_against_cancel() {
    loom::model(|| {
        let tokens = Tokens::new();
        let taker = {
            let tokens = tokens.clone();
            thread::spawn(move || tokens.take(None))
        };
        let canceller = {
            let tokens = tokens.clone();
            thread::spawn(move || {
                let ticket = *tokens.ticket.lock();
                ticket.is_some_and(|ticket| park::claim(ticket, Cause::Cancelled))
            })
        };
        tokens.give();
        let cancelled = canceller.join().unwrap();
        let taken = taker.join().unwrap();
        assert_eq!(taken, !cancelled);
        assert_eq!(tokens.left(), u32::from(cancelled));
    });
}
