//! The only place that knows whether the crate is built for real or for loom's model checker.
//!
//! Everything that takes part in a modelled protocol takes its atomics, locks, cells and threads from
//! here. Process-wide statics (stack regions, goroutine slabs, the default runtime) use std directly:
//! loom has no statics, and they are not part of a model.

/// True under the model checker: sizes and spin counts shrink, layout assertions are skipped.
pub(crate) const MODELLED: bool = cfg!(loom);

pub(crate) mod lock;
pub(crate) mod membarrier;
pub(crate) mod pool;

pub(crate) use lock::{Guard, Lock, Locked, RawLock};

/// A `const fn`, which it cannot be under loom, whose atomics are objects of the model.
macro_rules! const_unless_loom {
    ($(#[$meta:meta])* $visibility:vis fn $name:ident($($parameter:ident: $type:ty),*) -> $result:ty $body:block) => {
        #[cfg(not(loom))]
        $(#[$meta])*
        $visibility const fn $name($($parameter: $type),*) -> $result $body
        #[cfg(loom)]
        $(#[$meta])*
        $visibility fn $name($($parameter: $type),*) -> $result $body
    };
}
pub(crate) use const_unless_loom;

pub(crate) mod atomic {
    #[cfg(loom)]
    pub(crate) use loom::sync::atomic::{
        AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
    };
    #[cfg(not(loom))]
    pub(crate) use std::sync::atomic::{
        AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
    };
}

#[cfg(loom)]
pub(crate) use loom::{thread::yield_now, thread_local};
#[cfg(not(loom))]
pub(crate) use std::{thread::yield_now, thread_local};

#[cfg(loom)]
use loom::sync as imp;
use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};
#[cfg(not(loom))]
use std::sync as imp;
use std::sync::PoisonError;
use std::time::Duration;

pub(crate) use imp::MutexGuard;

/// xorshift64 (Marsaglia): good enough to spread choices.
#[derive(Debug)]
pub(crate) struct Random(Cell<u64>);

impl Random {
    /// Another sequence each time.
    pub(crate) fn new() -> Random {
        Random(Cell::new(RandomState::new().hash_one(()) | 1))
    }

    pub(crate) fn next(&self) -> u64 {
        let mut x = self.0.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.0.set(x);
        x
    }
}

/// A mutex without poisoning: the runtime runs no user code under it.
#[derive(Debug)]
pub(crate) struct Mutex<T>(imp::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Mutex(imp::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
pub(crate) struct Condvar(imp::Condvar);

impl Condvar {
    pub(crate) fn new() -> Self {
        Condvar(imp::Condvar::new())
    }

    pub(crate) fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        self.0.wait(guard).unwrap_or_else(PoisonError::into_inner)
    }

    /// May return early; under loom the time never passes.
    pub(crate) fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        limit: Duration,
    ) -> MutexGuard<'a, T> {
        self.0.wait_timeout(guard, limit).unwrap_or_else(PoisonError::into_inner).0
    }

    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}
