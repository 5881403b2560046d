//! A number of goroutines wait for one another.

use super::{Condvar, Mutex};
use crate::park;
use crate::primitive::const_unless_loom;
use crate::ticket::Cause;
use std::fmt;

/// A point that each of a number of goroutines or threads waits at until all are there. It may be used again and
/// again.
///
/// ```
/// use fibra::sync::Barrier;
/// use std::sync::atomic::{AtomicUsize, Ordering};
///
/// static BARRIER: Barrier = Barrier::new(10);
/// static FIRST_HALVES: AtomicUsize = AtomicUsize::new(0);
///
/// fibra::scope(|s| {
///     for _ in 0..10 {
///         s.go(|| {
///             FIRST_HALVES.fetch_add(1, Ordering::Relaxed);
///             BARRIER.wait();
///             assert_eq!(FIRST_HALVES.load(Ordering::Relaxed), 10);
///         });
///     }
/// });
/// ```
pub struct Barrier {
    parties: usize,
    state: Mutex<State>,
    complete: Condvar,
}

struct State {
    arrived: usize,
    /// How often it has been complete.
    rounds: u64,
}

/// What a wait at a [`Barrier`] came to.
pub struct BarrierWaitResult {
    is_leader: bool,
}

impl BarrierWaitResult {
    /// Whether it was the last to arrive. In each round that is exactly one.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.is_leader
    }
}

impl fmt::Debug for BarrierWaitResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BarrierWaitResult").field("is_leader", &self.is_leader).finish()
    }
}

impl Barrier {
    const_unless_loom! {
        /// For so many goroutines or threads. None is the same as one.
        #[must_use]
        pub fn new(parties: usize) -> Barrier {
            Barrier {
                parties,
                state: Mutex::new(State { arrived: 0, rounds: 0 }),
                complete: Condvar::new(),
            }
        }
    }

    /// Waits until as many have arrived as the barrier is for.
    ///
    /// A goroutine that is cancelled while it waits unwinds, and does not count any more. If all are there
    /// already, it goes on with them.
    pub fn wait(&self) -> BarrierWaitResult {
        let mut state = self.state.lock();
        state.arrived += 1;
        if state.arrived >= self.parties {
            state.arrived = 0;
            state.rounds += 1;
            drop(state);
            self.complete.notify_all();
            return BarrierWaitResult { is_leader: true };
        }
        let round = state.rounds;
        while state.rounds == round {
            let cause = self.complete.wait_for_cause(&mut state, None);
            // If the round is complete by now, then with it, and it goes on.
            if cause == Cause::Cancelled && state.rounds == round {
                state.arrived -= 1;
                park::unwind_if_cancelled(cause);
            }
        }
        BarrierWaitResult { is_leader: false }
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Barrier { .. }")
    }
}
