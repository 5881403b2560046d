//! Tasks that wait: for a lock, for the time.

use std::future;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use tokio::{task, time};

use crate::parked;
use crate::sleepers::{self, Lateness};

/// `tasks` tasks lock one mutex, add one and unlock it, `times` times each.
pub async fn mutex_among(tasks: usize, times: usize) -> Duration {
    let total: &Mutex<usize> = Box::leak(Box::new(Mutex::new(0)));
    let start = Instant::now();
    let handles: Vec<_> = (0..tasks)
        .map(|_| {
            task::spawn(async move {
                for _ in 0..times {
                    *total.lock().await += 1;
                }
            })
        })
        .collect();
    for handle in handles {
        handle.await.expect("no panic");
    }
    let elapsed = start.elapsed();
    assert_eq!(*total.lock().await, tasks * times, "two held the lock at once");
    elapsed
}

/// Spawns `count` tasks that wait for ever.
pub async fn park_all(count: usize) {
    for _ in 0..count {
        drop(task::spawn(async {
            parked::arrive();
            future::pending::<()>().await;
        }));
    }
}

/// `count` tasks sleep, for different times.
pub async fn sleepers(count: usize) -> Lateness {
    let handles: Vec<_> = (0..count)
        .map(|i| {
            task::spawn(async move {
                let wanted = sleepers::duration(i);
                let start = Instant::now();
                time::sleep(wanted).await;
                sleepers::lateness(start, wanted)
            })
        })
        .collect();
    let mut all = Lateness::default();
    for handle in handles {
        all.add(handle.await.expect("no panic"));
    }
    assert_eq!(all.woken, count, "somebody sleeps still");
    all
}
