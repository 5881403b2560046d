//! Calls that block their thread, made on another thread.

use crate::goroutine::WaitReason;
use crate::park::{self, Parking};
use crate::sched::blocking::submit;
use crate::ticket::{Cause, Ticket};
use std::panic::{self, AssertUnwindSafe};
use std::thread;

/// The call, on the frame of whoever waits for it.
struct Call<F, T> {
    closure: Option<F>,
    result: Option<thread::Result<T>>,
    ticket: Ticket,
}

/// Runs a call and ends the park of whoever waits.
///
/// # Safety
/// `call` points to a `Call<F, T>` that nobody touches until its ticket is claimed.
unsafe fn run<F: FnOnce() -> T, T>(call: *mut ()) {
    let call: *mut Call<F, T> = call.cast();
    // SAFETY: ours until the claim, after which the call is not touched again.
    let ticket = unsafe {
        if let Some(closure) = (*call).closure.take() {
            (*call).result = Some(panic::catch_unwind(AssertUnwindSafe(closure)));
        }
        (*call).ticket
    };
    park::claim(ticket, Cause::Notified);
}

/// Runs `f` on a blocking thread while the calling goroutine parks, so that the worker and its other
/// goroutines go on. For calls that block their thread: slow files, C libraries, long computations. `f`
/// may borrow; goroutine-local values inside it are those of the blocking thread. On a plain thread `f`
/// just runs.
///
/// Blocking threads are started on demand, up to 512 in the process, and end after ten idle seconds. More
/// calls than that wait for their turn. If no thread can be started at all, `f` runs where it is.
///
/// The call is not cancelled half-way: a goroutine that was cancelled meanwhile unwinds at its next park.
///
/// # Panics
/// With the panic of `f`.
///
/// ```
/// let path = String::from("Cargo.toml");
/// let text = fibra::blocking(|| std::fs::read_to_string(&path)).unwrap();
/// assert!(text.contains("[package]"));
/// ```
pub fn blocking<F, T>(f: F) -> T
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    if park::may_run_in_place().is_none() {
        return f();
    }
    let parking = Parking::open_uncancellable();
    let mut call = Call { closure: Some(f), result: None, ticket: parking.ticket() };
    // SAFETY: the closure and its result are `Send`. The call stays untouched, and alive, until the park
    // ends, which only the claim in `run` can do. `run` catches panics.
    if unsafe { submit(run::<F, T>, (&raw mut call).cast()) } {
        let cause = parking.wait(WaitReason::Blocking, None);
        debug_assert_eq!(cause, Cause::Notified);
    } else {
        // Before `f`, which may park.
        drop(parking);
    }
    match (call.result, call.closure) {
        (Some(Ok(value)), _) => value,
        (Some(Err(payload)), _) => panic::resume_unwind(payload),
        (None, Some(f)) => f(),
        (None, None) => unreachable!("a call that was taken has a result"),
    }
}
