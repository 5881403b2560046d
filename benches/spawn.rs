//! Spawning, joining and yielding: Fibra against tokio, two workers each.
//!
//! Each work asserts that it was done; see `src/on_fibra.rs` and `src/on_tokio.rs`.

use std::cell::{LazyCell, OnceCell};
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{
    BenchmarkGroup, Criterion, SamplingMode, Throughput, criterion_group, criterion_main,
};
use fibra_benches::crowd::Crowd;
use fibra_benches::on_fibra::{self, Affinity};
use fibra_benches::{WORKERS, on_tokio};

const MILLION: usize = 1_000_000;

/// How many goroutines yield, and how often each.
const YIELDERS: usize = 100;
const YIELDS: usize = 1000;

/// Adds Fibra to a group, with and without migration.
fn add_fibra(group: &mut BenchmarkGroup<'_, WallTime>, work: fn(usize) -> Duration) {
    for affinity in Affinity::ALL {
        // Kept for all samples; not made when the filter leaves this benchmark out.
        let runtime = LazyCell::new(|| on_fibra::runtime(WORKERS, affinity, None));
        group.bench_function(affinity.label(), |b| {
            b.iter_custom(|iterations| runtime.run(|| work(iterations as usize)));
        });
    }
}

/// Adds tokio to a group.
fn add_tokio<F>(group: &mut BenchmarkGroup<'_, WallTime>, work: fn(usize) -> F)
where
    F: Future<Output = Duration> + Send + 'static,
{
    let runtime = LazyCell::new(on_tokio::runtime);
    group.bench_function("tokio", |b| {
        b.iter_custom(|iterations| on_tokio::run(&runtime, work(iterations as usize)));
    });
}

/// An iteration spawns a million and waits for all.
fn spawn_million(c: &mut Criterion) {
    let mut group = c.benchmark_group("spawn_million");
    group.throughput(Throughput::Elements(MILLION as u64));
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    add_fibra(&mut group, |iterations| (0..iterations).map(|_| on_fibra::spawn_all(MILLION)).sum());
    add_tokio(&mut group, |iterations| async move {
        let mut elapsed = Duration::ZERO;
        for _ in 0..iterations {
            elapsed += on_tokio::spawn_all(MILLION).await;
        }
        elapsed
    });
    group.finish();
}

/// An iteration is one spawn and its join.
fn spawn_join(c: &mut Criterion) {
    let mut group = c.benchmark_group("spawn_join");
    add_fibra(&mut group, on_fibra::spawn_join);
    add_tokio(&mut group, on_tokio::spawn_join);
    group.finish();
}

/// An iteration is `YIELDERS * YIELDS` yields.
fn yield_among_100(c: &mut Criterion) {
    let mut group = c.benchmark_group("yield_among_100");
    group.throughput(Throughput::Elements((YIELDERS * YIELDS) as u64));
    group.sampling_mode(SamplingMode::Flat);
    add_fibra(&mut group, |iterations| {
        (0..iterations).map(|_| on_fibra::yield_among(YIELDERS, YIELDS)).sum()
    });
    add_tokio(&mut group, |iterations| async move {
        let mut elapsed = Duration::ZERO;
        for _ in 0..iterations {
            elapsed += on_tokio::yield_among(YIELDERS, YIELDS).await;
        }
        elapsed
    });
    group.finish();
}

/// An iteration spawns 100 000 and waits for all, while nobody or a million others are parked.
fn spawn_beside_parked(c: &mut Criterion) {
    const SPAWNED: usize = 100_000;
    let mut group = c.benchmark_group("spawn_beside_parked");
    group.throughput(Throughput::Elements(SPAWNED as u64));
    group.sampling_mode(SamplingMode::Flat).sample_size(20);
    for parked in [0, MILLION] {
        let scene = OnceCell::new();
        group.bench_function(format!("{parked}"), |b| {
            let (runtime, _) = scene.get_or_init(|| {
                let runtime = on_fibra::runtime(WORKERS, Affinity::Worker, None);
                let crowd = Crowd::leak(parked);
                crowd.gather(&runtime);
                (runtime, crowd)
            });
            b.iter_custom(|iterations| {
                runtime.run(|| (0..iterations).map(|_| on_fibra::spawn_all(SPAWNED)).sum())
            });
        });
        if let Some((runtime, crowd)) = scene.into_inner() {
            crowd.release(&runtime);
        }
    }
    group.finish();
}

criterion_group!(benches, spawn_million, spawn_join, yield_among_100, spawn_beside_parked);
criterion_main!(benches);
