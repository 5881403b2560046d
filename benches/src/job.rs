//! Jobs: computing that takes a certain time.

use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::WORKERS;
use crate::process;

/// How long a job computes.
pub const LENGTH: Duration = Duration::from_micros(50);

/// What a pool did.
#[derive(Clone, Copy, Debug)]
pub struct Pooled {
    /// From the first job that was sent until the last was done.
    pub elapsed: Duration,
    /// The CPU time of the jobs themselves, together. On [`WORKERS`] workers nobody can be faster than this
    /// divided by their number.
    pub computed: Duration,
}

/// Computes for [`LENGTH`] of CPU time, whatever else the machine does meanwhile. Says for how long it really
/// was, which is a little more.
pub fn compute() -> Duration {
    let start = process::thread_cpu_time();
    let mut value = 1u64;
    loop {
        // About a microsecond: asking for the time is a system call.
        for _ in 0..1000 {
            value = value.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        }
        black_box(value);
        let used = process::thread_cpu_time() - start;
        if used >= LENGTH {
            return used;
        }
    }
}

/// The jobs on plain threads that take them off a counter: what this machine can do at this moment, without
/// a runtime and without a channel.
pub fn on_threads(jobs: usize) -> Pooled {
    let next = AtomicUsize::new(0);
    let start = Instant::now();
    let done: Vec<(usize, Duration)> = thread::scope(|s| {
        let threads: Vec<_> = (0..WORKERS).map(|_| s.spawn(|| take(&next, jobs))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    let elapsed = start.elapsed();
    let count: usize = done.iter().map(|(count, _)| count).sum();
    assert_eq!(count, jobs, "a job was not done, or done twice");
    Pooled { elapsed, computed: done.iter().map(|(_, computed)| computed).sum() }
}

fn take(next: &AtomicUsize, jobs: usize) -> (usize, Duration) {
    let mut count = 0;
    let mut computed = Duration::ZERO;
    while next.fetch_add(1, Ordering::Relaxed) < jobs {
        computed += compute();
        count += 1;
    }
    (count, computed)
}
