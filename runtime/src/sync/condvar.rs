//! Waiting, with a [`Mutex`](super::Mutex) unlocked meanwhile, until somebody says that something has changed.
//!
//! # A broadcast
//!
//! It wakes those who wait when it begins, and not whoever comes later: somebody woken may be back in line
//! before the last of them is served, and would be woken again and again. It also holds no lock while it wakes.
//! So there are two queues, and they take turns. *Newcomers* stand in one of them. A broadcast *flips*: from
//! then on newcomers stand in the other one, and those in the first count as woken; it serves them one by one.
//!
//! A flip needs the other queue to be empty. If an earlier broadcast is not done with it, the later one helps
//! it. If somebody else flips meanwhile, then that broadcast has reached everybody who waited when this one
//! began. So two flips since then are the end of it: the second came when the first one's queue was empty.
//!
//! The moment at which a broadcast takes effect is its flip. Whoever is in the flipped queue does not wait any more,
//! so [`notify_one`](Condvar::notify_one) looks only at the newcomers: otherwise it would be lost on somebody who
//! has been notified already.

use super::line::{How, Line, Place};
use super::mutex::MutexGuard;
use crate::goroutine::WaitReason;
use crate::park;
use crate::primitive::const_unless_loom;
use crate::ticket::Cause;
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr;
use std::time::{Duration, Instant};

/// Waits for a change of what a [`Mutex`](super::Mutex) protects.
///
/// A wait ends when it is notified, when its time is over, or when the goroutine is cancelled, and for no other
/// reason. Still something may happen between the notification and the moment when the mutex is locked
/// again, so most callers want [`wait_while`](Self::wait_while).
///
/// ```
/// use fibra::sync::{Condvar, Mutex};
///
/// static READY: Mutex<bool> = Mutex::new(false);
/// static CHANGED: Condvar = Condvar::new();
///
/// let waiter = fibra::go!({
///     let mut ready = READY.lock();
///     CHANGED.wait_while(&mut ready, |ready| !*ready);
///     assert!(*ready);
/// });
/// *READY.lock() = true;
/// CHANGED.notify_one();
/// waiter.join().unwrap();
/// ```
pub struct Condvar {
    line: Line<Turn, 2>,
}

/// Which queue is whose.
#[derive(Debug)]
struct Turn {
    /// Where newcomers stand.
    newcomers: usize,
    flips: u64,
}

/// Whether a wait ended because its time was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    /// Whether it did, and not by a notification.
    #[must_use]
    pub fn timed_out(self) -> bool {
        self.0
    }
}

impl Condvar {
    const_unless_loom! {
        /// One for which nobody waits.
        #[must_use]
        pub fn new() -> Condvar {
            Condvar { line: Line::new(Turn { newcomers: 0, flips: 0 }) }
        }
    }

    /// Unlocks the mutex, waits until it is notified, and locks the mutex again. Nobody can notify between
    /// the first two.
    ///
    /// A goroutine that is cancelled while it waits unwinds, with the mutex locked again.
    pub fn wait<T: ?Sized>(&self, guard: &mut MutexGuard<'_, T>) {
        self.wait_at_most(guard, None);
    }

    /// Waits until `condition` no longer holds. It is called with the mutex locked, first of all before any
    /// wait.
    pub fn wait_while<T: ?Sized>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) {
        while condition(guard) {
            self.wait(guard);
        }
    }

    /// [`wait`](Self::wait) that gives up after `limit`. To lock the mutex again may take longer.
    pub fn wait_timeout<T: ?Sized>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        limit: Duration,
    ) -> WaitTimeoutResult {
        self.wait_at_most(guard, Instant::now().checked_add(limit))
    }

    /// [`wait`](Self::wait) that gives up at `deadline`. To lock the mutex again may take longer.
    pub fn wait_until<T: ?Sized>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        deadline: Instant,
    ) -> WaitTimeoutResult {
        self.wait_at_most(guard, Some(deadline))
    }

    /// [`wait_while`](Self::wait_while) that gives up after `limit`. It has timed out only if the condition
    /// still holds then.
    ///
    /// ```
    /// use fibra::sync::{Condvar, Mutex};
    /// use std::time::Duration;
    ///
    /// let (mutex, condvar) = (Mutex::new(0), Condvar::new());
    /// let mut number = mutex.lock();
    /// let limit = Duration::from_millis(1);
    /// assert!(condvar.wait_while_timeout(&mut number, |n| *n == 0, limit).timed_out());
    /// ```
    pub fn wait_while_timeout<T: ?Sized>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        mut condition: impl FnMut(&mut T) -> bool,
        limit: Duration,
    ) -> WaitTimeoutResult {
        let deadline = Instant::now().checked_add(limit);
        let mut timed_out = false;
        while condition(guard) {
            if timed_out {
                return WaitTimeoutResult(true);
            }
            timed_out = self.wait_at_most(guard, deadline).timed_out();
        }
        WaitTimeoutResult(false)
    }

    fn wait_at_most<T: ?Sized>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        deadline: Option<Instant>,
    ) -> WaitTimeoutResult {
        let cause = self.wait_for_cause(guard, deadline);
        park::unwind_if_cancelled(cause);
        WaitTimeoutResult(cause == Cause::Timeout)
    }

    /// Why the wait ended. A cancelled goroutine has yet to unwind.
    pub(super) fn wait_for_cause<T: ?Sized>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        deadline: Option<Instant>,
    ) -> Cause {
        let mutex = guard.raw();
        let mut line = self.line.lock();
        let queue = line.state().newcomers;
        let how = How::patient(WaitReason::Condvar).until(deadline);
        // SAFETY: the caller has it, and its guard is borrowed until it is locked again.
        let unlock = || unsafe { mutex.unlock() };
        let cause = line.wait_after(queue, Place::Back, ptr::null_mut(), how, unlock, |_| {});
        let relocked = mutex.lock(|| How::determined(WaitReason::Mutex));
        debug_assert_eq!(relocked, Cause::Notified);
        cause
    }

    /// Wakes the one that has waited longest; false if nobody waits.
    pub fn notify_one(&self) -> bool {
        let mut line = self.line.lock();
        let newcomers = line.state().newcomers;
        let served = line.serve(newcomers, |_| {});
        drop(line);
        served.map(|wake| wake.wake()).is_some()
    }

    /// Wakes all that wait when it is called, and says how many it woke.
    pub fn notify_all(&self) -> usize {
        let mut count = 0;
        let mut line = self.line.lock();
        let before = line.state().flips;
        loop {
            let Turn { newcomers, flips } = *line.state();
            let flipped = 1 - newcomers;
            if flips > before + 1 {
                return count;
            }
            if let Some(wake) = line.serve(flipped, |_| {}) {
                drop(line);
                wake.wake();
                count += 1;
                line = self.line.lock();
            } else if flips > before {
                return count;
            } else {
                *line.state() = Turn { newcomers: flipped, flips: flips + 1 };
            }
        }
    }
}

impl Default for Condvar {
    fn default() -> Condvar {
        Condvar::new()
    }
}

impl fmt::Debug for Condvar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Condvar { .. }")
    }
}

impl UnwindSafe for Condvar {}
impl RefUnwindSafe for Condvar {}

#[cfg(test)]
mod tests;
