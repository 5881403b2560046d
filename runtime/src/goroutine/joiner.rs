//! Who waits for the end of a goroutine: `Header::join`, a parker or one of three marks.

use super::{FINISHED, GoroutineRef};
use crate::primitive::atomic::Ordering;
use crate::ticket::{Parker, Ticket};
use std::ptr::{self, NonNull};

/// Nobody waits yet; there is a handle.
pub(super) const NOBODY: *mut Parker = ptr::null_mut();
/// There is no handle any more.
pub(super) const DETACHED: *mut Parker = ptr::without_provenance_mut(1);
/// The result is there.
pub(super) const DONE: *mut Parker = ptr::without_provenance_mut(2);

/// Whether a detached or joined goroutine must be cleaned up by its finisher.
#[must_use]
pub(crate) enum Completion {
    /// Somebody holds the handle, and nobody waits.
    Kept,
    /// Nobody will look at the result.
    Detached,
    /// This park waits for it.
    Joined(Ticket),
}

impl GoroutineRef {
    /// The result is in place: tells whoever waits.
    pub(crate) fn complete(self) -> Completion {
        let header = self.header();
        header.stage.store(FINISHED, Ordering::Relaxed);
        // AcqRel: publishes the result; acquires the joiner's generation.
        let before = header.join.swap(DONE, Ordering::AcqRel);
        if before == NOBODY {
            Completion::Kept
        } else if before == DETACHED {
            Completion::Detached
        } else {
            let generation = header.join_generation.load(Ordering::Relaxed);
            // SAFETY: not one of the marks, so it is a parker.
            let parker = unsafe { NonNull::new_unchecked(before) };
            Completion::Joined(Ticket::from_parts(parker, generation))
        }
    }

    /// Whether the result is there; acquires it.
    pub(crate) fn is_done(self) -> bool {
        self.header().join.load(Ordering::Acquire) == DONE
    }

    /// Registers the one who joins; false when the result is there already.
    pub(crate) fn join_with(self, ticket: Ticket) -> bool {
        let header = self.header();
        header.join_generation.store(ticket.generation(), Ordering::Relaxed);
        header
            .join
            .compare_exchange(NOBODY, ticket.parker().as_ptr(), Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// Takes the joiner back after a timeout; false when the result came meanwhile.
    pub(crate) fn unjoin(self) -> bool {
        let header = self.header();
        let now = header.join.load(Ordering::Acquire);
        now != DONE
            && header
                .join
                .compare_exchange(now, NOBODY, Ordering::AcqRel, Ordering::Acquire)
                .is_ok()
    }

    /// Whether nobody holds the handle.
    pub(crate) fn is_detached(self) -> bool {
        self.header().join.load(Ordering::Acquire) == DETACHED
    }

    /// The handle goes, and leaves its reference to whoever finishes the goroutine. False when the result
    /// is there already: then the caller drops it, and gives the reference back.
    pub(crate) fn detach(self) -> bool {
        self.header()
            .join
            .compare_exchange(NOBODY, DETACHED, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }
}
