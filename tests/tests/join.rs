//! Joining: who may, what it gives, and a join that runs its goroutine in place.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use fibra::{Builder, JoinHandle, go};
use fibra_tests::{Drops, LONG, Signal, assert_cancelled, at, everywhere, outcome, text};

#[test]
fn a_goroutine_gets_the_result() {
    everywhere(|setup| {
        let sum = setup.run(|| {
            let outer = go!({
                let inner = go!(|| 20);
                inner.join().unwrap() + 1
            });
            outer.join().unwrap() * 2
        });
        assert_eq!(sum, 42);
    });
}

#[test]
fn a_plain_thread_gets_the_result() {
    everywhere(|setup| {
        setup.with(|runtime| {
            let finished = runtime.spawn(|| "now").join().unwrap();
            let later = Signal::new();
            let waiting = runtime.spawn({
                let later = later.clone();
                move || {
                    later.wait();
                    "later"
                }
            });
            thread::scope(|s| {
                let joiner = s.spawn(|| waiting.join().unwrap());
                later.set();
                assert_eq!((finished, joiner.join().unwrap()), ("now", "later"));
            });
        });
    });
}

#[test]
fn many_are_joined_in_either_order() {
    everywhere(|setup| {
        setup.run(|| {
            let spawn = || (0..500).map(|i| go!(move || i)).collect::<Vec<_>>();
            for (i, handle) in spawn().into_iter().enumerate() {
                assert_eq!(handle.join().unwrap(), i);
            }
            for (i, handle) in spawn().into_iter().enumerate().rev() {
                assert_eq!(handle.join().unwrap(), i);
            }
        });
    });
}

#[test]
fn a_panic_is_the_error() {
    everywhere(|setup| {
        setup.run(|| {
            let literal = go!(move || -> () { panic!("literal") });
            let formatted = go!(move || -> () { panic!("formatted {}", 1) });
            let value = go!(move || -> () { panic::panic_any(7_u8) });
            assert_eq!(text(&*literal.join().unwrap_err()), "literal");
            assert_eq!(text(&*formatted.join().unwrap_err()), "formatted 1");
            assert_eq!(value.join().unwrap_err().downcast_ref(), Some(&7_u8));
        });
    });
}

#[test]
fn a_thread_gets_the_panic() {
    everywhere(|setup| {
        setup.with(|runtime| {
            let handle = runtime.spawn(|| -> () { panic!("for a thread") });
            assert_eq!(text(&*handle.join().unwrap_err()), "for a thread");
        });
    });
}

#[test]
fn join_timeout_gives_up_twice_and_later_succeeds() {
    fn check(mut handle: JoinHandle<u32>, go_on: &Signal) {
        for limit in [Duration::ZERO, Duration::from_millis(2)] {
            assert!(handle.join_timeout(limit).is_none());
            assert!(!handle.is_finished());
        }
        go_on.set();
        assert_eq!(handle.join_timeout(LONG).unwrap().unwrap(), 5);
        assert!(handle.is_finished());
    }
    fn waits(go_on: &Signal) -> impl FnOnce() -> u32 + Send + 'static {
        let go_on = go_on.clone();
        move || {
            go_on.wait();
            5
        }
    }
    everywhere(|setup| {
        let go_on = Signal::new();
        setup.run(|| check(fibra::spawn(waits(&go_on)), &go_on));
        let go_on = Signal::new();
        setup.with(|runtime| check(runtime.spawn(waits(&go_on)), &go_on));
    });
}

#[test]
fn join_timeout_races_with_the_end() {
    everywhere(|setup| {
        setup.run(|| {
            for i in 0..200 {
                let mut handle = go!(move || {
                    fibra::sleep(Duration::from_micros(i % 7 * 50));
                    i
                });
                let value = loop {
                    if let Some(result) = handle.join_timeout(Duration::from_micros(100)) {
                        break result.unwrap();
                    }
                };
                assert_eq!(value, i);
            }
        });
    });
}

#[test]
fn a_result_is_given_once() {
    everywhere(|setup| {
        setup.run(|| {
            let drops = Drops::new();
            let token = drops.token();
            let mut handle = go!(move || token);
            let token = handle.join_timeout(LONG).unwrap().unwrap();
            let again = panic::catch_unwind(AssertUnwindSafe(|| handle.join()));
            assert!(text(&*again.unwrap_err()).contains("taken"));
            assert_eq!(drops.count(), 0);
            drop(token);
            assert_eq!(drops.count(), 1);
        });
    });
}

#[test]
fn a_detached_goroutine_goes_on() {
    everywhere(|setup| {
        setup.run(|| {
            let (go_on, done) = (Signal::new(), Signal::new());
            let (waiter, setter) = (go_on.clone(), done.clone());
            drop(go!({
                waiter.wait();
                setter.set();
            }));
            go_on.set();
            done.wait();
            assert!(done.is_set());
        });
    });
}

#[test]
fn results_are_dropped_once() {
    everywhere(|setup| {
        let drops = Drops::new();
        setup.run(|| {
            let spawn = || {
                let token = drops.token();
                go!(move || token)
            };
            // Joined, and the result is dropped here.
            assert_eq!(drops.count(), 0);
            drop(spawn().join());
            assert_eq!(drops.count(), 1);
            // The handle goes after the end.
            let finished = spawn();
            while !finished.is_finished() {
                fibra::yield_now();
            }
            assert_eq!(drops.count(), 1);
            drop(finished);
            assert_eq!(drops.count(), 2);
            // The handle goes before the start, or about when it ends.
            for i in 0..200 {
                let handle = spawn();
                for _ in 0..i % 3 {
                    fibra::yield_now();
                }
                drop(handle);
            }
        });
        assert_eq!(drops.count(), 202);
    });
}

#[test]
fn is_finished_tells() {
    everywhere(|setup| {
        setup.run(|| {
            let go_on = Signal::new();
            let waiter = go_on.clone();
            let handle = go!(waiter.wait());
            fibra::yield_now();
            assert!(!handle.is_finished());
            go_on.set();
            while !handle.is_finished() {
                fibra::yield_now();
            }
            handle.join().unwrap();
        });
    });
}

#[test]
fn joining_oneself_panics() {
    everywhere(|setup| {
        setup.run(|| {
            let own: Arc<Mutex<Option<JoinHandle<()>>>> = Arc::default();
            let (given, done) = (Signal::new(), Signal::new());
            let (slot, wait, set) = (own.clone(), given.clone(), done.clone());
            let handle = go!({
                wait.wait();
                let mut handle = slot.lock().unwrap().take().unwrap();
                let timed = panic::catch_unwind(AssertUnwindSafe(|| handle.join_timeout(LONG)));
                let plain = panic::catch_unwind(AssertUnwindSafe(|| handle.join()));
                for error in [timed.map(drop).unwrap_err(), plain.unwrap_err()] {
                    assert_eq!(text(&*error), "a goroutine cannot join itself");
                }
                set.set();
            });
            *own.lock().unwrap() = Some(handle);
            given.set();
            done.wait();
            assert!(own.lock().unwrap().is_none());
        });
    });
}

// A join of a fresh goroutine runs it in place. The tests above and below hold either way; this one
// makes sure that it happens at all.

/// Roughly where the caller's frame is.
#[inline(never)]
fn frame() -> usize {
    let here = 0_u8;
    std::hint::black_box(&raw const here).addr()
}

/// Whether a goroutine that ran at `child` was on the stack of one that runs at `parent`.
fn on_stack_of(parent: usize, child: usize) -> bool {
    child < parent && parent - child < 128 << 10
}

#[test]
fn a_fresh_goroutine_is_joined_in_place() {
    at(&[1], &[false, true], LONG, |setup| {
        setup.without_spares().run(|| {
            assert!(on_stack_of(frame(), go!(frame()).join().unwrap()));
            let (_older, newest) = (go!(|| ()), go!(frame()));
            assert!(on_stack_of(frame(), newest.join().unwrap()));
            // Not one that asks for more stack than there is.
            let large = Builder::new().stack_size(1 << 20).spawn(frame).unwrap();
            assert!(!on_stack_of(frame(), large.join().unwrap()));
        });
    });
}

fibra::goroutine_local! {
    static LOCAL: Cell<u32> = Cell::new(0);
}

#[test]
fn in_place_it_is_itself() {
    everywhere(|setup| {
        setup.run(|| {
            LOCAL.with(|local| local.set(1));
            let me = fibra::current().unwrap();
            let child = Builder::new()
                .name("child")
                .spawn(|| {
                    let grandchild = go!({
                        LOCAL.with(|local| local.set(local.get() + 3));
                        (fibra::current().unwrap(), LOCAL.with(Cell::get))
                    });
                    LOCAL.with(|local| local.set(local.get() + 2));
                    let grandchild = grandchild.join().unwrap();
                    let me = fibra::current().unwrap();
                    (me, LOCAL.with(Cell::get), grandchild)
                })
                .unwrap();
            let child_id = child.id();
            let (child, child_local, (grandchild, grandchild_local)) = child.join().unwrap();
            assert_eq!((child.id(), child.name()), (child_id, Some("child")));
            assert_eq!((child_local, grandchild_local), (2, 3));
            assert!(grandchild.id() != child_id && grandchild.id() != me.id());
            assert_eq!(grandchild.name(), None);
            assert_eq!(fibra::current().unwrap().id(), me.id());
            assert_eq!(fibra::current().unwrap().name(), Some("main"));
            assert_eq!(LOCAL.with(Cell::get), 1);
        });
    });
}

#[test]
fn in_place_it_parks_sleeps_and_yields() {
    everywhere(|setup| {
        setup.run(|| {
            for _ in 0..20 {
                let signal = Signal::new();
                let setter = signal.clone();
                let other = go!({
                    fibra::yield_now();
                    setter.set();
                });
                let child = go!({
                    fibra::yield_now();
                    signal.wait();
                    fibra::sleep(Duration::from_micros(100));
                    let grandchild = go!(fibra::sleep(Duration::from_micros(100)));
                    grandchild.join().unwrap();
                    fibra::current().unwrap().id()
                });
                let id = child.id();
                assert_eq!(child.join().unwrap(), id);
                other.join().unwrap();
            }
        });
    });
}

#[test]
fn in_place_it_is_cancelled_by_its_scope() {
    everywhere(|setup| {
        setup.run(|| {
            let drops = Drops::new();
            let (ready, counted) = (Signal::new(), drops.clone());
            let reached = ready.clone();
            let owner = go!({
                fibra::scope(|s| {
                    s.go(|| {
                        let token = counted.token();
                        let inner = s.go(|| {
                            let _token = token;
                            reached.set();
                            fibra::park();
                        });
                        assert_cancelled(inner.join());
                    });
                });
                fibra::park();
            });
            ready.wait();
            owner.cancel();
            assert_cancelled(outcome(owner));
            assert_eq!(drops.count(), 1);
        });
    });
}

#[test]
fn in_place_its_panic_stays_in_it() {
    everywhere(|setup| {
        setup.run(|| {
            let drops = Drops::new();
            for _ in 0..10 {
                let token = drops.token();
                let child = go!({
                    let _token = token;
                    let grandchild = go!(move || -> () { panic!("inner") });
                    let inner = grandchild.join().unwrap_err();
                    panic!("outer, {}", text(&*inner));
                });
                let result: thread::Result<()> = child.join();
                assert!(!thread::panicking());
                assert_eq!(text(&*result.unwrap_err()), "outer, inner");
            }
            assert_eq!(drops.count(), 10);
        });
    });
}
