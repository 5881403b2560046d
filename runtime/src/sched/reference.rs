//! Counted references to goroutines.

use super::current;
use crate::goroutine::{GoroutineRef, Visit, pool};
use std::mem;

/// A counted reference to a goroutine.
pub(crate) struct Reference(pub(crate) GoroutineRef);

impl Reference {
    /// Calls `visit` with every goroutine of the process that is not gone. Those that are spawned meanwhile
    /// may be missed.
    pub(crate) fn for_each_live(mut visit: impl FnMut(&Reference)) {
        let all = Visit::begin();
        pool::for_each_slot(|slot| {
            if let Some(goroutine) = all.acquire(slot) {
                visit(&Reference(goroutine));
            }
        });
    }

    /// Somebody else counts for it from now on.
    pub(crate) fn leave(self) {
        mem::forget(self);
    }
}

// SAFETY: what a handle does to a goroutine goes through its atomics.
unsafe impl Send for Reference {}
// SAFETY: as above.
unsafe impl Sync for Reference {}

impl Drop for Reference {
    fn drop(&mut self) {
        // SAFETY: the reference that this counts for.
        if let Some(slot) = unsafe { self.0.release() } {
            match current::worker() {
                Some(worker) => worker.give_slot(slot),
                None => pool::give(slot),
            }
        }
    }
}
