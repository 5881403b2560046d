//! A time limit for anything.

use crate::goroutine::Cancelled;
use crate::join::JoinHandle;
use crate::{park, sched};
use std::error::Error;
use std::fmt;
use std::io;
use std::panic::{self, AssertUnwindSafe, Location};
use std::time::Duration;

/// A [`timeout`] was over first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time limit was over first")
    }
}

impl Error for Elapsed {}

impl From<Elapsed> for io::Error {
    fn from(elapsed: Elapsed) -> io::Error {
        io::Error::new(io::ErrorKind::TimedOut, elapsed)
    }
}

/// Runs `f` as a goroutine of its own, which may borrow from the caller, and waits for its end. If that has not
/// come after `limit`, it is cancelled: it unwinds at its current or next park, and with that this returns. So
/// nothing of `f` is left behind, but an `f` that does not park, or puts its cancellation off with
/// [`uncancellable`](crate::uncancellable), takes as long as it takes.
///
/// When the caller is cancelled, so is `f`, and once that has ended the caller unwinds. With a limit of zero `f`
/// may not even begin.
///
/// # Errors
/// `f` was cancelled because the time was over. If it comes to its end in spite of that, its value counts.
///
/// # Panics
/// With the panic of `f`, or when no goroutine can be spawned: see [`spawn`](crate::spawn).
///
/// ```
/// use fibra::time::{Elapsed, timeout};
/// use std::time::Duration;
///
/// let words = ["to", "be"];
/// let (tx, rx) = fibra::chan::bounded::<&str>(0);
/// let length = timeout(Duration::from_secs(10), || words.iter().map(|word| word.len()).sum());
/// assert_eq!(length, Ok(4));
/// let answer = timeout(Duration::from_millis(5), || rx.recv());
/// assert_eq!(answer, Err(Elapsed)); // nobody has sent anything
/// # drop(tx);
/// ```
#[track_caller]
pub fn timeout<F, T>(limit: Duration, f: F) -> Result<T, Elapsed>
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    // SAFETY: the closure and its result are `Send`. What they borrow outlives this call, which ends only once
    // the goroutine has: with the outcome in hand, or by way of `cancel_and_join`, whose wait nothing else ends.
    // That includes the unwinding of a caller that is cancelled, which is caught first.
    let spawned = unsafe { sched::spawn(None, None, Location::caller(), f) };
    let mut handle = match spawned {
        // SAFETY: the reference of the handle; the closure returns a `T`.
        Ok(goroutine) => unsafe { JoinHandle::<T>::new(goroutine) },
        Err(error) => panic!("cannot spawn a goroutine: {error}"),
    };
    match panic::catch_unwind(AssertUnwindSafe(|| handle.join_timeout(limit))) {
        Ok(Some(Ok(value))) => Ok(value),
        Ok(Some(Err(payload))) => panic::resume_unwind(payload),
        Ok(None) => match cancel_and_join(handle) {
            Ok(value) => Ok(value),
            Err(payload) if payload.is::<Cancelled>() => {
                park::unwind_if_requested();
                Err(Elapsed)
            }
            Err(payload) => panic::resume_unwind(payload),
        },
        Err(cancelled) => {
            drop(cancel_and_join(handle));
            panic::resume_unwind(cancelled)
        }
    }
}

fn cancel_and_join<T>(handle: JoinHandle<T>) -> std::thread::Result<T> {
    handle.cancel();
    handle.join_uncancellable()
}
