//! Waiting for the end of a goroutine, and handles to it.

use crate::chan::{self, Receiver, RecvArm, Sealed, Sender, Source};
use crate::goroutine::{GoroutineId, GoroutineRef, WaitReason};
use crate::park::{self, Parking};
use crate::sched::{Reference, current, unjoined};
use crate::ticket::task::TaskPark;
use crate::ticket::{Cause, Request};
use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::panic::Location;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

/// A handle to a goroutine that says who it is, and unparks it. It keeps nothing running.
pub struct Goroutine(Reference);

impl Goroutine {
    /// Its number, unique in this process.
    pub fn id(&self) -> GoroutineId {
        self.0.0.id()
    }

    /// The name it was given.
    pub fn name(&self) -> Option<&str> {
        self.0.0.name()
    }

    /// Where it was spawned.
    pub fn spawn_site(&self) -> &'static Location<'static> {
        self.0.0.site()
    }

    /// Leaves the goroutine a token, which ends its current or next [`park`](crate::park()). There is at
    /// most one token. After its end this does nothing. Never blocks.
    pub fn unpark(&self) {
        park::request(self.0.0, Request::Unpark);
    }
}

impl Clone for Goroutine {
    fn clone(&self) -> Self {
        self.0.0.acquire();
        Goroutine(Reference(self.0.0))
    }
}

impl fmt::Debug for Goroutine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Goroutine").field("id", &self.id()).field("name", &self.name()).finish()
    }
}

/// The goroutine that the caller runs in; `None` on a plain thread.
pub fn current() -> Option<Goroutine> {
    let goroutine = current::goroutine()?;
    goroutine.acquire();
    Some(Goroutine(Reference(goroutine)))
}

/// Owns the right to join a goroutine. Dropping it detaches: the goroutine goes on, and if it panics, that
/// is reported on stderr. In `async` code it can be awaited; see [`JoinFuture`](crate::JoinFuture).
///
/// ```
/// let handle = fibra::spawn(|| 6 * 7);
/// assert_eq!(handle.join().unwrap(), 42);
/// ```
pub struct JoinHandle<T> {
    reference: ManuallyDrop<Reference>,
    /// Made by the first select that waits for it.
    watch: OnceLock<Box<Watch>>,
    /// A join_timeout has given the result.
    taken: bool,
    result: PhantomData<fn() -> T>,
}

impl<T> JoinHandle<T> {
    /// # Safety
    /// The caller hands over the handle's reference to a goroutine that was made with a closure that
    /// returns `T`. `T` is `Send`, or the handle stays on the goroutine's thread.
    pub(crate) unsafe fn new(goroutine: GoroutineRef) -> JoinHandle<T> {
        JoinHandle {
            reference: ManuallyDrop::new(Reference(goroutine)),
            watch: OnceLock::new(),
            taken: false,
            result: PhantomData,
        }
    }

    pub(crate) fn goroutine(&self) -> GoroutineRef {
        self.reference.0
    }

    /// Waits for the goroutine's end and gives its result, or the payload of its panic.
    ///
    /// Parks the calling goroutine or blocks the calling thread. If the goroutine has not started yet and
    /// is the newest one of this worker, it may run on the caller's stack, as itself, provided that enough is left:
    /// the stack size that was asked for it, or three quarters of the default. Then a cancel of the caller takes effect
    /// when the goroutine has ended; otherwise the caller unwinds at once, and the goroutine goes on without it.
    ///
    /// # Errors
    /// The payload of the panic, or [`Cancelled`](crate::Cancelled).
    ///
    /// # Panics
    /// If the goroutine joins itself: it would wait for ever.
    pub fn join(mut self) -> thread::Result<T> {
        self.unwatch();
        let goroutine = self.goroutine();
        if !goroutine.is_done() {
            let in_place =
                park::may_run_in_place().is_some_and(|worker| worker.run_in_place(goroutine));
            if in_place {
                park::unwind_if_requested();
            } else if let Err(cause) = self.wait(None, Parking::open) {
                park::unwind_if_cancelled(cause);
            }
        }
        self.take()
    }

    /// [`join`](Self::join) that only its goroutine's end ends.
    pub(crate) fn join_uncancellable(mut self) -> thread::Result<T> {
        self.unwatch();
        if !self.goroutine().is_done() {
            let _never = self.wait(None, Parking::open_uncancellable);
        }
        self.take()
    }

    /// [`join`](Self::join) that gives up after `limit`: then `None`, and the handle can be used again.
    ///
    /// # Panics
    /// As for [`join`](Self::join), and if it has given a result before.
    pub fn join_timeout(&mut self, limit: Duration) -> Option<thread::Result<T>> {
        self.unwatch();
        if !self.goroutine().is_done() {
            let deadline = Instant::now().checked_add(limit);
            if let Err(cause) = self.wait(deadline, Parking::open) {
                park::unwind_if_cancelled(cause);
                return None;
            }
        }
        Some(self.take())
    }

    /// Waits until the result is there; why it did not come.
    fn wait(&self, deadline: Option<Instant>, open: fn() -> Parking) -> Result<(), Cause> {
        let goroutine = self.goroutine();
        assert!(current::goroutine() != Some(goroutine), "a goroutine cannot join itself");
        let parking = open();
        if !goroutine.join_with(parking.ticket()) {
            return Ok(());
        }
        let cause = parking.wait(WaitReason::Join, deadline);
        if cause == Cause::Notified || !goroutine.unjoin() { Ok(()) } else { Err(cause) }
    }

    /// The result, which is there.
    pub(crate) fn take(&mut self) -> thread::Result<T> {
        assert!(!self.taken, "the result was taken by an earlier join_timeout");
        self.taken = true;
        // SAFETY: made with this type; it has finished, this handle is the only one, and the result was
        // not taken before.
        unsafe { self.goroutine().take_result::<T>() }
    }

    /// What selects wait for. The handle is shared while they do, so nobody joins meanwhile.
    fn watch(&self) -> &Watch {
        let goroutine = self.goroutine();
        self.watch.get_or_init(|| Box::new(Watch::new(goroutine)))
    }

    /// The handle is not shared any more, so no select waits.
    pub(crate) fn unwatch(&mut self) {
        if let Some(watch) = self.watch.take() {
            drop_watch(self.goroutine(), *watch);
        }
    }

    /// Whether the goroutine has finished, so that a join does not wait.
    pub fn is_finished(&self) -> bool {
        self.goroutine().is_done()
    }

    /// Its number, unique in this process.
    pub fn id(&self) -> GoroutineId {
        self.goroutine().id()
    }

    /// The name it was given.
    pub fn name(&self) -> Option<&str> {
        self.reference.0.name()
    }

    /// Asks the goroutine to stop, and returns at once. It unwinds at its current or next park (or
    /// [`yield_now`](crate::yield_now)); one that has not started never does. Joining it gives
    /// [`Cancelled`](crate::Cancelled), unless it came to its end first.
    /// [`uncancellable`](crate::uncancellable) puts that off.
    pub fn cancel(&self) {
        park::request(self.goroutine(), Request::Cancel);
    }

    /// A handle without the right to join.
    pub fn goroutine_handle(&self) -> Goroutine {
        self.goroutine().acquire();
        Goroutine(Reference(self.goroutine()))
    }
}

/// A channel that is closed when a goroutine ends, so that any number of selects can wait for that. It joins
/// as an async task would, and the task's waker closes the channel.
struct Watch {
    ended: Receiver<()>,
    /// `None`: it had ended.
    park: Option<TaskPark>,
}

/// Closes the channel when it is woken.
struct Close(Sender<()>);

impl Wake for Close {
    fn wake(self: Arc<Self>) {
        self.0.close();
    }
}

impl Watch {
    fn new(goroutine: GoroutineRef) -> Watch {
        let (sender, ended) = chan::bounded(0);
        let mut park = TaskPark::open();
        // Dropped at once, and so closed, if it has ended.
        let waker = Waker::from(Arc::new(Close(sender)));
        let waits = goroutine.join_with(park.ticket())
            && park.poll_wait(&mut Context::from_waker(&waker)).is_pending();
        Watch { ended, park: waits.then_some(park) }
    }
}

#[cold]
fn drop_watch(goroutine: GoroutineRef, watch: Watch) {
    if let Some(mut park) = watch.park
        && park.close().is_none()
    {
        // If that fails, it has ended meanwhile.
        let _unjoined = goroutine.unjoin();
    }
}

impl<T> Sealed for JoinHandle<T> {}

/// In a receive arm of a select: `Ok(())` once the goroutine has ended, so that a join does not wait.
///
/// ```
/// use std::time::Duration;
///
/// let handle = fibra::go!(|| 6 * 7);
/// fibra::select! {
///     recv(handle) -> _ => assert_eq!(handle.join().unwrap(), 42),
///     default(Duration::from_secs(60)) => panic!("it took more than a minute"),
/// }
/// ```
impl<T> Source for JoinHandle<T> {
    type Item = ();

    fn arm(&self) -> RecvArm<'_, ()> {
        RecvArm::of_end(&self.watch().ended, || ())
    }
}

impl<T> Drop for JoinHandle<T> {
    #[inline]
    fn drop(&mut self) {
        self.unwatch();
        // SAFETY: the field is not used again.
        let reference = unsafe { ManuallyDrop::take(&mut self.reference) };
        if !self.taken {
            if reference.0.detach() {
                return reference.leave();
            }
            drop_result(reference.0);
        }
    }
}

/// The result of a goroutine whose last handle goes.
#[cold]
fn drop_result(goroutine: GoroutineRef) {
    // SAFETY: it has finished, and this was the only handle.
    if let Some(payload) = unsafe { goroutine.drop_result() } {
        unjoined(goroutine, payload);
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("id", &self.id()).field("name", &self.name()).finish()
    }
}
