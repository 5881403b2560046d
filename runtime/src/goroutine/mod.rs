//! The goroutine: a header, a closure that later becomes a result, and, once started, a coroutine.
//!
//! # Who may touch what
//!
//! | state | the header's `coroutine`, `next`, the closure |
//! |---|---|
//! | fresh, in a queue | whoever takes it out of the queue |
//! | running | the worker that runs it; `next` of a resident whose park is open: whoever claims it |
//! | parked | nobody, until its parker is claimed; then whoever holds the [`Runnable`] |
//! | ready, in a queue | whoever takes it out of the queue |
//! | finished | the result: the [`JoinHandle`](crate::JoinHandle); without one, the worker that ran it |
//!
//! The atomics may be touched by anybody who holds a reference.
//!
//! # Memory
//!
//! Headers live in slots of [`SLOT`] bytes that are never unmapped (`slab.rs`, `pool.rs`), and a slot never
//! becomes anything else than a header. A closure and a result that fit the rest of the slot live there,
//! so that spawning calls no allocator; larger ones get a box.
//!
//! References are counted: one for the runtime until the goroutine has finished, one for each handle
//! (`references.rs`). A [`Visit`] turns a bare slot address into a reference if there is a goroutine
//! in it that is not gone; the monitor and the shutdown find goroutines that way.

mod extra;
mod identity;
mod job;
mod joiner;
pub(crate) mod locals;
pub(crate) mod pool;
mod reason;
mod references;
mod slab;

pub(crate) use extra::{Extra, Observer};
pub use identity::GoroutineId;
pub(crate) use job::{needed_stack, new};
pub(crate) use joiner::Completion;
pub(crate) use reason::WaitReason;
pub(crate) use references::Visit;
pub(crate) use slab::SLOT;

use crate::arch;
use crate::coroutine::Coroutine;
use crate::primitive::atomic::{AtomicPtr, AtomicU8, AtomicU32, AtomicU64, Ordering};
use crate::ticket::{Parker, Runnable, Ticket};
use std::any::Any;
use std::cell::Cell;
use std::convert::Infallible;
use std::fmt;
use std::mem::MaybeUninit;
use std::panic::Location;
use std::ptr::{self, NonNull};

/// The payload of a goroutine that was cancelled: what unwinds it, and what a join gives.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Cancelled(pub(crate) ());

impl fmt::Debug for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cancelled")
    }
}

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the goroutine was cancelled")
    }
}

impl std::error::Error for Cancelled {}

/// Where a started goroutine may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Affinity {
    /// On the worker that started it: safe for thread-bound values.
    Worker,
    /// Anywhere: the unsafe opt-in.
    Any,
}

/// The coroutine that runs one goroutine after another on its stack (`sched/runner.rs`).
pub(crate) type Runner = Coroutine<Option<GoroutineRef>, Suspend, Infallible>;

/// Why a goroutine gave its worker back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Suspend {
    /// Runnable; others first.
    Yield,
    /// The same at the end of its time slice.
    Overdue,
    /// Its parker is open.
    Park,
    /// Done; the runner is free for the next goroutine. The header may be gone already, so what the
    /// worker needs of it comes along.
    Finished(Affinity),
}

/// What the closure and the result are, with their types forgotten.
struct Vtable {
    /// Runs the closure and keeps the result.
    run: unsafe fn(NonNull<Header>) -> Rest,
    /// Instead of running: drops the closure and keeps `payload` as the result.
    refuse: unsafe fn(NonNull<Header>, Box<dyn Any + Send>),
    /// Drops the result; the payload of a panic is returned.
    drop_result: unsafe fn(NonNull<Header>) -> Option<Box<dyn Any + Send>>,
    /// Moves the result to a place for a `Result<T, Box<dyn Any + Send>>`.
    take_result: unsafe fn(NonNull<Header>, *mut ()),
}

/// See the head of this file. The parker comes first: its address is that of the header.
#[repr(C)]
pub(crate) struct Header {
    parker: Parker,
    affinity: Cell<Affinity>,
    reason: AtomicU8,
    /// Fresh, started, finished or gone.
    stage: AtomicU8,
    /// How many `uncancellable` calls are active; running goroutine only.
    uncancellable: Cell<u8>,
    /// 0: the slot is free.
    references: AtomicU32,
    /// The next in whatever list it is in.
    next: Cell<Option<GoroutineRef>>,
    vtable: Cell<Option<&'static Vtable>>,
    site: Cell<&'static Location<'static>>,
    coroutine: Cell<Option<Runner>>,
    /// What the scheduler knows as the home worker; this layer does not.
    home: AtomicPtr<()>,
    /// [`joiner`]: who waits for the end, or that there was one.
    join: AtomicPtr<Parker>,
    join_generation: AtomicU64,
    id: Cell<u64>,
    /// Null, or from a box.
    extra: AtomicPtr<Extra>,
}

const FRESH: u8 = 0;
const STARTED: u8 = 1;
/// Its closure has ended. The destructor of its result may still run.
const FINISHED: u8 = 2;
/// Nothing of it runs any more; its worker is about to give its references back.
const GONE: u8 = 3;

/// A goroutine, by address. Copyable: whoever uses it knows by the table above that the goroutine is
/// alive; [`acquire`](Self::acquire) and [`release`](Self::release) count.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct GoroutineRef(NonNull<Header>);

// SAFETY: what a thread may touch through it is ruled by the state, see the head of this file.
unsafe impl Send for GoroutineRef {}

/// What a goroutine leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Rest {
    /// A value that can be forgotten.
    Nothing,
    /// Something to take or drop.
    Result,
}

impl GoroutineRef {
    fn header(&self) -> &Header {
        // SAFETY: slots are never unmapped and always hold an initialised header.
        unsafe { self.0.as_ref() }
    }

    /// The goroutine behind a runnable parker.
    ///
    /// # Safety
    /// Its kind is `Goroutine`.
    pub(crate) unsafe fn of_runnable(runnable: Runnable) -> GoroutineRef {
        GoroutineRef(runnable.parker().cast())
    }

    /// The goroutine that waits with this ticket, if it is one.
    pub(crate) fn of_ticket(ticket: Ticket) -> Option<GoroutineRef> {
        let parker = ticket.parker();
        // SAFETY: parkers are never freed.
        let is_goroutine = unsafe { parker.as_ref() }.is_goroutine();
        is_goroutine.then_some(GoroutineRef(parker.cast()))
    }

    /// For a place that needs a bare pointer.
    pub(crate) fn as_ptr(self) -> *mut Header {
        self.0.as_ptr()
    }

    /// The inverse of [`as_ptr`](Self::as_ptr).
    pub(crate) fn from_ptr(header: *mut Header) -> Option<GoroutineRef> {
        NonNull::new(header).map(GoroutineRef)
    }

    /// Its header is about to be used.
    #[inline]
    pub(crate) fn prefetch(self) {
        arch::prefetch_for_write(self.0.as_ptr().cast());
    }

    /// Where it will go on.
    ///
    /// # Safety
    /// The caller is who may touch its coroutine, and nobody else does meanwhile.
    #[inline]
    pub(crate) unsafe fn runner<'a>(self) -> Option<&'a Runner> {
        // SAFETY: slots are never unmapped, and nobody changes it by the contract above.
        unsafe { (*self.0.as_ref().coroutine.as_ptr()).as_ref() }
    }

    pub(crate) fn parker(&self) -> &Parker {
        &self.header().parker
    }

    pub(crate) fn site(self) -> &'static Location<'static> {
        self.header().site.get()
    }

    pub(crate) fn affinity(self) -> Affinity {
        self.header().affinity.get()
    }

    pub(crate) fn home(self) -> *mut () {
        self.header().home.load(Ordering::Relaxed)
    }

    pub(crate) fn set_home(self, home: *mut ()) {
        self.header().home.store(home, Ordering::Relaxed);
    }

    pub(crate) fn reason(self) -> WaitReason {
        WaitReason::of(self.header().reason.load(Ordering::Relaxed))
    }

    pub(crate) fn set_reason(self, reason: WaitReason) {
        self.header().reason.store(reason as u8, Ordering::Relaxed);
    }

    pub(crate) fn is_fresh(self) -> bool {
        self.header().stage.load(Ordering::Relaxed) == FRESH
    }

    /// Then its [`home`](Self::home) is where it has started, if it stays there.
    pub(crate) fn is_started(self) -> bool {
        self.header().stage.load(Ordering::Acquire) == STARTED
    }

    pub(crate) fn is_finished(self) -> bool {
        self.header().stage.load(Ordering::Relaxed) >= FINISHED
    }

    /// Nobody will look at the result; [`complete`](Self::complete) does this otherwise.
    pub(crate) fn set_finished(self) {
        self.header().stage.store(FINISHED, Ordering::Relaxed);
    }

    /// Visitors let it be from now on.
    pub(crate) fn set_gone(self) {
        self.header().stage.store(GONE, Ordering::Relaxed);
    }

    /// After [`set_home`](Self::set_home).
    pub(crate) fn set_started(self) {
        self.header().stage.store(STARTED, Ordering::Release);
    }

    // What follows belongs to whoever the table at the head of this file names.

    pub(crate) fn next(&self) -> &Cell<Option<GoroutineRef>> {
        &self.header().next
    }

    /// Takes what it runs on, while it is stopped. `None`: it has not started, or runs.
    #[inline]
    pub(crate) fn take_runner(&self) -> Option<Runner> {
        self.header().coroutine.take()
    }

    /// It has stopped on that. Until now it ran, and had none.
    #[inline]
    pub(crate) fn keep_runner(&self, runner: Runner) {
        let none = self.header().coroutine.replace(Some(runner));
        debug_assert!(none.is_none());
        // There is nothing to drop.
        std::mem::forget(none);
    }

    pub(crate) fn uncancellable(&self) -> &Cell<u8> {
        &self.header().uncancellable
    }

    fn vtable(self) -> &'static Vtable {
        match self.header().vtable.get() {
            Some(vtable) => vtable,
            None => unreachable!("a goroutine without a closure"),
        }
    }

    /// Runs the closure to its end, on the current stack, and keeps the result. Says whether dropping it
    /// would do anything.
    ///
    /// # Safety
    /// It was fresh, and the caller took it out of its queue.
    #[inline]
    pub(crate) unsafe fn run(self) -> Rest {
        // SAFETY: the vtable belongs to this header; the closure is there, and run once.
        unsafe { (self.vtable().run)(self.0) }
    }

    /// Ends it without running it; a join gives `payload`.
    ///
    /// # Safety
    /// As for [`run`](Self::run).
    pub(crate) unsafe fn refuse(self, payload: Box<dyn Any + Send>) {
        // SAFETY: as in `run`.
        unsafe { (self.vtable().refuse)(self.0, payload) };
    }

    /// Drops the result. The payload of a panic comes back, to be reported.
    ///
    /// # Safety
    /// It has finished, the result was not taken, and nobody else looks at it.
    pub(crate) unsafe fn drop_result(self) -> Option<Box<dyn Any + Send>> {
        // SAFETY: by the contract above.
        unsafe { (self.vtable().drop_result)(self.0) }
    }

    /// Moves the result out.
    ///
    /// # Safety
    /// * It was spawned with a closure that returns a `T`.
    /// * It has finished, the result was neither taken nor dropped, and nobody else looks at it.
    pub(crate) unsafe fn take_result<T>(self) -> Result<T, Box<dyn Any + Send>> {
        let mut result = MaybeUninit::<Result<T, Box<dyn Any + Send>>>::uninit();
        // SAFETY: by the contract above; the place has the type that the function writes.
        unsafe {
            (self.vtable().take_result)(self.0, result.as_mut_ptr().cast());
            result.assume_init()
        }
    }
}

impl fmt::Debug for GoroutineRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GoroutineRef({:p})", self.0)
    }
}

/// A slot without a goroutine.
#[must_use = "it would be lost"]
pub(crate) struct FreeSlot(GoroutineRef);

#[cfg(all(test, not(loom)))]
mod tests;
