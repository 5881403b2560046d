//! A coroutine for those who run on it.

use super::link::{self, Link, suspend};
use crate::arch;
use crate::stack::{Describe, StackSize};
use std::ptr::NonNull;

/// A coroutine as its own frames see it, without the types: for a runtime that suspends whatever runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Active(pub(super) NonNull<Link>);

impl Active {
    /// Suspends the coroutine that the caller runs on.
    ///
    /// # Safety
    /// * The caller runs on this coroutine, or on coroutines resumed from it.
    /// * Its types are `In` and `Yield`.
    #[inline(always)]
    pub(crate) unsafe fn suspend<In, Yield>(self, value: Yield) -> In {
        // SAFETY: by the contract above.
        unsafe { suspend(self.0, value) }
    }

    /// Suspends the coroutine that the caller runs on and has another one go on in its place, which from now on is the
    /// one that was resumed: it gives back to whoever resumed this one. See [`Coroutine::swap`](super::Coroutine::swap).
    ///
    /// # Safety
    /// * As for [`suspend`](Self::suspend).
    /// * `next` has the same types and thread, is another one, was resumed before, and is suspended.
    /// * Neither of the two is shared, or being closed. Each is only known by the value of a
    ///   [`Coroutine`](super::Coroutine), and both their stacks came to be in the same way.
    #[inline(always)]
    pub(crate) unsafe fn pass<In>(self, next: Active, input: In) -> In {
        // SAFETY: by the contract above.
        unsafe { link::pass(self.0, next.0, input) }
    }

    /// Bytes from the caller's frame to the top of its stack; any number when the caller runs elsewhere.
    #[inline]
    pub(crate) fn depth(self) -> usize {
        arch::depth_below(self.0.as_ptr().cast())
    }

    /// Bytes of its stack below the caller's frame; 0 when the caller runs elsewhere.
    ///
    /// # Safety
    /// The coroutine is alive.
    pub(crate) unsafe fn remaining_stack(self) -> usize {
        // SAFETY: by the contract above.
        let stack = unsafe { &(*self.0.as_ptr()).stack };
        let here = arch::stack_pointer();
        if here > stack.top().addr() { 0 } else { here.saturating_sub(stack.limit().addr()) }
    }

    /// The size of its stack.
    ///
    /// # Safety
    /// The coroutine is alive.
    pub(crate) unsafe fn stack_size(self) -> StackSize {
        // SAFETY: by the contract above.
        unsafe { (*self.0.as_ptr()).stack.size() }
    }

    /// Says who runs on its stack, for the overflow message.
    ///
    /// # Safety
    /// The coroutine is alive; `subject` is what `describe` wants for as long as the label stands.
    #[inline]
    pub(crate) unsafe fn set_label(self, describe: Describe, subject: *const ()) {
        // SAFETY: by the contract above.
        unsafe { (*self.0.as_ptr()).stack.set_label(describe, subject) }
    }
}
