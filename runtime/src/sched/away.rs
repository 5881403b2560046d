//! Whether a worker is away, in a system call that has it wait or give way, and a way to keep it there.
//!
//! ```text
//!   HERE --begin (owner)--> AWAY <--hold (anyone)--> HELD
//!     ^---------end (owner)--'                        |
//!     `---------end (owner), then waits for the lock--'
//! ```
//!
//! Who holds it has the lock, from before it changes AWAY to HELD until it has done what it holds it for. All changes but
//! the first are read-modify-writes of one word, so either the owner came back first, and cannot be held, or it sees
//! HELD as it comes back, and waits for the lock. Locked instructions: one for each time that it is away.

use crate::primitive::Mutex;
use crate::primitive::atomic::{AtomicU8, Ordering};
use std::hint;

const HERE: u8 = 0;
const AWAY: u8 = 1;
const HELD: u8 = 2;

#[derive(Debug)]
pub(super) struct Away {
    state: AtomicU8,
    held: Mutex<()>,
}

impl Away {
    pub(super) fn new() -> Away {
        Away { state: AtomicU8::new(HERE), held: Mutex::new(()) }
    }

    /// The owner will do nothing but make that call until it [`end`](Self::end)s this.
    #[inline]
    pub(super) fn begin(&self) {
        // Release: whoever holds it sees what it did before.
        self.state.store(AWAY, Ordering::Release);
    }

    /// It is back. Waits until nobody holds it any more.
    #[inline]
    pub(super) fn end(&self) {
        // Acquire: it sees what was done meanwhile by who held it.
        if self.state.swap(HERE, Ordering::Acquire) == HELD {
            hint::cold_path();
            drop(self.held.lock());
        }
    }

    /// Calls it while the owner is away, and keeps it there until then. Nothing if the owner is here.
    pub(super) fn hold<T>(&self, call: impl FnOnce() -> T) -> Option<T> {
        let _held = self.held.lock();
        self.state.compare_exchange(AWAY, HELD, Ordering::Acquire, Ordering::Relaxed).ok()?;
        let result = call();
        // If it wants to come back, it waits for the lock.
        let _is_back =
            self.state.compare_exchange(HELD, AWAY, Ordering::Release, Ordering::Relaxed);
        Some(result)
    }
}

#[cfg(test)]
mod tests;
