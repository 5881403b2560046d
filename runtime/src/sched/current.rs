//! What belongs to the calling thread: the crate's only thread-locals.
//!
//! The accessors are never inlined and return values, not addresses of thread-locals. A migratable
//! goroutine may go on at another thread after each park, and LLVM assumes that a function stays on its
//! thread: an address that it computed before the park would be another thread's after it. For the same
//! reason callers ask again after everything that may park.

use super::worker::Worker;
use crate::goroutine::GoroutineRef;
use crate::goroutine::locals::Locals;
use crate::primitive::{MODELLED, Random, thread_local};
use crate::ticket::thread::ThreadParker;
use std::cell::Cell;
use std::ptr;
use std::rc::Rc;

std::thread_local! {
    static WORKER: Cell<*const Worker> = const { Cell::new(ptr::null()) };
}

thread_local! {
    static THREAD: Thread = Thread::new();
}

/// What a plain thread needs once it blocks or uses goroutine-local values.
struct Thread {
    parker: &'static ThreadParker,
    locals: Rc<Locals>,
    random: Random,
}

impl Thread {
    fn new() -> Thread {
        Thread { parker: ThreadParker::lease(), locals: Rc::default(), random: Random::new() }
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.locals.clear();
        self.parker.give_back();
    }
}

/// The worker that the caller runs on.
///
/// The reference must not be kept across anything that may park.
#[inline(never)]
pub(crate) fn worker<'a>() -> Option<&'a Worker> {
    let worker = WORKER.get();
    // SAFETY: set by `enter` to a worker that lives until `leave`, on this thread. Whoever asks runs on
    // this thread before `leave`, and by the rule above stops using it before it may run elsewhere.
    unsafe { worker.as_ref() }
}

/// The goroutine that the caller runs in.
pub(crate) fn goroutine() -> Option<GoroutineRef> {
    worker()?.current()
}

/// The calling thread is this worker from now on, until [`leave`].
pub(super) fn enter(worker: &Worker) {
    WORKER.set(worker);
}

pub(super) fn leave() {
    WORKER.set(ptr::null());
}

/// The calling thread's parker. Once its thread-locals are gone, one that is not given back.
#[inline(never)]
pub(crate) fn thread_parker() -> &'static ThreadParker {
    THREAD.try_with(|thread| thread.parker).unwrap_or_else(|_| ThreadParker::lease())
}

/// A random number: not a secret, and under loom always the same.
pub(crate) fn random() -> u64 {
    if MODELLED {
        return 0;
    }
    match worker() {
        Some(worker) => worker.next_random(),
        None => thread_random(),
    }
}

#[inline(never)]
fn thread_random() -> u64 {
    THREAD.try_with(|thread| thread.random.next()).unwrap_or_default()
}

/// The calling thread's values of goroutine-local statics; `None` once its thread-locals are gone.
#[inline(never)]
pub(crate) fn thread_locals() -> Option<Rc<Locals>> {
    THREAD.try_with(|thread| thread.locals.clone()).ok()
}
