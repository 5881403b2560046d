//! Error groups: the first error, the first panic, and what becomes of the others.

mod chan_parties;

use std::fmt;
use std::io;
use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use chan_parties::{callers, give_way};
use fibra::chan::bounded;
use fibra::context::{Cause, Context, ContextError};
use fibra::sync::WaitGroup;
use fibra::{Cancelled, ErrGroup, Runtime, go};
use fibra_tests::{
    Drops, OnDrop, Signal, assert_cancelled, child::Child, everywhere, outcome, text, turn,
};

#[test]
fn waits_for_all() {
    callers(|| {
        for limit in [None, Some(1), Some(3), Some(100)] {
            let drops = Drops::new();
            let group = ErrGroup::<io::Error>::new();
            let group = limit.into_iter().fold(group, ErrGroup::limit);
            for n in 0..20 {
                let token = drops.token();
                group.go(move || {
                    give_way(n % 4);
                    drop(token);
                    Ok(())
                });
            }
            group.wait().unwrap();
            assert_eq!(drops.count(), 20);
        }
        ErrGroup::<()>::default().wait().unwrap();
    });
}

#[test]
fn gives_the_first_error_when_all_have_ended() {
    callers(|| {
        let (group, cx) = ErrGroup::with_context(&Context::background());
        let (go_on, drops) = (Signal::new(), Drops::new());
        group.go(|| Err("first"));
        for n in 0..3 {
            let (waits, token) = (go_on.clone(), drops.token());
            group.go(move || {
                waits.wait();
                give_way(10 * n);
                drop(token);
                Err("later")
            });
        }
        // Now the first one has failed.
        assert!(cx.done().recv().is_err());
        go_on.set();
        assert_eq!(group.wait(), Err("first"));
        assert_eq!(drops.count(), 3);
    });
}

#[test]
fn exactly_one_error_and_its_cause() {
    callers(|| {
        for _ in 0..30 {
            let (group, cx) = ErrGroup::with_context(&Context::background());
            for n in 0..8 {
                group.go(move || {
                    give_way(n % 3);
                    Err(format!("error {n}"))
                });
            }
            let error = group.wait().unwrap_err();
            assert_eq!(cx.cause().unwrap().to_string(), error);
            assert_eq!(cx.err(), Some(ContextError::Cancelled));
        }
    });
}

#[test]
fn the_first_failure_ends_the_context() {
    callers(|| {
        let (outer, _handle) = Context::background().with_cancel();
        for panics in [false, true] {
            let (group, cx) = ErrGroup::with_context(&outer);
            let drops = Drops::new();
            for _ in 0..5 {
                let (cx, token) = (cx.clone(), drops.token());
                group.go(move || {
                    let _token = token;
                    assert!(cx.done().recv().is_err());
                    Err(format!("late, after '{}'", cx.cause().unwrap()))
                });
            }
            give_way(5);
            assert_eq!((cx.err(), drops.count()), (None, 0));
            group.go(move || if panics { panic!("early") } else { Err("early".to_owned()) });
            assert!(cx.done().recv().is_err());
            let waited = panic::catch_unwind(|| group.wait());
            assert_eq!(drops.count(), 5);
            let cause = cx.cause().unwrap().to_string();
            if panics {
                assert_eq!(text(&*waited.unwrap_err()), "early");
                assert_eq!(cause, "a member of the group panicked: early");
            } else {
                assert_eq!(waited.unwrap().unwrap_err(), "early");
                assert_eq!(cause, "early");
            }
            assert!(outer.err().is_none(), "a cancel never goes out");
        }
    });
}

#[test]
fn the_end_of_the_wait_ends_the_context() {
    callers(|| {
        let (group, cx) = ErrGroup::<io::Error>::with_context(&Context::background());
        let watching = cx.clone();
        group.go(move || {
            assert!(watching.err().is_none());
            Ok(())
        });
        group.wait().unwrap();
        assert_eq!(cx.err(), Some(ContextError::Cancelled));
        assert_eq!(cx.cause().unwrap().to_string(), ContextError::Cancelled.to_string());
    });
}

#[test]
fn what_is_outside_ends_the_context() {
    callers(|| {
        let (outer, handle) = Context::background().with_cancel();
        let (group, cx) = ErrGroup::with_context(&outer.with_value(5));
        assert_eq!(cx.value(), Some(&5));
        let watching = cx.clone();
        group.go(move || {
            let _end = watching.done().recv();
            Err("not the first reason")
        });
        handle.cancel_cause("from outside");
        assert_eq!(group.wait(), Err("not the first reason"));
        assert_eq!(cx.cause().unwrap().to_string(), "from outside");
    });
}

#[test]
fn a_cause_is_shared() {
    #[derive(Debug, PartialEq)]
    struct Own(u32);
    impl fmt::Display for Own {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("own")
        }
    }
    impl std::error::Error for Own {}

    callers(|| {
        let (group, cx) = ErrGroup::<Cause>::with_context(&Context::background());
        group.go(|| Err(Arc::new(Own(7))));
        let error = group.wait().unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Own(7)));
        assert!(Arc::ptr_eq(&error, &cx.cause().unwrap()));
    });
}

#[test]
fn a_panic_goes_on_in_the_one_who_waits() {
    callers(|| {
        let (group, drops) = (ErrGroup::new(), Drops::new());
        group.go(|| Err("an error comes after a panic"));
        for n in 0..6 {
            let token = drops.token();
            group.go(move || {
                let _token = token;
                give_way(n);
                if n == 2 {
                    panic!("of a member");
                }
                Ok(())
            });
        }
        let payload = panic::catch_unwind(|| group.wait()).unwrap_err();
        assert_eq!(text(&*payload), "of a member");
        assert_eq!(drops.count(), 6);
        assert!(!thread::panicking());
    });
}

#[test]
fn an_error_that_cannot_be_told_is_a_panic() {
    struct Mute;
    impl fmt::Display for Mute {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("no text")
        }
    }
    callers(|| {
        let (group, cx) = ErrGroup::with_context(&Context::background());
        group.go(|| Err(Mute));
        let payload = panic::catch_unwind(|| group.wait().is_err()).unwrap_err();
        assert_eq!(text(&*payload), "no text");
        assert_eq!(cx.cause().unwrap().to_string(), "a member of the group panicked: no text");
    });
}

#[test]
fn no_more_run_than_there_are_places() {
    callers(|| {
        for places in [1, 2, 5] {
            let group = ErrGroup::<()>::new().limit(places);
            let running = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
            for n in 0..60 {
                let running = running.clone();
                group.go(move || {
                    let now = running[0].fetch_add(1, Ordering::SeqCst) + 1;
                    running[1].fetch_max(now, Ordering::SeqCst);
                    give_way(n % 4);
                    running[0].fetch_sub(1, Ordering::SeqCst);
                    Ok(())
                });
            }
            group.wait().unwrap();
            assert!(running[1].load(Ordering::SeqCst) <= places);
        }
    });
}

#[test]
fn places_are_taken_and_free_again() {
    callers(|| {
        for panics in [false, true] {
            let group = ErrGroup::<&str>::new().limit(2);
            let (tx, rx) = bounded::<()>(0);
            for n in 0..10 {
                let (waits, drops) = (rx.clone(), Drops::new());
                let token = drops.token();
                // The place of the one before is free at its end, which comes when it has received.
                while !group.try_go({
                    let waits = waits.clone();
                    move || {
                        waits.recv().unwrap();
                        assert!(!panics, "counts as an end");
                        Ok(())
                    }
                }) {
                    fibra::yield_now();
                }
                if n == 0 {
                    continue;
                }
                // Now two wait.
                assert!(!group.try_go(move || {
                    drop(token);
                    Ok(())
                }));
                assert_eq!(drops.count(), 1, "the closure is dropped");
                tx.send(()).unwrap();
            }
            tx.send(()).unwrap();
            assert_eq!(panic::catch_unwind(|| group.wait()).is_err(), panics);
        }
    });
}

#[test]
fn without_a_place_there_is_no_group() {
    callers(|| {
        let error = panic::catch_unwind(|| ErrGroup::<()>::new().limit(0)).unwrap_err();
        assert_eq!(text(&*error), "an ErrGroup without a place for a member");
    });
}

#[test]
fn a_cancel_ends_the_wait_for_a_place() {
    everywhere(|setup| {
        setup.run(|| {
            for yields in [0, 1, 30] {
                let (ready, go_on, drops) = (Signal::new(), Signal::new(), Drops::new());
                let (reached, waits, ended) = (ready.clone(), go_on.clone(), WaitGroup::new());
                let (token, member) = (drops.token(), ended.clone());
                ended.add(1);
                let spawner = go!({
                    let group = ErrGroup::<()>::new().limit(1);
                    group.go(move || {
                        let _done = OnDrop(|| member.done());
                        waits.wait();
                        Ok(())
                    });
                    reached.set();
                    group.go(move || {
                        drop(token);
                        fibra::park();
                        Ok(())
                    });
                    group.wait()
                });
                ready.wait();
                give_way(yields);
                spawner.cancel();
                assert_cancelled(outcome(spawner));
                assert_eq!(drops.count(), 1);
                // The first member was left alone.
                assert!(!ended.wait_timeout(std::time::Duration::ZERO));
                go_on.set();
                ended.wait();
            }
        });
    });
}

#[test]
fn a_cancel_ends_the_wait_and_the_context() {
    everywhere(|setup| {
        setup.run(|| {
            for yields in [0, 1, 30] {
                let (ready, ended) = (Signal::new(), WaitGroup::new());
                let (reached, members) = (ready.clone(), ended.clone());
                ended.add(3);
                let waiter = go!({
                    let (group, cx) = ErrGroup::<&str>::with_context(&Context::background());
                    for _ in 0..3 {
                        let (cx, member) = (cx.clone(), members.clone());
                        group.go(move || {
                            let _end = cx.done().recv();
                            member.done();
                            Ok(())
                        });
                    }
                    reached.set();
                    group.wait()
                });
                ready.wait();
                give_way(yields);
                waiter.cancel();
                assert_cancelled(outcome(waiter));
                ended.wait();
            }
        });
    });
}

#[test]
fn members_of_a_dropped_group_go_on() {
    callers(|| {
        let (group, cx) = ErrGroup::with_context(&Context::background());
        let (go_on, ended) = (Signal::new(), WaitGroup::new());
        let (waits, member, watching) = (go_on.clone(), ended.clone(), cx.clone());
        ended.add(1);
        group.go(move || {
            let _done = OnDrop(|| member.done());
            waits.wait();
            assert!(watching.err().is_none());
            Err("lost")
        });
        drop(group);
        give_way(10);
        assert!(cx.err().is_none());
        go_on.set();
        ended.wait();
        assert!(cx.done().recv().is_err());
        assert_eq!(cx.cause().unwrap().to_string(), "lost");
    });
}

#[test]
fn a_panic_that_nobody_waits_for_is_reported() {
    // The child's pipes are descriptors of ours.
    let _turn = turn();
    let end = Child::new().run("", |_| {
        let runtime = Runtime::builder().workers(1).build().unwrap();
        runtime.run(|| {
            let (group, go_on, ended) = (ErrGroup::<()>::new(), Signal::new(), Signal::new());
            let (waits, sets) = (go_on.clone(), ended.clone());
            group.go(move || {
                let _set = OnDrop(|| sets.set());
                waits.wait();
                panic!("unheard");
            });
            drop(group);
            go_on.set();
            ended.wait();

            // The second panic of this one is lost to `wait`.
            let (group, cx) = ErrGroup::<&str>::with_context(&Context::background());
            group.go(|| panic!("heard"));
            let waits = cx.clone();
            group.go(move || {
                let _end = waits.done().recv();
                panic!("second")
            });
            let payload = panic::catch_unwind(|| group.wait()).unwrap_err();
            assert_eq!(text(&*payload), "heard");
        });
        // It is reported by the time the runtime has ended.
        drop(runtime);
    });
    assert!(end.status.success(), "{end:?}");
    assert!(end.stderr.contains("panicked, and nobody joins it: unheard"), "{end:?}");
    assert!(end.stderr.contains("panicked, and nobody joins it: second"), "{end:?}");
    assert!(!end.stderr.contains("joins it: heard"), "{end:?}");
}

#[test]
fn a_member_that_is_cancelled_is_no_success() {
    everywhere(|setup| {
        for started in [false, true] {
            let (group, cx) = ErrGroup::<&str>::with_context(&Context::background());
            let group = Arc::new(group);
            let (ready, theirs, runtime) = (Signal::new(), group.clone(), setup.runtime());
            let (stops, stopping) = mpsc::channel();
            let (reached, begun) = (ready.clone(), Signal::new());
            let has_begun = begun.clone();
            let add = move || {
                theirs.go(move || {
                    has_begun.set();
                    fibra::park();
                    Ok(())
                });
            };
            if started {
                drop(runtime.spawn(add));
                begun.wait();
            } else {
                // It blocks its thread until the runtime stops, so the member never begins.
                drop(runtime.spawn(move || {
                    stopping.recv().unwrap();
                    let _refused = panic::catch_unwind(panic::AssertUnwindSafe(add));
                }));
            }
            drop(runtime.spawn(move || {
                let _stops = OnDrop(|| stops.send(()).unwrap_or_default());
                reached.set();
                fibra::park();
            }));
            ready.wait();
            drop(runtime);
            let group = Arc::into_inner(group).unwrap();
            let payload = panic::catch_unwind(|| group.wait()).unwrap_err();
            assert!(payload.is::<Cancelled>());
            assert_eq!(cx.cause().unwrap().to_string(), "a member of the group was cancelled");
        }
    });
}
