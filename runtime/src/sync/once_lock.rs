//! A value that is made once.

use super::Once;
use crate::primitive::const_unless_loom;
use std::cell::UnsafeCell;
use std::convert::Infallible;
use std::fmt;
use std::mem;
use std::panic::{RefUnwindSafe, UnwindSafe};

/// A value that is written once, and can be read from then on.
///
/// There is no poisoning: if what makes the value panics, or its goroutine is cancelled, then there is none, and the
/// next one makes it.
///
/// ```
/// use fibra::sync::OnceLock;
///
/// fn settings() -> &'static str {
///     static SETTINGS: OnceLock<String> = OnceLock::new();
///     SETTINGS.get_or_init(|| "read from a file".to_owned())
/// }
///
/// let other = fibra::go!(settings());
/// assert_eq!(settings(), other.join().unwrap());
/// ```
pub struct OnceLock<T> {
    once: Once,
    /// There is one, and it does not change any more, once `once` is done. Until then it belongs to whoever does
    /// that.
    value: UnsafeCell<Option<T>>,
}

// SAFETY: shared references to the value go to others (`Sync`), and whoever makes it need not be the one that
// drops it (`Send`). Before it is there only one has access.
unsafe impl<T: Send + Sync> Sync for OnceLock<T> {}

impl<T> OnceLock<T> {
    const_unless_loom! {
        /// Without a value.
        #[must_use]
        pub fn new() -> OnceLock<T> {
            OnceLock { once: Once::new(), value: UnsafeCell::new(None) }
        }
    }

    /// The value, if there is one. Never waits.
    #[inline]
    pub fn get(&self) -> Option<&T> {
        if !self.once.is_completed() {
            return None;
        }
        // SAFETY: done, so it does not change any more.
        unsafe { &*self.value.get() }.as_ref()
    }

    /// The value, if there is one.
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.value.get_mut().as_mut()
    }

    /// Writes the value. Waits if somebody else is making one.
    ///
    /// A goroutine that is cancelled while it waits unwinds.
    ///
    /// # Errors
    /// There is a value already; this one comes back.
    pub fn set(&self, value: T) -> Result<(), T> {
        let mut mine = Some(value);
        self.once.call_once(|| {
            // SAFETY: not done, and only one at a time is doing it.
            unsafe { *self.value.get() = mine.take() };
        });
        match mine {
            None => Ok(()),
            Some(value) => Err(value),
        }
    }

    /// The value; if there is none, `f` makes it. Waits if somebody else is making it.
    ///
    /// A goroutine that is cancelled while it waits unwinds. An `f` that asks for the value waits for itself, for
    /// ever.
    #[inline]
    pub fn get_or_init(&self, f: impl FnOnce() -> T) -> &T {
        let value: Result<&T, Infallible> = self.get_or_try_init(|| Ok(f()));
        match value {
            Ok(value) => value,
        }
    }

    /// [`get_or_init`](Self::get_or_init) for what may fail.
    ///
    /// # Errors
    /// There was no value, and `f` failed. The next one tries again.
    #[inline]
    pub fn get_or_try_init<E>(&self, f: impl FnOnce() -> Result<T, E>) -> Result<&T, E> {
        self.once.try_call_once(|| {
            let value = f()?;
            // SAFETY: not done, and only one at a time is doing it.
            unsafe { *self.value.get() = Some(value) };
            Ok(())
        })?;
        match self.get() {
            Some(value) => Ok(value),
            None => unreachable!("it has been made"),
        }
    }

    /// The value.
    pub fn into_inner(self) -> Option<T> {
        self.value.into_inner()
    }

    /// Takes the value out; then there is none, and another can be written.
    pub fn take(&mut self) -> Option<T> {
        mem::take(self).into_inner()
    }
}

impl<T> Default for OnceLock<T> {
    fn default() -> OnceLock<T> {
        OnceLock::new()
    }
}

impl<T> From<T> for OnceLock<T> {
    fn from(value: T) -> OnceLock<T> {
        let lock = OnceLock::new();
        lock.get_or_init(|| value);
        lock
    }
}

impl<T: Clone> Clone for OnceLock<T> {
    fn clone(&self) -> OnceLock<T> {
        match self.get() {
            Some(value) => OnceLock::from(value.clone()),
            None => OnceLock::new(),
        }
    }
}

impl<T: PartialEq> PartialEq for OnceLock<T> {
    fn eq(&self, other: &OnceLock<T>) -> bool {
        self.get() == other.get()
    }
}

impl<T: Eq> Eq for OnceLock<T> {}

impl<T: fmt::Debug> fmt::Debug for OnceLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.get() {
            Some(value) => f.debug_tuple("OnceLock").field(value).finish(),
            None => f.write_str("OnceLock(<no value>)"),
        }
    }
}

impl<T: UnwindSafe> UnwindSafe for OnceLock<T> {}
impl<T: RefUnwindSafe + UnwindSafe> RefUnwindSafe for OnceLock<T> {}
