//! Scopes: goroutines that borrow, and a wait that none of them outlives.

use std::panic;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use fibra::go;
use fibra_tests::{
    Drops, FOREVER, LONG, OnDrop, Signal, assert_cancelled, everywhere, outcome, text,
};

#[test]
fn goroutines_borrow_from_the_frame() {
    everywhere(|setup| {
        setup.run(|| {
            let mut numbers: Vec<u32> = (0..100).collect();
            let total = AtomicU32::new(0);
            fibra::scope(|s| {
                for chunk in numbers.chunks_mut(7) {
                    s.go(|| {
                        fibra::yield_now();
                        for number in chunk {
                            *number += 1;
                            total.fetch_add(*number, Ordering::Relaxed);
                        }
                    });
                }
            });
            assert_eq!(total.into_inner(), 5050);
            assert!(numbers.into_iter().eq(1..=100));
        });
    });
}

#[test]
fn results_may_borrow_too() {
    everywhere(|setup| {
        setup.run(|| {
            let text = String::from("to be or not");
            let longest = fibra::scope(|s| {
                let words: Vec<_> = text.split(' ').map(|word| s.go(move || word)).collect();
                let words = words.into_iter().map(|handle| handle.join().unwrap());
                words.max_by_key(|word| word.len())
            });
            assert_eq!(longest, Some("not"));
        });
    });
}

#[test]
fn an_empty_one_returns() {
    everywhere(|setup| assert_eq!(setup.run(|| fibra::scope(|_| 5)), 5));
}

#[test]
fn it_waits_for_all() {
    everywhere(|setup| {
        setup.run(|| {
            for _ in 0..50 {
                let drops = Drops::new();
                fibra::scope(|s| {
                    for i in 0..5 {
                        let token = drops.token();
                        let handle = s.go(move || {
                            fibra::sleep(Duration::from_micros(20 * i));
                            drop(token);
                        });
                        if i % 2 == 0 {
                            // Of no consequence.
                            drop(handle);
                        }
                    }
                });
                assert_eq!(drops.count(), 5);
            }
        });
    });
}

#[test]
fn a_forgotten_handle_is_waited_for() {
    everywhere(|setup| {
        let drops = Drops::new();
        setup.run(|| {
            let ended = AtomicU32::new(0);
            fibra::scope(|s| {
                std::mem::forget(s.go(|| {
                    fibra::yield_now();
                    ended.fetch_add(1, Ordering::SeqCst);
                }));
                // The result is lost with the handle, never dropped late.
                std::mem::forget(s.go(|| drops.token()));
            });
            assert_eq!(ended.into_inner(), 1);
        });
        assert_eq!(drops.count(), 0);
    });
}

#[test]
fn a_dropped_result_is_dropped_before_it_returns() {
    everywhere(|setup| {
        setup.run(|| {
            for _ in 0..100 {
                let drops = Drops::new();
                fibra::scope(|s| drop(s.go(|| drops.token())));
                assert_eq!(drops.count(), 1);
            }
        });
    });
}

#[test]
fn they_nest_and_spawn_in_it() {
    everywhere(|setup| {
        setup.run(|| {
            let count = AtomicU32::new(0);
            fibra::scope(|outer| {
                for _ in 0..3 {
                    outer.go(|| {
                        fibra::scope(|inner| {
                            for _ in 0..3 {
                                inner.go(|| count.fetch_add(1, Ordering::Relaxed));
                                // Outlives the inner scope.
                                outer.go(|| {
                                    fibra::yield_now();
                                    count.fetch_add(10, Ordering::Relaxed)
                                });
                            }
                        });
                    });
                }
            });
            assert_eq!(count.into_inner(), 99);
        });
    });
}

#[test]
fn a_goroutine_may_join_another_one() {
    everywhere(|setup| {
        setup.run(|| {
            let base = 20;
            let sum = fibra::scope(|s| {
                let first = s.go(|| base + 1);
                let second = s.go(move || first.join().unwrap() * 2);
                second.join().unwrap()
            });
            assert_eq!(sum, 42);
        });
    });
}

#[test]
fn handles_tell_and_time_out() {
    everywhere(|setup| {
        setup.run(|| {
            let go_on = Signal::new();
            fibra::scope(|s| {
                let mut first = s.go(|| go_on.wait());
                let second = s.go(|| ());
                assert!(first.id() != second.id());
                assert!(!first.is_finished());
                assert!(first.join_timeout(Duration::ZERO).is_none());
                go_on.set();
                first.join_timeout(LONG).unwrap().unwrap();
                assert!(first.is_finished());
            });
        });
    });
}

#[test]
fn a_panic_nobody_joins_goes_on_after_the_wait() {
    everywhere(|setup| {
        setup.run(|| {
            let drops = Drops::new();
            let error = panic::catch_unwind(|| {
                fibra::scope(|s| {
                    s.go(|| panic!("lost"));
                    s.go(|| {
                        let _token = drops.token();
                        fibra::sleep(Duration::from_micros(100));
                    });
                });
            });
            assert_eq!(text(&*error.unwrap_err()), "a scoped goroutine panicked");
            assert_eq!(drops.count(), 1);
        });
    });
}

#[test]
fn a_joined_panic_ends_with_the_join() {
    everywhere(|setup| {
        let seen = setup.run(|| {
            fibra::scope(|s| {
                let error = s.go(|| -> () { panic!("seen") }).join().unwrap_err();
                text(&*error).to_owned()
            })
        });
        assert_eq!(seen, "seen");
    });
}

#[test]
fn its_own_panic_goes_on_after_the_wait() {
    everywhere(|setup| {
        setup.run(|| {
            let drops = Drops::new();
            let error = panic::catch_unwind(|| {
                fibra::scope(|s| {
                    s.go(|| {
                        let _token = drops.token();
                        fibra::sleep(Duration::from_micros(100));
                        panic!("second");
                    });
                    panic!("first");
                });
            });
            assert_eq!(text(&*error.unwrap_err()), "first");
            assert_eq!(drops.count(), 1);
            assert!(!thread::panicking());
        });
    });
}

#[test]
fn cancelling_its_goroutine_cancels_those_in_it() {
    everywhere(|setup| {
        setup.run(|| {
            let (ready, drops, returned) = (Signal::new(), Drops::new(), Drops::new());
            let (reached, token, counted) = (ready.clone(), returned.token(), drops.clone());
            let owner = go!({
                fibra::scope(|s| {
                    for _ in 0..3 {
                        s.go(|| {
                            let _token = counted.token();
                            fibra::sleep(FOREVER);
                        });
                    }
                    s.go(|| {
                        let _token = counted.token();
                        let _late = OnDrop(|| {
                            // Spawned in a scope that is being cancelled.
                            s.go(|| fibra::sleep(FOREVER));
                        });
                        reached.set();
                        fibra::park();
                    });
                });
                // It returns as always, and unwinds at the next park.
                drop(token);
                fibra::park();
            });
            ready.wait();
            owner.cancel();
            assert_cancelled(outcome(owner));
            assert_eq!(returned.count(), 1);
            // Those that had started; the others were dropped.
            assert!((1..=4).contains(&drops.count()));
        });
    });
}

#[test]
fn a_cancelled_goroutine_is_no_panic() {
    everywhere(|setup| {
        setup.run(|| {
            let value = fibra::scope(|s| {
                let first = s.go(fibra::park);
                first.cancel();
                assert_cancelled(first.join());
                let second = s.go(fibra::park);
                second.cancel();
                drop(second);
                "fine"
            });
            assert_eq!(value, "fine");
        });
    });
}

#[test]
fn a_plain_thread_has_scopes() {
    everywhere(|setup| {
        setup.with(|runtime| {
            let numbers = [1, 2, 3];
            // The scope of a thread spawns on the default runtime; here, in a goroutine, on its own.
            let sum: i32 = runtime.run(|| {
                fibra::scope(|s| {
                    let handles = numbers.each_ref().map(|number| s.go(move || number * 2));
                    handles.into_iter().map(|handle| handle.join().unwrap()).sum()
                })
            });
            assert_eq!(sum, 12);
        });
    });
    fibra_tests::alone(|| {
        let numbers = [1, 2, 3];
        let sum: i32 = fibra::scope(|s| {
            let handles = numbers.each_ref().map(|number| s.go(move || number * 2));
            handles.into_iter().map(|handle| handle.join().unwrap()).sum()
        });
        assert_eq!(sum, 12);
    });
}

/// A handle goes at about the moment at which its goroutine ends. Whoever drops the result then parks in its
/// destructor, as part of the goroutine or as the one who had the handle. A cancel of the scope ends that park.
#[test]
fn a_cancel_finds_who_drops_a_result_that_parks() {
    static DROPPED: AtomicU32 = AtomicU32::new(0);

    struct Parks;

    impl Drop for Parks {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, Ordering::Relaxed);
            fibra::park();
        }
    }

    everywhere(|setup| {
        setup.run(|| {
            DROPPED.store(0, Ordering::Relaxed);
            for round in 0..200 {
                let about_to_drop = Signal::new();
                let signal = about_to_drop.clone();
                let waiter = go!(move || {
                    let ends = AtomicBool::new(false);
                    fibra::scope(|s| {
                        let handle = s.go(|| {
                            ends.store(true, Ordering::Release);
                            Parks
                        });
                        while !ends.load(Ordering::Acquire) {
                            fibra::yield_now();
                        }
                        signal.set();
                        for _ in 0..round {
                            std::hint::spin_loop();
                        }
                        drop(handle);
                    })
                });
                // Before that it would drop the result while it unwinds, when nothing ends a park.
                while !about_to_drop.is_set() {
                    fibra::yield_now();
                }
                waiter.cancel();
                // If it was the waiter that parked there, its destructor has swallowed the cancel.
                let _ended = outcome(waiter);
            }
            assert_eq!(DROPPED.load(Ordering::Relaxed), 200);
        });
    });
}
