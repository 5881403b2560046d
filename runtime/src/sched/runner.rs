//! What lies at the bottom of a goroutine's stack: a loop that runs one goroutine after another.
//!
//! A goroutine that ends hands its stack, still warm, to the next one. If that is a fresh one it starts
//! without a switch; else the runner comes back to the worker with [`Suspend::Finished`], and is resumed
//! later with another goroutine.

use super::{Worker, current};
use crate::coroutine::{Coroutine, Yielder};
use crate::goroutine::{Cancelled, Completion, GoroutineRef, Rest, Runner, Suspend};
use crate::stack::{self, StackSize};
use crate::ticket::{Cause, Request};
use std::any::Any;
use std::convert::Infallible;
use std::io;
use std::mem;
use std::panic::{self, AssertUnwindSafe};

/// A runner on a stack of its own.
pub(super) fn new(size: StackSize) -> io::Result<Runner> {
    Ok(Coroutine::on_stack(stack::acquire(size)?, body))
}

/// Gives the stacks of runners back that have no goroutine, the hottest last.
///
/// # Safety
/// The last word of each was [`Suspend::Finished`], or it never ran.
pub(super) unsafe fn retire(runners: impl IntoIterator<Item = Runner>) {
    // SAFETY: the loop below owns nothing between two goroutines.
    stack::release_batch(runners.into_iter().map(|runner| unsafe { runner.abandon() }));
}

/// It is resumed with a goroutine to begin with; one that goes on needs none.
fn body(
    yielder: &Yielder<Option<GoroutineRef>, Suspend>,
    first: Option<GoroutineRef>,
) -> Infallible {
    let active = yielder.as_active();
    let mut next = first;
    loop {
        let Some(goroutine) = next else { unreachable!("a free runner gets a goroutine") };
        let affinity = goroutine.affinity();
        run_to_end(goroutine);
        next = this_worker().next_on(active, affinity).or_else(|| {
            let why = Suspend::Finished(affinity);
            // SAFETY: this is the runner's own frame, and these are its types.
            unsafe { active.suspend::<Option<GoroutineRef>, Suspend>(why) }
        });
    }
}

/// Runs a goroutine on the current stack and tells whoever waits for it. It must be the worker's current
/// one.
pub(super) fn run_to_end(goroutine: GoroutineRef) {
    // SAFETY: it is fresh and was taken out of its queue by whoever made it the current one.
    let rest = unsafe {
        if goroutine.parker().requested(Request::Cancel) {
            goroutine.refuse(Box::new(Cancelled(())));
            Rest::Result
        } else {
            goroutine.run()
        }
    };
    clear_locals(goroutine);
    finish(goroutine, rest);
}

/// Ends a goroutine that cannot run, without a stack: its closure is dropped on the worker's own.
#[cold]
pub(super) fn refuse(goroutine: GoroutineRef, payload: Box<dyn Any + Send>) {
    // SAFETY: it is fresh, and its worker took it out of its queue.
    unsafe { goroutine.refuse(payload) };
    finish(goroutine, Rest::Result);
}

/// The result is in place: tells whoever waits for it, and gives the runtime's reference back.
fn finish(goroutine: GoroutineRef, rest: Rest) {
    let mut references = 1;
    let worker;
    if goroutine.is_detached() {
        // Before it is counted as finished: the result's destructor is still part of it.
        if rest == Rest::Result {
            drop_result(goroutine);
        }
        goroutine.set_finished();
        // Asked for now: the destructor may have moved us to another worker.
        worker = this_worker();
        worker.station().tally.count_finished();
        // The handle left us its reference.
        references = 2;
    } else {
        worker = this_worker();
        // Counted before anybody can know: a runtime that is asked after a join has forgotten it.
        worker.station().tally.count_finished();
        match goroutine.complete() {
            Completion::Kept => {}
            Completion::Joined(ticket) => {
                super::finish_claim(ticket.claim(Cause::Notified));
            }
            Completion::Detached => return finish_detached(goroutine),
        }
    }
    end(goroutine, worker, references);
}

/// The handle went while the result was put in place. Its destructor counts as another goroutine.
#[cold]
fn finish_detached(goroutine: GoroutineRef) {
    this_worker().station().tally.count_spawned();
    // A shutdown cancels it if it parks.
    goroutine.set_started();
    drop_result(goroutine);
    goroutine.set_finished();
    let worker = this_worker();
    worker.station().tally.count_finished();
    end(goroutine, worker, 2);
}

#[inline]
fn end(goroutine: GoroutineRef, worker: &Worker, references: u32) {
    if let Some(observer) = goroutine.observer() {
        observer.ended();
    }
    goroutine.set_gone();
    // SAFETY: the runtime's reference, and that of a handle that left it to us.
    if let Some(slot) = unsafe { goroutine.release_some(references) } {
        worker.give_slot(slot);
    }
}

fn this_worker<'a>() -> &'a Worker {
    match current::worker() {
        Some(worker) => worker,
        None => unreachable!("goroutines run on workers"),
    }
}

/// Drops the result that nobody will look at, and the locals that its destructor may have made.
#[cold]
fn drop_result(goroutine: GoroutineRef) {
    // SAFETY: it has finished, and without a handle nobody else looks at the result.
    if let Some(payload) = unsafe { goroutine.drop_result() } {
        unjoined(goroutine, payload);
    }
    clear_locals(goroutine);
}

/// Each panic of a destructor is reported, and the other values are dropped all the same.
#[inline]
fn clear_locals(goroutine: GoroutineRef) {
    if goroutine.locals().is_some() {
        clear_all_locals(goroutine);
    }
}

#[cold]
fn clear_all_locals(goroutine: GoroutineRef) {
    while let Some(locals) = goroutine.locals()
        && let Err(payload) = panic::catch_unwind(AssertUnwindSafe(|| locals.clear()))
    {
        report_panic(goroutine, payload.as_ref());
        forget_payload(payload);
    }
}

/// Nobody will see how it ended in a join: a scope gets to know of a panic, else it is reported.
pub(crate) fn unjoined(goroutine: GoroutineRef, payload: Box<dyn Any + Send>) {
    match goroutine.observer() {
        Some(observer) if !payload.is::<Cancelled>() => observer.panicked(),
        _ => report_panic(goroutine, payload.as_ref()),
    }
    forget_payload(payload);
}

/// A payload may panic when it is dropped, with another one that may do the same; that one is leaked.
pub(super) fn forget_payload(payload: Box<dyn Any + Send>) {
    if let Err(another) = panic::catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        mem::forget(another);
    }
}

/// Nobody will see this panic in a join. A cancelled goroutine is nothing to report.
fn report_panic(goroutine: GoroutineRef, payload: &(dyn Any + Send)) {
    if payload.is::<Cancelled>() {
        return;
    }
    let message = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a payload that is no string");
    super::report(format_args!("{goroutine} panicked, and nobody joins it: {message}"));
}
