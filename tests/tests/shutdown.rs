//! The end of a runtime: what becomes of its goroutines, and of the handles to them.

use std::cell::Cell;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};
use std::time::Duration;

use fibra::{Builder, Runtime, go};
use fibra_tests::{
    Drops, FOREVER, LONG, OnDrop, Signal, assert_cancelled, everywhere, join, outcome, pinned,
    text, thread_id,
};

/// Keeps its worker until the runtime shuts down; what a spawn gives then.
fn until_closed() -> io::Error {
    loop {
        match Builder::new().spawn(|| ()) {
            // In place, if that is possible: what is below stays the newest.
            Ok(probe) => drop(probe.join()),
            Err(error) => return error,
        }
    }
}

#[test]
fn an_idle_runtime_ends() {
    everywhere(|setup| {
        drop(setup.runtime());
        assert!(setup.runtime().shutdown_timeout(LONG).is_complete());
    });
}

#[test]
fn parked_goroutines_unwind_on_their_own_workers() {
    let parks: [fn(); 6] = [
        fibra::park,
        || fibra::sleep(FOREVER),
        || fibra::park_timeout(FOREVER),
        || drop(go!(fibra::park()).join()),
        || fibra::scope(|s| drop(s.go(|| fibra::sleep(FOREVER)).join())),
        || loop {
            fibra::yield_now();
        },
    ];
    pinned(|setup| {
        let (drops, ends) = (Drops::new(), Arc::<Mutex<Vec<(ThreadId, ThreadId)>>>::default());
        let runtime = setup.runtime();
        for park in parks.iter().cycle().take(60) {
            let (token, ends, ready) = (drops.token(), ends.clone(), Signal::new());
            let (park, reached) = (*park, ready.clone());
            drop(runtime.spawn(move || {
                let (_token, home) = (token, thread_id());
                let _end = OnDrop(|| ends.lock().unwrap().push((home, thread_id())));
                reached.set();
                park();
                fibra::park();
            }));
            ready.wait();
        }
        assert_eq!(drops.count(), 0);
        drop(runtime);
        assert_eq!(drops.count(), 60);
        let ends = ends.lock().unwrap();
        assert!(ends.len() == 60 && ends.iter().all(|(home, end)| home == end));
    });
}

#[test]
fn migratable_ones_unwind_too() {
    everywhere(|setup| {
        let drops = Drops::new();
        let runtime = setup.runtime();
        runtime.run(|| {
            for i in 0..500 {
                let token = drops.token();
                drop(go!({
                    let _token = token;
                    (0..i % 5).for_each(|_| fibra::yield_now());
                    fibra::sleep(FOREVER);
                }));
            }
        });
        drop(runtime);
        assert_eq!(drops.count(), 500);
    });
}

#[test]
fn fresh_goroutines_never_run_and_are_dropped() {
    everywhere(|setup| {
        let (drops, ran) = (Drops::new(), Arc::new(AtomicUsize::new(0)));
        let runtime = setup.builder().spare_workers(0).build().unwrap();
        let (running, filled) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let ready = Signal::new();
        for _ in 0..setup.workers {
            let (drops, ran, ready) = (drops.clone(), ran.clone(), ready.clone());
            let (running, filled) = (running.clone(), filled.clone());
            drop(runtime.spawn(move || {
                running.fetch_add(1, Ordering::SeqCst);
                while running.load(Ordering::SeqCst) < setup.workers {
                    thread::yield_now();
                }
                for _ in 0..50 {
                    let (token, ran) = (drops.token(), ran.clone());
                    drop(go!({
                        let _token = token;
                        ran.fetch_add(1, Ordering::SeqCst);
                    }));
                }
                if filled.fetch_add(1, Ordering::SeqCst) + 1 == setup.workers {
                    ready.set();
                }
                until_closed();
            }));
        }
        ready.wait();
        let from_outside: Vec<_> = (0..50)
            .map(|_| {
                let (token, ran) = (drops.token(), ran.clone());
                runtime.spawn(move || {
                    let _token = token;
                    ran.fetch_add(1, Ordering::SeqCst);
                })
            })
            .collect();
        drop(runtime);
        assert_eq!(ran.load(Ordering::SeqCst), 0);
        assert_eq!(drops.count(), 50 * (setup.workers + 1));
        from_outside.into_iter().map(outcome).for_each(assert_cancelled);
    });
}

#[test]
fn running_ones_are_awaited_and_cannot_spawn() {
    everywhere(|setup| {
        let ended = Arc::new(AtomicBool::new(false));
        let runtime = setup.runtime();
        let (ready, ends) = (Signal::new(), ended.clone());
        let reached = ready.clone();
        let handle = runtime.spawn(move || {
            reached.set();
            let error = until_closed();
            assert_eq!(error.to_string(), "the runtime is shutting down");
            let drops = Drops::new();
            let token = drops.token();
            let go = panic::catch_unwind(AssertUnwindSafe(|| drop(go!(drop(token)))));
            assert!(text(&*go.unwrap_err()).contains("the runtime is shutting down"));
            assert_eq!(drops.count(), 1);
            let scoped = panic::catch_unwind(|| fibra::scope(|s| drop(s.go(|| ()))));
            assert!(text(&*scoped.unwrap_err()).contains("the runtime is shutting down"));
            ends.store(true, Ordering::SeqCst);
            "its value"
        });
        ready.wait();
        drop(runtime);
        assert!(ended.load(Ordering::SeqCst));
        assert_eq!(join(handle), "its value");
    });
}

#[test]
fn spawners_are_stopped() {
    everywhere(|setup| {
        let (drops, ready) = (Drops::new(), Signal::new());
        let runtime = setup.runtime();
        let spawned = Arc::new(AtomicUsize::new(0));
        for _ in 0..4 {
            let (drops, ready, spawned) = (drops.clone(), ready.clone(), spawned.clone());
            drop(runtime.spawn(move || {
                loop {
                    let token = drops.token();
                    spawned.fetch_add(1, Ordering::SeqCst);
                    drop(go!(drop(token)));
                    if spawned.load(Ordering::SeqCst) > 1000 {
                        ready.set();
                        fibra::yield_now();
                    }
                }
            }));
        }
        ready.wait();
        drop(runtime);
        assert_eq!(drops.count(), spawned.load(Ordering::SeqCst));
    });
}

#[test]
fn destructors_may_block_while_it_shuts_down() {
    everywhere(|setup| {
        let drops = Drops::new();
        let runtime = setup.runtime();
        for _ in 0..4 {
            let (token, ready) = (Cell::new(Some(drops.token())), Signal::new());
            let reached = ready.clone();
            drop(runtime.spawn(move || {
                let _blocks = OnDrop(|| {
                    fibra::sleep(Duration::from_micros(50));
                    fibra::yield_now();
                    fibra::park_timeout(Duration::from_micros(50));
                    assert_eq!(fibra::blocking(|| 3), 3);
                    assert!(Builder::new().spawn(|| ()).is_err());
                    drop(token.take());
                });
                reached.set();
                fibra::park();
            }));
            ready.wait();
        }
        drop(runtime);
        assert_eq!(drops.count(), 4);
    });
}

#[test]
fn whoever_catches_the_end_still_comes_to_it() {
    everywhere(|setup| {
        let caught = Arc::new(AtomicUsize::new(0));
        let runtime = setup.runtime();
        let (ready, count) = (Signal::new(), caught.clone());
        let reached = ready.clone();
        let handle = runtime.spawn(move || {
            reached.set();
            while count.fetch_add(1, Ordering::SeqCst) < 10 {
                assert!(panic::catch_unwind(fibra::park).is_err());
            }
            fibra::uncancellable(|| fibra::sleep(Duration::from_micros(100)));
        });
        ready.wait();
        drop(runtime);
        assert_eq!(caught.load(Ordering::SeqCst), 11);
        join(handle);
    });
}

#[test]
fn one_that_is_joined_in_place_while_it_shuts_down_is_cancelled() {
    everywhere(|setup| {
        let runtime = setup.runtime();
        let (ready, child) = (Signal::new(), Arc::new(Mutex::new(None)));
        let (reached, slot) = (ready.clone(), child.clone());
        let parent = runtime.spawn(move || {
            let child = go!(fibra::park());
            *slot.lock().unwrap() = Some(child.goroutine_handle());
            reached.set();
            until_closed();
            // The worker learns of the shutdown while others have their turn.
            fibra::uncancellable(fibra::yield_now);
            child.join()
        });
        ready.wait();
        let report = runtime.shutdown_timeout(LONG);
        // So that it ends when this fails.
        child.lock().unwrap().take().unwrap().unpark();
        assert!(report.is_complete(), "{report:?}");
        assert_cancelled(outcome(parent).flatten());
    });
}

#[test]
fn a_goroutine_may_drop_its_runtime() {
    everywhere(|setup| {
        let drops = Drops::new();
        let runtime = setup.runtime();
        let (ready, token) = (Signal::new(), drops.token());
        let reached = ready.clone();
        let parked = runtime.spawn(move || {
            let _token = token;
            reached.set();
            fibra::park();
        });
        ready.wait();
        let slot = Arc::new(Mutex::new(None));
        let (given, dropped) = (Signal::new(), Signal::new());
        let (take, wait, set) = (slot.clone(), given.clone(), dropped.clone());
        let dropper = runtime.spawn(move || {
            wait.wait();
            drop::<Option<Runtime>>(take.lock().unwrap().take());
            assert!(Builder::new().spawn(|| ()).is_err());
            set.set();
            fibra::park();
        });
        *slot.lock().unwrap() = Some(runtime);
        given.set();
        dropped.wait();
        assert_cancelled(outcome(parked));
        assert_cancelled(outcome(dropper));
        assert_eq!(drops.count(), 1);
    });
}

#[test]
fn handles_outlive_their_runtime() {
    everywhere(|setup| {
        let drops = Drops::new();
        let runtime = setup.runtime();
        let token = drops.token();
        let finished = runtime.spawn(move || token);
        let (parked, dropped) = (runtime.spawn(fibra::park), runtime.spawn(fibra::park));
        let goroutine = parked.goroutine_handle();
        drop(runtime);
        for handle in [&parked, &dropped] {
            assert!(handle.is_finished());
            handle.cancel();
            handle.goroutine_handle().unpark();
        }
        assert_cancelled(parked.join());
        drop(dropped);
        goroutine.unpark();
        assert!(goroutine.id().as_u64() > 0);
        // It came to its end, or never started.
        let result = finished.join();
        assert_eq!(drops.count(), usize::from(result.is_err()));
        drop(result);
        assert_eq!(drops.count(), 1);
    });
}

#[test]
fn a_runtime_runs_inside_another_ones_goroutine() {
    everywhere(|outer| {
        outer.run(|| {
            let inner = Runtime::builder().workers(2).build().unwrap();
            let limit = Arc::new(AtomicUsize::new(0));
            let counted = limit.clone();
            let beside = go!({
                while counted.load(Ordering::SeqCst) < 2 {
                    counted.fetch_add(1, Ordering::SeqCst);
                    fibra::yield_now();
                }
            });
            // The outer worker goes on meanwhile, also with one worker.
            let sum = inner.run(|| {
                let beside = inner.spawn(move || join(beside));
                join(beside);
                inner.run(|| join(go!(|| 20))) + 1
            });
            assert_eq!(sum, 21);
            let parked = inner.spawn(fibra::park);
            drop(inner);
            assert_cancelled(outcome(parked));
        });
    });
}
