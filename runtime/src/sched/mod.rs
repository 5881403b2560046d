//! The scheduler: who runs next, on which thread.
//!
//! * `worker`: the loop of one worker thread, and what only that thread touches;
//! * `station`: what the others see of a worker;
//! * `deque`, `inbox`, `injector`, `list`: queues;
//! * `idle`, `event`: searching, sleeping and waking; `away`: nobody comes back too early;
//! * `census`: counts, and the gate that shutdown closes;
//! * `monitor`: the thread that watches the workers;
//! * `policy`: how the system schedules the workers' threads; `pull`: on which processor;
//! * `blocking`: threads for calls that block;
//! * `spawn`, `runner`: the beginning and the end of a goroutine;
//! * `default`: the runtime of those who have none; `outside`: their poller;
//! * `current`: what belongs to the calling thread.

mod away;
pub(crate) mod blocking;
mod census;
pub(crate) mod current;
pub(crate) mod default;
mod deque;
mod event;
mod idle;
mod inbox;
mod injector;
mod list;
mod monitor;
mod outside;
pub(crate) mod policy;
mod pull;
mod reference;
mod runner;
mod spawn;
mod station;
mod worker;

pub(crate) use default::{MOST_WORKERS, TaskDeadline};
pub(crate) use reference::Reference;
pub(crate) use runner::unjoined;
pub(crate) use spawn::{Settings, spawn};
pub(crate) use station::Station;
pub(crate) use worker::{Leave, Worker};

use crate::goroutine::{Affinity, GoroutineRef, WaitReason};
use crate::poll::Poller;
use crate::primitive::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use crate::primitive::{Condvar, Mutex, membarrier};
use crate::stack::StackSize;
use crate::ticket::{Claim, Kind, Runnable, Ticket};
use crate::ticket::{task, thread};
use census::{Census, Gate};
use crossbeam_utils::CachePadded;
use event::Event;
use idle::Idle;
use injector::Injector;
use list::Node;
use monitor::Monitor;
use policy::Policy;
use std::cell::Cell;
use std::fmt;
use std::io::{self, Write};
use std::panic::{self, AssertUnwindSafe};
use std::ptr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

impl Node for GoroutineRef {
    fn next(&self) -> &Cell<Option<Self>> {
        GoroutineRef::next(self)
    }

    fn prefetch(self) {
        GoroutineRef::prefetch(self);
    }

    fn into_raw(self) -> *mut () {
        self.as_ptr().cast()
    }

    fn from_raw(raw: *mut ()) -> Option<Self> {
        GoroutineRef::from_ptr(raw.cast())
    }
}

/// What a runtime was built with.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) workers: usize,
    /// How many workers may be added for stuck ones.
    pub(crate) spares: usize,
    pub(crate) stack_size: StackSize,
    pub(crate) thread_name: String,
    pub(crate) affinity: Affinity,
    pub(crate) report_stalls: bool,
}

/// One runtime, as its threads share it.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    /// The workers of the configuration, then the spare ones.
    stations: Box<[CachePadded<Station>]>,
    /// Stations below this have had a worker.
    used: AtomicUsize,
    /// These two are written by whoever spawns, searches and sleeps; each worker reads the rest at every turn.
    injector: CachePadded<Injector<GoroutineRef>>,
    idle: CachePadded<Idle>,
    gate: Gate,
    /// Fresh goroutines for which there was no stack. The monitor tries again.
    postponed: Mutex<Vec<GoroutineRef>>,
    out_of_stacks: AtomicBool,
    /// A worker stands aside for another one, and sleeps here (`worker/courtesy.rs`).
    dozing: AtomicBool,
    doze: CachePadded<Event>,
    monitor: Monitor,
    policy: Policy,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// How many of them have not ended.
    running: Mutex<usize>,
    thread_ended: Condvar,
}

/// Why a goroutine cannot be spawned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    ShuttingDown,
    OutOfStacks,
}

impl From<Refusal> for io::Error {
    fn from(refusal: Refusal) -> io::Error {
        match refusal {
            Refusal::ShuttingDown => io::Error::other("the runtime is shutting down"),
            Refusal::OutOfStacks => io::Error::new(
                io::ErrorKind::OutOfMemory,
                "no memory for more stacks: goroutines that were spawned earlier still wait for one",
            ),
        }
    }
}

/// A moment's counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts {
    pub(crate) spawned: u64,
    pub(crate) finished: u64,
    pub(crate) steals: u64,
    pub(crate) workers: usize,
}

impl Shared {
    /// Without threads.
    fn new(config: Config) -> Arc<Shared> {
        let all = config.workers + config.spares;
        Arc::new_cyclic(|weak| Shared {
            stations: (0..all)
                .map(|index| CachePadded::new(Station::new(weak.clone(), index)))
                .collect(),
            used: AtomicUsize::new(0),
            injector: CachePadded::new(Injector::new()),
            idle: CachePadded::new(Idle::new(config.workers, all)),
            gate: Gate::new(),
            postponed: Mutex::new(Vec::new()),
            out_of_stacks: AtomicBool::new(false),
            dozing: AtomicBool::new(false),
            doze: CachePadded::new(Event::new()),
            monitor: Monitor::new(),
            policy: Policy::new(),
            threads: Mutex::new(Vec::new()),
            running: Mutex::new(0),
            thread_ended: Condvar::new(),
            config,
        })
    }

    /// Starts the workers and the monitor.
    pub(crate) fn start(config: Config) -> io::Result<Arc<Shared>> {
        let shared = Shared::new(config);
        membarrier::register();
        pull::prepare();
        for index in 0..shared.config.workers {
            if let Err(error) = shared.start_worker(index) {
                shared.close();
                return Err(error);
            }
        }
        if let Err(error) = monitor::start(&shared) {
            shared.close();
            return Err(error);
        }
        // When the runtime is there, it takes no more descriptors from its user.
        shared.stations().iter().for_each(|station| station.wait_for_thread());
        Ok(shared)
    }

    /// Starts a worker at a station. False: it has one.
    fn start_worker(self: &Arc<Shared>, index: usize) -> io::Result<bool> {
        self.stations[index].prepare_poller()?;
        if !self.stations[index].occupy() {
            return Ok(false);
        }
        let name = format!("{}-{index}", self.config.thread_name);
        // Before it runs: what it does there must not be overlooked.
        self.used.fetch_max(index + 1, Ordering::SeqCst);
        let searching = self.idle.count_new_worker();
        let started = self.start_thread(name, move |shared| {
            Worker::main(shared, index, searching);
        });
        if started.is_err() {
            self.idle.discount_worker();
            // Somebody may have relied on it.
            self.notify();
            self.stations[index].vacate();
        }
        started?;
        Ok(true)
    }

    /// Starts a thread that shutdown waits for.
    fn start_thread(
        self: &Arc<Self>,
        name: String,
        main: impl FnOnce(Arc<Shared>) + Send + 'static,
    ) -> io::Result<()> {
        struct Ended(Arc<Shared>);
        impl Drop for Ended {
            fn drop(&mut self) {
                *self.0.running.lock() -= 1;
                self.0.thread_ended.notify_all();
            }
        }
        *self.running.lock() += 1;
        // Dropped with the closure if there is no thread.
        let ended = Ended(self.clone());
        let thread = policy::start_thread(name, move || {
            let ended = ended;
            main(ended.0.clone());
        })?;
        let mut threads = self.threads.lock();
        // A spare worker that has ended keeps its stack for as long as its handle is there.
        threads.retain(|thread| !thread.is_finished());
        threads.push(thread);
        Ok(())
    }

    /// The stations that have had a worker.
    fn stations(&self) -> &[CachePadded<Station>] {
        &self.stations[..self.used.load(Ordering::Relaxed)]
    }

    /// A sleeping worker, if one is needed, wakes up for what was just pushed.
    #[inline]
    fn notify(&self) {
        self.notify_unless(|| false);
    }

    /// The same after a push to a station.
    #[inline]
    fn notify_of(&self, station: &Station) {
        self.notify_unless(|| station.has_little());
    }

    #[inline(always)]
    fn notify_unless(&self, is_little: impl FnOnce() -> bool) {
        if let Some(index) = self.idle.notify(is_little) {
            self.stations[index].wake();
        }
    }

    /// A fresh goroutine from a thread that is no worker of this runtime.
    pub(crate) fn inject(&self, goroutine: GoroutineRef) -> Result<(), Refusal> {
        self.check_stacks()?;
        self.gate.enter().map_err(|census::Closed| Refusal::ShuttingDown)?;
        // Any of its workers: it only says which runtime the goroutine belongs to.
        goroutine.set_home(ptr::from_ref::<Station>(&self.stations[0]).cast_mut().cast());
        self.injector.push(goroutine);
        self.notify();
        Ok(())
    }

    #[inline]
    fn check_stacks(&self) -> Result<(), Refusal> {
        if self.out_of_stacks.load(Ordering::Relaxed) { Err(Refusal::OutOfStacks) } else { Ok(()) }
    }

    /// A resident of `station` is runnable again; the caller is another thread.
    fn hand_over(&self, station: &Station, goroutine: GoroutineRef) {
        station.inbox.push(goroutine);
        station.wake();
    }

    /// What lies at this station and others can run, goes to whoever comes first.
    fn give_away(&self, station: &Station) {
        while let Some(goroutine) = station.pop_spare() {
            self.injector.push(goroutine);
            self.notify();
        }
    }

    /// There is no stack for it now. If nobody alive has a stack to give back, it is in vain to wait: then
    /// those that wait are returned.
    fn postpone(&self, goroutine: GoroutineRef) -> Vec<GoroutineRef> {
        self.out_of_stacks.store(true, Ordering::Relaxed);
        let mut postponed = self.postponed.lock();
        postponed.push(goroutine);
        if postponed.len() as u64 == self.live() {
            self.out_of_stacks.store(false, Ordering::Relaxed);
            return std::mem::take(&mut postponed);
        }
        drop(postponed);
        self.monitor.wake();
        Vec::new()
    }

    /// Tries again with those that were postponed.
    fn retry_postponed(&self) {
        let waiting = std::mem::take(&mut *self.postponed.lock());
        self.out_of_stacks.store(false, Ordering::Relaxed);
        for goroutine in waiting {
            self.injector.push(goroutine);
            self.notify();
        }
    }

    fn census(&self) -> Census {
        Census::take(&self.gate, self.stations.iter().map(|station| &station.tally))
    }

    pub(crate) fn live(&self) -> u64 {
        self.census().live()
    }

    pub(crate) fn counts(&self) -> Counts {
        let Census { spawned, finished } = self.census();
        let workers = self.stations().iter().filter(|station| station.is_active()).count();
        let steals = self.stations.iter().map(|station| station.tally.steals()).sum();
        Counts { spawned, finished, steals, workers }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.gate.is_closed()
    }

    /// Asks every goroutine to stop, and the threads to end when all have. Does not wait.
    pub(crate) fn close(&self) {
        if self.gate.close() {
            self.wake_all();
        }
    }

    fn wake_all(&self) {
        fence(Ordering::SeqCst);
        for station in self.stations() {
            station.wake();
        }
        self.monitor.wake();
    }

    /// Waits until all threads have ended, or nearly; false when the deadline came first.
    pub(crate) fn wait_for_end(&self, deadline: Option<Instant>) -> bool {
        let mut running = self.running.lock();
        while *running != 0 {
            running = match deadline {
                None => self.thread_ended.wait(running),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return false;
                    }
                    self.thread_ended.wait_timeout(running, left)
                }
            };
        }
        true
    }

    /// The threads, for whoever waits until they have ended.
    pub(crate) fn take_threads(&self) -> Vec<JoinHandle<()>> {
        std::mem::take(&mut *self.threads.lock())
    }

    /// Whether the home of `goroutine` is a worker of this runtime.
    pub(crate) fn is_home_of(&self, goroutine: GoroutineRef) -> bool {
        self.index_of(goroutine.home()).is_some()
    }

    /// Which of this runtime's stations a goroutine has as its home.
    fn index_of(&self, home: *mut ()) -> Option<usize> {
        let home = home.cast_const().cast::<CachePadded<Station>>();
        let stations = self.stations.as_ptr_range();
        // The home is a station, so it lies in this array as a whole or not at all.
        stations.contains(&home).then(|| {
            (home.addr() - stations.start.addr()) / std::mem::size_of::<CachePadded<Station>>()
        })
    }
}

/// Tells the user something on stderr; if that is closed, there is nobody to tell.
fn report(message: fmt::Arguments<'_>) {
    let _nobody = writeln!(io::stderr(), "fibra: {message}");
}

/// Where the caller's descriptors are to be registered: its worker's poller, if it can serve it while the caller
/// waits.
pub(crate) fn poller() -> io::Result<Arc<Poller>> {
    match current::worker() {
        Some(worker) if !std::thread::panicking() => Ok(worker.station().poller().clone()),
        _ => outside::poller(),
    }
}

/// Makes a goroutine, thread or task go on whose park has ended. Never switches, never panics.
///
/// To be called without a lock of the runtime: behind the runnable may be a task, whose waker is user code.
pub(crate) fn ready(runnable: Runnable) {
    if runnable.kind() != Kind::Goroutine {
        return wake_other(runnable);
    }
    // SAFETY: just checked.
    let goroutine = unsafe { GoroutineRef::of_runnable(runnable) };
    goroutine.set_reason(WaitReason::None);
    match current::worker() {
        Some(worker) if worker.is_home_of(goroutine) => worker.ready(goroutine),
        worker => ready_elsewhere(worker, goroutine),
    }
}

// Apart, so that the usual case saves no registers for these.
#[inline(never)]
fn wake_other(runnable: Runnable) {
    match runnable.kind() {
        // SAFETY: just checked.
        Kind::Thread => unsafe { thread::wake(runnable) },
        Kind::Task => wake_task(&runnable),
        Kind::Goroutine => unreachable!("the caller has looked"),
    }
}

/// Makes a goroutine go on that is not a resident of the caller's worker.
#[inline(never)]
fn ready_elsewhere(worker: Option<&Worker>, goroutine: GoroutineRef) {
    // SAFETY: the home of a goroutine whose park was claimed is the station where it parks, and its runtime goes on for
    // as long as it has a live goroutine, which this one is until it has run again. Once it is pushed that may be over, so `home` is used after the
    // push only by the runtime's own workers and with a counted reference.
    let home = unsafe { &*goroutine.home().cast_const().cast::<Station>() };
    match worker {
        Some(worker) if home.belongs_to(worker.shared()) => match goroutine.affinity() {
            Affinity::Worker => worker.shared().hand_over(home, goroutine),
            Affinity::Any => worker.push_migratable(goroutine),
        },
        _ => home.ready_from_outside(goroutine),
    }
}

/// Wakes a task, which runs user code of somebody who has nothing to do with the caller.
///
/// The caller has done what it wanted to do: a goroutine has ended, a value was sent, a timer is due. It
/// must neither be torn by a panic of that code nor be suspended in the middle. So a panic ends here, after
/// the panic hook has reported it, and meanwhile the thread counts as a plain one, which blocks where a
/// goroutine would park. A goroutine-local value or a spawn in there is that of a plain thread, too: it
/// must not be taken for the caller's, which may have ended.
#[cold]
fn wake_task(runnable: &Runnable) {
    // SAFETY: the caller has checked the kind.
    let Some(waker) = (unsafe { task::take_waker(runnable) }) else {
        return;
    };
    let worker = current::worker();
    current::leave();
    if let Err(payload) = panic::catch_unwind(AssertUnwindSafe(|| waker.wake())) {
        runner::forget_payload(payload);
    }
    if let Some(worker) = worker {
        current::enter(worker);
    }
}

/// Whether a worker of the caller's runtime has nothing to do; may be outdated. A plain thread belongs to
/// no runtime.
#[inline]
pub(crate) fn is_anyone_idle() -> bool {
    current::worker().is_some_and(|worker| worker.shared().idle.is_anyone_idle())
}

/// Whether the goroutine that waits with this ticket stays on a worker of the caller's runtime that has
/// nothing to do; may be outdated.
pub(crate) fn can_run_at_once(ticket: Ticket) -> bool {
    let (Some(worker), Some(goroutine)) = (current::worker(), GoroutineRef::of_ticket(ticket))
    else {
        return false;
    };
    let shared = worker.shared();
    goroutine.affinity() == Affinity::Worker
        && shared.index_of(goroutine.home()).is_some_and(|index| shared.stations[index].is_idle())
}

/// Whether the goroutine stays on the caller's worker, so that it does nothing while the caller looks at it.
pub(crate) fn is_beside_caller(goroutine: GoroutineRef) -> bool {
    goroutine.affinity() == Affinity::Worker
        && goroutine.is_started()
        && current::worker().is_some_and(|worker| worker.is_here(goroutine.home()))
}

/// Makes the owner runnable if this claim won and it is parked.
#[inline]
pub(crate) fn finish_claim(claim: Claim) -> bool {
    match claim {
        Claim::Lost => false,
        Claim::Early => true,
        Claim::Won(runnable) => {
            ready(runnable);
            true
        }
    }
}
