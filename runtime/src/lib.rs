//! Goroutines for Rust: write plain blocking code, get the concurrency of an event loop.
//!
//! Fibra runs any number of goroutines on a few worker threads. A goroutine has a stack of its own, so any
//! function can block in the middle, without `async` and without colouring what calls it. [`go!`] spawns
//! one; when it blocks, its worker runs another one.
//!
//! ```
//! use std::time::Duration;
//!
//! #[fibra::main]
//! fn main() {
//!     let squares: Vec<_> = (0..1000u64)
//!         .map(|i| {
//!             fibra::go!(move || {
//!                 fibra::sleep(Duration::from_millis(10)); // parks the goroutine, not the thread
//!                 i * i
//!             })
//!         })
//!         .collect();
//!     let sum: u64 = squares.into_iter().map(|handle| handle.join().unwrap()).sum();
//!     assert_eq!(sum, 332_833_500);
//! }
//! ```
//!
//! Sockets are in [`net`], with the names of std: a server is a goroutine for each connection. What has no
//! non-blocking form (files in `fs`, name look-ups, anything in [`blocking()`]) runs on threads of its own.
//!
//! # Soundness
//!
//! A goroutine that has not started is a closure in a queue, and any worker may take it. Once started it
//! stays on its worker thread for life. So safe code stays safe: thread-locals, `!Send` values across
//! blocking calls, C libraries and `errno` behave as on a thread. Go's freedom to move running goroutines
//! is there as an `unsafe` promise of the caller: [`Builder::migratable`] and
//! [`RuntimeBuilder::migratable`].
//!
//! One thing is different from a thread of its own: goroutines of one worker take turns at every park. An
//! API that relies on the frames of one thread being properly nested must not have a park in between:
//!
//! * The lazy initialiser of a `thread_local!` must not park. std believes that nobody else can see the value
//!   before the initialiser returns, and another goroutine of the worker could.
//! * Nor may anything park inside a thread-local scope that is opened and closed like a stack, such as
//!   `scoped_tls`.
//!
//! What staying put costs:
//!
//! * A goroutine that blocks its *thread* (a system call, a C library, `std::thread::sleep`, a lock of
//!   `std::sync`) or never gives way keeps the others that started on its worker waiting. Use [`blocking()`]
//!   for such calls and [`checkpoint`] in such loops. Everything else goes on: a monitor thread adds a
//!   worker for each that is stuck.
//! * A goroutine that blocks its thread on a `std::sync` lock held by a *parked* goroutine of the same worker
//!   waits for ever. Do not hold such locks across anything that parks.
//!
//! While a goroutine unwinds, from a panic or because it was cancelled, what it waits for in destructors
//! blocks its thread, because std counts panics for each thread. A destructor that waits for a goroutine of
//! the same worker, by a join for example, then waits for ever.
//!
//! # Limits
//!
//! Linux on x86-64 only. Stacks do not grow: 256 KiB of address space unless set otherwise, of which only
//! touched pages cost memory. An overflow ends the process with a message that names the goroutine. C code
//! without stack probes that jumps over the 20 KiB guard at once is not noticed.
//!
//! A filter for system calls (seccomp) must allow what it allowed at the start of the first runtime for as long as
//! goroutines run; without `membarrier`, if that was there at the start, the process is aborted.
//!
//! While a server and its clients, on the same machine, are short of processors, workers whose scheduling policy is
//! `SCHED_OTHER` are under `SCHED_BATCH`, unless `prctl(PR_GET_SECCOMP)` says that there is such a filter. A thread or
//! process that a goroutine starts meanwhile by std's means inherits that for good, as it does any policy. And a worker
//! that waits for a processor may be moved to another one's, by its affinity: for a moment, usually some microseconds,
//! that is the one processor. It happens only to a worker that may run on every processor of the machine, and not under
//! such a filter; a limit that is set from outside (`taskset`) at that very moment is lost.

#![cfg_attr(loom, allow(dead_code, unused_imports))]

extern crate self as fibra;

mod arch;
mod blocking;
mod builder;
pub mod chan;
pub mod context;
pub mod coroutine;
mod err_group;
pub mod fs;
mod future;
mod goroutine;
mod io;
mod join;
mod local;
pub mod net;
mod park;
mod poll;
mod primitive;
pub mod process;
mod runtime;
mod sched;
mod scope;
pub mod signal;
mod stack;
pub mod sync;
mod ticket;
pub mod time;
mod timer;
mod waitq;

pub use blocking::blocking;
pub use builder::{Builder, spawn};
pub use err_group::ErrGroup;
pub use future::{JoinFuture, block_on};
pub use goroutine::{Cancelled, GoroutineId};
pub use join::{Goroutine, JoinHandle, current};
pub use local::{CoroutineLocalKey, LocalKey};
pub use park::{checkpoint, park, park_timeout, uncancellable, yield_now};
pub use runtime::{LeftGoroutine, Metrics, Runtime, RuntimeBuilder, ShutdownReport, StackGuard};
pub use scope::{Scope, ScopedJoinHandle, scope};
pub use time::sleep;

pub use fibra_macros::{go, main, test};

/// Waits until one of several channel operations can go ahead, and does exactly that one.
///
/// ```
/// use fibra::chan::{bounded, unbounded};
/// use std::time::Duration;
///
/// let (work_tx, work_rx) = bounded(1);
/// let (log_tx, log_rx) = unbounded();
/// fibra::go!(move || work_tx.send(7).unwrap());
///
/// fibra::select! {
///     recv(work_rx) -> job => assert_eq!(job, Ok(7)),
///     recv(log_rx) -> line => println!("{}", line.unwrap_or("the log is closed")),
///     default(Duration::from_secs(60)) => panic!("nothing for a minute"),
/// }
/// # drop(log_tx);
/// ```
///
/// Receives from closed channels and sends to them are ready: their result is an error. An arm can be switched
/// off:
///
/// ```
/// use fibra::chan::{Receiver, bounded};
///
/// fn both(left: Receiver<u32>, right: Receiver<u32>) -> u32 {
///     let (mut left, mut right) = (Some(left), Some(right));
///     let mut sum = 0;
///     while left.is_some() || right.is_some() {
///         fibra::select! {
///             recv(left) -> value => match value {
///                 Ok(value) => sum += value,
///                 Err(_) => left = None,
///             },
///             recv(right) -> value => match value {
///                 Ok(value) => sum += value,
///                 Err(_) => right = None,
///             },
///         }
///     }
///     sum
/// }
///
/// let [(a, left), (b, right)] = [bounded(2), bounded(2)];
/// a.send(1).unwrap();
/// b.send(2).unwrap();
/// drop((a, b));
/// assert_eq!(both(left, right), 3);
/// ```
pub use fibra_macros::select;

/// What the macros expand to.
#[doc(hidden)]
pub mod __private {
    pub use crate::chan::macros as select;
    pub use crate::runtime::{Options, main, test};
    use crate::{Builder, JoinHandle};

    /// `go!` with options.
    #[track_caller]
    pub fn go<F, T>(builder: Builder, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        match builder.spawn(f) {
            Ok(handle) => handle,
            Err(error) => crate::builder::fail(&error),
        }
    }
}
