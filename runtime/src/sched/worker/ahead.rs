//! The memory of goroutines that are about to go on.
//!
//! A goroutine that waited for a socket has not run for a while. Its stack lies by itself on its own pages, so that its
//! first few instructions wait for the memory, and for the translation of its address, one after the other; with a
//! thousand connections that is half of what a small request costs. A poll says who runs next. So their stacks are
//! fetched together before the first of them runs, and the frames of that one; those of each other while the one
//! before it runs.

use super::Worker;
use crate::coroutine::Active;

impl Worker {
    /// A poll has just made so many goroutines ready, most of them here.
    pub(super) fn fetch_ready(&self, reports: usize) {
        self.cold.set(reports as u32);
        let mut next = self.ready.first();
        // Not too many: the translations of their addresses must not push one another out. That is up to the poller.
        for place in 0..reports {
            let Some(goroutine) = next else { return };
            // SAFETY: whoever is in this list belongs to this worker, which is the caller, until it is taken out.
            if let Some(runner) = unsafe { goroutine.runner() } {
                runner.fetch();
                if place == 0 {
                    runner.prefetch(self.depth.get());
                }
            }
            next = goroutine.next().get();
        }
    }

    /// Somebody was taken off the list of ready residents.
    #[inline(always)]
    pub(super) fn prefetch_next(&self) {
        if self.cold.get() != 0 {
            self.prefetch_cold();
        }
    }

    /// The same; whoever gives way is about as deep as the next ones.
    #[inline(always)]
    pub(super) fn prefetch_next_after(&self, active: Active) {
        if self.cold.get() != 0 {
            self.depth.set(active.depth());
            self.prefetch_cold();
        }
    }

    #[inline(never)]
    fn prefetch_cold(&self) {
        self.cold.set(self.cold.get() - 1);
        let Some(goroutine) = self.ready.first() else { return };
        // SAFETY: as above.
        if let Some(runner) = unsafe { goroutine.runner() } {
            runner.prefetch(self.depth.get());
        }
        if let Some(later) = goroutine.next().get() {
            later.prefetch();
        }
    }
}
