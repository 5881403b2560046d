//! Channels and mutexes that nobody else uses at that moment: what a fast path costs.
//!
//! Fibra's run in a goroutine, tokio's in a task, the others, which would block them, on a plain thread.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use fibra_benches::on_fibra::{self, Affinity};
use fibra_benches::{CAPACITY, on_tokio};

/// The time of `iterations` calls of `operation`, each of which gets what the one before came to; together
/// they add one each.
#[inline]
fn chain(iterations: u64, mut operation: impl FnMut(u64) -> u64) -> Duration {
    let mut number = 0;
    let start = Instant::now();
    for _ in 0..iterations {
        number = operation(black_box(number));
    }
    let elapsed = start.elapsed();
    assert_eq!(number, iterations, "an operation was left out");
    elapsed
}

/// An iteration sends a number into an empty channel that has room, and receives it.
fn send_recv(c: &mut Criterion) {
    let mut group = c.benchmark_group("send_recv");
    for affinity in Affinity::ALL {
        group.bench_function(affinity.label(), |b| {
            let runtime = on_fibra::runtime(1, affinity, None);
            b.iter_custom(|iterations| {
                runtime.run(|| {
                    let (tx, rx) = fibra::chan::bounded(CAPACITY);
                    chain(iterations, |number| {
                        tx.send(number + 1).expect("it is open");
                        rx.recv().expect("it is there")
                    })
                })
            });
        });
    }
    group.bench_function("fibra, plain thread", |b| {
        b.iter_custom(|iterations| {
            let (tx, rx) = fibra::chan::bounded(CAPACITY);
            chain(iterations, |number| {
                tx.send(number + 1).expect("it is open");
                rx.recv().expect("it is there")
            })
        });
    });
    group.bench_function("crossbeam-channel", |b| {
        b.iter_custom(|iterations| {
            let (tx, rx) = crossbeam_channel::bounded(CAPACITY);
            chain(iterations, |number| {
                tx.send(number + 1).expect("it is open");
                rx.recv().expect("it is there")
            })
        });
    });
    group.bench_function("tokio", |b| {
        let runtime = on_tokio::runtime();
        b.iter_custom(|iterations| on_tokio::run(&runtime, tokio_send_recv(iterations)));
    });
    group.finish();
}

/// The same as [`chain`], in a task.
async fn tokio_send_recv(iterations: u64) -> Duration {
    let (tx, mut rx) = tokio::sync::mpsc::channel(CAPACITY);
    let mut number = 0;
    let start = Instant::now();
    for _ in 0..iterations {
        tx.send(black_box(number) + 1).await.expect("it is open");
        number = rx.recv().await.expect("it is there");
    }
    let elapsed = start.elapsed();
    assert_eq!(number, iterations, "an operation was left out");
    elapsed
}

/// An iteration locks, adds one and unlocks.
fn lock_unlock(c: &mut Criterion) {
    let mut group = c.benchmark_group("lock_unlock");
    for affinity in Affinity::ALL {
        group.bench_function(affinity.label(), |b| {
            let runtime = on_fibra::runtime(1, affinity, None);
            b.iter_custom(|iterations| {
                runtime.run(|| {
                    let mutex = fibra::sync::Mutex::new(0);
                    chain(iterations, |_| {
                        let mut number = black_box(&mutex).lock();
                        *number += 1;
                        *number
                    })
                })
            });
        });
    }
    group.bench_function("fibra, plain thread", |b| {
        b.iter_custom(|iterations| {
            let mutex = fibra::sync::Mutex::new(0);
            chain(iterations, |_| {
                let mut number = black_box(&mutex).lock();
                *number += 1;
                *number
            })
        });
    });
    group.bench_function("parking_lot", |b| {
        b.iter_custom(|iterations| {
            let mutex = parking_lot::Mutex::new(0);
            chain(iterations, |_| {
                let mut number = black_box(&mutex).lock();
                *number += 1;
                *number
            })
        });
    });
    group.bench_function("std", |b| {
        b.iter_custom(|iterations| {
            let mutex = std::sync::Mutex::new(0);
            chain(iterations, |_| {
                let mut number = black_box(&mutex).lock().expect("nobody panicked");
                *number += 1;
                *number
            })
        });
    });
    group.finish();
}

criterion_group!(benches, send_recv, lock_unlock);
criterion_main!(benches);
