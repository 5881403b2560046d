//! The narrow waist of blocking: suspend this goroutine or this thread, until somebody decides.
//!
//! Every blocking call is the same three steps.
//!
//! * Open: [`Parking::open`] gives a [`Ticket`], which the caller leaves where somebody will claim it.
//! * Wait: [`Parking::wait`] comes back with the cause for which the park ended.
//! * Clean up: the caller takes back what it left, and then looks at the cause.
//!
//! A park that is not waited for, because there is nothing to wait for any more, ends with the [`Parking`].
//!
//! A plain thread waits in the same way, and so does a goroutine that is unwinding: std counts panics for
//! each thread, so another goroutine that ran meanwhile would believe that it panics (invariant 9).

use crate::goroutine::{Affinity, Cancelled, GoroutineRef, Suspend, WaitReason};
use crate::primitive::membarrier;
use crate::sched::{self, Leave, Reference, Station, current};
use crate::ticket::thread::ThreadParker;
use crate::ticket::{Cause, Listen, Request, Settled, Ticket};
use std::mem::ManuallyDrop;
use std::panic;
use std::thread;
use std::time::{Duration, Instant};

/// An open park of the caller.
#[must_use]
pub(crate) struct Parking {
    // Fits two registers. Whose park it is can be read from there.
    ticket: Ticket,
}

enum Owner {
    /// If it stays on its worker, it is parked in advance (`ticket/mod.rs`).
    Goroutine(GoroutineRef),
    Thread(&'static ThreadParker),
}

/// The caller, if it is a goroutine that may switch.
fn switchable() -> Option<GoroutineRef> {
    let goroutine = current::goroutine()?;
    if thread::panicking() { None } else { Some(goroutine) }
}

impl Parking {
    /// Begins a park. A cancelled goroutine ends it at once, unless cancellation is put off.
    #[inline]
    pub(crate) fn open() -> Parking {
        Parking::open_listening(Listen::CANCEL)
    }

    /// One that only a claim or the deadline ends.
    pub(crate) fn open_uncancellable() -> Parking {
        Parking::open_listening(Listen::NONE)
    }

    fn open_listening(listen: Listen) -> Parking {
        let Some(goroutine) = switchable() else {
            return Parking::of_thread(listen);
        };
        let listen = if goroutine.uncancellable().get() == 0 { listen } else { listen.deaf() };
        let ticket = match goroutine.affinity() {
            Affinity::Worker => goroutine.parker().open_parked(listen),
            Affinity::Any => goroutine.parker().open(listen),
        };
        Parking { ticket }
    }

    // Apart, as the rest is inlined for goroutines.
    #[cold]
    #[inline(never)]
    fn of_thread(listen: Listen) -> Parking {
        Parking { ticket: current::thread_parker().parker.open(listen.deaf()) }
    }

    #[inline]
    fn owner(&self) -> Owner {
        match GoroutineRef::of_ticket(self.ticket) {
            Some(goroutine) => Owner::Goroutine(goroutine),
            // SAFETY: only goroutines and threads open a `Parking`.
            None => Owner::Thread(unsafe { ThreadParker::of_ticket(self.ticket) }),
        }
    }

    pub(crate) fn ticket(&self) -> Ticket {
        self.ticket
    }

    /// Waits until the park ends, or until the deadline. One in the past ends it at once, unless it has
    /// ended otherwise before.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn wait(self, reason: WaitReason, deadline: Option<Instant>) -> Cause {
        let ticket = self.ticket;
        // SAFETY: one after the other.
        unsafe { self.begin_wait(reason, deadline).end(ticket) }
    }

    /// Waits, or prepares for it.
    ///
    /// # Safety
    /// If it is told to leave, the goroutine [goes](Leave::go) to park before it does anything else.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) unsafe fn begin_wait(
        self,
        reason: WaitReason,
        deadline: Option<Instant>,
    ) -> Waiting {
        let parking = ManuallyDrop::new(self);
        match (parking.owner(), deadline) {
            (Owner::Thread(thread), deadline) => Waiting::Over(thread.block(deadline)),
            // SAFETY: by the contract above.
            (Owner::Goroutine(goroutine), None) => unsafe { begin_to_park(goroutine, reason) },
            (Owner::Goroutine(goroutine), Some(deadline)) => {
                Waiting::Over(parking.suspend_until(goroutine, reason, deadline))
            }
        }
    }

    // Apart: the frame of a wait without a deadline is to be small, as it is what lies on the stacks of those that wait.
    #[inline(never)]
    fn suspend_until(
        &self,
        goroutine: GoroutineRef,
        reason: WaitReason,
        deadline: Instant,
    ) -> Cause {
        if deadline <= Instant::now() {
            let cancelled = is_cancelled(goroutine);
            let cause = self.expire(if cancelled { Cause::Cancelled } else { Cause::Timeout });
            if matches!(reason, WaitReason::Sleep | WaitReason::Park) {
                give_way();
            }
            return cause;
        }
        let Some(worker) = current::worker() else { unreachable!("a goroutine runs on a worker") };
        let station: *const Station = worker.station();
        let key = worker.station().insert_timer(deadline, self.ticket);
        // SAFETY: one after the other.
        let cause = unsafe { begin_to_park(goroutine, reason).end(self.ticket) };
        if cause != Cause::Timeout {
            // SAFETY: a station lives as long as its runtime, which goes on as long as this goroutine.
            unsafe { &*station }.cancel_timer(key);
        }
        cause
    }

    /// Gives up waiting, for that reason; says how the park really ended.
    #[cold]
    fn expire(&self, reason: Cause) -> Cause {
        debug_assert!(self.ticket.is_latest(), "the caller has parked while this was open");
        let goroutine = match self.owner() {
            Owner::Goroutine(goroutine) => goroutine,
            Owner::Thread(thread) => return thread.parker.expire(reason).err().unwrap_or(reason),
        };
        match (goroutine.parker().expire(reason), goroutine.affinity()) {
            (Ok(()), _) => reason,
            // It was made runnable, and is not to go on before its turn.
            (Err(_), Affinity::Worker) => switch_away(goroutine, WaitReason::None),
            (Err(cause), Affinity::Any) => cause,
        }
    }
}

impl Drop for Parking {
    fn drop(&mut self) {
        self.expire(Cause::Notified);
    }
}

/// Whoever would park in a loop, and never does because each park ends before, is no hog for that.
#[cold]
fn give_way() {
    if let Some(worker) = current::worker() {
        worker.suspend(Suspend::Yield);
    }
}

/// How a wait began.
pub(crate) enum Waiting {
    /// The goroutine has to leave. When it runs again, the wait [has ended](end_wait).
    Leave(Leave),
    /// It has ended for that cause.
    Over(Cause),
}

impl Waiting {
    /// Goes if it has to, and says why the park of this ticket has ended.
    ///
    /// # Safety
    /// That park has just begun so for the caller, and nothing has happened since.
    #[cfg_attr(not(debug_assertions), inline(always))]
    unsafe fn end(self, ticket: Ticket) -> Cause {
        match self {
            Waiting::Over(cause) => cause,
            Waiting::Leave(leave) => {
                // SAFETY: by the contract above.
                unsafe { leave.go(Suspend::Park) };
                end_wait(ticket)
            }
        }
    }
}

/// # Safety
/// As for [`Parking::begin_wait`].
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn begin_to_park(goroutine: GoroutineRef, reason: WaitReason) -> Waiting {
    if goroutine.affinity() == Affinity::Worker
        && let Settled::Ended(cause) = goroutine.parker().look_at_requests()
    {
        give_way();
        return Waiting::Over(cause);
    }
    // SAFETY: by the contract above.
    Waiting::Leave(unsafe { prepare_to_leave(goroutine, reason) })
}

/// # Safety
/// As for [`Worker::prepare`](sched::Worker::prepare), which it is for [`Suspend::Park`].
#[cfg_attr(not(debug_assertions), inline(always))]
unsafe fn prepare_to_leave(goroutine: GoroutineRef, reason: WaitReason) -> Leave {
    debug_assert!(!thread::panicking(), "nothing panics while a park is open");
    let Some(worker) = current::worker() else { unreachable!("a goroutine runs on a worker") };
    goroutine.set_reason(reason);
    // SAFETY: by the contract above.
    unsafe { worker.prepare(Suspend::Park) }
}

/// Why the park of this ticket has ended, whose owner is a goroutine that has left and runs again.
#[inline]
pub(crate) fn end_wait(ticket: Ticket) -> Cause {
    match GoroutineRef::of_ticket(ticket) {
        Some(goroutine) => end_park(goroutine),
        None => unreachable!("a thread does not leave"),
    }
}

#[inline]
fn end_park(goroutine: GoroutineRef) -> Cause {
    // Once more, for the case that it was made runnable before it said why it waits.
    goroutine.set_reason(WaitReason::None);
    match goroutine.parker().cause() {
        Some(cause) => cause,
        None => unreachable!("a goroutine goes on only when its park has ended"),
    }
}

/// Lets others run until somebody makes the goroutine runnable.
fn switch_away(goroutine: GoroutineRef, reason: WaitReason) -> Cause {
    // SAFETY: one after the other.
    unsafe { prepare_to_leave(goroutine, reason).go(Suspend::Park) };
    end_park(goroutine)
}

/// Unwinds the goroutine if that is why its park ended. To be called after the clean-up.
#[inline]
pub(crate) fn unwind_if_cancelled(cause: Cause) {
    if cause == Cause::Cancelled {
        unwind();
    }
}

/// Whether the goroutine is to unwind at its next park.
fn is_cancelled(goroutine: GoroutineRef) -> bool {
    goroutine.parker().requested(Request::Cancel) && goroutine.uncancellable().get() == 0
}

/// For a wait that came to its end without a park.
pub(crate) fn unwind_if_requested() {
    if switchable().is_some_and(is_cancelled) {
        unwind();
    }
}

#[cold]
fn unwind() -> ! {
    // Not a panic to report: no hook runs.
    panic::resume_unwind(Box::new(Cancelled(())))
}

/// Gives other goroutines of this worker a chance to run; on a plain thread, other threads.
///
/// A goroutine that was cancelled unwinds here.
pub fn yield_now() {
    match (current::worker(), thread::panicking()) {
        (Some(worker), false) => yield_from(worker, Suspend::Yield),
        _ => thread::yield_now(),
    }
}

#[inline]
fn yield_from(worker: &sched::Worker, why: Suspend) {
    let Some(goroutine) = worker.current() else {
        return;
    };
    worker.suspend(why);
    // From here on `worker` may be somebody else's.
    if is_cancelled(goroutine) {
        unwind();
    }
}

/// Yields if the goroutine's time slice is over: 10 ms, less if others wait on its worker. Otherwise it costs next
/// to nothing. For long loops that never block: without it they keep their worker from everything else that
/// started there.
///
/// A goroutine that was cancelled unwinds here when it yields. On a plain thread this does nothing.
#[inline]
pub fn checkpoint() {
    if let Some(worker) = current::worker()
        && worker.is_overdue()
    {
        end_time_slice();
    }
}

#[cold]
#[inline(never)]
fn end_time_slice() {
    if let (Some(worker), false) = (current::worker(), thread::panicking()) {
        yield_from(worker, Suspend::Overdue);
    }
}

/// Parks the calling goroutine, or blocks the calling plain thread, until its token is there, and takes
/// it: [`Goroutine::unpark`](crate::Goroutine::unpark) leaves one for a goroutine. Like
/// [`std::thread::park`], but it never returns without a token.
///
/// A plain thread has no handle by which anybody could unpark it: there this is
/// [`std::thread::park`].
///
/// A goroutine that was cancelled unwinds here.
pub fn park() {
    park_until(None);
}

/// [`park`] that gives up after `limit`.
pub fn park_timeout(limit: Duration) {
    match Instant::now().checked_add(limit) {
        Some(deadline) => park_until(Some(deadline)),
        None => park_until(None),
    }
}

fn park_until(deadline: Option<Instant>) {
    let Some(goroutine) = current::goroutine() else {
        match deadline {
            None => thread::park(),
            Some(deadline) => {
                thread::park_timeout(deadline.saturating_duration_since(Instant::now()));
            }
        }
        return;
    };
    if goroutine.parker().take(Request::Unpark) {
        return;
    }
    if thread::panicking() {
        // Tokens come to the goroutine's parker, and this park waits on the thread's. It is the rare park
        // of a destructor during a panic, so it may poll.
        while !goroutine.parker().take(Request::Unpark) {
            let now = Instant::now();
            if deadline.is_some_and(|deadline| deadline <= now) {
                return;
            }
            let next_look = now + Duration::from_millis(1);
            Parking::open_uncancellable().wait(WaitReason::Park, Some(next_look));
        }
        return;
    }
    let cause = Parking::open_listening(Listen::CANCEL.and(Listen::UNPARK))
        .wait(WaitReason::Park, deadline);
    if cause == Cause::Notified {
        goroutine.parker().take(Request::Unpark);
    }
    unwind_if_cancelled(cause);
}

/// Puts cancellation off while `f` runs: parks inside end only by what they wait for. Nests.
///
/// ```
/// let worker = fibra::go!({
///     fibra::uncancellable(|| fibra::sleep(std::time::Duration::from_millis(20)));
///     fibra::sleep(std::time::Duration::from_secs(60)); // ends here
/// });
/// worker.cancel();
/// assert!(worker.join().unwrap_err().is::<fibra::Cancelled>());
/// ```
pub fn uncancellable<T>(f: impl FnOnce() -> T) -> T {
    /// Counts as a reference: a coroutine that is suspended in `f` may outlive the goroutine.
    struct Restore(Reference);
    impl Drop for Restore {
        fn drop(&mut self) {
            // Such a coroutine may also go on in another goroutine, whose depth is its own.
            if current::goroutine() == Some(self.0.0) {
                let depth = self.0.0.uncancellable();
                depth.set(depth.get().saturating_sub(1));
            }
        }
    }
    let Some(goroutine) = current::goroutine() else {
        return f();
    };
    let depth = goroutine.uncancellable();
    let Some(deeper) = depth.get().checked_add(1) else {
        panic!("uncancellable is nested more than 255 times");
    };
    depth.set(deeper);
    goroutine.acquire();
    let _restore = Restore(Reference(goroutine));
    f()
}

/// Ends the park of `ticket` with `cause`, and makes its owner runnable. False when it had ended.
pub(crate) fn claim(ticket: Ticket, cause: Cause) -> bool {
    sched::finish_claim(ticket.claim(cause))
}

/// Sends a request to a goroutine, and makes it runnable if that ends its park.
pub(crate) fn request(goroutine: GoroutineRef, request: Request) {
    let parker = goroutine.parker();
    sched::finish_claim(if sched::is_beside_caller(goroutine) {
        parker.request_from_its_thread(request)
    } else {
        parker.request(request)
    });
}

/// Sends a cancel to all goroutines that `each` calls its argument with. It is called twice; those that came to it only
/// the second time are left out.
pub(crate) fn cancel_all(each: impl Fn(&dyn Fn(GoroutineRef))) {
    each(&|goroutine| goroutine.parker().set_request(Request::Cancel));
    membarrier::heavy();
    each(&|goroutine| {
        if goroutine.parker().requested(Request::Cancel) {
            sched::finish_claim(goroutine.parker().end_for(Request::Cancel));
        }
    });
}

/// The caller's worker, if a fresh goroutine may run on the caller's stack.
pub(crate) fn may_run_in_place<'a>() -> Option<&'a sched::Worker> {
    switchable()?;
    current::worker()
}
