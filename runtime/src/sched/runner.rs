//! What lies at the bottom of a goroutine's stack: a loop that runs one goroutine after another.
//!
//! A goroutine that ends without ever having parked hands its stack, still warm, to the next one: its
//! runner comes back to the worker with [`Suspend::Finished`] and is resumed with the next goroutine.

use super::current;
use crate::coroutine::{Coroutine, Yielder};
use crate::goroutine::{Cancelled, Completion, GoroutineRef, Runner, Suspend};
use crate::stack::{self, StackSize};
use crate::ticket::{Cause, Request};
use std::any::Any;
use std::convert::Infallible;
use std::io;
use std::panic::{self, AssertUnwindSafe};

/// A runner on a stack of its own.
pub(super) fn new(size: StackSize) -> io::Result<Runner> {
    Ok(Coroutine::on_stack(stack::acquire(size)?, body))
}

/// Gives the stack of a runner back that has no goroutine.
///
/// # Safety
/// Its last word was [`Suspend::Finished`], or it never ran.
pub(super) unsafe fn retire(runner: Runner) {
    // SAFETY: the loop below owns nothing between two goroutines.
    stack::release(unsafe { runner.abandon() });
}

fn body(yielder: &Yielder<GoroutineRef, Suspend>, first: GoroutineRef) -> Infallible {
    let mut goroutine = first;
    loop {
        let affinity = goroutine.affinity();
        run_to_end(goroutine);
        let why = Suspend::Finished(affinity);
        // SAFETY: this is the runner's own frame, and these are its types.
        goroutine = unsafe {
            yielder
                .as_active()
                .suspend::<GoroutineRef, Suspend, Infallible>(why)
        };
    }
}

/// Runs a goroutine on the current stack and tells whoever waits for it. It must be the worker's current
/// one.
pub(super) fn run_to_end(goroutine: GoroutineRef) {
    // SAFETY: it is fresh and was taken out of its queue by whoever made it the current one.
    unsafe {
        if goroutine.parker().requested(Request::Cancel) {
            goroutine.refuse(Box::new(Cancelled(())));
        } else {
            goroutine.run();
        }
    }
    if let Some(locals) = goroutine.locals()
        && let Err(payload) = panic::catch_unwind(AssertUnwindSafe(|| locals.clear()))
    {
        report_panic(goroutine, payload.as_ref());
    }
    finish(goroutine);
}

/// The result is in place.
fn finish(goroutine: GoroutineRef) {
    if goroutine.is_detached() {
        // Before it is counted as finished: the result's destructor is still part of it.
        drop_result(goroutine);
        count_finished();
    } else {
        // Counted before anybody can know: a runtime that is asked after a join has forgotten it.
        count_finished();
        match goroutine.complete() {
            Completion::Kept => {}
            Completion::Joined(ticket) => {
                super::finish_claim(ticket.claim(Cause::Notified));
            }
            Completion::Detached => {
                // The handle went in this very moment. The destructor counts as another goroutine.
                count_spawned();
                drop_result(goroutine);
                count_finished();
            }
        }
    }
    if let Some(observer) = goroutine.observer() {
        observer.ended();
    }
    // SAFETY: the runtime's reference.
    if let Some(slot) = unsafe { goroutine.release() } {
        match current::worker() {
            Some(worker) => worker.give_slot(slot),
            None => unreachable!("goroutines finish on workers"),
        }
    }
}

fn drop_result(goroutine: GoroutineRef) {
    // SAFETY: it has finished, and without a handle nobody else looks at the result.
    if let Some(payload) = unsafe { goroutine.drop_result() } {
        match goroutine.observer() {
            Some(observer) => observer.panicked(),
            None => report_panic(goroutine, payload.as_ref()),
        }
    }
}

fn count_finished() {
    if let Some(worker) = current::worker() {
        worker.station().tally.count_finished();
    }
}

fn count_spawned() {
    if let Some(worker) = current::worker() {
        worker.station().tally.count_spawned();
    }
}

/// Nobody will see this panic in a join. A cancelled goroutine is nothing to report.
pub(crate) fn report_panic(goroutine: GoroutineRef, payload: &(dyn Any + Send)) {
    if payload.is::<Cancelled>() {
        return;
    }
    let message = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a payload that is no string");
    eprintln!("fibra: {goroutine} panicked, and nobody joins it: {message}");
}
