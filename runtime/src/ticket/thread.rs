//! How a plain thread parks: the same word as a goroutine, and a condition variable to sleep on.

use super::{Cause, Kind, Parker, Runnable, Settled, Ticket};
use crate::primitive::pool::Pool;
use crate::primitive::{Condvar, Mutex};
use std::time::Instant;

/// The parker comes first: its address is that of the whole.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct ThreadParker {
    pub(crate) parker: Parker,
    lock: Mutex<()>,
    changed: Condvar,
}

/// Parkers without a thread.
static FREE: Pool<ThreadParker> = Pool::new();

impl ThreadParker {
    pub(crate) fn new() -> ThreadParker {
        ThreadParker {
            parker: Parker::new(Kind::Thread),
            lock: Mutex::new(()),
            changed: Condvar::new(),
        }
    }

    /// One for the calling thread.
    pub(crate) fn lease() -> &'static ThreadParker {
        let thread = FREE.lease(ThreadParker::new);
        thread.parker.reuse();
        thread
    }

    /// The thread ends.
    pub(crate) fn give_back(&'static self) {
        FREE.give_back(self);
    }

    /// The thread that waits with this ticket.
    ///
    /// # Safety
    /// The kind of its parker is `Thread`, so that it lies in a `ThreadParker`.
    pub(crate) unsafe fn of_ticket(ticket: Ticket) -> &'static ThreadParker {
        // SAFETY: by the contract above; thread parkers are never freed.
        unsafe { ticket.parker().cast::<ThreadParker>().as_ref() }
    }

    /// Blocks the thread until its open park ends.
    #[cold]
    pub(crate) fn block(&self, deadline: Option<Instant>) -> Cause {
        if let Settled::Ended(cause) = self.parker.settle() {
            return cause;
        }
        let mut guard = self.lock.lock();
        loop {
            if let Some(cause) = self.parker.cause() {
                return cause;
            }
            guard = match deadline {
                None => self.changed.wait(guard),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        let expired = self.parker.expire(Cause::Timeout);
                        return expired.err().unwrap_or(Cause::Timeout);
                    }
                    self.changed.wait_timeout(guard, left)
                }
            };
        }
    }
}

/// Makes a thread go on.
///
/// # Safety
/// The kind is `Thread`.
pub(crate) unsafe fn wake(runnable: Runnable) {
    // SAFETY: by the contract above.
    let thread = unsafe { ThreadParker::of_ticket(runnable.0) };
    // The lock: between the thread's look at the word and its wait nobody gets in.
    drop(thread.lock.lock());
    thread.changed.notify_one();
}

#[cfg(loom)]
mod tests;
