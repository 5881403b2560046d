//! What a program of goroutines is as a process: how it ends, what its environment says, what it does when
//! the system gives it no more.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::iter;
use std::panic;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use fibra::{JoinHandle, Runtime, go};
use fibra_tests::child::{self, Child, Ending, SOON, poll};

/// Runs a program of `tests/src/bin/entry.rs`.
fn entry(program: &str, environment: &[(&str, &str)]) -> Ending {
    let mut command = Command::new(env!("CARGO_BIN_EXE_entry"));
    command.arg(program).env_remove("RUST_BACKTRACE").envs(environment.iter().copied());
    child::finish(command)
}

// ---- how it ends -----------------------------------------------------------------------------

#[test]
fn main_returning_ends_the_process() {
    let end = entry("leaves-goroutines", &[]).succeeded();
    assert_eq!((&*end.stdout, &*end.stderr), ("main returns\n", ""));
}

#[test]
fn main_gives_the_exit_code() {
    for (program, code, stderr) in [
        ("code", 7, ""),
        ("ok", 0, ""),
        ("error", 1, "Error: ParseIntError { kind: InvalidDigit }\n"),
        ("exits-from-a-goroutine", 3, ""),
    ] {
        let end = entry(program, &[]);
        assert_eq!(end.status.code(), Some(code), "{program}: {end}");
        assert_eq!(end.stderr, stderr, "{program}");
    }
}

#[test]
fn a_panic_in_main_exits_with_101() {
    let end = entry("panics", &[]);
    assert_eq!(end.status.code(), Some(101), "{end}");
    assert_eq!(end.stderr.matches("out of cheese").count(), 1, "{end}");
}

/// Workers that are in the middle of things do not disturb the end of the process.
#[test]
fn the_process_ends_however_often() {
    for _ in 0..20 {
        entry("leaves-goroutines", &[]).succeeded();
    }
}

// ---- panics ----------------------------------------------------------------------------------

/// `fibra: goroutine 42 'parser' (spawned at src/x.rs:10:5) panicked, and nobody joins it: why`
fn reports(end: &Ending) -> Vec<&str> {
    let is_report = |line: &&str| line.contains("panicked, and nobody joins it");
    end.stderr.lines().filter(is_report).collect()
}

#[test]
fn a_panic_that_nobody_joins_is_reported() {
    let end = Child::new().run("", |_| {
        let runtime = Runtime::builder().workers(2).build().unwrap();
        let expect = |name: &str, line: u32, handle: &JoinHandle<()>| {
            println!("fibra: goroutine {}{name} (spawned at {}:{line}:", handle.id(), file!());
        };
        let go_on = Arc::new(AtomicBool::new(false));
        let ended = Arc::new(AtomicUsize::new(0));

        // The handle goes first.
        let (line, wait) = (line!() + 1, go_on.clone());
        let named = runtime.run(|| go!(name = "parser", { die(&wait) }));
        expect(" 'parser'", line, &named);
        drop(named);
        go_on.store(true, Ordering::Relaxed);
        poll("the first ended", || runtime.metrics().live == 0);

        // The goroutine ends first.
        let (line, wait) = (line!() + 1, go_on.clone());
        let unnamed = runtime.spawn(move || die(&wait));
        expect("", line, &unnamed);
        poll("the second ended", || unnamed.is_finished());
        drop(unnamed);

        // These have somebody who knows.
        let joined = runtime.spawn(|| panic!("joined"));
        joined.join().unwrap_err();
        let mut joined = runtime.spawn(|| panic!("joined with a limit"));
        joined.join_timeout(SOON).unwrap().unwrap_err();
        drop(joined);
        let cancelled = runtime.spawn(fibra::park);
        cancelled.cancel();
        drop(cancelled);
        let scoped = runtime
            .run(|| panic::catch_unwind(|| fibra::scope(|s| drop(s.go(|| panic!("scoped"))))));
        scoped.unwrap_err();

        // A payload that is no text.
        let count = ended.clone();
        drop(runtime.spawn(move || {
            count.fetch_add(1, Ordering::Relaxed);
            panic::panic_any(7u8);
        }));
        poll("all ended", || runtime.metrics().live == 0);
        assert_eq!(runtime.run(|| 1), 1, "the runtime goes on");
    });
    let end = end.succeeded();
    let reports = reports(&end);
    assert_eq!(reports.len(), 3, "{end}");
    for (report, expected) in reports.iter().zip(end.stdout.lines()) {
        let rest = report.strip_prefix(expected).unwrap_or_else(|| panic!("{end}"));
        let (_column, why) = rest.split_once(')').unwrap();
        assert_eq!(why, " panicked, and nobody joins it: out of cheese", "{end}");
    }
    assert!(reports[2].ends_with(": a payload that is no string"), "{end}");
}

fn die(wait: &AtomicBool) {
    while !wait.load(Ordering::Relaxed) {
        fibra::yield_now();
    }
    panic!("out of {}", "cheese");
}

// ---- the environment -------------------------------------------------------------------------

/// All that need the environment's number give an error that names the variable, each time.
#[test]
fn a_malformed_number_of_workers_is_an_error() {
    for value in ["abc", "0", "99999", "", "-1", "2.5"] {
        let end = Child::new().env("FIBRA_WORKERS", value).run(value, |value| {
            for _ in 0..2 {
                let error = fibra::Builder::new().spawn(|| 1).unwrap_err();
                assert_is_about(&error, "FIBRA_WORKERS", value);
                let error = Runtime::builder().build().unwrap_err();
                assert_is_about(&error, "FIBRA_WORKERS", value);
                let payload = panic::catch_unwind(|| drop(go!(|| 1))).unwrap_err();
                let text = payload.downcast_ref::<String>().unwrap();
                assert!(text.contains("FIBRA_WORKERS") && text.contains(value), "{text}");
            }
            assert_eq!(child::workers(), [""; 0]);
            // Whoever gives a number does not need the environment's.
            let runtime = Runtime::builder().workers(1).build().unwrap();
            assert_eq!(runtime.run(|| 1), 1);
        });
        end.succeeded();
    }
}

fn assert_is_about(error: &io::Error, variable: &str, value: &str) {
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    let text = error.to_string();
    assert!(text.contains(variable) && text.contains(value), "{text}");
}

#[test]
fn a_malformed_number_of_workers_stops_main() {
    let end = entry("workers", &[("FIBRA_WORKERS", "abc")]);
    assert_eq!(end.status.code(), Some(101), "{end}");
    assert!(end.stderr.contains("FIBRA_WORKERS"), "{end}");
    entry("workers", &[("FIBRA_WORKERS", "3")]).succeeded();
}

#[test]
fn fibra_workers_sets_the_number_of_workers() {
    for (value, count) in [("1", 1), ("3", 3), (" 5 ", 5)] {
        let end = Child::new().env("FIBRA_WORKERS", value).run(&count.to_string(), |count| {
            let count: usize = count.parse().unwrap();
            let expected: Vec<_> = (0..count).map(|i| format!("fibra-{i}")).collect();
            go!({}).join().unwrap();
            // A thread gives itself its name.
            poll("all threads have their names", || child::workers() == expected);
            let runtime = Runtime::builder().thread_name("mine").build().unwrap();
            assert_eq!(runtime.metrics().workers, count);
        });
        end.succeeded();
    }
}

#[test]
fn a_malformed_stack_setting_is_an_error() {
    for variable in ["FIBRA_STACK_GUARD", "FIBRA_MAP_BUDGET"] {
        for value in ["nonsense", "", "-1"] {
            let end = Child::new().env(variable, value).run(variable, |variable| {
                let value = std::env::var(variable).unwrap();
                for _ in 0..2 {
                    let error = fibra::Builder::new().spawn(|| 1).unwrap_err();
                    assert_is_about(&error, variable, &value);
                    let error = Runtime::builder().workers(2).build().unwrap_err();
                    assert_is_about(&error, variable, &value);
                    let payload = panic::catch_unwind(|| drop(go!(|| 1))).unwrap_err();
                    let text = payload.downcast_ref::<String>().unwrap();
                    assert!(text.contains(variable), "{text}");
                }
            });
            end.succeeded();
        }
    }
}

// ---- nothing left ----------------------------------------------------------------------------

/// More goroutines than anybody has stacks for here.
const MOST: usize = 1_000_000;
/// More than 61 for each stack of 64 MiB.
const HEADERS: usize = 100_000;

/// Spawns goroutines that park until there is an error, which must be a clear one. Then unparks them and
/// waits for all of them, those without a stack included. Three times, to see that nothing was lost.
fn exhaust_stacks() {
    // No allocation of ours while there is no memory.
    let mut handles: Vec<JoinHandle<usize>> = Vec::with_capacity(MOST);
    for _ in 0..3 {
        let error = loop {
            match fibra::Builder::new().spawn(park_once) {
                Ok(handle) => handles.push(handle),
                Err(error) => break error,
            }
            assert!(handles.len() < MOST, "there is no end of stacks");
            fibra::yield_now();
        };
        assert_eq!(error.kind(), ErrorKind::OutOfMemory, "{error}");
        let text = error.to_string();
        assert!(text.contains("stack") && text.contains("memory"), "{text}");

        let count = handles.len();
        for handle in &handles {
            handle.goroutine_handle().unpark();
        }
        let finished: usize = handles
            .drain(..)
            .map(|mut handle| match handle.join_timeout(SOON) {
                Some(result) => result.unwrap(),
                None => panic!("one of {count} did not finish"),
            })
            .sum();
        assert_eq!(finished, count);
        println!("{count} were spawned before the error");
        poll("spawning works again", || {
            let spawned = fibra::Builder::new().spawn(|| 1);
            spawned.is_ok_and(|handle| handle.join().unwrap() == 1)
        });
    }
}

fn park_once() -> usize {
    fibra::park();
    1
}

#[test]
fn out_of_maps_is_an_error_and_loses_nothing() {
    for spawner in ["thread", "goroutine"] {
        for workers in ["1", "2"] {
            let end = Child::new()
                .env("FIBRA_STACK_GUARD", "mprotect")
                .env("FIBRA_MAP_BUDGET", "200")
                .env("FIBRA_WORKERS", workers)
                .run(spawner, |spawner| {
                    if spawner == "thread" {
                        exhaust_stacks();
                    } else {
                        go!(exhaust_stacks()).join().unwrap();
                    }
                });
            end.succeeded();
        }
    }
}

/// `limit` bytes more address space than now, and no more.
fn limit_address_space(more: usize) {
    let limit = ((child::status("VmSize") << 10) + more) as libc::rlim_t;
    let limits = libc::rlimit { rlim_cur: limit, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the struct outlives the call.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limits) }, 0);
}

#[test]
fn out_of_address_space_is_an_error_and_loses_nothing() {
    if child::is_sanitized() {
        return; // The sanitizer needs address space, too.
    }
    for spawner in ["thread", "goroutine"] {
        let end = Child::new().env("FIBRA_WORKERS", "2").run(spawner, |spawner| {
            // The threads, and so many headers that it is stacks that run out: one in 61 that are spawned starts, and
            // needs one, however seldom the other worker gets to run.
            let headers: Vec<_> = (0..HEADERS).map(|_| go!({})).collect();
            headers.into_iter().for_each(|handle| handle.join().unwrap());
            // `handles` of `exhaust_stacks`, and 64 MiB.
            limit_address_space((MOST * size_of::<JoinHandle<usize>>()) + (64 << 20));
            if spawner == "thread" {
                exhaust_stacks();
            } else {
                go!(exhaust_stacks()).join().unwrap();
            }
        });
        end.succeeded();
    }
}

/// Goroutines that have not started need no stacks, but headers.
#[test]
fn out_of_address_space_for_headers_is_an_error() {
    if child::is_sanitized() {
        return; // The sanitizer needs address space, too.
    }
    let end = Child::new().env("FIBRA_WORKERS", "1").run("", |_| {
        // The threads, and a stack for the hog.
        go!({}).join().unwrap();
        // From here on there is no room for a spare worker, which would run what is to wait behind the hog.
        limit_address_space(1 << 20);
        let go_on = Arc::new(AtomicBool::new(false));
        let wait = go_on.clone();
        let hog = go!({
            while !wait.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        });
        let mut spawned = 0;
        let error = loop {
            match fibra::Builder::new().spawn(|| ()) {
                Ok(_detached) => spawned += 1,
                Err(error) => break error,
            }
            assert!(spawned < MOST, "there is no end of headers");
        };
        assert_eq!(error.kind(), ErrorKind::OutOfMemory, "{error}");
        go_on.store(true, Ordering::Relaxed);
        hog.join().unwrap();
        poll("spawning works again", || {
            let spawned = fibra::Builder::new().spawn(|| 1);
            spawned.is_ok_and(|handle| handle.join().unwrap() == 1)
        });
    });
    end.succeeded();
}

/// Not even one stack can be had. What cannot start is refused when the runtime goes, and does not keep it.
#[test]
fn a_runtime_without_any_stack_can_be_dropped() {
    for method in ["drop", "shutdown_timeout"] {
        let end = Child::new()
            .env("FIBRA_STACK_GUARD", "mprotect")
            .env("FIBRA_MAP_BUDGET", "1")
            .run(method, |method| {
                let runtime = Runtime::builder().workers(2).build().unwrap();
                let handle = runtime.spawn(|| 1);
                if method == "drop" {
                    drop(runtime);
                } else {
                    let report = runtime.shutdown_timeout(SOON);
                    assert!(report.is_complete(), "{report:?}");
                }
                // Refused at the shutdown, or for want of a stack just before.
                let payload = handle.join().unwrap_err();
                let reason = payload.downcast_ref::<String>().map_or("", String::as_str);
                let cancelled = payload.is::<fibra::Cancelled>();
                assert!(cancelled || reason.contains("memory maps"), "{reason}");
            });
        end.succeeded();
    }
}

/// Some have a stack and are parked, some have none.
#[test]
fn a_runtime_that_ran_out_of_stacks_can_be_dropped() {
    let end = Child::new().env("FIBRA_STACK_GUARD", "mprotect").env("FIBRA_MAP_BUDGET", "20").run(
        "",
        |_| {
            let captured = Arc::new(());
            let runtime = Runtime::builder().workers(2).build().unwrap();
            let handles: Vec<_> = runtime.run(|| {
                let captured = &captured;
                let spawn = move || {
                    let captured = captured.clone();
                    fibra::yield_now();
                    fibra::Builder::new().spawn(move || {
                        fibra::park();
                        drop(captured);
                    })
                };
                // Refused once a worker has found no stack for one of them, however late it gets to run.
                iter::from_fn(|| spawn().ok()).collect()
            });
            assert!(handles.len() >= 9, "{}", handles.len());
            drop(runtime);
            assert_eq!(Arc::strong_count(&captured), 1);
            for handle in handles {
                assert!(handle.join().unwrap_err().is::<fibra::Cancelled>());
            }
        },
    );
    end.succeeded();
}

/// The main goroutine is an error, too, when it can never run.
#[test]
fn a_main_goroutine_without_a_stack_is_an_error() {
    let environment = [("FIBRA_STACK_GUARD", "mprotect"), ("FIBRA_MAP_BUDGET", "0")];
    let end = entry("code", &environment);
    assert_eq!(end.status.code(), Some(101), "{end}");
    assert!(end.stderr.contains("memory maps"), "{end}");
}

/// A runtime that cannot have its threads is an error, and the threads it had are gone again.
#[test]
fn a_thread_that_cannot_be_started_is_an_error() {
    if child::is_sanitized() {
        return; // The sanitizer needs address space, too.
    }
    // Room for no thread's stack of 2 MiB, for one, for three of four.
    for room in ["1", "3", "8"] {
        let end = Child::new().env("FIBRA_WORKERS", "4").run(room, |room| {
            let threads = || child::threads().len();
            let before = threads();
            limit_address_space(room.parse::<usize>().unwrap() << 20);
            for _ in 0..3 {
                let error = Runtime::builder().build().unwrap_err();
                assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
                poll("its threads end", || threads() == before);
                let error = fibra::Builder::new().spawn(|| 1).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
                poll("its threads end", || threads() == before);
            }
            limit_address_space(1 << 30);
            assert_eq!(go!(|| 1).join().unwrap(), 1);
        });
        end.succeeded();
    }
}

/// As documented, `blocking` then runs its call where it is.
#[test]
fn blocking_works_without_blocking_threads() {
    if child::is_sanitized() {
        return; // The sanitizer needs address space, too.
    }
    let end = Child::new().env("FIBRA_WORKERS", "2").run("", |_| {
        go!({}).join().unwrap();
        limit_address_space(1 << 20);
        let here = || thread::current().id();
        let handle = go!({ fibra::blocking(here) == here() });
        assert!(handle.join().unwrap(), "not in place");
        limit_address_space(1 << 30);
        let handle = go!({ fibra::blocking(here) == here() });
        assert!(!handle.join().unwrap(), "in place");
    });
    end.succeeded();
}

// ---- threads and processes -------------------------------------------------------------------

/// Calls much of the library when its thread ends.
struct AtExit(Cell<Option<Arc<AtomicUsize>>>);

impl Drop for AtExit {
    fn drop(&mut self) {
        let Some(count) = self.0.take() else { return };
        assert!(fibra::current().is_none());
        fibra::yield_now();
        fibra::checkpoint();
        fibra::sleep(Duration::from_millis(1));
        fibra::park_timeout(Duration::from_millis(1));
        assert_eq!(fibra::blocking(|| 1), 1);
        assert_eq!(fibra::uncancellable(|| 2), 2);
        assert_eq!(go!(|| 3).join().unwrap(), 3);
        let mut slow = go!({
            fibra::sleep(Duration::from_millis(1));
            4
        });
        assert_eq!(slow.join_timeout(SOON).unwrap().unwrap(), 4);
        let mut sum = 0;
        fibra::scope(|s| drop(s.go(|| sum = 5)));
        assert_eq!(sum, 5);
        let runtime = Runtime::builder().workers(1).build().unwrap();
        assert_eq!(runtime.run(|| 6), 6);
        count.fetch_add(1, Ordering::Relaxed);
    }
}

thread_local! {
    static AT_EXIT: AtExit = const { AtExit(Cell::new(None)) };
}

/// Destructors of thread-locals may use the library: on threads that did before and on those that did not,
/// on workers and on blocking threads, before and after the library's own thread-locals are gone.
#[test]
fn thread_local_destructors_may_use_the_library() {
    let end = Child::new().env("FIBRA_WORKERS", "2").run("", |_| {
        let count = Arc::new(AtomicUsize::new(0));
        let arm = |count: &Arc<AtomicUsize>| AT_EXIT.with(|it| it.0.set(Some(count.clone())));
        // Touches all thread-locals of the library.
        let touch = || {
            fibra::goroutine_local! { static VALUE: RefCell<u8> = RefCell::new(0); }
            VALUE.with(|value| *value.borrow_mut() += 1);
            go!(fibra::sleep(Duration::from_millis(1))).join().unwrap();
        };
        for order in 0..3 {
            let count = count.clone();
            let plain = thread::spawn(move || {
                if order == 1 {
                    touch();
                }
                arm(&count);
                if order == 2 {
                    touch();
                }
            });
            plain.join().unwrap();
        }
        assert_eq!(count.load(Ordering::Relaxed), 3);

        let runtime = Runtime::builder().workers(1).build().unwrap();
        let theirs = count.clone();
        runtime.run(move || arm(&theirs));
        drop(runtime);
        assert_eq!(count.load(Ordering::Relaxed), 4, "a worker's");
    });
    end.succeeded();
}

/// A child process of a goroutine works as one of a thread, also when many start at once.
#[test]
fn goroutines_start_processes() {
    let end = Child::new().env("FIBRA_WORKERS", "2").run("", |_| {
        fn echo(i: usize) -> String {
            let script = format!("echo out {i}; echo err {i} >&2; exit {i}");
            let output = Command::new("sh").args(["-c", &script]).output().unwrap();
            assert_eq!(output.status.code(), Some(i as i32));
            assert_eq!(output.stderr, format!("err {i}\n").as_bytes());
            String::from_utf8(output.stdout).unwrap()
        }
        let parked = go!(fibra::park());
        let handles: Vec<_> = (0..40)
            .map(|i| {
                go!({
                    match i % 2 {
                        0 => echo(i),
                        _ => fibra::blocking(|| echo(i)),
                    }
                })
            })
            .collect();
        for (i, handle) in handles.into_iter().enumerate() {
            assert_eq!(handle.join().unwrap(), format!("out {i}\n"));
        }
        parked.goroutine_handle().unpark();
        parked.join().unwrap();
    });
    end.succeeded();
}
