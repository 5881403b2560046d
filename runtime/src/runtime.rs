//! Runtimes: worker threads with their goroutines, from start to shutdown.

use crate::goroutine::{Affinity, GoroutineId};
use crate::join::JoinHandle;
use crate::sched::{self, Config, MOST_WORKERS, Reference, Settings, Shared, current};
use crate::stack::{self, GuardKind, StackSize};
use std::fmt;
use std::io;
use std::panic::{self, Location};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How a stack is protected against overflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StackGuard {
    /// `MADV_GUARD_INSTALL`: costs no memory map. Linux 6.13 and newer.
    Install,
    /// `mprotect`: two memory maps for each stack, of which the system gives about 65 thousand unless
    /// `vm.max_map_count` is raised.
    Mprotect,
}

/// Settings for a runtime; see [`Runtime::builder`].
#[derive(Debug)]
#[must_use = "a builder starts nothing until `build`"]
pub struct RuntimeBuilder {
    workers: Option<usize>,
    spares: Option<usize>,
    stack_size: Option<usize>,
    thread_name: Option<String>,
    affinity: Affinity,
    report_stalls: bool,
    guard: Option<StackGuard>,
}

impl RuntimeBuilder {
    /// How many workers make progress at a time, 1 to 4096; unless set, `FIBRA_WORKERS`, or the number of
    /// cores.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers);
        self
    }

    /// How many workers may be added for those whose goroutine blocks its thread or never gives way; 64
    /// unless set. Reaching the limit is reported on stderr.
    pub fn spare_workers(mut self, spares: usize) -> Self {
        self.spares = Some(spares);
        self
    }

    /// Stack size in bytes of goroutines that do not say otherwise, rounded up to a power of two, at least
    /// 16 KiB and at most 64 GiB; 256 KiB unless set. Only the pages that are touched cost memory.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_size = Some(bytes);
        self
    }

    /// The workers' thread names are this, a dash and a number; "fibra" unless set.
    pub fn thread_name(mut self, name: impl Into<String>) -> Self {
        self.thread_name = Some(name.into());
        self
    }

    /// Reports on stderr, once for each spawn site, a goroutine that keeps its worker for more than 10 ms
    /// without parking.
    pub fn report_stalls(mut self, report: bool) -> Self {
        self.report_stalls = report;
        self
    }

    /// How stacks are protected that are made from now on, in the whole process; unless set,
    /// `FIBRA_STACK_GUARD` (`install` or `mprotect`), or the best that the kernel offers.
    pub fn stack_guard(mut self, guard: StackGuard) -> Self {
        self.guard = Some(guard);
        self
    }

    /// Lets every goroutine of this runtime go on at another worker after it parked, as in Go.
    ///
    /// # Safety
    /// As for [`Builder::migratable`](crate::Builder::migratable), for all goroutines of this runtime.
    pub unsafe fn migratable(mut self) -> Self {
        self.affinity = Affinity::Any;
        self
    }

    pub(crate) fn config(self) -> io::Result<Config> {
        let mut config = match self.workers {
            // An explicit number does without the environment's.
            Some(workers) => Config::with_workers(workers)?,
            None => Config::from_environment()?,
        };
        if !(1..=MOST_WORKERS).contains(&config.workers) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("a runtime has 1 to {MOST_WORKERS} workers, not {}", config.workers),
            ));
        }
        if let Some(bytes) = self.stack_size {
            config.stack_size = StackSize::new(bytes)?;
        }
        if let Some(spares) = self.spares {
            config.spares = spares.min(MOST_WORKERS);
        }
        if let Some(name) = self.thread_name {
            if name.contains('\0') {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "a thread name cannot contain a NUL character",
                ));
            }
            config.thread_name = name;
        }
        match self.guard {
            Some(StackGuard::Install) => stack::force_guard(GuardKind::Install),
            Some(StackGuard::Mprotect) => stack::force_guard(GuardKind::Mprotect),
            None => {}
        }
        config.affinity = self.affinity;
        config.report_stalls = self.report_stalls;
        Ok(config)
    }

    /// Starts the runtime's threads.
    ///
    /// # Errors
    /// `InvalidInput` for settings or environment variables that cannot be, and what the system says when a
    /// thread cannot be started.
    pub fn build(self) -> io::Result<Runtime> {
        Ok(Runtime { shared: Shared::start(self.config()?)?, waits: true })
    }
}

/// Worker threads and their goroutines.
///
/// Dropping it stops it: nothing can be spawned any more, goroutines that have not started never will,
/// parked ones unwind on their own workers, running ones at their next park. The drop waits until all have
/// ended; one that never parks keeps it waiting, see [`shutdown_timeout`](Self::shutdown_timeout). When one
/// of its own goroutines drops it, that one cannot wait for itself: the runtime then stops without being
/// waited for.
///
/// ```
/// let runtime = fibra::Runtime::builder().workers(2).build()?;
/// let words = vec!["to", "be"];
/// let length = runtime.run(|| {
///     fibra::scope(|s| {
///         let handles: Vec<_> = words.iter().map(|word| s.go(|| word.len())).collect();
///         handles.into_iter().map(|handle| handle.join().unwrap()).sum::<usize>()
///     })
/// });
/// assert_eq!(length, 4);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Runtime {
    shared: Arc<Shared>,
    /// The drop waits for the threads.
    waits: bool,
}

/// What a [`Runtime`] is doing. Counts are exact when nothing happens meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// Threads that run goroutines now: those it was built with, and spare ones.
    pub workers: usize,
    /// Goroutines that were spawned.
    pub spawned: u64,
    /// Goroutines that have ended.
    pub finished: u64,
    /// Goroutines that have not ended.
    pub live: u64,
    /// How often a worker took work from another one.
    pub steals: u64,
    /// Stacks in use in the whole process, also those that workers keep for the next goroutines.
    pub stacks_in_use: usize,
    /// Stacks in the whole process that wait for use.
    pub stacks_pooled: usize,
}

/// What [`Runtime::shutdown_timeout`] left behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Goroutines that had not ended. Their threads go on until they do.
    pub left: Vec<LeftGoroutine>,
}

impl ShutdownReport {
    /// Whether everything has ended.
    pub fn is_complete(&self) -> bool {
        self.left.is_empty()
    }
}

/// A goroutine that had not ended when a shutdown gave up waiting.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeftGoroutine {
    /// Its number.
    pub id: GoroutineId,
    /// The name it was given.
    pub name: Option<String>,
    /// Where it was spawned.
    pub spawn_site: &'static Location<'static>,
    /// What it was doing: running, or what it was parked in.
    pub state: &'static str,
}

impl Runtime {
    /// Settings first, then [`RuntimeBuilder::build`].
    pub fn builder() -> RuntimeBuilder {
        RuntimeBuilder {
            workers: None,
            spares: None,
            stack_size: None,
            thread_name: None,
            affinity: Affinity::Worker,
            report_stalls: false,
            guard: None,
        }
    }

    /// Runs `f` as a goroutine named "main" and waits for its end, not for that of the goroutines it
    /// spawns. Blocks the calling thread, or parks the calling goroutine; so `f` may borrow.
    ///
    /// # Panics
    /// With the panic of `f`, or when `f` cannot be spawned.
    #[track_caller]
    pub fn run<F, T>(&self, f: F) -> T
    where
        F: FnOnce() -> T + Send,
        T: Send,
    {
        run_on(&self.shared, f)
    }

    /// Spawns a goroutine on this runtime, from anywhere.
    ///
    /// # Panics
    /// When it cannot be spawned; a runtime that still exists is not shutting down.
    #[track_caller]
    pub fn spawn<F, T>(&self, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        // SAFETY: the closure and its result are `Send` and borrow nothing. The reference is the handle's.
        unsafe {
            match sched::spawn(Some(&self.shared), None, Location::caller(), f) {
                Ok(goroutine) => JoinHandle::new(goroutine),
                Err(error) => crate::builder::fail(&error),
            }
        }
    }

    /// What it is doing.
    pub fn metrics(&self) -> Metrics {
        let counts = self.shared.counts();
        let stacks = stack::census();
        Metrics {
            workers: counts.workers,
            spawned: counts.spawned,
            finished: counts.finished,
            live: counts.spawned.saturating_sub(counts.finished),
            steals: counts.steals,
            stacks_in_use: stacks.in_use,
            stacks_pooled: stacks.pooled,
        }
    }

    /// Stops it as a drop does, but waits no longer than `limit`, and says what was left. What is left goes
    /// on, is still asked to stop, and keeps its threads until it does.
    ///
    /// Called from one of its own goroutines it does not wait at all.
    pub fn shutdown_timeout(mut self, limit: Duration) -> ShutdownReport {
        self.shared.close();
        let deadline = Instant::now().checked_add(limit);
        self.waits = false;
        if wait_for_threads(&self.shared, deadline) {
            ShutdownReport::default()
        } else {
            ShutdownReport { left: left(&self.shared) }
        }
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.shared.close();
        if self.waits {
            wait_for_threads(&self.shared, None);
        }
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").field("metrics", &self.metrics()).finish()
    }
}

/// Waits for the end of all threads; false when that takes longer, or the caller runs on one of them.
fn wait_for_threads(shared: &Arc<Shared>, deadline: Option<Instant>) -> bool {
    if current::worker().is_some_and(|worker| Arc::ptr_eq(worker.shared(), shared)) {
        return false;
    }
    let shared = shared.clone();
    // A goroutine of another runtime parks meanwhile. A closed runtime starts no more threads than those
    // that the monitor may just be starting, so once is not enough.
    crate::blocking::blocking(move || {
        loop {
            if !shared.wait_for_end(deadline) {
                return false;
            }
            let threads = shared.take_threads();
            if threads.is_empty() {
                return true;
            }
            for thread in threads {
                let _ended = thread.join();
            }
        }
    })
}

fn left(shared: &Shared) -> Vec<LeftGoroutine> {
    let mut left = Vec::new();
    Reference::for_each_live(|&Reference(goroutine)| {
        if !goroutine.is_finished() && shared.is_home_of(goroutine) {
            left.push(LeftGoroutine {
                id: goroutine.id(),
                name: goroutine.name().map(str::to_owned),
                spawn_site: goroutine.site(),
                state: goroutine.reason().name(),
            });
        }
    });
    left.sort_by_key(|goroutine| goroutine.id);
    left
}

#[track_caller]
fn run_on<F, T>(shared: &Arc<Shared>, f: F) -> T
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    let settings = Settings { name: Some("main".into()), ..Settings::default() };
    // SAFETY: the closure and its result are `Send`. What they borrow outlives this call, which does not
    // return before the goroutine has ended: that wait cannot be cancelled, and does not unwind.
    let handle = unsafe {
        match sched::spawn(Some(shared), Some(settings), Location::caller(), f) {
            Ok(goroutine) => JoinHandle::<T>::new(goroutine),
            Err(error) => crate::builder::fail(&error),
        }
    };
    match handle.join_uncancellable() {
        Ok(value) => value,
        Err(payload) => panic::resume_unwind(payload),
    }
}

/// The options of `#[fibra::main]` and `#[fibra::test]`.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// As [`RuntimeBuilder::workers`].
    pub workers: Option<usize>,
    /// As [`RuntimeBuilder::stack_size`].
    pub stack: Option<usize>,
}

impl Options {
    fn builder(self) -> RuntimeBuilder {
        let mut builder = Runtime::builder();
        builder.workers = self.workers;
        builder.stack_size = self.stack;
        builder
    }
}

/// What `#[fibra::main]` expands to: the default runtime, with these options, runs `f`. When it returns,
/// `main` returns, and the process ends with all its other goroutines.
#[doc(hidden)]
#[track_caller]
pub fn main<F, T>(options: Options, f: F) -> T
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    match sched::default::runtime_with(|| options.builder().config()) {
        Ok(shared) => run_on(shared, f),
        Err(error) => panic!("cannot start the runtime: {error}"),
    }
}

/// What `#[fibra::test]` expands to: a runtime of its own runs `f` and is dropped.
#[doc(hidden)]
#[track_caller]
pub fn test<F, T>(options: Options, f: F) -> T
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    match options.builder().build() {
        Ok(runtime) => runtime.run(f),
        Err(error) => panic!("cannot start the runtime: {error}"),
    }
}
