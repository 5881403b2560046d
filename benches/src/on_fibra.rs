//! The work on Fibra. All of it runs inside a goroutine, that is in [`Runtime::run`].

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fibra::{Goroutine, Runtime};

/// Where started goroutines may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Affinity {
    /// On the worker that started them: Fibra's default.
    Worker,
    /// On any worker, as in Go.
    Any,
}

impl Affinity {
    /// Both, for benchmarks that run in both.
    pub const ALL: [Affinity; 2] = [Affinity::Worker, Affinity::Any];

    /// How a runtime with this affinity is called in results.
    pub fn label(self) -> &'static str {
        match self {
            Affinity::Worker => "fibra",
            Affinity::Any => "fibra-migratable",
        }
    }

    /// What `label` stands for.
    pub fn from_label(label: &str) -> Option<Affinity> {
        Affinity::ALL.into_iter().find(|affinity| affinity.label() == label)
    }
}

/// A runtime with `workers` workers and stacks of `stack_size` bytes, or the default.
pub fn runtime(workers: usize, affinity: Affinity, stack_size: Option<usize>) -> Runtime {
    let mut builder = Runtime::builder().workers(workers);
    if let Some(bytes) = stack_size {
        builder = builder.stack_size(bytes);
    }
    if affinity == Affinity::Any {
        // SAFETY: the goroutines of these benchmarks block only in `park`, `yield_now` and `join`, and
        // hold nothing there that belongs to a thread: no thread-local, no lock guard, no `!Send`.
        builder = unsafe { builder.migratable() };
    }
    builder.build().expect("a runtime")
}

/// Counts goroutines that finish, and wakes whoever waits for the last one.
#[derive(Debug)]
pub struct Countdown {
    left: AtomicUsize,
    waiter: Goroutine,
}

impl Countdown {
    /// A countdown that the calling goroutine can wait for.
    ///
    /// It is leaked, so that a goroutine holds a plain reference to it, which is what a goroutine of
    /// Go holds: a reference count for each would be measured as part of a spawn.
    pub fn leak() -> &'static Countdown {
        let waiter = fibra::current().expect("the work runs in a goroutine");
        Box::leak(Box::new(Countdown { left: AtomicUsize::new(0), waiter }))
    }

    /// Sets it to `count`. Nobody counts yet.
    pub fn start(&self, count: usize) {
        self.left.store(count, Ordering::Release);
    }

    /// One less.
    pub fn count_down(&self) {
        match self.left.fetch_sub(1, Ordering::AcqRel) {
            0 => panic!("more were counted than started"),
            1 => self.waiter.unpark(),
            _ => {}
        }
    }

    /// Parks the goroutine that made it until it is down to 0.
    pub fn wait(&self) {
        while self.left.load(Ordering::Acquire) != 0 {
            fibra::park();
        }
    }
}

/// Spawns `count` detached goroutines, each of which counts itself down, and waits for all.
pub fn spawn_counted(countdown: &'static Countdown, count: usize) {
    countdown.start(count);
    for _ in 0..count {
        drop(fibra::spawn(move || countdown.count_down()));
    }
    countdown.wait();
}

/// Spawns `count` goroutines and waits for all.
pub fn spawn_all(count: usize) -> Duration {
    let countdown = Countdown::leak();
    let start = Instant::now();
    spawn_counted(countdown, count);
    start.elapsed()
}

/// Spawns a goroutine and joins it, `count` times.
pub fn spawn_join(count: usize) -> Duration {
    let start = Instant::now();
    let mut sum = 0;
    for i in 0..count {
        sum += fibra::spawn(move || i).join().expect("no panic");
    }
    let elapsed = start.elapsed();
    assert_eq!(sum, crate::sum_below(count), "a goroutine did not run, or its result is wrong");
    elapsed
}

/// `goroutines` goroutines yield `times` times each.
pub fn yield_among(goroutines: usize, times: usize) -> Duration {
    let start = Instant::now();
    let handles: Vec<_> = (0..goroutines)
        .map(|_| {
            fibra::spawn(move || {
                let mut yields = 0;
                for _ in 0..times {
                    fibra::yield_now();
                    yields += 1;
                }
                yields
            })
        })
        .collect();
    let yields: usize = handles.into_iter().map(|handle| handle.join().expect("no panic")).sum();
    let elapsed = start.elapsed();
    assert_eq!(yields, goroutines * times, "a goroutine stopped before its last yield");
    elapsed
}
