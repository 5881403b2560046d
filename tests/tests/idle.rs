//! A runtime whose goroutines are all parked does nothing at all.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fibra::{JoinHandle, Runtime, go};
use fibra_tests::child::{self, Child, SOON, poll};

const GOROUTINES: usize = 10_000;
/// Stack memory rests for a second before it goes back, so a shorter silence proves nothing.
const SILENCE: Duration = Duration::from_millis(1500);
/// How long it may take until there is silence.
const SETTLE: Duration = Duration::from_secs(10);
const WATCH: Duration = Duration::from_secs(3);

/// What a thread has done so far.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Activity {
    thread: String,
    /// How often it went to sleep, and how often it was interrupted.
    switches: [u64; 2],
    /// Time on a processor.
    nanoseconds: u64,
}

/// Of all threads but the calling one, by id.
fn activity() -> BTreeMap<String, Activity> {
    // SAFETY: it has no preconditions.
    let me = unsafe { libc::gettid() }.to_string();
    let of = |(id, thread): (String, String)| {
        let read = |file| fs::read_to_string(format!("/proc/self/task/{id}/{file}")).ok();
        let status = read("status")?;
        let switches = ["voluntary_ctxt_switches:", "nonvoluntary_ctxt_switches:"].map(|field| {
            let count = status.lines().find_map(|line| line.strip_prefix(field));
            count.unwrap().trim().parse().unwrap()
        });
        let nanoseconds = read("schedstat")?.split(' ').next()?.parse().unwrap();
        let activity = Activity { thread, switches, nanoseconds };
        Some((id, activity))
    };
    let others = child::threads().into_iter().filter(|(id, _)| *id != me);
    others.filter_map(of).collect()
}

/// Waits until the other threads are silent, and sees that they stay so. How many there are.
fn assert_silence() -> usize {
    let began = Instant::now();
    let mut last = activity();
    loop {
        thread::sleep(SILENCE);
        let now = activity();
        if now == last {
            break;
        }
        assert!(began.elapsed() < SETTLE, "no silence: {last:#?} then {now:#?}");
        last = now;
    }
    println!("silence after {:?}", began.elapsed());
    thread::sleep(WATCH);
    assert_eq!(activity(), last, "after {WATCH:?} of silence");
    last.len()
}

/// Different ways to wait for something that is far away.
fn wait(i: usize) {
    match i % 3 {
        0 => fibra::park(),
        1 => fibra::sleep(Duration::from_secs(3600)),
        _ => go!(fibra::park()).join().unwrap(),
    }
}

#[test]
fn an_idle_runtime_does_nothing() {
    for affinity in ["worker", "any"] {
        let end = Child::new().run(affinity, |affinity| {
            let builder = Runtime::builder().workers(2);
            let builder = match affinity {
                "worker" => builder,
                // SAFETY: nothing thread-bound lives across a park.
                _ => unsafe { builder.migratable() },
            };
            let runtime = builder.build().unwrap();
            // Some that were busy before, and stacks that are free again.
            let busy: Vec<_> = (0..GOROUTINES).map(|_| runtime.spawn(fibra::yield_now)).collect();
            busy.into_iter().for_each(|handle| handle.join().unwrap());
            let started = Arc::new(AtomicUsize::new(0));
            let handles: Vec<JoinHandle<()>> = (0..GOROUTINES)
                .map(|i| {
                    let started = started.clone();
                    runtime.spawn(move || {
                        started.fetch_add(1, Ordering::Relaxed);
                        wait(i);
                    })
                })
                .collect();
            poll("all have started", || started.load(Ordering::Relaxed) == handles.len());

            let threads = assert_silence();
            assert!(threads >= 3, "two workers and the monitor, not {threads}");

            // It has not fallen asleep for ever.
            assert_eq!(runtime.run(|| 1), 1);
            assert!(runtime.metrics().live >= GOROUTINES as u64);
            drop(runtime);
            assert!(handles.iter().all(JoinHandle::is_finished));
        });
        print!("{affinity}: {}", end.succeeded().stdout);
    }
}

/// A runtime that has never done anything, and one that has nothing left.
#[test]
fn an_empty_runtime_does_nothing() {
    for used in ["unused", "used"] {
        let end = Child::new().run(used, |used| {
            let runtime = Runtime::builder().workers(2).build().unwrap();
            if used == "used" {
                runtime.run(|| fibra::scope(|s| (0..1000).for_each(|i| drop(s.go(move || i)))));
            }
            assert_silence();
        });
        end.succeeded();
    }
}

/// A worker whose timer is due at the very moment when somebody wakes it for fresh goroutines serves both.
#[test]
fn a_timer_and_a_spawn_may_wake_a_worker_at_once() {
    for workers in ["1", "2"] {
        let end = Child::new().run(workers, |workers| {
            let runtime = Runtime::builder().workers(workers.parse().unwrap());
            let runtime = runtime.build().unwrap();
            let began = Instant::now();
            let mut round = 0;
            while began.elapsed() < Duration::from_secs(2) {
                let due = Duration::from_micros(50 + round % 50);
                let sleeper = runtime.spawn(move || fibra::sleep(due));
                let start = Instant::now();
                while start.elapsed() < due + Duration::from_micros(round % 97) {
                    std::hint::spin_loop();
                }
                for mut handle in [runtime.spawn(|| ()), sleeper] {
                    let result = handle.join_timeout(SOON);
                    result.unwrap_or_else(|| panic!("round {round}: lost")).unwrap();
                }
                round += 1;
            }
            println!("{round} rounds");
        });
        print!("{workers} workers: {}", end.succeeded().stdout);
    }
}
