//! The same work on tokio.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use tokio::task;

/// A runtime with [`WORKERS`](crate::WORKERS) workers.
pub fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(crate::WORKERS).build().expect("a runtime")
}

/// Runs `work` as a task, hence on a worker: `block_on` alone would poll it on the calling thread, and
/// each of its spawns would go through the shared queue.
pub fn run<F>(runtime: &Runtime, work: F) -> F::Output
where
    F: Future<Output: Send> + Send + 'static,
{
    runtime.block_on(async { task::spawn(work).await.expect("no panic") })
}

struct Countdown {
    left: AtomicUsize,
    done: Notify,
}

impl Countdown {
    fn count_down(&self) {
        match self.left.fetch_sub(1, Ordering::AcqRel) {
            0 => panic!("more were counted than started"),
            1 => self.done.notify_one(),
            _ => {}
        }
    }
}

/// Spawns `count` detached tasks and waits for all.
pub async fn spawn_all(count: usize) -> Duration {
    // Leaked for the reason that `on_fibra::Countdown::leak` gives.
    let countdown: &Countdown =
        Box::leak(Box::new(Countdown { left: AtomicUsize::new(count), done: Notify::new() }));
    let start = Instant::now();
    for _ in 0..count {
        drop(task::spawn(async move { countdown.count_down() }));
    }
    countdown.done.notified().await;
    let elapsed = start.elapsed();
    assert_eq!(countdown.left.load(Ordering::Acquire), 0, "a task did not run");
    elapsed
}

/// Spawns a task and joins it, `count` times.
pub async fn spawn_join(count: usize) -> Duration {
    let start = Instant::now();
    let mut sum = 0;
    for i in 0..count {
        sum += task::spawn(async move { i }).await.expect("no panic");
    }
    let elapsed = start.elapsed();
    assert_eq!(sum, crate::sum_below(count), "a task did not run, or its result is wrong");
    elapsed
}

/// `tasks` tasks yield `times` times each.
pub async fn yield_among(tasks: usize, times: usize) -> Duration {
    let start = Instant::now();
    let handles: Vec<_> = (0..tasks)
        .map(|_| {
            task::spawn(async move {
                let mut yields = 0;
                for _ in 0..times {
                    task::yield_now().await;
                    yields += 1;
                }
                yields
            })
        })
        .collect();
    let mut yields: usize = 0;
    for handle in handles {
        yields += handle.await.expect("no panic");
    }
    let elapsed = start.elapsed();
    assert_eq!(yields, tasks * times, "a task stopped before its last yield");
    elapsed
}
