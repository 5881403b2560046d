//! Many readers or one writer: a value behind a lock (`raw.rs`).

mod raw;

use super::line::How;
use crate::goroutine::WaitReason;
use crate::park;
use crate::primitive::const_unless_loom;
use crate::ticket::Cause;
use raw::RawRwLock;
use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::{Duration, Instant};

/// A value that any number may read at the same time, or one may change.
///
/// Whoever has to wait parks; a plain thread blocks. The guards may be kept across anything that parks. There is
/// no poisoning: after a panic the next one gets the value as it was left.
///
/// Neither side starves the other. Once a writer waits, new readers wait too; when it is done, all of them come in
/// before the next writer. So one that reads already must not lock again for reading: if a writer came in between,
/// each waits for the other, for ever.
///
/// ```
/// use fibra::sync::RwLock;
///
/// static NAMES: RwLock<Vec<&str>> = RwLock::new(Vec::new());
///
/// NAMES.write().push("go");
/// fibra::scope(|s| {
///     for _ in 0..10 {
///         s.go(|| assert_eq!(NAMES.read()[0], "go"));
///     }
///     s.go(|| NAMES.write().push("rust"));
/// });
/// assert_eq!(*NAMES.read(), ["go", "rust"]);
/// ```
pub struct RwLock<T: ?Sized> {
    raw: RawRwLock,
    value: UnsafeCell<T>,
}

// SAFETY: the value goes along.
unsafe impl<T: ?Sized + Send> Send for RwLock<T> {}
// SAFETY: the value is only reached with the lock held: shared by many, which is why it must be `Sync`, or by
// one at a time.
unsafe impl<T: ?Sized + Send + Sync> Sync for RwLock<T> {}

const HOW: How = How::patient(WaitReason::RwLock);

fn within(limit: Duration) -> How {
    HOW.until(Instant::now().checked_add(limit))
}

impl<T> RwLock<T> {
    const_unless_loom! {
        /// A value that nobody has locked.
        #[must_use]
        pub fn new(value: T) -> RwLock<T> {
            RwLock { raw: RawRwLock::new(), value: UnsafeCell::new(value) }
        }
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Locks for reading until the guard is dropped. Waits while a writer has it, and for a writer that waits
    /// itself.
    ///
    /// A goroutine that is cancelled while it waits unwinds.
    #[inline]
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        park::unwind_if_cancelled(self.raw.read(|| HOW));
        RwLockReadGuard::new(self)
    }

    /// Locks for writing until the guard is dropped. Waits while anybody else has it.
    ///
    /// A goroutine that is cancelled while it waits unwinds. One that has locked it already, in either way, waits
    /// for itself, for ever.
    #[inline]
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        park::unwind_if_cancelled(self.raw.write(|| HOW));
        RwLockWriteGuard::new(self)
    }

    /// Locks for reading if no writer has it or waits for it.
    #[inline]
    pub fn try_read(&self) -> Option<RwLockReadGuard<'_, T>> {
        self.raw.try_read().then(|| RwLockReadGuard::new(self))
    }

    /// Locks for writing if nobody else has it.
    #[inline]
    pub fn try_write(&self) -> Option<RwLockWriteGuard<'_, T>> {
        self.raw.try_write().then(|| RwLockWriteGuard::new(self))
    }

    /// [`read`](Self::read) that gives up after `limit`.
    pub fn read_timeout(&self, limit: Duration) -> Option<RwLockReadGuard<'_, T>> {
        let cause = self.raw.read(|| within(limit));
        park::unwind_if_cancelled(cause);
        (cause == Cause::Notified).then(|| RwLockReadGuard::new(self))
    }

    /// [`write`](Self::write) that gives up after `limit`. Readers that waited for it come in then.
    pub fn write_timeout(&self, limit: Duration) -> Option<RwLockWriteGuard<'_, T>> {
        let cause = self.raw.write(|| within(limit));
        park::unwind_if_cancelled(cause);
        (cause == Cause::Notified).then(|| RwLockWriteGuard::new(self))
    }

    /// The value, without locking: the reference shows that nobody else has it.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }
}

impl<T: Default> Default for RwLock<T> {
    fn default() -> RwLock<T> {
        RwLock::new(T::default())
    }
}

impl<T> From<T> for RwLock<T> {
    fn from(value: T) -> RwLock<T> {
        RwLock::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.try_read() {
            Some(guard) => f.debug_struct("RwLock").field("data", &&*guard).finish(),
            None => f.write_str("RwLock { data: <locked> }"),
        }
    }
}

// As there is no poisoning, what a panic leaves behind is everybody's own business.
impl<T: ?Sized> UnwindSafe for RwLock<T> {}
impl<T: ?Sized> RefUnwindSafe for RwLock<T> {}

/// Shared access to the value of a [`RwLock`], which is unlocked when this is dropped.
#[must_use = "dropped at once, it unlocks at once"]
pub struct RwLockReadGuard<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
    /// It stays where it was made.
    not_send: PhantomData<*const ()>,
}

/// Access to the value of a [`RwLock`], which is unlocked when this is dropped.
#[must_use = "dropped at once, it unlocks at once"]
pub struct RwLockWriteGuard<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
    /// It stays where it was made.
    not_send: PhantomData<*const ()>,
}

// SAFETY: a shared guard gives no more than a shared reference to the value.
unsafe impl<T: ?Sized + Sync> Sync for RwLockReadGuard<'_, T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Sync> Sync for RwLockWriteGuard<'_, T> {}

impl<'a, T: ?Sized> RwLockReadGuard<'a, T> {
    /// Of a lock that the caller has just locked for reading.
    fn new(lock: &'a RwLock<T>) -> RwLockReadGuard<'a, T> {
        RwLockReadGuard { lock, not_send: PhantomData }
    }
}

impl<'a, T: ?Sized> RwLockWriteGuard<'a, T> {
    /// Of a lock that the caller has just locked for writing.
    fn new(lock: &'a RwLock<T>) -> RwLockWriteGuard<'a, T> {
        RwLockWriteGuard { lock, not_send: PhantomData }
    }
}

impl<T: ?Sized> Deref for RwLockReadGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: it is locked for reading as long as the guard is there.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: it is locked for writing as long as the guard is there.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> DerefMut for RwLockWriteGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: it is locked for writing as long as the guard is there, which is borrowed mutably.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T: ?Sized> Drop for RwLockReadGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the guard stands for the lock, and nobody has a reference that it gave.
        unsafe { self.lock.raw.unlock_read() };
    }
}

impl<T: ?Sized> Drop for RwLockWriteGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the guard stands for the lock, and nobody has a reference that it gave.
        unsafe { self.lock.raw.unlock_write() };
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, f)
    }
}

#[cfg(test)]
mod tests;
