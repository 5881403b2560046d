//! Goroutines come and go.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fibra::Goroutine;
use fibra::chan::{Sender, bounded};

use crate::{CHILDREN, fibonacci};

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

/// A goroutine spawns [`CHILDREN`], each of which spawns as many, down to `leaves` of them, a power of
/// [`CHILDREN`]; each leaf sends its number up, the others the sum of what they received.
pub fn skynet(leaves: usize) -> Duration {
    let start = Instant::now();
    let (tx, rx) = bounded(1);
    drop(fibra::spawn(move || node(0, leaves, tx)));
    let sum = rx.recv().expect("the root sends one sum");
    let elapsed = start.elapsed();
    assert_eq!(sum, crate::sum_below(leaves), "a leaf is missing");
    elapsed
}

fn node(first: usize, leaves: usize, parent: Sender<usize>) {
    let sum = if leaves == 1 {
        first
    } else {
        // Room for all, so that no child waits for its turn to send.
        let (tx, rx) = bounded(CHILDREN);
        let each = leaves / CHILDREN;
        for child in 0..CHILDREN {
            let tx = tx.clone();
            drop(fibra::spawn(move || node(first + child * each, each, tx)));
        }
        (0..CHILDREN).map(|_| rx.recv().expect("each child sends one sum")).sum()
    };
    parent.send(sum).expect("the parent waits for all its children");
}

/// Computes `trees` Fibonacci numbers, one after the other: of the two parts of each the first is forked.
pub fn fork_join(trees: usize) -> Duration {
    fibonacci::timed(trees, fib)
}

fn fib(n: u32) -> u64 {
    if n <= fibonacci::CUT {
        return fibonacci::alone(n);
    }
    let left = fibra::spawn(move || fib(n - 1));
    let right = fib(n - 2);
    left.join().expect("no panic") + right
}
