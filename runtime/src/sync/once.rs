//! Something that is done once: a flag, and a mutex for those who find that it has not been done.

use super::Mutex;
use crate::primitive::atomic::{AtomicBool, Ordering};
use crate::primitive::const_unless_loom;
use std::convert::Infallible;
use std::fmt;

/// Does something once, however many ask for it; the others wait until it is done.
///
/// There is no poisoning: if it panics, or its goroutine is cancelled, then it is not done, and the next one does
/// it.
///
/// ```
/// use fibra::sync::Once;
///
/// static LOGGING: Once = Once::new();
///
/// fibra::scope(|s| {
///     for _ in 0..10 {
///         s.go(|| LOGGING.call_once(|| println!("this line comes once")));
///     }
/// });
/// assert!(LOGGING.is_completed());
/// ```
pub struct Once {
    done: AtomicBool,
    /// Locked by whoever does it.
    doing: Mutex<()>,
}

impl Once {
    const_unless_loom! {
        /// Something that has not been done.
        #[must_use]
        pub fn new() -> Once {
            Once { done: AtomicBool::new(false), doing: Mutex::new(()) }
        }
    }

    /// Calls `f` unless that has been done before. Waits if somebody else is doing it. Afterwards it has been
    /// done, and what `f` wrote is visible.
    ///
    /// A goroutine that is cancelled while it waits unwinds. An `f` that comes back here waits for itself, for
    /// ever.
    #[inline]
    pub fn call_once(&self, f: impl FnOnce()) {
        let done: Result<(), Infallible> = self.try_call_once(|| {
            f();
            Ok(())
        });
        match done {
            Ok(()) => {}
        }
    }

    /// The same for what may fail: then it has not been done.
    #[inline]
    pub(super) fn try_call_once<E>(&self, f: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        if self.is_completed() { Ok(()) } else { self.try_call(f) }
    }

    #[cold]
    fn try_call<E>(&self, f: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        let _doing = self.doing.lock();
        if !self.is_completed() {
            f()?;
            self.done.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// Whether it has been done. If so, what was written there is visible.
    #[inline]
    #[must_use]
    pub fn is_completed(&self) -> bool {
        self.done.load(Ordering::Acquire)
    }
}

impl Default for Once {
    fn default() -> Once {
        Once::new()
    }
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once").field("completed", &self.is_completed()).finish()
    }
}

#[cfg(test)]
mod tests;
