//! Goroutines that borrow from their spawner's frame.

use crate::chan::{RecvArm, Sealed, Source};
use crate::goroutine::{GoroutineId, Observer, WaitReason};
use crate::join::JoinHandle;
use crate::park::{self, Parking};
use crate::primitive::Mutex;
use crate::primitive::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use crate::sched::{Reference, Settings, spawn};
use crate::ticket::{Cause, Request, Ticket};
use std::fmt;
use std::marker::PhantomData;
use std::mem;
use std::panic::{self, AssertUnwindSafe, Location};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// What the goroutines of a scope share with it. Counted, because the last of them still holds the lock
/// when the scope goes on.
struct Members {
    pending: AtomicUsize,
    panicked: AtomicBool,
    cancelled: AtomicBool,
    /// The scope's park, once it waits.
    waiter: Mutex<Option<Ticket>>,
}

impl Observer for Members {
    fn ended(&self) {
        if self.pending.fetch_sub(1, Ordering::AcqRel) == 1 {
            // The scope leaves its ticket under this lock, then looks at `pending`: it sees our zero, or
            // we see its ticket.
            let waiter = self.waiter.lock().take();
            if let Some(ticket) = waiter {
                park::claim(ticket, Cause::Notified);
            }
        }
    }

    fn panicked(&self) {
        self.panicked.store(true, Ordering::Relaxed);
    }
}

impl Members {
    /// Waits until all have ended. When the waiting goroutine is cancelled, so are they.
    fn wait(self: &Arc<Self>) {
        let mut open: fn() -> Parking = Parking::open;
        while self.pending.load(Ordering::Acquire) != 0 {
            let parking = open();
            *self.waiter.lock() = Some(parking.ticket());
            if self.pending.load(Ordering::Acquire) == 0 {
                break;
            }
            if parking.wait(WaitReason::Scope, None) == Cause::Cancelled {
                self.cancel();
                open = Parking::open_uncancellable;
            }
        }
    }

    #[cold]
    fn cancel(self: &Arc<Self>) {
        self.cancelled.store(true, Ordering::Relaxed);
        // Whoever is spawned after our look sees the flag: a fence in `go` stands between its header and
        // its look at the flag.
        fence(Ordering::SeqCst);
        park::cancel_all(|cancel| {
            Reference::for_each_live(|&Reference(goroutine)| {
                if goroutine.observer().is_some_and(|o| std::ptr::addr_eq(&**o, &**self)) {
                    cancel(goroutine);
                }
            });
        });
    }
}

/// Where scoped goroutines are spawned; see [`scope`].
pub struct Scope<'scope, 'env: 'scope> {
    members: Arc<Members>,
    /// Invariant, as in std: a longer or shorter scope is another scope.
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

/// Runs `f` with a scope: goroutines spawned there with [`Scope::go`] may borrow whatever outlives the call
/// of `scope`. It returns when all of them have ended; until then it parks.
///
/// When the goroutine that waits is cancelled, so are those of the scope; once they have ended, it unwinds.
///
/// # Panics
/// When `f` panics, with its panic; else when a goroutine of the scope panicked whose handle was dropped.
///
/// ```
/// let mut numbers = [3, 1, 2];
/// let (low, high) = numbers.split_at_mut(1);
/// fibra::scope(|s| {
///     s.go(|| low[0] += 10);
///     s.go(|| high[0] += 10);
/// });
/// assert_eq!(numbers, [13, 11, 2]);
/// ```
pub fn scope<'env, F, T>(f: F) -> T
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
{
    let scope = Scope {
        members: Arc::new(Members {
            pending: AtomicUsize::new(0),
            panicked: AtomicBool::new(false),
            cancelled: AtomicBool::new(false),
            waiter: Mutex::new(None),
        }),
        scope: PhantomData,
        env: PhantomData,
    };
    // The wait comes before the panic goes on, so that it parks as usual (invariant 9).
    let result = panic::catch_unwind(AssertUnwindSafe(|| f(&scope)));
    scope.members.wait();
    if scope.members.cancelled.load(Ordering::Relaxed) && result.is_ok() {
        park::unwind_if_cancelled(Cause::Cancelled);
    }
    match result {
        Err(payload) => panic::resume_unwind(payload),
        Ok(_) if scope.members.panicked.load(Ordering::Relaxed) => {
            panic!("a scoped goroutine panicked")
        }
        Ok(value) => value,
    }
}

impl<'scope> Scope<'scope, '_> {
    /// Spawns a goroutine that may borrow from outside the scope.
    ///
    /// # Panics
    /// When it cannot be spawned: see [`spawn`](crate::spawn).
    #[track_caller]
    pub fn go<F, T>(&'scope self, f: F) -> ScopedJoinHandle<'scope, T>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        /// Takes the count back unless the goroutine will.
        struct Pending<'a>(&'a Members);
        impl Drop for Pending<'_> {
            fn drop(&mut self) {
                self.0.pending.fetch_sub(1, Ordering::Relaxed);
            }
        }
        self.members.pending.fetch_add(1, Ordering::Relaxed);
        let pending = Pending(&self.members);
        let settings = Settings { observer: Some(self.members.clone()), ..Settings::default() };
        // SAFETY: the closure and its result are `Send`. What they borrow outlives 'scope, and `scope`
        // does not return before `pending` is zero, which it is only when the goroutine has ended and its
        // result was dropped or is owned by a handle that lives no longer than 'scope.
        let goroutine = unsafe { spawn(None, Some(settings), Location::caller(), f) };
        match goroutine {
            Ok(goroutine) => {
                mem::forget(pending);
                // Pairs with the one in `Members::cancel`.
                fence(Ordering::SeqCst);
                if self.members.cancelled.load(Ordering::Relaxed) {
                    park::request(goroutine, Request::Cancel);
                }
                // SAFETY: the reference of the handle; the closure returns a `T`.
                let handle = unsafe { JoinHandle::new(goroutine) };
                ScopedJoinHandle { handle, scope: PhantomData }
            }
            Err(error) => panic!("cannot spawn a scoped goroutine: {error}"),
        }
    }
}

/// The right to join a goroutine of a scope. Dropping it leaves the goroutine to the scope.
pub struct ScopedJoinHandle<'scope, T> {
    handle: JoinHandle<T>,
    scope: PhantomData<&'scope mut &'scope ()>,
}

impl<T> ScopedJoinHandle<'_, T> {
    /// As [`JoinHandle::join`].
    ///
    /// # Errors
    /// The payload of its panic. The scope then does not panic for it.
    pub fn join(self) -> thread::Result<T> {
        self.handle.join()
    }

    /// As [`JoinHandle::join_timeout`].
    pub fn join_timeout(&mut self, limit: Duration) -> Option<thread::Result<T>> {
        self.handle.join_timeout(limit)
    }

    /// As [`JoinHandle::is_finished`].
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }

    /// As [`JoinHandle::id`].
    pub fn id(&self) -> GoroutineId {
        self.handle.id()
    }

    /// As [`JoinHandle::cancel`].
    pub fn cancel(&self) {
        self.handle.cancel();
    }
}

impl<T> Sealed for ScopedJoinHandle<'_, T> {}

/// In a receive arm of a select: `Ok(())` once the goroutine has ended.
impl<T> Source for ScopedJoinHandle<'_, T> {
    type Item = ();

    fn arm(&self) -> RecvArm<'_, ()> {
        self.handle.arm()
    }
}

impl fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pending = self.members.pending.load(Ordering::Relaxed);
        f.debug_struct("Scope").field("pending", &pending).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for ScopedJoinHandle<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopedJoinHandle").field("id", &self.id()).finish_non_exhaustive()
    }
}
