//! Goroutines that keep their worker: the others go on, and it is said who it is.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::FromRawFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use fibra::{JoinHandle, Runtime, RuntimeBuilder, go};
use fibra_tests::child::{Child, SOON, poll};

/// Both affinities.
const AFFINITIES: [&str; 2] = ["worker", "any"];

fn builder(affinity: &str) -> RuntimeBuilder {
    match affinity {
        "worker" => Runtime::builder(),
        // SAFETY: in these tests nothing thread-bound lives across a park.
        _ => unsafe { Runtime::builder().migratable() },
    }
}

/// What goroutines share that keep their workers until they are told to stop.
#[derive(Default)]
struct Hogs {
    started: AtomicUsize,
    stop: AtomicBool,
}

/// Holds such goroutines, and stops them when it goes: a test that fails must not wait for them.
#[derive(Default)]
struct Pen(Arc<Hogs>);

impl Drop for Pen {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Hogs {
    fn spin(&self) {
        self.started.fetch_add(1, Ordering::Relaxed);
        while !self.stop.load(Ordering::Relaxed) {
            std::hint::spin_loop();
        }
    }

    fn block(&self) {
        self.started.fetch_add(1, Ordering::Relaxed);
        while !self.stop.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Pen {
    fn spawn(&self, runtime: &Runtime, count: usize, kind: &str) -> Vec<JoinHandle<()>> {
        let hog = hog(kind);
        let spawn = |_| {
            let hogs = self.0.clone();
            runtime.spawn(move || hog(&hogs))
        };
        (0..count).map(spawn).collect()
    }

    fn are_running(&self, count: usize) -> bool {
        self.0.started.load(Ordering::Relaxed) == count
    }

    fn stop(&self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }
}

fn hog(kind: &str) -> fn(&Hogs) {
    match kind {
        "spin" => Hogs::spin,
        _ => Hogs::block,
    }
}

fn join_all<T>(handles: Vec<JoinHandle<T>>) -> Vec<T> {
    let join = |mut handle: JoinHandle<T>| handle.join_timeout(SOON).expect("soon").unwrap();
    handles.into_iter().map(join).collect()
}

/// While hogs run, goroutines start, spawn, park, sleep and finish. Afterwards the spare workers go.
#[test]
fn hogs_do_not_stop_others() {
    for affinity in AFFINITIES {
        for kind in ["spin", "block"] {
            for (workers, hogs) in [(1, 1), (1, 4), (2, 2), (2, 4), (4, 5)] {
                let case = format!("{affinity} {kind} {workers} {hogs}");
                let end = Child::new().run(&case, |case| {
                    let [affinity, kind, workers, count] =
                        case.split(' ').collect::<Vec<_>>().try_into().unwrap();
                    let [workers, count] = [workers, count].map(|it| it.parse().unwrap());
                    let runtime = builder(affinity).workers(workers).build().unwrap();
                    let hogs = Pen::default();
                    let hogging = hogs.spawn(&runtime, count, kind);
                    poll("all hogs have started", || hogs.are_running(count));
                    for round in 0..3 {
                        let fresh = (0..100u64).map(|i| runtime.spawn(move || errand(i)));
                        let sum: u64 = join_all(fresh.collect()).iter().sum();
                        assert_eq!(sum, 2 * 4950, "{round}");
                    }
                    assert!(runtime.metrics().workers > workers);
                    hogs.stop();
                    join_all(hogging);
                    poll("the spare workers are gone", || runtime.metrics().workers == workers);
                    // And again: what was a spare worker once can become one again.
                    let hogs = Pen::default();
                    let hogging = hogs.spawn(&runtime, count, kind);
                    poll("all hogs have started", || hogs.are_running(count));
                    join_all(vec![runtime.spawn(|| errand(1))]);
                    hogs.stop();
                    join_all(hogging);
                });
                end.succeeded();
            }
        }
    }
}

fn errand(i: u64) -> u64 {
    let child = go!({
        fibra::yield_now();
        i
    });
    fibra::sleep(Duration::from_millis(1));
    child.join().unwrap() + i
}

/// A spare worker with a parked goroutine stays for it, and goes when that has finished.
#[test]
fn a_spare_worker_waits_for_its_residents() {
    let end = Child::new().run("", |_| {
        let runtime = builder("worker").workers(1).build().unwrap();
        let hogs = Pen::default();
        let hogging = hogs.spawn(&runtime, 1, "spin");
        poll("the hog has started", || hogs.are_running(1));
        let parked = Arc::new(AtomicUsize::new(0));
        let residents: Vec<_> = (0..10)
            .map(|_| {
                let parked = parked.clone();
                runtime.spawn(move || {
                    let started_on = thread::current().id();
                    parked.fetch_add(1, Ordering::Relaxed);
                    fibra::park();
                    assert_eq!(thread::current().id(), started_on);
                })
            })
            .collect();
        poll("all have started", || parked.load(Ordering::Relaxed) == 10);
        hogs.stop();
        join_all(hogging);
        // The regular worker runs again, and the spare one still serves its residents.
        assert_eq!(runtime.run(|| 1), 1);
        for resident in &residents {
            resident.goroutine_handle().unpark();
        }
        join_all(residents);
        poll("the spare worker is gone", || runtime.metrics().workers == 1);
    });
    end.succeeded();
}

/// A goroutine that has started may not move, but one that may is not kept by the hog on its worker.
#[test]
fn a_migratable_goroutine_does_not_wait_behind_a_hog() {
    let end = Child::new().run("", |_| {
        let runtime = builder("any").workers(1).build().unwrap();
        let parked = Arc::new(AtomicUsize::new(0));
        let nomads: Vec<_> = (0..10)
            .map(|_| {
                let parked = parked.clone();
                runtime.spawn(move || {
                    parked.fetch_add(1, Ordering::Relaxed);
                    fibra::park();
                })
            })
            .collect();
        poll("all have started", || parked.load(Ordering::Relaxed) == 10);
        let hogs = Pen::default();
        let hogging = hogs.spawn(&runtime, 1, "spin");
        poll("the hog has started", || hogs.are_running(1));
        for nomad in &nomads {
            nomad.goroutine_handle().unpark();
        }
        join_all(nomads);
        hogs.stop();
        join_all(hogging);
    });
    end.succeeded();
}

/// A loop with checkpoints lets the residents of its worker run, and two such loops take turns.
#[test]
fn checkpoints_let_residents_run() {
    for affinity in AFFINITIES {
        let end = Child::new().run(affinity, |affinity| {
            let runtime = builder(affinity).workers(1).spare_workers(0).build().unwrap();
            let served = Arc::new(AtomicUsize::new(0));
            let parked = Arc::new(AtomicUsize::new(0));
            let resident = {
                let (parked, served) = (parked.clone(), served.clone());
                runtime.spawn(move || {
                    for _ in 0..5 {
                        parked.fetch_add(1, Ordering::Relaxed);
                        fibra::park();
                        served.fetch_add(1, Ordering::Relaxed);
                    }
                })
            };
            let turns = Arc::new([const { AtomicUsize::new(0) }; 2]);
            let loops: Vec<_> = (0..2)
                .map(|me| {
                    let (turns, served, parked) = (turns.clone(), served.clone(), parked.clone());
                    runtime.spawn(move || {
                        parked.fetch_add(1, Ordering::Relaxed);
                        fibra::park();
                        let mut seen = usize::MAX;
                        let both_had =
                            |count| turns.iter().all(|it| it.load(Ordering::Relaxed) >= count);
                        while served.load(Ordering::Relaxed) < 5 || !both_had(3) {
                            let others = turns[1 - me].load(Ordering::Relaxed);
                            if others != seen {
                                seen = others;
                                turns[me].fetch_add(1, Ordering::Relaxed);
                            }
                            fibra::checkpoint();
                        }
                    })
                })
                .collect();
            poll("all have started", || parked.load(Ordering::Relaxed) == 3);
            for goroutine in &loops {
                goroutine.goroutine_handle().unpark();
            }
            for round in 1..=5 {
                resident.goroutine_handle().unpark();
                poll("the resident ran", || served.load(Ordering::Relaxed) == round);
            }
            join_all(loops);
            join_all(vec![resident]);
        });
        end.succeeded();
    }
}

// ---- what is said ----------------------------------------------------------------------------

/// What this process writes to stderr from now on.
#[derive(Clone)]
struct Stderr(Arc<Mutex<String>>);

impl Stderr {
    fn capture() -> Stderr {
        let mut ends = [0; 2];
        // SAFETY: the array has room for two descriptors; both are then ours, and stay open.
        let mut reader = unsafe {
            assert_eq!(libc::pipe(ends.as_mut_ptr()), 0);
            assert_eq!(libc::dup2(ends[1], libc::STDERR_FILENO), libc::STDERR_FILENO);
            File::from_raw_fd(ends[0])
        };
        let text = Arc::new(Mutex::new(String::new()));
        let written = text.clone();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                let part = String::from_utf8_lossy(&buffer[..count]);
                // Where the parent and an assertion's message can be seen.
                print!("{part}");
                let _ = std::io::stdout().flush();
                written.lock().unwrap().push_str(&part);
            }
        });
        Stderr(text)
    }

    fn count(&self, what: &str) -> usize {
        self.0.lock().unwrap().matches(what).count()
    }

    /// The only line that contains this.
    fn line(&self, what: &str) -> String {
        let text = self.0.lock().unwrap();
        let lines: Vec<_> = text.lines().filter(|line| line.contains(what)).collect();
        assert_eq!(lines.len(), 1, "{lines:?}");
        lines[0].to_owned()
    }
}

const STALL: &str = "has kept its worker";

/// The report names who, where, how long, and how many wait.
#[test]
fn a_stall_is_reported() {
    for affinity in AFFINITIES {
        for kind in ["spin", "block"] {
            let end = Child::new().run(&format!("{affinity} {kind}"), |case| {
                let (affinity, kind) = case.split_once(' ').unwrap();
                let stderr = Stderr::capture();
                let builder = builder(affinity).workers(1).report_stalls(true);
                let runtime = builder.build().unwrap();
                let parked = Arc::new(AtomicUsize::new(0));
                let behind: Vec<_> = (0..3)
                    .map(|_| {
                        let parked = parked.clone();
                        runtime.spawn(move || {
                            parked.fetch_add(1, Ordering::Relaxed);
                            fibra::park();
                        })
                    })
                    .collect();
                poll("three are parked", || parked.load(Ordering::Relaxed) == 3);
                let hogs = Pen::default();
                let (hog, theirs) = (hog(kind), hogs.0.clone());
                let (line, hogging) = runtime.run(|| {
                    let line = line!() + 1;
                    (line, go!(name = "hog", { hog(&theirs) }))
                });
                let text = stderr.clone();
                poll("the report", || text.count(STALL) == 1 && text.count("\n") == 1);
                hogs.stop();
                let id = hogging.id();
                join_all(vec![hogging]);

                let report = stderr.line(STALL);
                let start = format!("fibra: goroutine {id} 'hog' (spawned at {}:{line}:", file!());
                assert!(report.starts_with(&start), "{report}");
                let (_, rest) = report.split_once(") has kept its worker for ").unwrap();
                let (time, rest) = rest.split_once(" ms without parking").unwrap();
                let time: u64 = time.parse().unwrap();
                assert!((10..20_000).contains(&time), "{report}");
                // Those who may move do not wait behind it.
                if affinity == "worker" {
                    let waiting = "; 3 goroutines that started there wait behind it";
                    assert!(rest.starts_with(waiting), "{report}");
                }
                assert!(rest.contains("fibra::blocking") && rest.contains("checkpoint"));
                for goroutine in &behind {
                    goroutine.goroutine_handle().unpark();
                }
                join_all(behind);
            });
            end.succeeded();
        }
    }
}

/// Keeps its worker until the monitor has noticed: a fresh goroutine runs, which only a spare worker can do.
fn hog_until_noticed() {
    let noticed = Arc::new(AtomicBool::new(false));
    let theirs = noticed.clone();
    go!(theirs.store(true, Ordering::Relaxed));
    while !noticed.load(Ordering::Relaxed) {
        std::hint::spin_loop();
    }
}

/// Three stalls from one spawn site, one from another.
fn stall_four_times(runtime: &Runtime) {
    let idle = || runtime.metrics().workers == 1;
    for _ in 0..3 {
        join_all(vec![runtime.spawn(hog_until_noticed)]);
        poll("the spare worker is gone", idle);
    }
    join_all(vec![runtime.spawn(hog_until_noticed)]);
    poll("the spare worker is gone", idle);
}

#[test]
fn a_stall_is_reported_once_for_each_spawn_site() {
    let end = Child::new().run("", |_| {
        let builder = builder("worker").workers(1).report_stalls(true);
        let runtime = builder.build().unwrap();
        stall_four_times(&runtime);
    });
    let end = end.succeeded();
    let sites: Vec<_> = end
        .stderr
        .lines()
        .map(|line| line.split_once("spawned at ").unwrap().1.split_once(')').unwrap().0)
        .collect();
    assert_eq!(end.stderr.matches(STALL).count(), 2, "{end}");
    assert_eq!(sites.len(), 2, "{end}");
    assert_ne!(sites[0], sites[1], "{end}");
}

#[test]
fn a_stall_is_not_reported_unasked() {
    let end = Child::new().run("", |_| {
        stall_four_times(&builder("worker").workers(1).build().unwrap());
    });
    assert_eq!(end.succeeded().stderr, "");
}

/// One that parks, yields or reaches a checkpoint in time is no stall.
#[test]
fn well_behaved_goroutines_are_not_reported() {
    let end = Child::new().run("", |_| {
        let builder = builder("worker").workers(2).report_stalls(true);
        let runtime = builder.build().unwrap();
        runtime.run(|| {
            fibra::scope(|s| {
                for _ in 0..100 {
                    s.go(|| {
                        for _ in 0..20 {
                            fibra::sleep(Duration::from_millis(2));
                            fibra::yield_now();
                        }
                    });
                }
                // One by one: a worker that waits until another one has started a thread for a call is reported
                // rightly, and for that the other one needs a processor.
                for _ in 0..4 {
                    fibra::blocking(|| thread::sleep(Duration::from_millis(50)));
                }
            });
            fibra::park_timeout(Duration::from_millis(50));
        });
    });
    assert_eq!(end.succeeded().stderr, "");
}

/// No more spare workers than allowed; that is said once, and nothing is lost.
#[test]
fn the_limit_of_spare_workers_is_reported() {
    for spares in ["0", "1"] {
        let end = Child::new().run(spares, |spares| {
            let stderr = Stderr::capture();
            let spares: usize = spares.parse().unwrap();
            let builder = builder("worker").workers(1).spare_workers(spares);
            let runtime = builder.build().unwrap();
            for _ in 0..2 {
                let hogs = Pen::default();
                let hogging = hogs.spawn(&runtime, 1 + spares, "spin");
                poll("all hogs have started", || hogs.are_running(1 + spares));
                let fresh: Vec<_> = (0..10).map(|i| runtime.spawn(move || i)).collect();
                poll("the report", || stderr.count("\n") > 0);
                assert_eq!(runtime.metrics().workers, 1 + spares);
                assert!(!fresh.iter().any(JoinHandle::is_finished));
                hogs.stop();
                join_all(hogging);
                assert_eq!(join_all(fresh).iter().sum::<i32>(), 45);
                poll("the spare worker is gone", || runtime.metrics().workers == 1);
            }
            let report = stderr.line("spare workers");
            assert!(report.starts_with("fibra: "), "{report}");
            assert!(report.contains(&format!("limit of {spares} spare workers")), "{report}");
        });
        end.succeeded();
    }
}
