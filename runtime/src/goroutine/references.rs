//! Who knows of a goroutine: the count of references, and those who look for goroutines by address.
//!
//! # The last one
//!
//! Whoever gives references back must learn whether they were the last. For a count that anybody may raise meanwhile
//! that takes a locked instruction, which is a fifth of what a small goroutine costs the worker that runs it. But
//! whoever gets a reference gets it from somebody who has one, so the one who holds all of them is alone, with one
//! exception: a [`Visit`], which finds goroutines by the addresses of their slots. Visits are rare, they say so in
//! [`VISITORS`], and they do not want goroutines that are gone: of which nothing runs any more, not even the destructor
//! of the result, which may park and be cancelled. So whoever gives back all references to a goroutine that is gone
//! writes a plain 0, unless there is a visitor; then it counts like anybody else.
//!
//! In order: the one who gives back has seen that the goroutine is gone; a light fence; is there a visitor, and what is
//! the count? The visitor: there is one more; the heavy fence (`primitive/membarrier.rs`); is it gone? So for each end
//! of a goroutine one of two is true.
//!
//! * The light fence comes before the heavy one: the visitor sees that it is gone, and lets it be. If it sees the
//!   next goroutine in the slot instead, then the slot went through the pool, so the 0 was written before, and that
//!   goroutine's end is looked at in the same way.
//! * It comes after: whoever gives back sees the visitor, and has a locked instruction, as the visitor has.
//!
//! Who comes after the last visitor has gone (Acquire, Release) sees what that one did to the count.

use super::{FreeSlot, GONE, GoroutineRef};
use crate::primitive::atomic::{AtomicUsize, Ordering};
use crate::primitive::membarrier;
use crossbeam_utils::CachePadded;
use std::ptr;

/// How many there are now.
#[cfg(not(loom))]
static VISITORS: CachePadded<AtomicUsize> = CachePadded::new(AtomicUsize::new(0));
#[cfg(loom)]
loom::lazy_static! {
    static ref VISITORS: CachePadded<AtomicUsize> = CachePadded::new(AtomicUsize::new(0));
}

/// While it lasts, addresses of slots can be turned into references.
pub(crate) struct Visit(());

impl Visit {
    pub(crate) fn begin() -> Visit {
        VISITORS.fetch_add(1, Ordering::Relaxed);
        membarrier::heavy();
        Visit(())
    }

    /// A reference to whatever goroutine lives in the slot, if one does that is not gone.
    #[must_use = "a reference must be given back"]
    pub(crate) fn acquire(&self, slot: GoroutineRef) -> Option<GoroutineRef> {
        let header = slot.header();
        // Acquire: see `job::new`.
        if header.stage.load(Ordering::Acquire) == GONE {
            return None;
        }
        let mut count = header.references.load(Ordering::Relaxed);
        while count != 0 {
            // Acquire: pairs with the Release in `job::new`, which published the header.
            match header.references.compare_exchange_weak(
                count,
                count + 1,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Some(slot),
                Err(now) => count = now,
            }
        }
        None
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        VISITORS.fetch_sub(1, Ordering::Release);
    }
}

impl GoroutineRef {
    /// One more reference; the caller holds one.
    pub(crate) fn acquire(self) {
        let before = self.header().references.fetch_add(1, Ordering::Relaxed);
        debug_assert!(before > 0);
        if before > u32::MAX / 2 {
            // A leak in a loop; going on would free a header that is in use.
            std::process::abort();
        }
    }

    /// Gives one reference back; with the last the slot becomes free.
    ///
    /// # Safety
    /// The caller holds a reference and does not use it again.
    #[inline]
    #[must_use = "a free slot goes back to the pool"]
    pub(crate) unsafe fn release(self) -> Option<FreeSlot> {
        // SAFETY: by the contract above.
        unsafe { self.release_some(1) }
    }

    /// The same for several references.
    ///
    /// # Safety
    /// The caller holds as many and does not use them again.
    #[inline]
    #[must_use = "a free slot goes back to the pool"]
    pub(crate) unsafe fn release_some(self, count: u32) -> Option<FreeSlot> {
        let header = self.header();
        if !self.release_all(count) && header.references.fetch_sub(count, Ordering::AcqRel) != count
        {
            return None;
        }
        // With the last reference nobody else looks.
        let extra = header.extra.load(Ordering::Relaxed);
        if !extra.is_null() {
            header.extra.store(ptr::null_mut(), Ordering::Relaxed);
            // SAFETY: it came from a box, and nobody else knows it.
            drop(unsafe { Box::from_raw(extra) });
        }
        Some(FreeSlot(self))
    }

    /// Gives all references back, if the caller's `count` are all, without a locked instruction. See the head of
    /// this file.
    #[inline]
    fn release_all(self, count: u32) -> bool {
        let header = self.header();
        if header.stage.load(Ordering::Relaxed) != GONE {
            return false;
        }
        membarrier::light();
        // Acquire: what the visitors before did to the count; what those did who gave theirs back.
        if VISITORS.load(Ordering::Acquire) != 0
            || header.references.load(Ordering::Acquire) != count
        {
            return false;
        }
        header.references.store(0, Ordering::Relaxed);
        true
    }
}

#[cfg(test)]
mod tests;
