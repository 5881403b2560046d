//! A stack overflow ends the process with one sentence that names the culprit, and other faults end it as
//! usual. Run this with `--release` too: frames are then others.
//!
//! All names begin with `overflow_`: AddressSanitizer wants the same signals, and its run skips them.

use std::arch::asm;
use std::hint::black_box;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fibra::coroutine::{Coroutine, Step};
use fibra::{Runtime, go};
use fibra_tests::child::{self, Child, Ending};

const GUARDS: [&str; 2] = ["install", "mprotect"];

/// Bytes of a stack that cannot be used. In debug, the scheduler takes some of what is left.
const SPARE: usize = 6 << 10;

/// What follows the size of the stack.
const HINT: &str = "; give it more with `stack = <bytes>` in go!, Builder::stack_size or \
                    Runtime::builder().stack_size\n";

/// Recurses for ever.
fn overflow() -> usize {
    dive(usize::MAX)
}

/// Recurses until `depth` bytes of stack, about, are in use, and there calls `yield_now`.
fn dive(depth: usize) -> usize {
    dive_from(address(), depth)
}

#[inline(never)]
fn dive_from(top: usize, depth: usize) -> usize {
    let frame = black_box([top; 16]);
    if top - address() >= depth {
        fibra::yield_now();
        return 0;
    }
    dive_from(top, depth) + 1 + black_box(frame)[0] - top
}

/// About where the stack pointer is.
#[inline(never)]
fn address() -> usize {
    let local = 0u8;
    black_box(&raw const local).addr()
}

/// Says who is going to overflow, as the message should: the current goroutine, spawned at `line` of this
/// file with `name`.
fn announce(name: &str, line: u32) {
    let goroutine = fibra::current().expect("a goroutine");
    assert_eq!(goroutine.name().unwrap_or_default(), name);
    let quoted = match name {
        "" => String::new(),
        name => format!(" '{name}'"),
    };
    let id = goroutine.id();
    println!("goroutine {id}{quoted} (spawned at {}:{line}:", file!());
}

/// The whole message is `start`, a column, and the rest of the sentence.
fn assert_message(end: &Ending, start: &str, stack: &str) {
    let column = end
        .stderr
        .strip_prefix(start)
        .and_then(|rest| rest.strip_suffix(&format!(") overflowed its stack of {stack}{HINT}")));
    let is_column = column.is_some_and(|column| column.parse::<u32>().is_ok_and(|it| it > 0));
    assert!(is_column, "want {start}…{stack}, have {end}");
}

/// As announced.
fn assert_names_the_culprit(end: Ending, stack: &str) {
    let end = end.died_of(libc::SIGABRT);
    let announced = end.stdout.lines().last().unwrap_or_default();
    assert!(announced.starts_with("goroutine "), "{end}");
    assert_message(&end, announced, stack);
}

fn guarded(guard: &str) -> Child {
    Child::new().env("FIBRA_STACK_GUARD", guard)
}

fn runtime(workers: usize) -> Runtime {
    Runtime::builder().workers(workers).build().unwrap()
}

/// One worker and no spare one, which might be faster to start a child than its parent is to join it.
fn sole_worker() -> Runtime {
    Runtime::builder().workers(1).spare_workers(0).build().unwrap()
}

#[test]
fn overflow_of_a_named_goroutine() {
    for guard in GUARDS {
        let end = guarded(guard).run("", |_| {
            let line = line!() + 1;
            let parser = go!(name = "parser", {
                announce("parser", line);
                overflow()
            });
            parser.join().unwrap();
        });
        assert_names_the_culprit(end, "256 KiB");
    }
}

#[test]
fn overflow_of_an_unnamed_goroutine() {
    for guard in GUARDS {
        let end = guarded(guard).run("", |_| {
            // Many before it and beside it, so that neither the id nor the stack is the first.
            for _ in 0..100 {
                go!({}).join().unwrap();
            }
            let _parked: Vec<_> = (0..100).map(|_| go!(fibra::park())).collect();
            let line = line!() + 1;
            let handle = fibra::spawn(move || {
                announce("", line);
                overflow()
            });
            handle.join().unwrap();
        });
        assert_names_the_culprit(end, "256 KiB");
    }
}

#[test]
fn overflow_of_the_main_goroutine() {
    for guard in GUARDS {
        let end = guarded(guard).run("", |_| {
            let line = line!() + 1;
            runtime(2).run(|| {
                announce("main", line);
                overflow()
            });
        });
        assert_names_the_culprit(end, "256 KiB");
    }
}

#[test]
fn overflow_of_fibra_main() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_entry"));
    command.arg("overflows");
    let end = child::finish(command).died_of(libc::SIGABRT);
    let (id, rest) = end
        .stderr
        .strip_prefix("goroutine ")
        .and_then(|rest| rest.split_once(' '))
        .unwrap_or_else(|| panic!("{end}"));
    assert!(id.parse::<u64>().is_ok_and(|id| id > 0), "{end}");
    let start = format!("goroutine {id} 'main' (spawned at tests/src/bin/entry.rs:");
    assert!(end.stderr.starts_with(&start), "{end}");
    assert!(rest.ends_with(&format!(") overflowed its stack of 256 KiB{HINT}")), "{end}");
}

#[test]
fn overflow_of_a_stack_of_another_size() {
    for (bytes, stack) in [("65536", "64 KiB"), ("1000000", "1 MiB"), ("1", "16 KiB")] {
        let end = Child::new().run(bytes, |bytes| {
            let bytes = bytes.parse().unwrap();
            let line = line!() + 1;
            let handle = go!(name = "sized", stack = bytes, {
                announce("sized", line);
                overflow()
            });
            handle.join().unwrap();
        });
        assert_names_the_culprit(end, stack);
    }
}

#[test]
fn overflow_of_a_stack_of_the_runtimes_size() {
    let end = Child::new().run("", |_| {
        let builder = Runtime::builder().workers(1).stack_size(512 << 10);
        let runtime = builder.build().unwrap();
        let line = line!() + 1;
        let handle = runtime.spawn(move || {
            announce("", line);
            overflow()
        });
        handle.join().unwrap();
    });
    assert_names_the_culprit(end, "512 KiB");
}

/// A join of the newest child runs it on the joiner's stack, as the child.
#[test]
fn overflow_in_place_names_the_child() {
    for guard in GUARDS {
        let end = guarded(guard).run("", |_| {
            sole_worker().run(|| {
                let parent = address();
                let line = line!() + 1;
                let child = go!(name = "child", {
                    let distance = parent - address();
                    assert!(distance < 256 << 10, "not in place: {distance}");
                    announce("child", line);
                    overflow()
                });
                child.join().unwrap();
            });
        });
        assert_names_the_culprit(end, "256 KiB");
    }
}

/// And afterwards the stack is the joiner's again.
#[test]
fn overflow_after_a_join_in_place_names_the_parent() {
    let end = Child::new().run("", |_| {
        let line = line!() + 1;
        sole_worker().run(|| {
            let parent = address();
            let distance = go!(name = "child", { parent - address() }).join().unwrap();
            assert!(distance < 256 << 10, "not in place: {distance}");
            // A child that parks, so that the joiner's stack is resumed as the child's.
            let child = go!(name = "yields", {
                fibra::yield_now();
                parent - address()
            });
            let distance = child.join().unwrap();
            assert!(distance < 256 << 10, "not in place: {distance}");
            announce("main", line);
            overflow()
        });
    });
    assert_names_the_culprit(end, "256 KiB");
}

/// A stack that was another goroutine's before.
#[test]
fn overflow_of_a_stack_used_before() {
    let end = Child::new().run("", |_| {
        runtime(1).run(|| {
            for _ in 0..10 {
                let handle = go!(name = "before", dive(100 << 10));
                while !handle.is_finished() {
                    fibra::yield_now();
                }
            }
            let line = line!() + 1;
            let handle = go!(name = "after", {
                announce("after", line);
                overflow()
            });
            while !handle.is_finished() {
                fibra::yield_now();
            }
        });
    });
    assert_names_the_culprit(end, "256 KiB");
}

#[test]
fn overflow_of_a_goroutine_that_parked() {
    let end = Child::new().run("", |_| {
        let line = line!() + 1;
        let handle = go!(name = "parked", {
            fibra::park();
            announce("parked", line);
            overflow()
        });
        handle.goroutine_handle().unpark();
        handle.join().unwrap();
    });
    assert_names_the_culprit(end, "256 KiB");
}

/// It overflows on another worker than the one that started it.
#[test]
fn overflow_of_a_migratable_goroutine() {
    for guard in GUARDS {
        let end = guarded(guard).run("", |_| {
            // SAFETY: nothing thread-bound lives across a yield.
            let builder = unsafe { Runtime::builder().workers(2).migratable() };
            builder.build().unwrap().run(|| {
                // Whoever is idle takes what yields: keep the workers idle now and then.
                for _ in 0..2 {
                    go!(|| {
                        loop {
                            (0..100).for_each(|_| fibra::yield_now());
                            fibra::sleep(Duration::from_millis(1));
                        }
                    });
                }
                let line = line!() + 1;
                let nomad = go!(name = "nomad", {
                    let thread = || std::thread::current().id();
                    let first = thread();
                    while thread() == first {
                        fibra::yield_now();
                    }
                    announce("nomad", line);
                    overflow()
                });
                nomad.join().unwrap();
            });
        });
        assert_names_the_culprit(end, "256 KiB");
    }
}

#[test]
fn overflow_of_a_coroutine() {
    for guard in GUARDS {
        for (name, who) in [("lexer", "coroutine 'lexer'"), ("", "a coroutine")] {
            let end = guarded(guard).run(name, |name| {
                let builder = Coroutine::builder().stack_size(128 << 10);
                let builder = if name.is_empty() { builder } else { builder.name(name) };
                let mut lexer = builder
                    .build(|yielder, ()| {
                        yielder.suspend(());
                        overflow()
                    })
                    .unwrap();
                assert_eq!(lexer.resume(()), Step::Yielded(()));
                lexer.resume(());
            });
            let end = end.died_of(libc::SIGABRT);
            let message = format!("{who} overflowed its stack of 128 KiB{HINT}");
            assert_eq!(end.stderr, message, "{end}");
        }
    }
}

#[test]
fn overflow_of_a_coroutine_inside_a_goroutine() {
    let end = Child::new().run("", |_| {
        let handle = go!({
            let builder = Coroutine::builder().name("inner");
            let mut inner = builder.build(|_, ()| overflow()).unwrap();
            let _: Step<(), usize> = inner.resume(());
        });
        handle.join().unwrap();
    });
    let end = end.died_of(libc::SIGABRT);
    let message = format!("coroutine 'inner' overflowed its stack of 256 KiB{HINT}");
    assert_eq!(end.stderr, message, "{end}");
}

#[test]
fn overflow_of_a_goroutine_that_resumed_a_coroutine() {
    let end = Child::new().run("", |_| {
        let line = line!() + 1;
        let handle = go!({
            let builder = Coroutine::builder().name("inner");
            let mut inner = builder.build(|y, ()| y.suspend(())).unwrap();
            assert_eq!(inner.resume(()), Step::Yielded(()));
            announce("", line);
            overflow()
        });
        handle.join().unwrap();
    });
    assert_names_the_culprit(end, "256 KiB");
}

/// std's own message stays for threads that are none of ours, and for blocking threads.
#[test]
fn overflow_of_a_thread() {
    for kind in ["plain", "fibra-blocking"] {
        let end = Child::new().run(kind, |kind| {
            go!({}).join().unwrap();
            if kind == "plain" {
                let thread = std::thread::Builder::new().name("plain".into());
                thread.spawn(overflow).unwrap().join().unwrap();
            } else {
                go!(fibra::blocking(overflow)).join().unwrap();
            }
        });
        assert_is_stds(end, kind);
    }
}

#[test]
fn overflow_of_the_main_thread() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_entry"));
    command.arg("overflows-as-a-thread");
    assert_is_stds(child::finish(command), "main");
}

fn assert_is_stds(end: Ending, thread: &str) {
    let end = end.died_of(libc::SIGABRT);
    let said = &end.stderr;
    assert!(said.contains(&format!("thread '{thread}'")), "{end}");
    assert!(said.contains("has overflowed its stack"), "{end}");
    assert!(!said.contains("routine"), "{end}");
}

/// Every other fault means what it meant before.
#[test]
fn overflow_is_not_what_other_faults_are() {
    for kind in ["null", "wild", "raised"] {
        for guard in GUARDS {
            let end = guarded(guard).run(kind, |kind| {
                let kind = kind.to_owned();
                let handle = go!(move || match &*kind {
                    "null" => read(0),
                    // Not canonical: the kernel reports no address.
                    "wild" => read(1 << 63),
                    _ => raise_twice(),
                });
                let _ = handle.join();
            });
            let end = end.died_of(libc::SIGSEGV);
            assert_eq!(end.stderr, "", "{kind}: {end}");
        }
    }
}

/// Reads a byte that is not there.
fn read(address: usize) {
    // SAFETY: the read faults, which is what the caller is after; it goes nowhere else.
    unsafe { asm!("mov {0:l}, byte ptr [{0}]", inout(reg) address => _, options(readonly)) };
}

/// At the first one std's own handler, which ours passes it on to, steps aside and returns.
fn raise_twice() {
    for _ in 0..2 {
        // SAFETY: `raise` has no preconditions.
        unsafe { libc::raise(libc::SIGSEGV) };
    }
}

/// Whoever joins it at once does not run it on what is left of its own stack.
#[test]
fn overflow_does_not_happen_before_the_end_of_what_was_asked_for() {
    let end = Child::new().run("", |_| {
        const SIZE: usize = 256 << 10;
        fn join_from(depth: usize) {
            if depth > 0 {
                let frame = black_box([0u8; 1024]);
                join_from(depth - 1);
                black_box(frame);
            } else {
                assert!(go!(stack = SIZE, dive(SIZE - SPARE)).join().unwrap() > 0);
            }
        }
        for depth in [0, 8, 32] {
            runtime(1).run(|| join_from(depth));
        }
    });
    assert_eq!(end.succeeded().stderr, "");
}

/// Everything but the last pages can be used, also by a goroutine that switches down there.
#[test]
fn overflow_does_not_happen_before_the_end() {
    for guard in GUARDS {
        let end = guarded(guard).run("", |_| {
            let sizes = [16 << 10, 64 << 10, 256 << 10, 1 << 20, 8 << 20];
            let runtime = runtime(2);
            let deep = AtomicUsize::new(0);
            runtime.run(|| {
                fibra::scope(|s| {
                    for round in 0..20 {
                        for size in sizes {
                            let deep = &deep;
                            s.go(move || {
                                let handle = go!(stack = size, dive(size - SPARE));
                                assert!(handle.join().unwrap() > 0, "round {round}");
                                deep.fetch_add(1, Ordering::Relaxed);
                            });
                        }
                    }
                });
            });
            assert_eq!(deep.load(Ordering::Relaxed), 20 * sizes.len());
        });
        let end = end.succeeded();
        assert_eq!(end.stderr, "", "{end}");
    }
}
