//! Parking, unparking, yielding, sleeping, and what must not wait for ever behind what.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fibra::{Builder, Cancelled, JoinHandle, go};
use fibra_tests::{FOREVER, LONG, Signal, alone, at, everywhere, join, outcome, pinned};

fn flag() -> Arc<AtomicBool> {
    Arc::default()
}

fn is(flag: &AtomicBool) -> bool {
    flag.load(Ordering::SeqCst)
}

fn set(flag: &AtomicBool) {
    flag.store(true, Ordering::SeqCst);
}

#[test]
fn an_unpark_before_the_park_is_kept() {
    everywhere(|setup| {
        setup.run(|| {
            let me = fibra::current().unwrap();
            me.unpark();
            fibra::park();
            let handle = go!(fibra::park());
            handle.goroutine_handle().unpark();
            join(handle);
        });
    });
}

#[test]
fn several_unparks_leave_one_token() {
    everywhere(|setup| {
        setup.run(|| {
            let (ready, passed) = (Signal::new(), Arc::new(AtomicU32::new(0)));
            let (reached, count) = (ready.clone(), passed.clone());
            let handle = go!({
                let me = fibra::current().unwrap();
                me.unpark();
                me.unpark();
                me.unpark();
                fibra::park();
                count.store(1, Ordering::SeqCst);
                reached.set();
                fibra::park();
                count.store(2, Ordering::SeqCst);
            });
            ready.wait();
            for _ in 0..200 {
                fibra::yield_now();
            }
            assert_eq!(passed.load(Ordering::SeqCst), 1);
            handle.goroutine_handle().unpark();
            join(handle);
        });
    });
}

#[test]
fn a_park_with_a_timeout_ends_either_way() {
    everywhere(|setup| {
        setup.run(|| {
            let start = Instant::now();
            fibra::park_timeout(Duration::from_millis(5));
            assert!(start.elapsed() >= Duration::from_millis(5));
            fibra::park_timeout(Duration::ZERO);
            let me = fibra::current().unwrap();
            me.unpark();
            fibra::park_timeout(FOREVER);
            let start = Instant::now();
            fibra::park_timeout(Duration::from_millis(2));
            assert!(start.elapsed() >= Duration::from_millis(2));
            // One that lasts as long as the clock goes is still ended by a token.
            let handle = go!(me.unpark());
            fibra::park_timeout(Duration::MAX);
            join(handle);
        });
    });
}

#[test]
fn an_unpark_after_the_end_does_nothing() {
    everywhere(|setup| {
        setup.run(|| {
            let handle = go!(|| 3);
            let goroutine = handle.goroutine_handle();
            assert_eq!(join(handle), 3);
            // Others may live where it lived; they must not see this.
            let others: Vec<_> = (0..50)
                .map(|_| {
                    go!({
                        let start = Instant::now();
                        fibra::park_timeout(Duration::from_millis(3));
                        start.elapsed()
                    })
                })
                .collect();
            for _ in 0..100 {
                goroutine.unpark();
                fibra::yield_now();
            }
            for other in others {
                assert!(join(other) >= Duration::from_millis(3));
            }
        });
    });
}

#[test]
fn threads_unpark_goroutines() {
    everywhere(|setup| {
        setup.with(|runtime| {
            let (turns, ready) = (Arc::new(AtomicUsize::new(0)), Signal::new());
            let (count, reached) = (turns.clone(), ready.clone());
            let handle = runtime.spawn(move || {
                reached.set();
                while count.load(Ordering::SeqCst) < 1000 {
                    fibra::park();
                    count.fetch_add(1, Ordering::SeqCst);
                }
            });
            ready.wait();
            let goroutine = handle.goroutine_handle();
            thread::scope(|s| {
                for _ in 0..3 {
                    s.spawn(|| {
                        while turns.load(Ordering::SeqCst) < 1000 {
                            goroutine.unpark();
                            thread::yield_now();
                        }
                    });
                }
            });
            join(handle);
        });
    });
}

#[test]
fn two_goroutines_unpark_each_other() {
    everywhere(|setup| {
        setup.run(|| {
            let turn = Arc::new(AtomicUsize::new(0));
            let me = fibra::current().unwrap();
            let theirs = turn.clone();
            let other = go!({
                while theirs.load(Ordering::SeqCst) < 2000 {
                    if !theirs.load(Ordering::SeqCst).is_multiple_of(2) {
                        theirs.fetch_add(1, Ordering::SeqCst);
                        me.unpark();
                    } else {
                        fibra::park();
                    }
                }
            });
            let goroutine = other.goroutine_handle();
            while turn.load(Ordering::SeqCst) < 2000 {
                if turn.load(Ordering::SeqCst).is_multiple_of(2) {
                    turn.fetch_add(1, Ordering::SeqCst);
                    goroutine.unpark();
                } else {
                    fibra::park();
                }
            }
            goroutine.unpark();
            join(other);
        });
    });
}

#[test]
fn cancel_unpark_and_timeout_race() {
    everywhere(|setup| {
        setup.run(|| {
            for i in 0..300 {
                let handle = go!({
                    fibra::park_timeout(Duration::from_micros(30));
                    fibra::park();
                });
                let goroutine = handle.goroutine_handle();
                let unparker = go!({
                    goroutine.unpark();
                    fibra::yield_now();
                    goroutine.unpark();
                });
                for _ in 0..i % 4 {
                    fibra::yield_now();
                }
                handle.cancel();
                match outcome(handle) {
                    Ok(()) => {}
                    Err(payload) => assert!(payload.is::<Cancelled>()),
                }
                unparker.join().unwrap();
            }
        });
    });
}

#[test]
fn sleeps_last_long_enough_and_end_in_order() {
    everywhere(|setup| {
        setup.run(|| {
            let start = Instant::now();
            let handles: Vec<_> = (0..50)
                .rev()
                .map(|i| {
                    go!(move || {
                        let limit = Duration::from_micros(200 * i);
                        fibra::sleep(limit);
                        assert!(start.elapsed() >= limit);
                    })
                })
                .collect();
            handles.into_iter().for_each(join);
        });
    });
}

#[test]
fn a_plain_thread_parks_sleeps_and_yields() {
    alone(|| {
        let start = Instant::now();
        fibra::sleep(Duration::from_millis(2));
        fibra::park_timeout(Duration::from_millis(2));
        assert!(start.elapsed() >= Duration::from_millis(2));
        fibra::yield_now();
        fibra::checkpoint();
        thread::current().unpark();
        fibra::park();
    });
}

#[test]
fn yields_take_turns() {
    at(&[1], &[false, true], LONG, |setup| {
        setup.run(|| {
            let counts: Arc<[AtomicU32; 5]> = Arc::default();
            let handles: Vec<_> = (0..5)
                .map(|i| {
                    let counts = counts.clone();
                    go!({
                        for turn in 1..=200 {
                            counts[i].store(turn, Ordering::Relaxed);
                            fibra::yield_now();
                            let started = counts.iter().map(|c| c.load(Ordering::Relaxed));
                            let started: Vec<_> = started.filter(|&count| count > 0).collect();
                            if started.len() == 5 {
                                // Nobody who has started is left behind by more than the turns
                                // that the last one needed to start.
                                let behind = turn - started.iter().min().unwrap();
                                assert!(behind <= 61 * 5, "{started:?}");
                            }
                        }
                    })
                })
                .collect();
            handles.into_iter().for_each(join);
        });
    });
}

#[test]
fn checkpoint_yields_once_the_slice_is_over() {
    at(&[1], &[false, true], LONG, |setup| {
        setup.run(|| {
            // It has started here, so that only a checkpoint can let it go on.
            let done = flag();
            let theirs = done.clone();
            let ready = Signal::new();
            let reached = ready.clone();
            let other = go!({
                reached.set();
                fibra::yield_now();
                set(&theirs);
            });
            ready.wait();
            let start = Instant::now();
            while !is(&done) {
                assert!(start.elapsed() < LONG);
                fibra::checkpoint();
            }
            join(other);
        });
    });
}

// Invariant 5: whatever is runnable runs, whatever else there is to do.

/// Goroutines that yield until `stop`.
fn yielders(count: usize, stop: &Arc<AtomicBool>) -> Vec<JoinHandle<()>> {
    let yielder = || {
        let stop = stop.clone();
        go!({
            while !is(&stop) {
                fibra::yield_now();
            }
        })
    };
    (0..count).map(|_| yielder()).collect()
}

/// Runs `first` and, until it has ended, `rest` again and again.
fn runs_beside<T>(first: JoinHandle<T>, mut rest: impl FnMut()) -> T {
    let start = Instant::now();
    while !first.is_finished() {
        assert!(start.elapsed() < LONG, "it starves");
        rest();
    }
    join(first)
}

#[test]
fn an_old_fresh_goroutine_starts_although_new_ones_keep_coming() {
    at(&[1], &[false, true], LONG * 2, |setup| {
        setup.run(|| {
            let old = go!(|| ());
            runs_beside(old, || {
                drop(go!(|| ()));
                drop(go!(|| ()));
                fibra::yield_now();
            });
        });
    });
}

#[test]
fn a_fresh_goroutine_starts_although_residents_never_stop_yielding() {
    everywhere(|setup| {
        setup.run(|| {
            let stop = flag();
            let yielders = yielders(3 * setup.workers, &stop);
            runs_beside(go!(|| ()), fibra::yield_now);
            set(&stop);
            yielders.into_iter().for_each(join);
        });
    });
}

#[test]
fn work_from_threads_timers_and_unparks_run_beside_yielding_residents() {
    everywhere(|setup| {
        setup.with(|runtime| {
            let stop = flag();
            let yielders: Vec<_> = (0..3 * setup.workers)
                .map(|_| {
                    let stop = stop.clone();
                    runtime.spawn(move || {
                        let mut newest = go!(|| ());
                        while !is(&stop) {
                            if newest.is_finished() {
                                newest = go!(|| ());
                            }
                            fibra::yield_now();
                        }
                    })
                })
                .collect();
            for _ in 0..20 {
                join(runtime.spawn(|| ()));
                join(runtime.spawn(|| fibra::sleep(Duration::from_micros(50))));
                let ready = Signal::new();
                let reached = ready.clone();
                let parked = runtime.spawn(move || {
                    reached.set();
                    fibra::park();
                });
                ready.wait();
                parked.goroutine_handle().unpark();
                join(parked);
            }
            set(&stop);
            yielders.into_iter().for_each(join);
        });
    });
}

#[test]
fn a_ready_migratable_goroutine_runs_although_residents_never_stop_yielding() {
    pinned(|setup| {
        setup.run(|| {
            let builder = Builder::new().name("migratable");
            // SAFETY: it keeps nothing across its yields.
            let builder = unsafe { builder.migratable() };
            let mover = builder.spawn(|| (0..3).for_each(|_| fibra::yield_now())).unwrap();
            let stop = flag();
            let yielders = yielders(2 * setup.workers, &stop);
            runs_beside(mover, fibra::yield_now);
            set(&stop);
            yielders.into_iter().for_each(join);
        });
    });
}
