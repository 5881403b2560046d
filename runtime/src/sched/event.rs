//! What one thread sleeps on, and others wake it by.
//!
//! ```text
//!   AWAKE --prepare (owner)--> ASLEEP --wake (anyone)--> NOTIFIED --finish (owner)--> AWAKE
//!                                `---------finish (owner)---------------------------------^
//! ```
//!
//! The owner prepares, then looks once more whether there is something to do, and only then waits.
//! Whoever has something for it publishes that first, then calls [`wake`](Event::wake). Both have a
//! sequentially consistent fence between their two steps, so at least one of them sees the other: the
//! owner finds the work, or the other finds ASLEEP. When the owner is awake, a wake is a fence and a
//! load: no system call.

use crate::primitive::atomic::{AtomicU32, Ordering, fence};
use crate::primitive::{Condvar, Mutex};
use std::time::Instant;

const AWAKE: u32 = 0;
const ASLEEP: u32 = 1;
const NOTIFIED: u32 = 2;

#[derive(Debug)]
pub(crate) struct Event {
    state: AtomicU32,
    lock: Mutex<()>,
    changed: Condvar,
}

impl Event {
    pub(crate) fn new() -> Event {
        Event { state: AtomicU32::new(AWAKE), lock: Mutex::new(()), changed: Condvar::new() }
    }

    /// From here on a wake is remembered. The owner now checks for work, then waits or finishes.
    pub(crate) fn prepare(&self) {
        self.state.store(ASLEEP, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Sleeps until a wake since [`prepare`](Self::prepare), or until the deadline.
    pub(crate) fn wait(&self, deadline: Option<Instant>) {
        let mut guard = self.lock.lock();
        while self.state.load(Ordering::Acquire) == ASLEEP {
            guard = match deadline {
                None => self.changed.wait(guard),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        break;
                    }
                    self.changed.wait_timeout(guard, left)
                }
            };
        }
        drop(guard);
        self.finish();
    }

    /// Ends what [`prepare`](Self::prepare) began, without sleeping.
    pub(crate) fn finish(&self) {
        // Acquire: what the waker published.
        self.state.swap(AWAKE, Ordering::Acquire);
    }

    /// Wakes the owner if it sleeps or is about to; false if it does not.
    #[inline]
    pub(crate) fn wake(&self) -> bool {
        fence(Ordering::SeqCst);
        self.state.load(Ordering::Relaxed) == ASLEEP && self.wake_slow()
    }

    #[cold]
    fn wake_slow(&self) -> bool {
        let won = self
            .state
            .compare_exchange(ASLEEP, NOTIFIED, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok();
        if won {
            // The lock: between the owner's look at the state and its wait nobody gets in.
            drop(self.lock.lock());
            self.changed.notify_one();
        }
        won
    }

    /// Whether the owner sleeps; for the monitor.
    pub(crate) fn is_asleep(&self) -> bool {
        self.state.load(Ordering::Relaxed) == ASLEEP
    }
}

#[cfg(loom)]
mod tests;
