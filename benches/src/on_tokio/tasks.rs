//! Tasks come and go.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::sync::mpsc::{self, Sender};
use tokio::task;

use crate::CHILDREN;

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

/// A tree of tasks; see `on_fibra::skynet`.
pub async fn skynet(leaves: usize) -> Duration {
    let start = Instant::now();
    let (tx, mut rx) = mpsc::channel(1);
    spawn_node(0, leaves, tx);
    let sum = rx.recv().await.expect("the root sends one sum");
    let elapsed = start.elapsed();
    assert_eq!(sum, crate::sum_below(leaves), "a leaf is missing");
    elapsed
}

/// Not `async`, so that the future of a node does not contain itself.
fn spawn_node(first: usize, leaves: usize, parent: Sender<usize>) {
    drop(task::spawn(node(first, leaves, parent)));
}

async fn node(first: usize, leaves: usize, parent: Sender<usize>) {
    let sum = if leaves == 1 {
        first
    } else {
        let (tx, mut rx) = mpsc::channel(CHILDREN);
        let each = leaves / CHILDREN;
        for child in 0..CHILDREN {
            spawn_node(first + child * each, each, tx.clone());
        }
        let mut sum = 0;
        for _ in 0..CHILDREN {
            sum += rx.recv().await.expect("each child sends one sum");
        }
        sum
    };
    parent.send(sum).await.expect("the parent waits for all its children");
}
