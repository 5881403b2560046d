//! Cancelling: it ends every kind of park, once, and what runs meanwhile goes on.

use std::cell::Cell;
use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use fibra::{Cancelled, go};
use fibra_tests::{
    Drops, FOREVER, OnDrop, Setup, Signal, assert_cancelled, everywhere, join, outcome,
};

/// Fails unless a goroutine that is about to wait in `park`, or does already, is cancelled there, and
/// its frames are unwound. `park` gets a signal that comes when the goroutine is gone.
fn ends(park: fn(&Signal)) {
    fn check(setup: Setup, park: fn(&Signal), yields: usize) {
        setup.run(|| {
            let (ready, gone, drops) = (Signal::new(), Signal::new(), Drops::new());
            let (reached, end, token) = (ready.clone(), gone.clone(), drops.token());
            let handle = go!({
                let _token = token;
                reached.set();
                park(&end);
                // A park that has ended otherwise.
                fibra::park();
            });
            ready.wait();
            for _ in 0..yields {
                fibra::yield_now();
            }
            handle.cancel();
            // Whoever is left behind, also when this fails.
            let _gone = OnDrop(|| gone.set());
            assert_cancelled(outcome(handle));
            assert_eq!(drops.count(), 1);
        });
    }
    everywhere(|setup| {
        for yields in [0, 1, 100] {
            check(setup, park, yields);
        }
    });
}

#[test]
fn ends_a_park() {
    ends(|_| fibra::park());
}

#[test]
fn ends_a_park_with_a_timeout() {
    ends(|_| fibra::park_timeout(FOREVER));
}

#[test]
fn ends_a_sleep() {
    ends(|_| fibra::sleep(FOREVER));
}

#[test]
fn ends_a_join() {
    ends(|gone| {
        let (started, gone) = (Signal::new(), gone.clone());
        let set = started.clone();
        let child = go!({
            set.set();
            gone.wait();
        });
        started.wait();
        let _never = child.join();
    });
}

#[test]
fn of_a_joiner_waits_for_a_child_that_runs_in_place() {
    everywhere(|setup| {
        setup.run(|| {
            let (parked, drops) = (Signal::new(), Drops::new());
            let (reached, token) = (parked.clone(), drops.token());
            let (send, receive) = std::sync::mpsc::channel();
            let joiner = go!({
                let _token = token;
                let child = go!({
                    reached.set();
                    fibra::park();
                });
                send.send(child.goroutine_handle()).unwrap();
                let _never = child.join();
                fibra::park();
            });
            parked.wait();
            joiner.cancel();
            // Whether the child runs in place or not, the joiner ends once the child has.
            receive.recv().unwrap().unpark();
            assert_cancelled(outcome(joiner));
            assert_eq!(drops.count(), 1);
        });
    });
}

#[test]
fn ends_a_join_with_a_timeout() {
    ends(|gone| {
        let gone = gone.clone();
        let _never = go!(gone.wait()).join_timeout(FOREVER);
    });
}

#[test]
fn ends_the_wait_of_a_scope_and_its_goroutines() {
    ends(|_| {
        fibra::scope(|s| {
            s.go(fibra::park);
            s.go(|| fibra::sleep(FOREVER));
        });
    });
}

#[test]
fn ends_a_loop_of_yields() {
    ends(|_| {
        loop {
            fibra::yield_now();
        }
    });
}

#[test]
fn ends_a_loop_of_checkpoints() {
    ends(|_| {
        loop {
            fibra::checkpoint();
        }
    });
}

#[test]
fn ends_a_wait_for_a_blocking_call_after_it() {
    everywhere(|setup| {
        setup.run(|| {
            let (ready, go_on) = (Signal::new(), Signal::new());
            let (reached, proceed) = (ready.clone(), go_on.clone());
            let returned = Arc::new(AtomicBool::new(false));
            let returns = returned.clone();
            let handle = go!({
                let value = fibra::blocking(|| {
                    reached.set();
                    proceed.wait();
                    7
                });
                returns.store(value == 7, Ordering::SeqCst);
                fibra::park();
            });
            ready.wait();
            handle.cancel();
            fibra::yield_now();
            assert!(!handle.is_finished());
            go_on.set();
            assert_cancelled(outcome(handle));
            assert!(returned.load(Ordering::SeqCst));
        });
    });
}

#[test]
fn before_the_start_it_never_runs() {
    everywhere(|setup| {
        setup.without_spares().run(|| {
            let (drops, ran) = (Drops::new(), Arc::new(AtomicU32::new(0)));
            for i in 0..300 {
                let (token, count) = (drops.token(), ran.clone());
                let handle = go!({
                    let _token = token;
                    count.fetch_add(1, Ordering::SeqCst);
                    fibra::park();
                });
                handle.cancel();
                match i % 3 {
                    0 => assert_cancelled(handle.join()),
                    1 => assert_cancelled(outcome(handle)),
                    _ => drop(handle),
                }
            }
            while drops.count() < 300 {
                fibra::yield_now();
            }
            assert_eq!(drops.count(), 300);
            // With one worker, none can have started in between.
            assert!(setup.workers > 1 || ran.load(Ordering::SeqCst) == 0);
        });
    });
}

#[test]
fn twice_is_once() {
    everywhere(|setup| {
        setup.run(|| {
            let drops = Drops::new();
            let token = drops.token();
            let handle = go!({
                let _token = token;
                fibra::park();
            });
            fibra::yield_now();
            handle.cancel();
            handle.cancel();
            fibra::yield_now();
            handle.cancel();
            assert_cancelled(outcome(handle));
            assert_eq!(drops.count(), 1);
        });
    });
}

#[test]
fn after_the_end_it_changes_nothing() {
    everywhere(|setup| {
        setup.run(|| {
            let handle = go!(|| 5);
            while !handle.is_finished() {
                fibra::yield_now();
            }
            handle.cancel();
            assert_eq!(handle.join().unwrap(), 5);
        });
    });
}

#[test]
fn one_that_never_parks_ends_with_its_value() {
    everywhere(|setup| {
        setup.run(|| {
            let (ready, go_on) = (Signal::new(), Arc::new(AtomicBool::new(false)));
            let (reached, proceed) = (ready.clone(), go_on.clone());
            let handle = go!({
                reached.set();
                fibra::uncancellable(|| {
                    while !proceed.load(Ordering::SeqCst) {
                        fibra::yield_now();
                    }
                });
                5
            });
            ready.wait();
            handle.cancel();
            go_on.store(true, Ordering::SeqCst);
            assert_eq!(join(handle), 5);
        });
    });
}

#[test]
fn a_plain_thread_can_cancel() {
    everywhere(|setup| {
        setup.with(|runtime| {
            for _ in 0..50 {
                let ready = Signal::new();
                let reached = ready.clone();
                let handle = runtime.spawn(move || {
                    reached.set();
                    fibra::park();
                });
                ready.wait();
                handle.cancel();
                assert_cancelled(outcome(handle));
            }
        });
    });
}

#[test]
fn uncancellable_puts_it_off_and_nests() {
    everywhere(|setup| {
        setup.run(|| {
            let passed = Arc::new(AtomicU32::new(0));
            let ready = Signal::new();
            let (count, reached) = (passed.clone(), ready.clone());
            let handle = go!({
                let pass = || {
                    fibra::sleep(Duration::from_micros(10));
                    fibra::yield_now();
                    fibra::park_timeout(Duration::ZERO);
                    join(go!(|| ()));
                    fibra::scope(|s| {
                        s.go(fibra::yield_now);
                    });
                    count.fetch_add(1, Ordering::SeqCst);
                };
                fibra::uncancellable(|| {
                    reached.set();
                    // Cancelled from here on.
                    fibra::park();
                    pass();
                    fibra::uncancellable(|| fibra::uncancellable(pass));
                    pass();
                    let caught = panic::catch_unwind(|| fibra::uncancellable(|| panic!("inside")));
                    assert!(caught.is_err());
                    pass();
                });
                fibra::yield_now();
                count.store(100, Ordering::SeqCst);
            });
            ready.wait();
            handle.cancel();
            handle.goroutine_handle().unpark();
            assert_cancelled(outcome(handle));
            assert_eq!(passed.load(Ordering::SeqCst), 4);
        });
    });
}

#[test]
fn caught_it_comes_again_at_the_next_park() {
    everywhere(|setup| {
        setup.run(|| {
            let parks: [fn(); 5] = [
                fibra::park,
                fibra::yield_now,
                || fibra::sleep(FOREVER),
                || fibra::park_timeout(FOREVER),
                || fibra::sleep(Duration::ZERO),
            ];
            let ready = Signal::new();
            let reached = ready.clone();
            let handle = go!({
                reached.set();
                fibra::uncancellable(fibra::park);
                for _ in 0..3 {
                    for park in parks {
                        let caught = panic::catch_unwind(park).unwrap_err();
                        assert!(caught.is::<Cancelled>());
                    }
                }
                "survived"
            });
            ready.wait();
            handle.cancel();
            handle.goroutine_handle().unpark();
            assert_eq!(join(handle), "survived");
        });
    });
}

#[test]
fn destructors_may_block_while_it_unwinds() {
    everywhere(|setup| {
        setup.run(|| {
            let (done, ready) = (Drops::new(), Signal::new());
            let (token, reached) = (Cell::new(Some(done.token())), ready.clone());
            let handle = go!({
                let _blocks = OnDrop(move || {
                    assert!(thread::panicking());
                    fibra::sleep(Duration::from_micros(100));
                    fibra::yield_now();
                    fibra::park_timeout(Duration::from_micros(100));
                    assert_eq!(fibra::blocking(|| 3), 3);
                    // Blocks this thread, so another one must run it.
                    assert_eq!(go!(|| 4).join().unwrap(), 4);
                    let token = token.take();
                    fibra::scope(|s| {
                        s.go(|| drop(token));
                    });
                });
                reached.set();
                fibra::park();
            });
            ready.wait();
            handle.cancel();
            assert_cancelled(outcome(handle));
            assert_eq!(done.count(), 1);
        });
    });
}

#[test]
fn a_handle_dropped_by_it_detaches() {
    everywhere(|setup| {
        setup.run(|| {
            let (ready, go_on, done) = (Signal::new(), Signal::new(), Signal::new());
            let (reached, proceed, finished) = (ready.clone(), go_on.clone(), done.clone());
            let parent = go!({
                let _child = go!({
                    proceed.wait();
                    finished.set();
                });
                reached.set();
                fibra::park();
            });
            ready.wait();
            parent.cancel();
            assert_cancelled(outcome(parent));
            assert!(!done.is_set());
            go_on.set();
            done.wait();
        });
    });
}

/// Each of its parks ends before it begins; those who wait for the worker get it all the same.
#[test]
fn whoever_does_not_mind_is_no_hog() {
    everywhere(|setup| {
        setup.run(|| {
            let (started, caught) = (Signal::new(), Signal::new());
            let over = Arc::new(AtomicBool::new(false));
            let handle = {
                let (reached, again, over) = (started.clone(), caught.clone(), over.clone());
                go!(move || {
                    let (_sender, receiver) = fibra::chan::bounded::<()>(0);
                    reached.set();
                    while !over.load(Ordering::Relaxed) {
                        panic::catch_unwind(|| receiver.recv()).unwrap_err();
                        again.set();
                    }
                })
            };
            started.wait();
            handle.cancel();
            caught.wait();
            over.store(true, Ordering::Relaxed);
            join(handle);
        });
    });
}
