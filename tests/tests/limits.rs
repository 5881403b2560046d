//! Bad input and extremes: sizes, alignments, depth, and destructors that panic.

use std::hint::black_box;
use std::io::ErrorKind;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fibra::{Builder, JoinHandle, Runtime, RuntimeBuilder, go};
use fibra_tests::child::Child;
use fibra_tests::{
    Drops, LONG, OnDrop, Signal, assert_cancelled, at, everywhere, join, outcome, text, turn,
};

fn assert_invalid(builder: RuntimeBuilder, reason: &str) {
    let error = builder.build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains(reason), "{error}");
}

#[test]
fn a_runtime_of_impossible_settings_is_refused() {
    assert_invalid(Runtime::builder().workers(0), "not 0");
    assert_invalid(Runtime::builder().workers(4097), "not 4097");
    assert_invalid(Runtime::builder().workers(usize::MAX), "workers");
    assert_invalid(Runtime::builder().stack_size(0), "0 bytes");
    assert_invalid(Runtime::builder().stack_size((64 << 30) + 1), "64 GiB");
    assert_invalid(Runtime::builder().stack_size(usize::MAX), "64 GiB");
    assert_invalid(Runtime::builder().thread_name("a\0b"), "NUL");
}

#[test]
fn a_goroutine_of_impossible_size_is_refused_and_dropped() {
    everywhere(|setup| {
        setup.run(|| {
            let drops = Drops::new();
            for size in [0, (64 << 30) + 1, 1 << 47, usize::MAX] {
                let token = drops.token();
                let error = Builder::new().stack_size(size).spawn(|| token).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::InvalidInput);
            }
            assert_eq!(drops.count(), 4);
            let refused = panic::catch_unwind(|| go!(stack = 0, || ()));
            assert!(text(&*refused.unwrap_err()).contains("cannot spawn a goroutine"));
            // The least there is.
            let least = Builder::new().stack_size(1).spawn(|| 5).unwrap();
            assert_eq!(outcome(least).unwrap(), 5);
            // A name may contain anything.
            let named = Builder::new().name("a\0b").spawn(|| ()).unwrap();
            assert_eq!(named.name(), Some("a\0b"));
            join(named);
        });
    });
}

#[test]
fn a_spare_less_and_a_large_runtime_work() {
    at(&[1, 64], &[false, true], LONG * 2, |setup| {
        let runtime = setup.builder().spare_workers(0).stack_size(1).build().unwrap();
        let handles: Vec<_> = (0..200).map(|i| runtime.spawn(move || i)).collect();
        assert_eq!(handles.into_iter().map(join).sum::<u32>(), 19_900);
    });
}

/// Calls `f` so many bytes, and a frame, further down the stack.
fn below<T>(bytes: usize, f: &mut dyn FnMut() -> T) -> T {
    fn down<T>(target: usize, f: &mut dyn FnMut() -> T) -> T {
        let room = black_box([1_u8; 256]);
        let value = if (&raw const room).addr() > target { down(target, f) } else { f() };
        assert_eq!(black_box(&room)[3], 1);
        value
    }
    let here = black_box(0_u8);
    down((&raw const here).addr() - bytes, f)
}

/// Uses so many bytes of stack.
fn dig(bytes: usize) {
    below(bytes, &mut || ());
}

#[test]
fn recursion_may_use_most_of_a_stack() {
    everywhere(|setup| {
        setup.run(|| {
            for size in [64 << 10, 256 << 10, 4 << 20, 256 << 20_usize] {
                let digger = Builder::new().stack_size(size);
                // Sixteen MiB touched are enough.
                let deep = (size / 4 * 3).min(16 << 20);
                join(digger.spawn(move || dig(deep)).unwrap());
            }
        });
    });
}

/// In place, if that is possible.
fn join_in_place(handle: JoinHandle<()>) {
    handle.join().unwrap();
}

#[test]
fn a_child_has_room_wherever_it_is_joined() {
    at(&[1, 2], &[false, true], LONG, |setup| {
        setup.run(|| {
            // The parent uses more and more of its 256 KiB, the child always more than half.
            for used in (0..160).step_by(8) {
                let used = used << 10;
                join(go!({
                    below(used, &mut || {
                        join_in_place(go!(dig(140 << 10)));
                        let large = Builder::new().stack_size(2 << 20);
                        join_in_place(large.spawn(|| dig(1 << 20)).unwrap());
                    });
                }));
            }
        });
    });
}

#[test]
fn closures_and_results_of_any_size_arrive() {
    fn check<const N: usize>() {
        let bytes: [u8; N] = std::array::from_fn(|i| i as u8);
        let there = go!(move || bytes);
        assert!(there.join().unwrap() == bytes);
        let there = go!(move || bytes);
        assert!(outcome(there).unwrap() == bytes);
    }
    everywhere(|setup| {
        setup.run(|| {
            check::<0>();
            check::<1>();
            check::<24>();
            check::<32>();
            check::<33>();
            check::<64>();
            check::<128>();
            check::<4096>();
            check::<8192>();
        });
    });
}

#[test]
fn a_closure_of_a_mebibyte_arrives() {
    const MIB: usize = 1 << 20;
    everywhere(|setup| {
        setup.run(|| {
            // Its spawner must have room for it, too.
            let spawner = Builder::new().stack_size(32 * MIB).spawn(|| {
                let bytes = black_box([3_u8; MIB]);
                let sum = go!(move || bytes.iter().map(|&byte| usize::from(byte)).sum::<usize>());
                assert_eq!(sum.join().unwrap(), 3 * MIB);
                let back = go!(move || bytes);
                assert!(outcome(back).unwrap() == bytes);
                // Also with a size that was chosen without it in mind.
                let small = Builder::new().stack_size(16 << 10).spawn(move || bytes[MIB - 1]);
                assert_eq!(join(small.unwrap()), 3);
                let refused = go!(move || bytes);
                refused.cancel();
                drop(refused);
            });
            join(spawner.unwrap());
        });
    });
}

#[test]
fn alignments_are_kept() {
    #[derive(Clone, Copy, PartialEq, Debug)]
    #[repr(align(64))]
    struct Line(u8);
    #[derive(Clone, Copy, PartialEq, Debug)]
    #[repr(align(4096))]
    struct Page(u8);

    fn check<T: Copy + PartialEq + std::fmt::Debug + Send + 'static>(value: T) {
        for joined in [true, false] {
            let handle = go!({
                assert_eq!((&raw const value).addr() % align_of::<T>(), 0);
                fibra::yield_now();
                assert_eq!((&raw const value).addr() % align_of::<T>(), 0);
                value
            });
            if joined {
                assert_eq!(handle.join().unwrap(), value);
            } else {
                assert_eq!(outcome(handle).unwrap(), value);
            }
        }
    }
    everywhere(|setup| {
        setup.run(|| {
            check(1_u128);
            check(Line(2));
            check(Page(3));
        });
    });
}

#[test]
fn twenty_thousand_park_at_once() {
    everywhere(|setup| {
        let sum = setup.run(|| {
            let (started, end) = (Arc::new(AtomicUsize::new(0)), Signal::new());
            let me = fibra::current().unwrap();
            let handles: Vec<JoinHandle<usize>> = (0..20_000)
                .map(|i| {
                    let (started, end, me) = (started.clone(), end.clone(), me.clone());
                    go!({
                        if started.fetch_add(1, Ordering::SeqCst) + 1 == 20_000 {
                            me.unpark();
                        }
                        end.wait();
                        i
                    })
                })
                .collect();
            while started.load(Ordering::SeqCst) < 20_000 {
                fibra::park();
            }
            end.set();
            handles.into_iter().map(join).sum::<usize>()
        });
        assert_eq!(sum, 199_990_000);
    });
}

#[test]
fn uncancellable_nests_255_deep() {
    fn nest(depth: u32) {
        if depth > 0 {
            fibra::uncancellable(|| nest(depth - 1));
        }
    }
    everywhere(|setup| {
        setup.run(|| {
            nest(255);
            let error = panic::catch_unwind(|| nest(256)).unwrap_err();
            assert!(text(&*error).contains("255"));
            nest(255);
        });
    });
}

fn bomb() -> OnDrop<fn()> {
    OnDrop(|| panic!("a destructor"))
}

#[test]
fn a_result_whose_destructor_panics_harms_nobody_else() {
    everywhere(|setup| {
        setup.run(|| {
            let (end, go_on) = (Signal::new(), Signal::new());
            let (set, wait) = (end.clone(), go_on.clone());
            // Dropped on the worker.
            drop(go!({
                wait.wait();
                let end = OnDrop(move || set.set());
                (bomb(), end)
            }));
            go_on.set();
            end.wait();
            // Dropped with the handle.
            let finished = go!(bomb());
            while !finished.is_finished() {
                fibra::yield_now();
            }
            let dropped = panic::catch_unwind(AssertUnwindSafe(|| drop(finished)));
            assert!(dropped.is_ok());
            assert_eq!(join(go!(|| 5)), 5);
        });
    });
}

#[test]
fn a_capture_whose_destructor_panics_harms_nobody_else() {
    everywhere(|setup| {
        setup.run(|| {
            for _ in 0..20 {
                // A second panic during an unwinding would end the process, as always in Rust.
                let capture = OnDrop(|| assert!(std::thread::panicking(), "a destructor"));
                let refused = go!(move || {
                    let _capture = capture;
                    fibra::park();
                });
                refused.cancel();
                // The panic of the destructor, or it ends where it had started.
                if let Err(payload) = outcome(refused) {
                    let refused = !payload.is::<fibra::Cancelled>();
                    assert!(!refused || text(&*payload) == "a destructor");
                }
            }
            let cancelled = go!(fibra::park());
            cancelled.cancel();
            assert_cancelled(outcome(cancelled));
        });
    });
}

#[test]
fn a_panic_payload_whose_destructor_panics_with_the_handle_harms_nobody_else() {
    everywhere(|setup| {
        setup.run(|| {
            let finished = go!(move || -> () { panic::panic_any(bomb()) });
            while !finished.is_finished() {
                fibra::yield_now();
            }
            let dropped = panic::catch_unwind(AssertUnwindSafe(|| drop(finished)));
            assert!(dropped.is_ok(), "dropping the handle panicked");
        });
    });
}

#[test]
fn a_panic_payload_whose_destructor_panics_on_the_worker_harms_nobody_else() {
    let _turn = turn();
    // In a child, for a scheduler that panics ends the process.
    let end = Child::new().run("", |_| {
        let runtime = Runtime::builder().workers(1).build().unwrap();
        runtime.run(|| {
            let go_on = Signal::new();
            let wait = go_on.clone();
            drop(go!(move || -> () {
                wait.wait();
                panic::panic_any(bomb())
            }));
            go_on.set();
            fibra::yield_now();
            assert_eq!(join(go!(|| 5)), 5);
        });
    });
    assert!(end.status.success(), "{}: {}", end.status, end.stderr);
}

#[test]
fn fork_and_join_recurses() {
    fn fib(n: u64) -> u64 {
        if n < 2 {
            return n;
        }
        let left = go!(fib(n - 1));
        let right = go!(fib(n - 2));
        right.join().unwrap() + left.join().unwrap()
    }
    everywhere(|setup| assert_eq!(setup.run(|| fib(18)), 2584));
}

#[test]
fn a_deep_chain_of_joins_takes_new_stacks_in_time() {
    fn down(depth: u32) -> u32 {
        if depth == 0 {
            return 0;
        }
        go!(down(depth - 1)).join().unwrap() + 1
    }
    everywhere(|setup| assert_eq!(setup.run(|| down(5000)), 5000));
}
