//! What holds for the whole process, each in a process of its own.

use std::fs;
use std::io::ErrorKind;

use super::*;

/// Runs a test's body in a child process: this test binary, told to run that one test.
pub(super) mod child {
    use std::process::{Command, Output};

    const MARK: &str = "FIBRA_TEST_CHILD";

    /// `module` is the caller's `module_path!()`, `test` the name of its test. Returns how the
    /// child ended (0 if `body` returned) and what it wrote to stderr.
    pub(in super::super) fn run(
        module: &str,
        test: &str,
        environment: &[(&str, &str)],
        body: fn(),
    ) -> (Output, String) {
        if std::env::var_os(MARK).is_some() {
            body();
            std::process::exit(0);
        }
        let (_crate, module) = module.split_once("::").unwrap();
        let output = Command::new(std::env::current_exe().unwrap())
            .args([&format!("{module}::{test}"), "--exact", "--nocapture", "--test-threads=1"])
            .env(MARK, "1")
            .envs(environment.iter().copied())
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!String::from_utf8_lossy(&output.stdout).contains("running 0 tests"), "{test}");
        (output, stderr)
    }
}

fn passes_in_child(test: &str, environment: &[(&str, &str)], body: fn()) {
    let (output, stderr) = child::run(module_path!(), test, environment, body);
    assert!(output.status.success(), "{}\n{stderr}", output.status);
}

fn maps() -> usize {
    fs::read_to_string("/proc/self/maps").unwrap().lines().count()
}

#[test]
fn a_malformed_environment_is_reported_each_time() {
    let test = "a_malformed_environment_is_reported_each_time";
    passes_in_child(test, &[("FIBRA_STACK_GUARD", "concrete")], || {
        for _ in 0..2 {
            let error = check_environment().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains("FIBRA_STACK_GUARD=\"concrete\""), "{error}");
            assert_eq!(acquire(StackSize::MIN).unwrap_err().kind(), ErrorKind::InvalidInput);
        }
        assert_eq!(census().in_use, 0);
    });
}

#[test]
fn the_environment_sets_kind_and_budget() {
    let environment = [("FIBRA_STACK_GUARD", "mprotect"), ("FIBRA_MAP_BUDGET", "4")];
    passes_in_child("the_environment_sets_kind_and_budget", &environment, || {
        check_environment().unwrap();
        let one = acquire(StackSize::MIN).unwrap();
        let _two = acquire(StackSize::MIN).unwrap();
        assert_eq!(acquire(StackSize::MIN).unwrap_err().kind(), ErrorKind::OutOfMemory);
        release(one);
        let _one = acquire(StackSize::MIN).unwrap();
        let census = census();
        assert_eq!(census.guard, Some(GuardKind::Mprotect));
        assert_eq!((census.guard_maps, census.map_budget), (4, Some(4)));
    });
}

#[test]
fn many_stacks_need_few_maps() {
    passes_in_child("many_stacks_need_few_maps", &[("FIBRA_STACK_GUARD", "install")], || {
        let before = maps();
        for _ in 0..50_000 {
            match acquire(StackSize::DEFAULT) {
                // SAFETY: the byte is the stack's, and the stack is ours.
                Ok(stack) => unsafe { stack.top().sub(1).write(1) },
                Err(error) => return assert_eq!(error.kind(), ErrorKind::Unsupported),
            }
        }
        assert!(maps() < before + 50, "{} and then {}", before, maps());
    });
}

#[test]
fn a_kernel_out_of_maps_is_an_error_and_loses_nothing() {
    let environment = [("FIBRA_STACK_GUARD", "mprotect"), ("FIBRA_MAP_BUDGET", "100000000")];
    passes_in_child("a_kernel_out_of_maps_is_an_error_and_loses_nothing", &environment, || {
        let limit = fs::read_to_string("/proc/sys/vm/max_map_count").unwrap();
        if limit.trim().parse::<usize>().unwrap() > 1 << 20 {
            return; // It would take minutes.
        }
        // No allocation while there are no maps left, only counting.
        let mut stacks = Vec::with_capacity(1 << 20);
        let error = loop {
            match acquire(StackSize::MIN) {
                Ok(stack) => stacks.push(stack),
                Err(error) => break error,
            }
        };
        let guard_maps = census().guard_maps;
        let freed = stacks.pop();
        freed.into_iter().for_each(release);
        assert_eq!(error.kind(), ErrorKind::OutOfMemory);
        assert!(error.to_string().contains("vm.max_map_count"), "{error}");
        assert_eq!(guard_maps, 2 * (stacks.len() + 1));
        stacks.push(acquire(StackSize::MIN).unwrap());
        assert_eq!(acquire(StackSize::MIN).unwrap_err().kind(), ErrorKind::OutOfMemory);
        assert_eq!(census().in_use, stacks.len());
        // Address space cannot be reserved either, and says so.
        let error = acquire(StackSize::DEFAULT).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfMemory);
    });
}

#[test]
fn a_thread_keeps_the_stack_that_it_released_last() {
    passes_in_child("a_thread_keeps_the_stack_that_it_released_last", &[], || {
        let size = StackSize::MIN;
        let counts = || (census().in_use, census().pooled);
        let kept = std::thread::spawn(move || {
            let (first, second) = (acquire(size).unwrap(), acquire(size).unwrap());
            assert_eq!(counts(), (2, 0));
            let places = [first.top(), second.top()];
            release(first);
            release(second);
            assert_eq!(counts(), (0, 2));
            let again = acquire(size).unwrap();
            assert_eq!(again.top(), places[1]);
            // It is of no use for another size.
            release(again);
            let larger = acquire(StackSize::new(2 * size.bytes()).unwrap()).unwrap();
            assert_eq!(larger.size().bytes(), 2 * size.bytes());
            release(larger);
            assert_eq!(counts(), (0, 3));
            places.map(|place| place.addr())
        });
        let places = kept.join().unwrap();
        // What the thread kept is everybody's now.
        assert_eq!(counts(), (0, 3));
        let stacks = [acquire(size).unwrap(), acquire(size).unwrap()];
        assert!(stacks.iter().all(|stack| places.contains(&stack.top().addr())));
        stacks.into_iter().for_each(release);
    });
}
