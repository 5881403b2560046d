//! Locks and other ways to wait for one another.
//!
//! They park the goroutine and block a plain thread, and goroutines and threads may share them. All but
//! [`WaitGroup`] have a `const fn new`, so that they can be statics. There is no poisoning: a guard that is dropped
//! by a panic unlocks like any other.
//!
//! A goroutine that is cancelled while it waits unwinds; then it has neither taken a lock or a permit nor kept it
//! from somebody else. If it got what it waited for first, it goes on, and unwinds at its next park.
//!
//! The guards may be kept across anything that parks, but they stay with the goroutine or thread that got them.

mod barrier;
#[cfg(all(test, loom))]
mod checked;
mod condvar;
mod line;
mod mutex;
mod once;
mod once_lock;
mod rwlock;
mod semaphore;
mod spin;
mod wait_group;

pub use barrier::{Barrier, BarrierWaitResult};
pub use condvar::{Condvar, WaitTimeoutResult};
pub use mutex::{Mutex, MutexGuard};
pub use once::Once;
pub use once_lock::OnceLock;
pub use rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use semaphore::{Semaphore, SemaphoreGuard};
pub use wait_group::WaitGroup;
