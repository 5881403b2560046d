//! What one thread sleeps on, and others wake it by.
//!
//! ```text
//!   AWAKE --prepare (owner)--> ASLEEP --wake (anyone)--> NOTIFIED --finish (owner)--> AWAKE
//!                                `---------finish (owner)---------------------------------^
//! ```
//!
//! The owner prepares, then looks once more whether there is something to do, and only then waits.
//! Whoever has something for it publishes that first, then calls [`claim`](Sleeper::claim). Both have a
//! sequentially consistent fence between their two steps, so at least one of them sees the other: the
//! owner finds the work, or the other finds ASLEEP. When the owner is awake, a wake is a fence and a
//! load: no system call.

use crate::primitive::atomic::{AtomicU32, Ordering, fence};
use crate::primitive::{Condvar, Mutex};
use std::time::Instant;

const AWAKE: u32 = 0;
const ASLEEP: u32 = 1;
const NOTIFIED: u32 = 2;

/// Whether one thread sleeps. Where it does so is somebody else's: an [`Event`]'s condition variable, or a
/// poller.
#[derive(Debug)]
pub(crate) struct Sleeper(AtomicU32);

impl Sleeper {
    pub(crate) fn new() -> Sleeper {
        Sleeper(AtomicU32::new(AWAKE))
    }

    /// From here on a wake is remembered. The owner now checks for work, then sleeps or finishes.
    pub(crate) fn prepare(&self) {
        self.0.store(ASLEEP, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Ends what [`prepare`](Self::prepare) began.
    pub(crate) fn finish(&self) {
        // Acquire: what the waker published. SeqCst: see `Monitor::note_awake`.
        self.0.swap(AWAKE, Ordering::SeqCst);
    }

    /// True: the owner sleeps or is about to, and the caller is the one who must rouse it.
    #[inline]
    #[must_use]
    pub(crate) fn claim(&self) -> bool {
        fence(Ordering::SeqCst);
        self.0.load(Ordering::Relaxed) == ASLEEP && self.claim_slow()
    }

    #[cold]
    fn claim_slow(&self) -> bool {
        self.0.compare_exchange(ASLEEP, NOTIFIED, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Whether nobody has roused the owner since it prepared; for others, whether it sleeps.
    pub(crate) fn is_asleep(&self) -> bool {
        self.0.load(Ordering::Acquire) == ASLEEP
    }
}

/// A thread that sleeps on a condition variable. Another one may do so after it, if it comes to know that the first one
/// has finished; what was meant for that one may wake it early.
#[derive(Debug)]
pub(crate) struct Event {
    sleeper: Sleeper,
    lock: Mutex<()>,
    changed: Condvar,
}

impl Event {
    pub(crate) fn new() -> Event {
        Event { sleeper: Sleeper::new(), lock: Mutex::new(()), changed: Condvar::new() }
    }

    pub(crate) fn sleeper(&self) -> &Sleeper {
        &self.sleeper
    }

    /// Sleeps until a wake since the sleeper [prepared](Sleeper::prepare), or until the deadline.
    pub(crate) fn wait(&self, deadline: Option<Instant>) {
        let mut guard = self.lock.lock();
        while self.sleeper.is_asleep() {
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
        self.sleeper.finish();
    }

    /// Wakes the owner if it sleeps or is about to.
    #[inline]
    pub(crate) fn wake(&self) {
        if self.sleeper.claim() {
            // The lock: between the owner's look at the state and its wait nobody gets in.
            drop(self.lock.lock());
            self.changed.notify_one();
        }
    }
}

#[cfg(loom)]
mod tests;
