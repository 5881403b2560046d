//! A lock of one word, for what is touched during a few instructions.
//!
//! Whoever finds it locked stays away from it, for longer each time. That is slower than to spin on it only
//! for whoever meets it once in a while. Where two workers want it all the time, whoever has it meanwhile does a
//! hundred turns in its own cache, where two that spin would fetch lock and contents from one another's at each
//! turn, at ten times the price. Soon other threads may run too: the owner may have been preempted.
//!
//! Unlocking is a plain store, half the price of a lock that threads can sleep on.

use super::const_unless_loom;
use std::cell::UnsafeCell;
use std::fmt;
use std::ops::{Deref, DerefMut};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicBool, Ordering};

/// For how many spins it is left alone at first: some dozen times what its owner needs.
#[cfg(not(loom))]
const SHORT_PAUSE: usize = 32;
/// And at last, about five microseconds.
#[cfg(not(loom))]
const LONG_PAUSE: usize = 128;

/// The bare lock.
#[cfg(not(loom))]
pub(crate) struct Lock(AtomicBool);

#[cfg(not(loom))]
impl Lock {
    pub(crate) const fn new() -> Lock {
        Lock(AtomicBool::new(false))
    }

    /// True: the caller has it now.
    #[inline]
    #[must_use]
    pub(crate) fn try_lock(&self) -> bool {
        // SeqCst: for `is_free`.
        !self.0.swap(true, Ordering::SeqCst)
    }

    /// Whether nobody has it. To take it and to look are sequentially consistent, and who finds it free sees what was
    /// done by those who had it before.
    #[inline]
    fn is_free(&self) -> bool {
        !self.0.load(Ordering::SeqCst)
    }

    #[cold]
    fn lock_slow(&self, shortest: usize) {
        let mut pause = shortest;
        loop {
            for _ in 0..pause {
                std::hint::spin_loop();
            }
            if !self.0.load(Ordering::Relaxed) && self.try_lock() {
                return;
            }
            if pause < LONG_PAUSE {
                pause *= 2;
            } else {
                super::yield_now();
            }
        }
    }
}

#[cfg(not(loom))]
impl RawLock for Lock {
    #[inline]
    fn lock(&self) {
        if !self.try_lock() {
            self.lock_slow(SHORT_PAUSE);
        }
    }

    #[inline]
    fn lock_eagerly(&self) {
        if !self.try_lock() {
            self.lock_slow(1);
        }
    }

    #[inline]
    unsafe fn unlock(&self) {
        self.0.store(false, Ordering::Release);
    }
}

/// The same for loom, to which each round of a spinning lock would be one more state to explore.
#[cfg(loom)]
pub struct Lock {
    mutex: loom::sync::Mutex<()>,
    held: UnsafeCell<Option<loom::sync::MutexGuard<'static, ()>>>,
}

// SAFETY: `held` is only touched by whoever has the mutex.
#[cfg(loom)]
unsafe impl Send for Lock {}
// SAFETY: as above.
#[cfg(loom)]
unsafe impl Sync for Lock {}

#[cfg(loom)]
impl Lock {
    pub(crate) fn new() -> Lock {
        Lock { mutex: loom::sync::Mutex::new(()), held: UnsafeCell::new(None) }
    }

    pub(crate) fn try_lock(&self) -> bool {
        match self.mutex.try_lock() {
            Ok(guard) => {
                self.keep(guard);
                true
            }
            Err(_) => false,
        }
    }

    /// That can only be known by taking it.
    fn is_free(&self) -> bool {
        false
    }

    fn keep(&self, guard: loom::sync::MutexGuard<'_, ()>) {
        // SAFETY: only the lifetime changes; the guard is dropped in `unlock`, before the mutex.
        let guard = unsafe { std::mem::transmute::<loom::sync::MutexGuard<'_, ()>, _>(guard) };
        // SAFETY: the caller has the mutex.
        unsafe { *self.held.get() = Some(guard) };
    }
}

#[cfg(loom)]
impl RawLock for Lock {
    fn lock(&self) {
        match self.mutex.lock() {
            Ok(guard) => self.keep(guard),
            Err(_) => unreachable!("loom does not poison"),
        }
    }

    fn lock_eagerly(&self) {
        self.lock();
    }

    unsafe fn unlock(&self) {
        // SAFETY: the caller has the mutex until the guard is dropped, which is after this.
        drop(unsafe { (*self.held.get()).take() });
    }
}

/// What a value can be behind. Whoever has locked it unlocks it on the same thread.
pub(crate) trait RawLock {
    fn lock(&self);

    /// The same for somebody whose rivals do not come back at once.
    fn lock_eagerly(&self);

    /// # Safety
    /// The caller has it, and does not use what it protects any more.
    unsafe fn unlock(&self);
}

/// A value behind a lock.
#[repr(C)]
pub(crate) struct Locked<T, L = Lock> {
    lock: L,
    value: UnsafeCell<T>,
}

// SAFETY: the value is only reached with the lock held.
unsafe impl<T: Send, L: Sync> Sync for Locked<T, L> {}

impl<T> Locked<T> {
    const_unless_loom! {
        pub(crate) fn new(value: T) -> Locked<T> {
            Locked { lock: Lock::new(), value: UnsafeCell::new(value) }
        }
    }

    #[inline]
    pub(crate) fn try_lock(&self) -> Option<Guard<'_, T>> {
        self.lock.try_lock().then(|| Guard(self))
    }

    /// True: nobody has locked it, and the caller sees what was done by those who had. See [`Lock::is_free`].
    #[inline]
    pub(crate) fn is_free(&self) -> bool {
        self.lock.is_free()
    }
}

impl<T, L: RawLock> Locked<T, L> {
    pub(crate) fn behind(lock: L, value: T) -> Locked<T, L> {
        Locked { lock, value: UnsafeCell::new(value) }
    }

    #[inline]
    pub(crate) fn lock(&self) -> Guard<'_, T, L> {
        self.lock.lock();
        Guard(self)
    }

    #[inline]
    pub(crate) fn lock_eagerly(&self) -> Guard<'_, T, L> {
        self.lock.lock_eagerly();
        Guard(self)
    }

    /// The lock itself, for those who take several.
    pub(crate) fn bare(&self) -> &L {
        &self.lock
    }

    /// # Safety
    /// The caller has the [`bare`](Self::bare) lock, and makes no other reference to the value while it
    /// uses this one.
    #[inline]
    #[allow(clippy::mut_from_ref)] // By the contract there is only one.
    pub(crate) unsafe fn value(&self) -> &mut T {
        // SAFETY: by the contract above.
        unsafe { &mut *self.value.get() }
    }
}

impl<T, L> fmt::Debug for Locked<T, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Locked")
    }
}

/// The lock, held.
#[must_use]
pub(crate) struct Guard<'a, T, L: RawLock = Lock>(&'a Locked<T, L>);

impl<T, L: RawLock> Deref for Guard<'_, T, L> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the lock is held, and the guard is borrowed.
        unsafe { &*self.0.value.get() }
    }
}

impl<T, L: RawLock> DerefMut for Guard<'_, T, L> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the lock is held, and the guard is borrowed mutably.
        unsafe { &mut *self.0.value.get() }
    }
}

impl<T, L: RawLock> Drop for Guard<'_, T, L> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: made with the lock held, and nobody has a reference that it gave.
        unsafe { self.0.lock.unlock() };
    }
}
