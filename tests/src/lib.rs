//! Helpers shared by the behaviour tests in `tests/`.
//!
//! A test that goes through [`everywhere`] or [`pinned`] has the process for itself: tests of one file
//! take turns. So what is left afterwards is exactly what that test has left, and it fails for it:
//! goroutines, stacks, threads, descriptors. A watchdog ends the process when a test hangs.

pub mod child;
pub mod files;
pub mod sockets;

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread, ThreadId};
use std::time::{Duration, Instant};

use fibra::{Cancelled, Goroutine, JoinHandle, Runtime, RuntimeBuilder};

/// Longer than anything here takes, shorter than the watchdog.
pub const LONG: Duration = Duration::from_secs(10);
/// Nobody waits for the end of this.
pub const FOREVER: Duration = Duration::from_secs(86_400);
const WATCHDOG: Duration = Duration::from_secs(60);

/// One kind of runtime that a test runs on.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// How many workers.
    pub workers: usize,
    /// Whether started goroutines may move between them.
    pub migratable: bool,
    spares: bool,
    number: u64,
}

impl Setup {
    fn new(workers: usize, migratable: bool) -> Setup {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        Setup { workers, migratable, spares: true, number: NUMBER.fetch_add(1, Ordering::Relaxed) }
    }

    /// The same without spare workers: at one worker nobody else runs until whoever runs there parks or yields, even
    /// if the monitor takes it for stuck.
    pub fn without_spares(self) -> Setup {
        Setup { spares: false, ..self }
    }

    /// Settings for such a runtime.
    pub fn builder(self) -> RuntimeBuilder {
        let builder =
            Runtime::builder().workers(self.workers).thread_name(format!("t{}", self.number));
        let builder = if self.spares { builder } else { builder.spare_workers(0) };
        if self.migratable {
            // SAFETY: what runs here keeps nothing across a park that is bound to a thread: each asks
            // for `thread_id` anew, and an `Rc` is shared with nobody outside its goroutine. Tests for
            // which that is not so use `pinned`.
            unsafe { builder.migratable() }
        } else {
            builder
        }
    }

    /// Such a runtime.
    pub fn runtime(self) -> Runtime {
        self.builder().build().unwrap()
    }

    /// Runs `body` as the main goroutine of such a runtime. All others must come to their end, too.
    pub fn run<T: Send>(self, body: impl FnOnce() -> T + Send) -> T {
        self.with(|runtime| runtime.run(body))
    }

    /// Runs `body` on this plain thread with such a runtime. All goroutines must come to their end.
    pub fn with<T>(self, body: impl FnOnce(&Runtime) -> T) -> T {
        let runtime = self.runtime();
        let value = body(&runtime);
        eventually("goroutines are left", || runtime.metrics().live == 0);
        value
    }

    /// Waits, on a plain thread, until all threads of such a runtime are asleep.
    pub fn wait_for_rest(self) {
        eventually("threads do not come to rest", || are_asleep(&self.threads()));
    }

    /// Where the system tells of the threads of such a runtime.
    fn threads(self) -> Vec<PathBuf> {
        threads(&format!("t{}-", self.number))
    }
}

/// Where the system tells of the threads with such names.
fn threads(prefix: &str) -> Vec<PathBuf> {
    let is_ours = |task: &PathBuf| {
        fs::read_to_string(task.join("comm")).is_ok_and(|name| name.starts_with(prefix))
    };
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    tasks.map(|task| task.unwrap().path()).filter(is_ours).collect()
}

fn are_asleep(threads: &[PathBuf]) -> bool {
    threads.iter().all(|task| {
        // The state stands behind the name, which is in parentheses.
        let stat = fs::read_to_string(task.join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('S'))
    })
}

/// Runs a test at 1, 2 and 4 workers, with goroutines that stay on their workers and with migratable ones.
pub fn everywhere(test: impl Fn(Setup)) {
    at(&[1, 2, 4], &[false, true], WATCHDOG, test);
}

/// Runs a test at 1, 2 and 4 workers with goroutines that stay on their workers: for what is
/// thread-bound.
pub fn pinned(test: impl Fn(Setup)) {
    at(&[1, 2, 4], &[false], WATCHDOG, test);
}

/// Runs a test on these setups.
pub fn at(workers: &[usize], migratable: &[bool], limit: Duration, test: impl Fn(Setup)) {
    for &workers in workers {
        for &migratable in migratable {
            let setup = Setup::new(workers, migratable);
            alone_for(limit, &format!("{setup:?}"), || {
                let before = Usage::at_rest();
                let _told = TellOnPanic(setup);
                test(setup);
                eventually("threads are left", || setup.threads().is_empty());
                eventually("stacks are left", || Usage::now().stacks <= before.stacks);
                let descriptors = before.descriptors;
                eventually("descriptors are left", || Usage::now().descriptors <= descriptors);
            });
        }
    }
}

/// Runs a test on a plain thread, and as the main goroutine [`everywhere`]: for what needs no runtime and must
/// not mind one.
pub fn anywhere(test: fn()) {
    alone(test);
    everywhere(|setup| setup.run(test));
}

/// Runs a test once, while no other one of the same file runs. It may use the default runtime, which
/// never ends.
pub fn alone(test: impl FnOnce()) {
    alone_for(WATCHDOG, "alone", test);
}

/// While this is kept, no test of the same file runs that goes through this module.
pub fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn alone_for(limit: Duration, setup: &str, test: impl FnOnce()) {
    let _turn = turn();
    let name = thread::current().name().unwrap_or("without a name").to_owned();
    let _watchdog = watch(format!("test {name} hangs ({setup})"), limit * patience().into());
    test();
}

/// How many times longer than usual everything may take: `FIBRA_TEST_PATIENCE`, for slow machines and
/// sanitizers.
fn patience() -> u16 {
    let patience = std::env::var("FIBRA_TEST_PATIENCE").map(|text| text.parse().unwrap());
    patience.unwrap_or(1)
}

/// Says on which setup a test failed.
struct TellOnPanic(Setup);

impl Drop for TellOnPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("failed on {:?}", self.0);
        }
    }
}

/// What the process uses.
struct Usage {
    stacks: usize,
    descriptors: usize,
}

impl Usage {
    /// When the default runtime is at rest. A test that used it may have given it reason to start a spare worker, whose
    /// descriptors stay, and which may need a while to open them.
    fn at_rest() -> Usage {
        let _started = Usage::now();
        let default = || threads("fibra-");
        eventually("the default runtime does not come to rest", || {
            let first = default();
            // Whoever starts a thread may fall asleep between the look at the list and the one at itself. Then
            // the second list has the new thread.
            are_asleep(&first) && default() == first && are_asleep(&first) && default() == first
        });
        Usage::now()
    }

    fn now() -> Usage {
        /// Idle; it counts stacks for the whole process. The default runtime is started as well, so that no test
        /// is the one that leaves its descriptors.
        static PROBE: LazyLock<Runtime> = LazyLock::new(|| {
            fibra::spawn(|| ()).join().unwrap();
            Runtime::builder().workers(1).build().unwrap()
        });
        Usage {
            stacks: PROBE.metrics().stacks_in_use,
            descriptors: fs::read_dir("/proc/self/fd").unwrap().count(),
        }
    }
}

/// Ends the process with `message` unless dropped in time.
fn watch(message: String, limit: Duration) -> Sender<()> {
    let (armed, end) = mpsc::channel();
    thread::spawn(move || {
        if end.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            // Not `eprintln!`, which the test harness would keep for a report that never comes.
            let _unheard = writeln!(io::stderr(), "\nafter {limit:?}: {message}");
            process::abort();
        }
    });
    armed
}

/// Waits, on a plain thread, for what comes by itself once a test has ended.
fn eventually(otherwise: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + LONG;
    while !holds() {
        assert!(Instant::now() < deadline, "{otherwise}");
        thread::park_timeout(Duration::from_micros(200));
    }
}

/// The calling thread's id. Never inlined, so that nobody keeps what it read across a park.
#[inline(never)]
pub fn thread_id() -> ThreadId {
    thread::current().id()
}

/// The goroutine's result; a panic when it does not come to its end.
#[track_caller]
pub fn join<T>(handle: JoinHandle<T>) -> T {
    match outcome(handle) {
        Ok(value) => value,
        Err(payload) => panic!("it panicked: {}", text(payload.as_ref())),
    }
}

/// How the goroutine ended; a panic when it does not come to its end. Never runs it in place.
#[track_caller]
pub fn outcome<T>(mut handle: JoinHandle<T>) -> thread::Result<T> {
    match handle.join_timeout(LONG * patience().into()) {
        Some(outcome) => outcome,
        None => panic!("{handle:?} does not end"),
    }
}

/// Fails unless the goroutine was cancelled.
#[track_caller]
pub fn assert_cancelled<T: fmt::Debug>(outcome: thread::Result<T>) {
    match outcome {
        Ok(value) => panic!("ended with {value:?} instead of being cancelled"),
        Err(payload) if payload.is::<Cancelled>() => {}
        Err(payload) => panic!("panicked: {}", text(payload.as_ref())),
    }
}

/// Fails unless the call failed with an error of this kind.
#[track_caller]
pub fn assert_kind<T: fmt::Debug>(result: io::Result<T>, kind: io::ErrorKind) {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), kind, "{error:?}");
}

/// The message in the payload of a panic.
pub fn text(payload: &(dyn std::any::Any + Send)) -> &str {
    if let Some(text) = payload.downcast_ref::<String>() {
        text
    } else if let Some(text) = payload.downcast_ref::<&str>() {
        text
    } else if payload.is::<Cancelled>() {
        "Cancelled"
    } else {
        "no text"
    }
}

/// Something that happens once. Goroutines park until then, threads block.
#[derive(Clone, Default)]
pub struct Signal(Arc<Mutex<Waiting>>);

#[derive(Default)]
struct Waiting {
    happened: bool,
    goroutines: Vec<Goroutine>,
    threads: Vec<Thread>,
}

impl Signal {
    /// One that has not happened.
    pub fn new() -> Signal {
        Signal::default()
    }

    /// Now it happens.
    pub fn set(&self) {
        let mut waiting = self.0.lock().unwrap();
        waiting.happened = true;
        let (goroutines, threads) =
            (std::mem::take(&mut waiting.goroutines), std::mem::take(&mut waiting.threads));
        drop(waiting);
        goroutines.iter().for_each(Goroutine::unpark);
        threads.iter().for_each(Thread::unpark);
    }

    /// Whether it has happened.
    pub fn is_set(&self) -> bool {
        self.0.lock().unwrap().happened
    }

    /// Waits until it has happened. May take an `unpark` token that was meant for something else.
    pub fn wait(&self) {
        loop {
            {
                let mut waiting = self.0.lock().unwrap();
                if waiting.happened {
                    return;
                }
                match fibra::current() {
                    Some(goroutine) => waiting.goroutines.push(goroutine),
                    None => waiting.threads.push(thread::current()),
                }
            }
            fibra::park();
        }
    }
}

/// Counts the ends of its tokens.
#[derive(Clone, Default)]
pub struct Drops(Arc<AtomicUsize>);

/// Counted by [`Drops`] when it is dropped.
pub struct Token(Drops);

impl Drops {
    /// None yet.
    pub fn new() -> Drops {
        Drops::default()
    }

    /// One more thing to count.
    pub fn token(&self) -> Token {
        Token(self.clone())
    }

    /// How many were dropped so far.
    pub fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// Calls a function when it is dropped.
pub struct OnDrop<F: FnMut()>(pub F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
