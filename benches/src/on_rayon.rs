//! The work that waits for nothing but its own parts, on rayon: its jobs cannot park. All of it runs in
//! [`ThreadPool::install`].

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::CHILDREN;
use crate::fibonacci;
use crate::job::{self, Pooled};

/// A pool of [`WORKERS`](crate::WORKERS) threads.
pub fn threads() -> ThreadPool {
    ThreadPoolBuilder::new().num_threads(crate::WORKERS).build().expect("a pool")
}

/// Spawns `count` jobs in a scope, which waits for all.
pub fn spawn_all(count: usize) -> Duration {
    let left = AtomicUsize::new(count);
    let start = Instant::now();
    rayon::scope(|s| {
        for _ in 0..count {
            s.spawn(|_| {
                left.fetch_sub(1, Ordering::AcqRel);
            });
        }
    });
    let elapsed = start.elapsed();
    assert_eq!(left.into_inner(), 0, "a job did not run");
    elapsed
}

/// A tree of parallel iterators; see `on_fibra::skynet`. Sums are returned: there are no channels.
pub fn skynet(leaves: usize) -> Duration {
    let start = Instant::now();
    let sum = node(0, leaves);
    let elapsed = start.elapsed();
    assert_eq!(sum, crate::sum_below(leaves), "a leaf is missing");
    elapsed
}

fn node(first: usize, leaves: usize) -> usize {
    if leaves == 1 {
        return first;
    }
    let each = leaves / CHILDREN;
    // A job for each child, as elsewhere: rayon would take fewer.
    let children = (0..CHILDREN).into_par_iter().with_max_len(1);
    children.map(|child| node(first + child * each, each)).sum()
}

/// Computes `trees` Fibonacci numbers, one after the other.
pub fn fork_join(trees: usize) -> Duration {
    fibonacci::timed(trees, fib)
}

fn fib(n: u32) -> u64 {
    if n <= fibonacci::CUT {
        return fibonacci::alone(n);
    }
    let (left, right) = rayon::join(|| fib(n - 1), || fib(n - 2));
    left + right
}

/// Does `jobs` jobs.
pub fn pool(jobs: usize) -> Pooled {
    let start = Instant::now();
    let (sum, computed) = (0..jobs)
        .into_par_iter()
        .map(|number| (number, job::compute()))
        .reduce(Default::default, |a: (usize, Duration), b| (a.0 + b.0, a.1 + b.1));
    let elapsed = start.elapsed();
    assert_eq!(sum, crate::sum_below(jobs), "a job was not done, or done twice");
    Pooled { elapsed, computed }
}
