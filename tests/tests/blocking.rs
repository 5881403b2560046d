//! Calls that block their thread: they keep nobody else waiting, and may borrow.

use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::thread;

use fibra::go;
use fibra_tests::{Drops, Signal, alone, everywhere, join, text, thread_id};

#[test]
fn it_borrows_and_returns() {
    everywhere(|setup| {
        setup.run(|| {
            let text = String::from("borrowed");
            let mut numbers = vec![1, 2];
            let length = fibra::blocking(|| {
                numbers.push(3);
                text.len()
            });
            assert_eq!((length, numbers.len()), (8, 3));
        });
    });
}

#[test]
fn it_runs_on_another_thread_outside_any_goroutine() {
    everywhere(|setup| {
        setup.run(|| {
            let worker = thread_id();
            let (thread, goroutine) = fibra::blocking(|| (thread_id(), fibra::current().is_some()));
            assert!(thread != worker && !goroutine);
        });
    });
}

#[test]
fn on_a_plain_thread_it_just_runs() {
    alone(|| {
        assert_eq!(fibra::blocking(thread_id), thread_id());
        // Also inside of itself.
        let nested = join(go!(fibra::blocking(|| {
            let outer = thread_id();
            fibra::blocking(|| thread_id() == outer)
        })));
        assert!(nested);
    });
}

#[test]
fn others_go_on_meanwhile() {
    everywhere(|setup| {
        setup.run(|| {
            // Plain threads' channels block the thread: each call waits for the next goroutine.
            let (first_in, first_out) = mpsc::channel();
            let (second_in, second_out) = mpsc::channel();
            let first = go!(fibra::blocking(move || first_out.recv().unwrap()));
            let second = go!(fibra::blocking(move || {
                first_in.send(1).unwrap();
                second_out.recv().unwrap()
            }));
            let third = go!({
                fibra::yield_now();
                second_in.send(2).unwrap();
            });
            join(third);
            assert_eq!((join(first), join(second)), (1, 2));
        });
    });
}

#[test]
fn many_block_at_once() {
    everywhere(|setup| {
        setup.run(|| {
            // All of them are needed to pass.
            let barrier = Arc::new(Barrier::new(40));
            let handles: Vec<_> = (0..40)
                .map(|_| {
                    let barrier = barrier.clone();
                    go!(fibra::blocking(|| barrier.wait().is_leader()))
                })
                .collect();
            let leaders = handles.into_iter().map(join);
            assert_eq!(leaders.filter(|&leader| leader).count(), 1);
        });
    });
}

#[test]
fn more_than_there_are_threads_take_turns() {
    fibra_tests::at(&[2], &[false, true], fibra_tests::LONG * 3, |setup| {
        setup.run(|| {
            let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let handles: Vec<_> = (0..1500)
                .map(|_| {
                    let (now, most) = (now.clone(), most.clone());
                    go!(fibra::blocking(|| {
                        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        thread::yield_now();
                        now.fetch_sub(1, Ordering::SeqCst);
                    }))
                })
                .collect();
            handles.into_iter().for_each(join);
            assert!((1..=512).contains(&most.load(Ordering::SeqCst)));
            assert_eq!(now.load(Ordering::SeqCst), 0);
        });
    });
}

#[test]
fn its_panic_goes_on_in_the_caller() {
    everywhere(|setup| {
        setup.run(|| {
            let drops = Drops::new();
            let token = drops.token();
            let caught = panic::catch_unwind(AssertUnwindSafe(|| {
                fibra::blocking(|| {
                    let _token = token;
                    panic!("over there");
                })
            }));
            assert_eq!(text(&*caught.unwrap_err()), "over there");
            assert_eq!(drops.count(), 1);
            assert!(!thread::panicking());
            assert_eq!(fibra::blocking(|| 5), 5);
        });
    });
}

#[test]
fn the_blocking_thread_may_wake_goroutines() {
    everywhere(|setup| {
        setup.run(|| {
            let (there, back) = (Signal::new(), Signal::new());
            let (wait, set) = (there.clone(), back.clone());
            let other = go!({
                wait.wait();
                set.set();
            });
            fibra::blocking(|| {
                there.set();
                back.wait();
            });
            join(other);
            assert!(back.is_set());
        });
    });
}

#[test]
fn a_shutdown_waits_for_the_call() {
    everywhere(|setup| {
        let drops = Drops::new();
        let (token, ready) = (drops.token(), Signal::new());
        let (reached, end) = (ready.clone(), Signal::new());
        let proceed = end.clone();
        let runtime = setup.runtime();
        let handle = runtime.spawn(move || {
            fibra::blocking(|| {
                reached.set();
                proceed.wait();
                drop(token);
            });
            "came to its end"
        });
        ready.wait();
        thread::scope(|s| {
            s.spawn(|| drop(runtime));
            end.set();
        });
        assert_eq!(drops.count(), 1);
        assert_eq!(join(handle), "came to its end");
    });
}
