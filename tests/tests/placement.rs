//! Where goroutines run: stealing, placement of long-lived ones, and bursts from everywhere.

use std::collections::{HashMap, HashSet};
use std::hint;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use fibra::{JoinHandle, Runtime, go};
use fibra_tests::{LONG, Setup, Signal, at, everywhere, join, pinned, thread_id};

/// Goroutines that have started and stay until they are told to end.
struct Residents {
    end: Signal,
    handles: Vec<JoinHandle<ThreadId>>,
}

impl Residents {
    fn new() -> Residents {
        Residents { end: Signal::new(), handles: Vec::new() }
    }

    /// One more, by `spawn`; it calls `started` from its thread.
    fn add(
        &mut self,
        spawn: impl FnOnce(Box<dyn FnOnce() -> ThreadId + Send>) -> JoinHandle<ThreadId>,
        started: impl FnOnce() + Send + 'static,
    ) {
        let end = self.end.clone();
        self.handles.push(spawn(Box::new(move || {
            started();
            end.wait();
            thread_id()
        })));
    }

    /// How many each thread has had.
    fn end(self) -> HashMap<ThreadId, usize> {
        self.end.set();
        let mut threads = HashMap::new();
        for handle in self.handles {
            *threads.entry(join(handle)).or_insert(0) += 1;
        }
        threads
    }
}

/// Whether at least two workers, if there are as many, have a fair part of 64.
fn are_spread(threads: &HashMap<ThreadId, usize>, setup: Setup) -> bool {
    assert_eq!(threads.values().sum::<usize>(), 64);
    threads.values().filter(|&&count| count >= 4).count() >= setup.workers.min(2)
}

/// Usually: the system may keep a worker's thread from running for as long as all of it takes.
#[test]
fn long_lived_goroutines_spawned_at_once_usually_spread_over_the_workers() {
    let spawned_at_once = || {
        let mut residents = Residents::new();
        let started = Arc::new(AtomicUsize::new(0));
        for _ in 0..64 {
            let (started, me) = (started.clone(), fibra::current().unwrap());
            residents.add(fibra::spawn, move || {
                started.fetch_add(1, Ordering::SeqCst);
                me.unpark();
            });
        }
        while started.load(Ordering::SeqCst) < 64 {
            fibra::park();
        }
        residents.end()
    };
    pinned(|setup| {
        let runs: Vec<_> = (0..9).map(|_| setup.run(spawned_at_once)).collect();
        let spread = runs.iter().filter(|threads| are_spread(threads, setup)).count();
        assert!(spread >= 5, "{runs:?}");
    });
}

/// Each is spawned when all workers are idle, so that it can start anywhere.
#[test]
fn long_lived_goroutines_started_one_by_one_spread_over_the_workers() {
    pinned(|setup| {
        setup.with(|runtime| {
            let mut residents = Residents::new();
            let (started, starts) = mpsc::channel();
            for _ in 0..64 {
                setup.wait_for_rest();
                let started = started.clone();
                residents.add(|f| runtime.spawn(f), move || started.send(()).unwrap());
                starts.recv_timeout(LONG).unwrap();
            }
            let threads = residents.end();
            assert!(are_spread(&threads, setup), "{threads:?}");
        });
    });
}

/// Goroutines that give way all the time, so that their workers never search.
struct Restless {
    end: Arc<AtomicBool>,
    handles: Vec<JoinHandle<()>>,
    /// Where they have started.
    threads: Arc<Mutex<Vec<ThreadId>>>,
}

impl Restless {
    fn add(&mut self) {
        let (end, threads) = (self.end.clone(), self.threads.clone());
        self.handles.push(go!(move || {
            threads.lock().unwrap().push(thread_id());
            while !end.load(Ordering::SeqCst) {
                fibra::yield_now();
            }
        }));
    }

    fn threads(&self) -> Vec<ThreadId> {
        self.threads.lock().unwrap().clone()
    }
}

#[test]
fn a_worker_that_is_never_out_of_work_takes_its_share() {
    at(&[2, 4], &[false], LONG, |setup| {
        setup.without_spares().run(|| {
            let mut restless =
                Restless { end: Arc::default(), handles: Vec::new(), threads: Arc::default() };
            // All workers get something to do, this one too.
            let mut busy = HashSet::from([thread_id()]);
            while busy.len() < setup.workers {
                restless.add();
                while restless.threads().len() < restless.handles.len() {
                    fibra::yield_now();
                }
                busy.extend(restless.threads());
            }
            let before = restless.handles.len();
            (0..64).for_each(|_| restless.add());
            // It keeps its worker, so that only others can start them. They do as long as it has more than they.
            while restless.threads().len() < before + 16 {
                thread::yield_now();
            }
            restless.end.store(true, Ordering::SeqCst);
            restless.handles.into_iter().for_each(join);
        });
    });
}

/// Nobody is woken for what a goroutine spawns that has given way at once each time before. If it does not this time, the
/// monitor sees to it.
#[test]
fn what_a_goroutine_spawns_runs_although_it_does_not_give_way_as_it_used_to() {
    at(&[2, 4], &[false, true], LONG, |setup| {
        setup.without_spares().run(|| {
            for _ in 0..3 {
                for _ in 0..100 {
                    drop(fibra::spawn(|| ()));
                    // The others fall asleep.
                    fibra::sleep(Duration::from_micros(200));
                }
                let ran = Arc::new(AtomicBool::new(false));
                let there = ran.clone();
                drop(fibra::spawn(move || there.store(true, Ordering::SeqCst)));
                while !ran.load(Ordering::SeqCst) {
                    thread::yield_now();
                }
            }
        });
    });
}

#[test]
fn goroutines_run_on_the_workers_of_their_runtime() {
    everywhere(|setup| {
        setup.with(|runtime| {
            let name = runtime.run(|| thread::current().name().unwrap().to_owned());
            let prefix = &name[..=name.rfind('-').unwrap()];
            let names: HashSet<_> = (0..200)
                .map(|_| runtime.spawn(|| thread::current().name().unwrap().to_owned()))
                .collect::<Vec<_>>()
                .into_iter()
                .map(join)
                .collect();
            assert!(names.iter().all(|name| name.starts_with(prefix)), "{names:?}");
        });
    });
}

#[test]
fn a_spawn_goes_to_the_callers_runtime() {
    everywhere(|setup| {
        let (first, second) = (setup.runtime(), Runtime::builder().workers(1).build().unwrap());
        let spawned = second.metrics().spawned;
        let handles = first.run(|| {
            let own = go!(|| ());
            let scoped = fibra::scope(|s| s.go(|| 1).join().unwrap());
            (own, second.spawn(|| ()), scoped)
        });
        assert_eq!(first.metrics().spawned, 3);
        assert_eq!(second.metrics().spawned, spawned + 1);
        join(handles.0);
        join(handles.1);
    });
}

#[test]
fn all_workers_are_used() {
    everywhere(|setup| {
        setup.run(|| {
            // As many that never park as there are workers, all running at the same time.
            let together = Arc::new(AtomicUsize::new(0));
            let handles: Vec<_> = (0..setup.workers)
                .map(|_| {
                    let (together, all) = (together.clone(), setup.workers);
                    go!({
                        together.fetch_add(1, Ordering::SeqCst);
                        while together.load(Ordering::SeqCst) < all {
                            thread::yield_now();
                        }
                    })
                })
                .collect();
            handles.into_iter().for_each(join);
        });
    });
}

#[test]
fn migratable_goroutines_all_finish_under_load() {
    everywhere(|setup| {
        setup.run(|| {
            let handles: Vec<_> = (0..1000_u64)
                .map(|i| {
                    go!(move || {
                        let mut sum = 0;
                        for round in 0..20 {
                            match (i + round) % 4 {
                                0 => fibra::sleep(Duration::from_micros(i % 20)),
                                1 => sum += join(go!(|| 1)),
                                _ => fibra::yield_now(),
                            }
                        }
                        sum
                    })
                })
                .collect();
            assert_eq!(handles.into_iter().map(join).sum::<u64>(), 5000);
        });
    });
}

#[test]
fn both_kinds_live_in_one_runtime() {
    pinned(|setup| {
        setup.run(|| {
            let handles: Vec<_> = (0..400)
                .map(|i| {
                    let body = move || {
                        for _ in 0..i % 10 {
                            fibra::yield_now();
                            fibra::sleep(Duration::from_micros(10));
                        }
                        i
                    };
                    if i % 2 == 0 {
                        // SAFETY: it keeps a number across its parks.
                        unsafe { fibra::Builder::new().migratable() }.spawn(body).unwrap()
                    } else {
                        fibra::spawn(body)
                    }
                })
                .collect();
            assert_eq!(handles.into_iter().map(join).sum::<usize>(), 79_800);
        });
    });
}

/// Spawns from several goroutines at once, detached ones that only count.
fn storm(setup: Setup, spawners: usize, each: usize) {
    setup.run(|| {
        let (count, done) = (Arc::new(AtomicUsize::new(0)), Signal::new());
        let total = spawners * each;
        let handles: Vec<_> = (0..spawners)
            .map(|_| {
                let (count, done) = (count.clone(), done.clone());
                go!({
                    for i in 0..each {
                        let (count, done) = (count.clone(), done.clone());
                        drop(go!({
                            if count.fetch_add(1, Ordering::Relaxed) + 1 == total {
                                done.set();
                            }
                        }));
                        if i % 512 == 511 {
                            fibra::yield_now();
                        }
                    }
                })
            })
            .collect();
        handles.into_iter().for_each(join);
        done.wait();
        assert_eq!(count.load(Ordering::Relaxed), total);
    });
}

#[test]
fn a_storm_of_tiny_goroutines_is_stolen_and_counted() {
    everywhere(|setup| storm(setup, 8, 10_000));
}

#[test]
fn a_storm_of_two_million_at_four_workers() {
    let limit = 6 * LONG;
    at(&[4], &[false], limit, |setup| storm(setup, 8, 250_000));
}

#[test]
fn many_foreign_threads_spawn_at_once() {
    everywhere(|setup| {
        setup.with(|runtime| {
            let sum = thread::scope(|s| {
                let threads: Vec<_> = (0..8_u64)
                    .map(|t| {
                        s.spawn(move || {
                            let handles: Vec<JoinHandle<u64>> =
                                (0..500).map(|i| runtime.spawn(move || t * i)).collect();
                            // From another thread than the one that runs them, newest first.
                            handles.into_iter().rev().map(join).sum::<u64>()
                        })
                    })
                    .collect();
                threads.into_iter().map(|t| t.join().unwrap()).sum::<u64>()
            });
            assert_eq!(sum, 28 * 124_750);
        });
    });
}

#[test]
fn what_a_surplus_worker_spawns_still_runs() {
    at(&[1], &[false, true], 3 * LONG, |setup| {
        setup.run(|| {
            let (started, resumed) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
            let (start, resume) = (started.clone(), resumed.clone());
            let rounds = Arc::<AtomicUsize>::default();
            let theirs = rounds.clone();
            let other = go!({
                start.store(true, Ordering::SeqCst);
                while !resume.load(Ordering::SeqCst) {
                    fibra::yield_now();
                }
                // From some moment on the spare worker that this runs on is one too many.
                let end = Instant::now() + Duration::from_millis(400);
                while Instant::now() < end {
                    let (child, spawned, mut mine) = (go!(|| ()), Instant::now(), 0);
                    let before = theirs.load(Ordering::SeqCst);
                    while !child.is_finished() {
                        // Many times the bound, on both workers, and for longer than the system
                        // leaves a thread without a processor that has just taken the child.
                        let rounds = mine.min(theirs.load(Ordering::SeqCst) - before);
                        let soon = spawned.elapsed() < LONG;
                        assert!(rounds < 5000 || soon, "it starves");
                        fibra::yield_now();
                        mine += 1;
                    }
                }
            });
            // A spare worker comes to run the other one, as soon as this one has used its processor for long enough.
            while !started.load(Ordering::SeqCst) {
                hint::spin_loop();
            }
            resumed.store(true, Ordering::SeqCst);
            // The worker goes on, and is never without work of its own.
            while !other.is_finished() {
                fibra::yield_now();
                rounds.fetch_add(1, Ordering::SeqCst);
            }
            other.join().unwrap();
        });
    });
}
