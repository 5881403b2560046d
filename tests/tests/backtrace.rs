//! A backtrace taken in a goroutine shows its frames and ends at its root, for std and for gdb.

use std::backtrace::Backtrace;
use std::hint::black_box;
use std::process::Command;

use fibra::coroutine::{Coroutine, Step};
use fibra::{Runtime, go};
use fibra_tests::child::{Child, Ending};

/// The last frame of every goroutine and coroutine.
const ROOT: &str = "fibra_context_root";

/// The functions in a backtrace, innermost first.
fn frames() -> Vec<String> {
    let text = Backtrace::force_capture().to_string();
    let function = |line: &str| {
        let (number, function) = line.trim_start().split_once(": ")?;
        number.parse::<usize>().ok()?;
        Some(function.to_owned())
    };
    text.lines().filter_map(function).collect()
}

#[inline(never)]
fn outer(bottom: fn() -> Vec<String>) -> Vec<String> {
    black_box(middle(black_box(bottom)))
}

#[inline(never)]
fn middle(bottom: fn() -> Vec<String>) -> Vec<String> {
    black_box(inner(black_box(bottom)))
}

#[inline(never)]
fn inner(bottom: fn() -> Vec<String>) -> Vec<String> {
    black_box(bottom())
}

/// Where a function stands. Its path and a hash are there or not, depending on the debug information.
fn position(frames: &[String], name: &str) -> usize {
    let is_it = |frame: &String| frame.split("::").any(|segment| segment == name);
    let position = frames.iter().position(is_it);
    position.unwrap_or_else(|| panic!("no {name}: {frames:#?}"))
}

/// The three functions stand there, in order, and the root is the last and stands there once.
fn assert_complete(frames: &[String]) {
    let [inner, middle, outer] = ["inner", "middle", "outer"].map(|name| position(frames, name));
    assert!(inner < middle && middle < outer, "{frames:#?}");
    assert_eq!(position(frames, ROOT), frames.len() - 1, "{frames:#?}");
}

#[test]
fn a_backtrace_ends_at_the_root() {
    for workers in [1, 2] {
        let runtime = Runtime::builder().workers(workers).build().unwrap();
        assert_complete(&runtime.run(|| outer(frames)));
        // After a park, and from below one.
        let parked = runtime.spawn(|| {
            fibra::yield_now();
            outer(|| {
                fibra::sleep(std::time::Duration::from_millis(1));
                frames()
            })
        });
        assert_complete(&parked.join().unwrap());
    }
}

/// A child on its joiner's stack stands above the joiner.
#[test]
fn a_backtrace_in_place_shows_the_joiner() {
    #[inline(never)]
    fn joiner() -> Vec<String> {
        let child = go!(outer(frames));
        black_box(child.join().unwrap())
    }
    // Nobody else starts the child before it is joined.
    let runtime = Runtime::builder().workers(1).spare_workers(0).build().unwrap();
    let frames = runtime.run(joiner);
    assert_complete(&frames);
    assert!(position(&frames, "outer") < position(&frames, "joiner"), "{frames:#?}");
}

/// `f`, in a coroutine of its own.
fn in_coroutine(f: fn() -> Vec<String>) -> impl FnOnce() -> Vec<String> + Send {
    move || match Coroutine::new(move |_, ()| f()).resume(()) {
        Step::Returned(frames) => frames,
        Step::Yielded(()) => unreachable!("it does not suspend"),
    }
}

#[test]
fn a_backtrace_in_a_coroutine_ends_at_its_root() {
    let frames = || outer(frames);
    assert_complete(&in_coroutine(frames)());
    assert_complete(&fibra::spawn(in_coroutine(frames)).join().unwrap());
}

/// What a panic prints shows it, too.
#[test]
fn a_panic_shows_the_goroutines_frames() {
    let child = Child::new().env("RUST_BACKTRACE", "full");
    let end = child.run("", |_| {
        let handle = go!(outer(|| panic!("look")));
        handle.join().unwrap_err();
    });
    let end = end.succeeded();
    // `  12:     0x55d0c0ffee00 - main::inner`, and at the end one at address 0, as on every thread.
    let function = |line: &str| Some(line.split_once(" - ")?.1.to_owned());
    let is_known = |function: &String| function != "<unknown>";
    let frames: Vec<_> = end.stderr.lines().filter_map(function).filter(is_known).collect();
    assert_complete(&frames);
}

/// `ci/gdb.sh` runs this with a gdb, and fails when it finds the word "skipped".
#[test]
fn gdb_shows_the_goroutines_frames() {
    if Command::new("gdb").arg("--version").output().is_err() {
        println!("skipped: there is no gdb");
        return;
    }
    for place in ["goroutine", "in place", "coroutine"] {
        let gdb = ["gdb", "-nx", "-batch", "-ex", "run", "-ex", "bt", "--args"];
        let end = Child::under(&gdb).run(place, |place| {
            let abort: fn() -> Vec<String> = || outer(|| std::process::abort());
            let runtime = Runtime::builder().workers(1).build().unwrap();
            let frames = match place {
                "goroutine" => runtime.spawn(abort).join(),
                "in place" => runtime.run(|| fibra::spawn(abort).join()),
                _ => runtime.spawn(in_coroutine(abort)).join(),
            };
            unreachable!("it went on: {frames:?}");
        });
        assert_gdb_saw_it(&end);
    }
}

fn assert_gdb_saw_it(end: &Ending) {
    // `#12 0x000055d0c0ffee00 in main::inner (argument=1) at src/main.rs:2`, or without the address.
    let function = |line: &str| {
        let frame = line.strip_prefix('#')?.split_once(' ')?.1.trim_start();
        let function = frame.split_once(" in ").map_or(frame, |(_, function)| function);
        Some(function.split_once(" (")?.0.to_owned())
    };
    let frames: Vec<_> = end.stdout.lines().filter_map(function).collect();
    assert_complete(&frames);
    for complaint in ["corrupt stack", "Backtrace stopped", "Cannot access memory"] {
        assert!(!end.stdout.contains(complaint) && !end.stderr.contains(complaint), "{end}");
    }
}
