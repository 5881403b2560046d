//! A number of permits.
//!
//! The permits are in the lock of the line. Whoever finds none stands in line, and from then on each permit that
//! comes back goes to the first in the line, never to somebody who comes later. So there are either permits or
//! waiters, never both (whoever has left counts as nobody).

use super::line::{How, Line, Place};
use crate::goroutine::WaitReason;
use crate::park;
use crate::primitive::const_unless_loom;
use crate::ticket::Cause;
use std::fmt;
use std::marker::PhantomData;
use std::mem;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr;
use std::time::{Duration, Instant};

/// A number of permits; whoever wants one and finds none waits. First come, first served.
///
/// ```
/// use fibra::sync::Semaphore;
///
/// static DOWNLOADS: Semaphore = Semaphore::new(4); // at most so many at a time
///
/// fibra::scope(|s| {
///     for _ in 0..100 {
///         s.go(|| {
///             let _permit = DOWNLOADS.acquire(); // given back at the end of the block
///             fibra::yield_now();
///         });
///     }
/// });
/// assert_eq!(DOWNLOADS.available_permits(), 4);
/// ```
pub struct Semaphore {
    /// With the permits that nobody has.
    line: Line<usize>,
}

impl Semaphore {
    const_unless_loom! {
        /// With so many permits.
        #[must_use]
        pub fn new(permits: usize) -> Semaphore {
            Semaphore { line: Line::new(permits) }
        }
    }

    /// Takes a permit, which the guard gives back. Waits until there is one and all who came before have theirs.
    ///
    /// A goroutine that is cancelled while it waits unwinds, and has taken none.
    #[inline]
    pub fn acquire(&self) -> SemaphoreGuard<'_> {
        self.wait_for_one(|| None);
        SemaphoreGuard::new(self)
    }

    /// Takes a permit if there is one.
    #[inline]
    pub fn try_acquire(&self) -> Option<SemaphoreGuard<'_>> {
        let mut line = self.line.lock();
        let left = line.state().checked_sub(1)?;
        *line.state() = left;
        Some(SemaphoreGuard::new(self))
    }

    /// [`acquire`](Self::acquire) that gives up after `limit`.
    pub fn acquire_timeout(&self, limit: Duration) -> Option<SemaphoreGuard<'_>> {
        self.wait_for_one(|| Instant::now().checked_add(limit)).then(|| SemaphoreGuard::new(self))
    }

    /// Takes a permit; false when the deadline came first.
    #[inline]
    fn wait_for_one(&self, deadline: impl FnOnce() -> Option<Instant>) -> bool {
        let mut line = self.line.lock();
        if let Some(left) = line.state().checked_sub(1) {
            *line.state() = left;
            return true;
        }
        let how = How::patient(WaitReason::Semaphore).until(deadline());
        // Who leaves changes nothing for those who stay.
        let cause = line.wait(0, Place::Back, ptr::null_mut(), how, |_| {});
        park::unwind_if_cancelled(cause);
        cause == Cause::Notified
    }

    /// Adds permits: more than there were, or those of guards that were [forgotten](SemaphoreGuard::forget).
    ///
    /// # Panics
    /// There would be more than `usize::MAX`.
    #[inline]
    pub fn add_permits(&self, permits: usize) {
        let mut rest = permits;
        while rest > 0 {
            let mut line = self.line.lock();
            match line.serve(0, |_| {}) {
                Some(wake) => {
                    drop(line);
                    wake.wake();
                    rest -= 1;
                }
                None => {
                    let Some(sum) = line.state().checked_add(rest) else {
                        panic!("a semaphore has more than usize::MAX permits");
                    };
                    *line.state() = sum;
                    return;
                }
            }
        }
    }

    /// How many permits could be taken now.
    #[must_use]
    pub fn available_permits(&self) -> usize {
        *self.line.lock().state()
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore").field("permits", &self.available_permits()).finish()
    }
}

impl UnwindSafe for Semaphore {}
impl RefUnwindSafe for Semaphore {}

/// A permit of a [`Semaphore`], given back when this is dropped.
#[must_use = "dropped at once, it gives the permit back at once"]
pub struct SemaphoreGuard<'a> {
    semaphore: &'a Semaphore,
    /// Like all guards it stays where it was made.
    not_send: PhantomData<*const ()>,
}

// SAFETY: a shared one gives nothing but text.
unsafe impl Sync for SemaphoreGuard<'_> {}

impl<'a> SemaphoreGuard<'a> {
    fn new(semaphore: &'a Semaphore) -> SemaphoreGuard<'a> {
        SemaphoreGuard { semaphore, not_send: PhantomData }
    }

    /// Keeps the permit out of the semaphore: for good, or until somebody
    /// [adds](Semaphore::add_permits) one.
    ///
    /// ```
    /// use fibra::sync::Semaphore;
    ///
    /// static JOBS: Semaphore = Semaphore::new(2);
    ///
    /// JOBS.acquire().forget(); // this permit goes to the goroutine
    /// let job = fibra::go!(|| JOBS.add_permits(1));
    /// job.join().unwrap();
    /// assert_eq!(JOBS.available_permits(), 2);
    /// ```
    pub fn forget(self) {
        mem::forget(self);
    }
}

impl Drop for SemaphoreGuard<'_> {
    #[inline]
    fn drop(&mut self) {
        self.semaphore.add_permits(1);
    }
}

impl fmt::Debug for SemaphoreGuard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SemaphoreGuard")
    }
}

#[cfg(test)]
mod tests;
