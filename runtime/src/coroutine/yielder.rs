//! The end of a coroutine that its body holds.

use super::Active;
use super::link::{self, Link};
use std::fmt;
use std::marker::PhantomData;
use std::ptr::NonNull;

/// The coroutine's own end: it suspends.
///
/// It is the link under another name, so that its address is all that a suspend needs.
#[repr(transparent)]
pub struct Yielder<In, Yield> {
    link: Link,
    types: PhantomData<fn(Yield) -> In>,
}

impl<In, Yield> Yielder<In, Yield> {
    /// Stops here and gives `value` to whoever resumed; goes on with the next input.
    ///
    /// When the coroutine is dropped or closed while it is suspended, this unwinds.
    ///
    /// # Panics
    /// When the caller does not run on the coroutine's own frames, but on those of another one that it has
    /// resumed, for example.
    #[inline]
    pub fn suspend(&self, value: Yield) -> In {
        // Somebody may have smuggled the reference out of the coroutine's frames, with scoped_tls say.
        assert!(self.link.is_here(), "a coroutine can be suspended from its own frames only");
        // SAFETY: the types are those that `enter` was made for, and the caller runs on its stack.
        unsafe { link::suspend(NonNull::from(&self.link), value) }
    }

    pub(super) fn link(&self) -> &Link {
        &self.link
    }

    pub(crate) fn as_active(&self) -> Active {
        Active(NonNull::from(&self.link))
    }
}

impl<In, Yield> fmt::Debug for Yielder<In, Yield> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Yielder").finish_non_exhaustive()
    }
}
