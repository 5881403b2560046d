//! Mutual exclusion: a value behind a lock (`raw.rs`).

mod raw;

pub(super) use raw::RawMutex;

use super::line::How;
use crate::goroutine::WaitReason;
use crate::park;
use crate::primitive::const_unless_loom;
use crate::ticket::Cause;
use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::{Duration, Instant};

/// A value that one goroutine or thread at a time has access to.
///
/// Whoever has to wait parks; a plain thread blocks. The guard may be kept across anything that parks. There is
/// no poisoning: after a panic the next one gets the value as it was left.
///
/// The lock is not handed from one to the next in strict order, which would be slow, but nobody who waits is
/// passed over for much longer than a millisecond. This is how Go's `sync.Mutex` does it.
///
/// ```
/// use fibra::sync::Mutex;
///
/// static TOTAL: Mutex<u64> = Mutex::new(0);
///
/// fibra::scope(|s| {
///     for i in 1..=100 {
///         s.go(move || *TOTAL.lock() += i);
///     }
/// });
/// assert_eq!(*TOTAL.lock(), 5050);
/// ```
pub struct Mutex<T: ?Sized> {
    raw: RawMutex,
    value: UnsafeCell<T>,
}

// SAFETY: the value goes along.
unsafe impl<T: ?Sized + Send> Send for Mutex<T> {}
// SAFETY: the value is only reached with the lock held, by one at a time.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}

impl<T> Mutex<T> {
    const_unless_loom! {
        /// A value that nobody has locked.
        #[must_use]
        pub fn new(value: T) -> Mutex<T> {
            Mutex { raw: RawMutex::new(), value: UnsafeCell::new(value) }
        }
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Locks, and gives access to the value until the guard is dropped. Waits while somebody else has it.
    ///
    /// A goroutine that is cancelled while it waits unwinds. One that has locked it already waits for itself,
    /// for ever.
    #[inline]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        park::unwind_if_cancelled(self.raw.lock(|| How::patient(WaitReason::Mutex)));
        MutexGuard::new(self)
    }

    /// Locks if nobody else has.
    #[inline]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.raw.try_lock().then(|| MutexGuard::new(self))
    }

    /// [`lock`](Self::lock) that gives up after `limit`.
    ///
    /// ```
    /// use fibra::sync::Mutex;
    /// use std::time::Duration;
    ///
    /// let mutex = Mutex::new(1);
    /// let guard = mutex.lock();
    /// assert!(mutex.lock_timeout(Duration::from_millis(1)).is_none());
    /// drop(guard);
    /// assert_eq!(*mutex.lock_timeout(Duration::ZERO).unwrap(), 1);
    /// ```
    pub fn lock_timeout(&self, limit: Duration) -> Option<MutexGuard<'_, T>> {
        let cause = self
            .raw
            .lock(|| How::patient(WaitReason::Mutex).until(Instant::now().checked_add(limit)));
        park::unwind_if_cancelled(cause);
        (cause == Cause::Notified).then(|| MutexGuard::new(self))
    }

    /// The value, without locking: the reference shows that nobody else has it.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Mutex<T> {
        Mutex::new(T::default())
    }
}

impl<T> From<T> for Mutex<T> {
    fn from(value: T) -> Mutex<T> {
        Mutex::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.try_lock() {
            Some(guard) => f.debug_struct("Mutex").field("data", &&*guard).finish(),
            None => f.write_str("Mutex { data: <locked> }"),
        }
    }
}

// As there is no poisoning, what a panic leaves behind is everybody's own business.
impl<T: ?Sized> UnwindSafe for Mutex<T> {}
impl<T: ?Sized> RefUnwindSafe for Mutex<T> {}

/// Access to the value of a [`Mutex`], which is unlocked when this is dropped.
#[must_use = "dropped at once, it unlocks at once"]
pub struct MutexGuard<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
    /// It stays where it was made.
    not_send: PhantomData<*const ()>,
}

// SAFETY: a shared guard gives no more than a shared reference to the value.
unsafe impl<T: ?Sized + Sync> Sync for MutexGuard<'_, T> {}

impl<'a, T: ?Sized> MutexGuard<'a, T> {
    /// Of a mutex that the caller has just locked.
    #[inline]
    fn new(mutex: &'a Mutex<T>) -> MutexGuard<'a, T> {
        MutexGuard { mutex, not_send: PhantomData }
    }

    /// For [`Condvar`](super::Condvar), which unlocks it meanwhile.
    pub(super) fn raw(&mut self) -> &'a RawMutex {
        &self.mutex.raw
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: it is locked as long as the guard is there.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: it is locked as long as the guard is there, which is borrowed mutably.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the guard stands for the lock, and nobody has a reference that it gave.
        unsafe { self.mutex.raw.unlock() };
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, f)
    }
}

#[cfg(test)]
mod tests;
