//! What a runtime tells of itself: metrics, and the report of a shutdown.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use fibra::{Builder, Runtime, go};
use fibra_tests::{OnDrop, Setup, Signal, everywhere, join};

#[test]
fn goroutines_are_counted() {
    everywhere(|setup| {
        setup.with(|runtime| {
            let before = runtime.metrics();
            assert_eq!((before.spawned, before.finished, before.live), (0, 0, 0));
            assert_eq!(before.workers, setup.workers);
            let end = Signal::new();
            let handles: Vec<_> = (0..10)
                .map(|i| {
                    let end = end.clone();
                    runtime.spawn(move || {
                        if i % 2 == 0 {
                            end.wait();
                        }
                    })
                })
                .collect();
            runtime.run(|| (0..90).map(|_| go!(|| ())).for_each(join));
            let (parked, ended): (Vec<_>, Vec<_>) =
                handles.into_iter().enumerate().partition(|(i, _)| i % 2 == 0);
            ended.into_iter().for_each(|(_, handle)| join(handle));
            let now = runtime.metrics();
            assert_eq!((now.spawned, now.finished, now.live), (101, 96, 5));
            end.set();
            parked.into_iter().for_each(|(_, handle)| join(handle));
            // A goroutine is counted as finished before a join gives its result.
            let now = runtime.metrics();
            assert_eq!((now.spawned, now.finished, now.live), (101, 101, 0));
            assert!(format!("{runtime:?}").contains("live: 0"));
        });
    });
}

#[test]
fn refused_ones_and_cancelled_ones_are_finished() {
    everywhere(|setup| {
        setup.with(|runtime| {
            runtime.run(|| {
                let too_large = Builder::new().stack_size(usize::MAX).spawn(|| ());
                assert!(too_large.is_err());
                for _ in 0..20 {
                    go!(fibra::park()).cancel();
                }
            });
            while runtime.metrics().live != 0 {
                thread::yield_now();
            }
            let now = runtime.metrics();
            assert_eq!((now.spawned, now.finished), (21, 21));
        });
    });
}

#[test]
fn stacks_are_counted_and_reused() {
    everywhere(|setup| {
        setup.with(|runtime| {
            let before = runtime.metrics().stacks_in_use;
            let parked = |count| {
                let (end, started) = (Signal::new(), Arc::new(AtomicUsize::new(0)));
                let handles: Vec<_> = (0..count)
                    .map(|_| {
                        let (end, started) = (end.clone(), started.clone());
                        runtime.spawn(move || {
                            started.fetch_add(1, Ordering::SeqCst);
                            end.wait();
                        })
                    })
                    .collect();
                while started.load(Ordering::SeqCst) < count {
                    thread::yield_now();
                }
                let now = runtime.metrics();
                end.set();
                handles.into_iter().for_each(join);
                now
            };
            assert!(parked(300).stacks_in_use >= before + 300);
            let first = parked(300);
            let second = parked(300);
            let all = |metrics: &fibra::Metrics| metrics.stacks_in_use + metrics.stacks_pooled;
            // Workers may each keep some, so that now one and then the other has them.
            let kept = 64 * setup.workers;
            assert!(all(&second) <= all(&first) + kept, "{first:?} {second:?}");
        });
    });
}

fn report(setup: Setup, spawn: impl FnOnce(&Runtime, Signal, Signal)) -> Vec<[String; 2]> {
    let runtime = setup.builder().spare_workers(0).build().unwrap();
    let (ready, end) = (Signal::new(), Signal::new());
    let _end = OnDrop(|| end.set());
    spawn(&runtime, ready.clone(), end.clone());
    ready.wait();
    let report = runtime.shutdown_timeout(Duration::from_millis(1));
    assert!(!report.is_complete());
    let left = report.left.into_iter().map(|left| {
        assert!(left.spawn_site.file().ends_with("metrics.rs"));
        [left.name.unwrap_or_default(), left.state.to_owned()]
    });
    left.collect()
}

/// Runs a goroutine on each worker, all at the same time: whoever ran there before has parked.
fn run_everywhere(runtime: &Runtime, workers: usize) {
    let together = Arc::new(AtomicUsize::new(0));
    let handles: Vec<_> = (0..workers)
        .map(|_| {
            let together = together.clone();
            runtime.spawn(move || {
                together.fetch_add(1, Ordering::SeqCst);
                while together.load(Ordering::SeqCst) < workers {
                    thread::yield_now();
                }
            })
        })
        .collect();
    handles.into_iter().for_each(join);
}

fn spin(end: &Signal) {
    while !end.is_set() {
        thread::yield_now();
    }
}

#[test]
fn a_report_names_who_is_left_and_what_they_do() {
    everywhere(|setup| {
        let left = report(setup, |runtime, ready, end| {
            let begun = Signal::new();
            let set = begun.clone();
            runtime.run(|| {
                let parks = Builder::new().name("parks").spawn(move || {
                    fibra::uncancellable(|| {
                        set.set();
                        end.wait();
                    });
                });
                drop(parks.unwrap());
            });
            begun.wait();
            run_everywhere(runtime, setup.workers);
            ready.set();
        });
        assert_eq!(left, [["parks", "park"]]);
        let left = report(setup, |runtime, ready, end| {
            runtime.run(|| {
                let busy = Builder::new().name("spins").spawn(move || {
                    // What it did before does not count.
                    fibra::sleep(Duration::from_micros(10));
                    ready.set();
                    spin(&end);
                });
                drop(busy.unwrap());
            });
        });
        assert_eq!(left, [["spins", "running"]]);
    });
}

#[test]
fn a_report_names_those_that_never_started() {
    everywhere(|setup| {
        let left = report(setup, |runtime, ready, end| {
            let running = Arc::new(AtomicUsize::new(0));
            for _ in 0..setup.workers {
                let (end, running, ready) = (end.clone(), running.clone(), ready.clone());
                drop(runtime.spawn(move || {
                    if running.fetch_add(1, Ordering::SeqCst) + 1 == setup.workers {
                        ready.set();
                    }
                    spin(&end);
                }));
            }
            ready.wait();
            drop(runtime.spawn(|| ()));
        });
        assert_eq!(left.len(), setup.workers + 1);
    });
}
