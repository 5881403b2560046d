//! Contexts: what ends one, whom that reaches, and what is left of it.

mod chan_parties;

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use chan_parties::{callers, give_way, parties};
use fibra::chan::{Receiver, Select, never};
use fibra::context::{CancelHandle, Cause, Context, ContextError};
use fibra::{go, select};
use fibra_tests::{Drops, FOREVER, LONG, Signal, Token, assert_cancelled, at, everywhere, outcome};

use ContextError::{Cancelled, DeadlineExceeded};

const SHORT: Duration = Duration::from_millis(3);

fn is_ready(done: &Receiver<()>) -> bool {
    done.try_recv().unwrap_err().is_disconnected()
}

/// Fails unless this is how the context has ended; `None`: it has not.
#[track_caller]
fn assert_end(cx: &Context, end: Option<ContextError>) {
    assert_eq!(cx.err(), end);
    assert_eq!(is_ready(cx.done()), end.is_some());
    let cause = cx.cause().map(|cause| cause.downcast_ref::<ContextError>().copied());
    assert_eq!(cause, end.map(Some));
}

/// All ways to wait for the end.
const WAITS: [fn(&Context); 5] = [
    |cx| assert!(cx.done().recv().is_err()),
    |cx| assert!(cx.done().recv_timeout(FOREVER).unwrap_err().is_disconnected()),
    |cx| select! { recv(cx.done()) -> end => assert!(end.is_err()) },
    |cx| {
        select! {
            recv(never::<u8>()) -> _ => {}
            recv(cx.done()) -> end => assert!(end.is_err()),
            default(FOREVER) => panic!("for ever"),
        }
    },
    |cx| {
        let mut select = Select::new();
        select.recv(cx.done());
        assert!(select.select().recv(cx.done()).is_err());
    },
];

#[test]
fn the_background_never_ends() {
    callers(|| {
        let cx = Context::background();
        assert_end(&cx, None);
        assert_eq!((cx.deadline(), cx.value::<u8>()), (None, None));
        assert!(cx.done().recv_timeout(SHORT).unwrap_err().is_timeout());
        select! {
            recv(cx.done()) -> _ => panic!("the end"),
            default => {}
        }
        let with_value = cx.with_value(5_u8);
        assert_end(&with_value, None);
        assert_eq!((cx.value::<u8>(), with_value.value::<u8>()), (None, Some(&5)));
    });
}

#[test]
fn a_cancel_goes_to_all_inside_and_to_nobody_else() {
    callers(|| {
        let (root, root_handle) = Context::background().with_cancel();
        let (left, left_handle) = root.with_cancel();
        let (right, _) = root.with_timeout(FOREVER);
        let (leaf, _) = left.with_value("leaf").with_deadline(Instant::now() + FOREVER);
        let clone = left.clone();
        left_handle.cancel();
        for cx in [&left, &leaf, &clone, &leaf.with_value(1), &left.with_cancel().0] {
            assert_end(cx, Some(Cancelled));
        }
        for cx in [&root, &right, &root.with_cancel().0] {
            assert_end(cx, None);
        }
        root_handle.cancel();
        for cx in [&root, &left, &leaf, &right, &root.with_timeout(FOREVER).0] {
            assert_end(cx, Some(Cancelled));
        }
    });
}

#[test]
fn what_is_dropped_passes_a_cancel_on() {
    callers(|| {
        let (root, handle) = Context::background().with_cancel();
        let (inner, _) = root.with_cancel().0.with_cancel().0.with_cancel();
        drop(root);
        assert_end(&inner, None);
        handle.cancel();
        assert_end(&inner, Some(Cancelled));
    });
}

#[test]
fn only_a_guard_cancels_when_dropped() {
    callers(|| {
        let (cx, handle) = Context::background().with_cancel();
        drop(handle.clone());
        let guard = handle.into_guard();
        assert_end(&cx, None);
        let handle = guard.disarm();
        assert_end(&cx, None);
        let guard = handle.into_guard();
        let (other, other_handle) = cx.with_cancel();
        other_handle.into_guard().cancel();
        assert_end(&other, Some(Cancelled));
        assert_end(&cx, None);
        drop(guard);
        assert_end(&cx, Some(Cancelled));
    });
}

#[test]
fn the_first_cause_counts() {
    #[derive(Debug, PartialEq)]
    struct Own(u32);
    impl fmt::Display for Own {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "own {}", self.0)
        }
    }
    impl Error for Own {}

    callers(|| {
        let (outer, outer_handle) = Context::background().with_cancel();
        let (inner, inner_handle) = outer.with_cancel();
        inner_handle.cancel_cause(Own(1));
        inner_handle.cancel();
        outer_handle.cancel_cause("a text");
        outer_handle.cancel_cause(Own(2));
        assert_eq!(inner.cause().unwrap().downcast_ref(), Some(&Own(1)));
        assert_eq!(outer.cause().unwrap().to_string(), "a text");
        assert_eq!((outer.err(), inner.err()), (Some(Cancelled), Some(Cancelled)));

        // Made afterwards, and made before: both have the cause of what is outside.
        let (outer, handle) = Context::background().with_cancel();
        let before = outer.with_timeout(FOREVER).0;
        handle.cancel_cause(Box::new(io::Error::other("broken")) as Box<dyn Error + Send + Sync>);
        let after = outer.with_timeout(FOREVER).0;
        let cause = outer.cause().unwrap();
        assert_eq!(cause.to_string(), "broken");
        for cx in [before, after] {
            assert!(Arc::ptr_eq(&cause, &cx.cause().unwrap()));
        }

        // The cause of another context stays what it is.
        let (other, handle) = Context::background().with_cancel();
        handle.cancel_cause(inner.cause().unwrap());
        assert_eq!(other.cause().unwrap().downcast_ref(), Some(&Own(1)));
    });
}

#[test]
fn a_deadline_is_never_early_and_ends_every_wait() {
    parties(|cast| {
        for wait in WAITS {
            let start = Instant::now();
            let (cx, handle) = Context::background().with_timeout(SHORT);
            assert!(cx.deadline().unwrap() >= start + SHORT);
            let (inner, _) = cx.with_value(1).with_cancel();
            let waiters = [cx.clone(), inner.clone()].map(|cx| {
                cast.spawn(move || {
                    wait(&cx);
                    assert_end(&cx, Some(DeadlineExceeded));
                    start.elapsed()
                })
            });
            wait(&inner);
            assert_end(&inner, Some(DeadlineExceeded));
            assert!(start.elapsed() >= SHORT);
            for waiter in waiters {
                assert!(waiter.join() >= SHORT);
            }
            // Too late.
            handle.cancel_cause("late");
            for cx in [&cx, &inner, &cx.with_cancel().0, &inner.with_timeout(FOREVER).0] {
                assert_end(cx, Some(DeadlineExceeded));
            }
        }
    });
}

#[test]
fn the_end_is_the_same_from_all_sides() {
    parties(|cast| {
        for _ in 0..20 {
            let (cx, handle) = Context::background().with_timeout(Duration::from_millis(1));
            let (inner, _) = cx.with_cancel();
            let watchers: Vec<_> = [&cx, &inner, &cx, &inner]
                .into_iter()
                .enumerate()
                .map(|(n, cx)| {
                    let cx = cx.clone();
                    cast.spawn(move || {
                        loop {
                            let (err, ready) = match n % 4 < 2 {
                                true => {
                                    let err = cx.err();
                                    (err, err.is_some().then(|| is_ready(cx.done())))
                                }
                                false => {
                                    let ready = is_ready(cx.done());
                                    (cx.err().filter(|_| ready), ready.then_some(true))
                                }
                            };
                            assert_eq!(err.is_some(), ready.is_some(), "err {err:?}");
                            assert_ne!(ready, Some(false), "err {err:?}");
                            if let Some(err) = err {
                                return err;
                            }
                            fibra::yield_now();
                        }
                    })
                })
                .collect();
            // About when the deadline comes.
            while cx.deadline().unwrap() > Instant::now() + Duration::from_micros(20) {
                fibra::yield_now();
            }
            handle.cancel();
            let ends: Vec<_> = watchers.into_iter().map(|watcher| watcher.join()).collect();
            assert_eq!(cx.err(), Some(ends[0]));
            assert_eq!(inner.err(), Some(ends[1]));
            assert_eq!(ends[..2], ends[2..]);
            assert!(is_ready(cx.done()) && is_ready(inner.done()));
        }
    });
}

#[test]
fn the_earliest_deadline_counts() {
    callers(|| {
        let now = Instant::now();
        let (soon, _) = Context::background().with_deadline(now + SHORT);
        let (later, _) = soon.with_deadline(now + FOREVER);
        assert_eq!(later.deadline(), Some(now + SHORT));
        assert_eq!(later.with_cancel().0.deadline(), Some(now + SHORT));
        let (never_ends, _) = Context::background().with_timeout(Duration::MAX);
        assert_eq!(never_ends.deadline(), None);
        let (late, _) = never_ends.with_deadline(now + FOREVER);
        let (sooner, _) = late.with_deadline(now + SHORT);
        assert_eq!(sooner.deadline(), Some(now + SHORT));
        for cx in [&later, &sooner] {
            assert!(cx.done().recv().is_err());
            assert!(now.elapsed() >= SHORT);
            assert_end(cx, Some(DeadlineExceeded));
        }
        assert_end(&late, None);
        assert_end(&never_ends, None);
    });
}

#[test]
fn a_deadline_may_be_over_from_the_start() {
    callers(|| {
        for cx in [
            Context::background().with_timeout(Duration::ZERO).0,
            Context::background().with_deadline(Instant::now()).0,
        ] {
            assert_end(&cx, Some(DeadlineExceeded));
            assert_end(&cx.with_cancel().0, Some(DeadlineExceeded));
        }
        // Cancelled before its deadline: so is what is made of it, whatever the clock says.
        let (cx, handle) = Context::background().with_timeout(SHORT);
        handle.cancel();
        if cx.err() == Some(Cancelled) {
            fibra::sleep(SHORT);
            assert_end(&cx, Some(Cancelled));
            assert_end(&cx.with_cancel().0, Some(Cancelled));
        }
    });
}

#[test]
fn a_cancel_ends_every_wait() {
    parties(|cast| {
        for yields in [0, 1, 20] {
            let (cx, handle) = Context::background().with_cancel();
            let (inner, _) = cx.with_timeout(FOREVER);
            let waiters: Vec<_> = WAITS
                .iter()
                .flat_map(|wait| [(wait, cx.clone()), (wait, inner.clone())])
                .map(|(wait, cx)| {
                    cast.spawn(move || {
                        wait(&cx);
                        assert_end(&cx, Some(Cancelled));
                    })
                })
                .collect();
            give_way(yields);
            handle.cancel();
            waiters.into_iter().for_each(|waiter| waiter.join());
        }
    });
}

#[test]
fn a_clone_of_done_outlives_its_context() {
    callers(|| {
        for waits in [false, true] {
            let (root, handle) = Context::background().with_cancel();
            let plain = root.with_cancel().0.done().clone();
            let deep = root.with_cancel().0.with_timeout(FOREVER).0.with_cancel().0.done().clone();
            let timed = root.with_timeout(SHORT).0.done().clone();
            let alone = Context::background().with_cancel().0.done().clone();
            let alone_timed = Context::background().with_timeout(SHORT).0.done().clone();
            assert!(!is_ready(&plain) && !is_ready(&deep) && !is_ready(&alone));
            assert!(timed.recv().is_err() && alone_timed.recv().is_err());
            assert!(!is_ready(&plain) && !is_ready(&deep) && !is_ready(&alone));
            drop(root);
            let canceller = waits.then(|| {
                let handle = handle.clone();
                thread::spawn(move || handle.cancel())
            });
            if !waits {
                handle.cancel();
            }
            assert!(plain.recv().is_err() && deep.recv().is_err());
            assert!(!is_ready(&alone));
            canceller.into_iter().for_each(|thread| thread.join().unwrap());
        }
    });
}

#[test]
fn values_are_found_by_type_from_the_inside_out() {
    struct Key(u32);
    callers(|| {
        let drops = Drops::new();
        let one = Context::background().with_value(Key(1)).with_value(drops.token());
        let (two, _) = one.with_value("text").with_cancel();
        let three = two.with_value(Key(3)).with_timeout(FOREVER).0.with_value(4_u64);
        assert_eq!(one.value::<Key>().unwrap().0, 1);
        assert_eq!(two.value::<Key>().unwrap().0, 1);
        assert_eq!(three.value::<Key>().unwrap().0, 3);
        assert_eq!(three.value::<&str>(), Some(&"text"));
        assert_eq!(one.value::<&str>(), None);
        assert_eq!(three.value::<u64>(), Some(&4));
        assert_eq!(three.value::<String>(), None);
        drop((one, two));
        assert_eq!(drops.count(), 0);
        assert!(three.value::<Token>().is_some());
        drop(three);
        assert_eq!(drops.count(), 1);
    });
}

/// Many times what fits a stack, would each of them take a frame.
const DEEP: usize = 100_000;

#[test]
fn depth_does_not_matter() {
    at(&[2], &[false], 2 * LONG, |setup| {
        setup.run(|| {
            let (root, handle) = Context::background().with_cancel();
            let drops = Drops::new();
            let mut cx = root.with_value(1_u8).with_value(drops.token());
            let mut kept = Vec::new();
            for n in 0..DEEP {
                let (inner, handle) = match n % 3 {
                    0 => cx.with_cancel(),
                    1 => cx.with_timeout(FOREVER),
                    _ => cx.with_deadline(Instant::now() + FOREVER),
                };
                cx = inner.with_value(n);
                if n % 1000 == 0 {
                    kept.push(handle);
                }
            }
            assert_eq!(cx.value::<u8>(), Some(&1));
            assert_eq!(cx.value::<String>(), None);
            assert_end(&cx, None);
            let other = cx.clone();
            handle.cancel();
            assert_end(&cx, Some(Cancelled));
            kept.last().unwrap().cancel();
            drop(kept);
            drop(cx);
            assert_eq!(drops.count(), 0);
            drop(other);
            assert_eq!(drops.count(), 1);
            assert_end(&root, Some(Cancelled));

            // The same without a cancel, and with a receiver that outlives them all.
            let (root, handle) = Context::background().with_cancel();
            let cx = (0..DEEP).fold(root.clone(), |cx, _| cx.with_cancel().0);
            let done = cx.done().clone();
            drop(cx);
            assert!(!is_ready(&done));
            handle.cancel();
            assert!(is_ready(&done));
        });
    });
}

#[test]
fn width_does_not_matter() {
    callers(|| {
        let (root, handle) = Context::background().with_cancel();
        let inside: Vec<_> = (0..20_000).map(|_| root.with_cancel().0).collect();
        handle.cancel();
        assert!(inside.iter().all(|cx| cx.err() == Some(Cancelled)));
    });
}

#[test]
fn no_lock_is_held_while_an_error_is_dropped() {
    /// Uses its contexts from its destructor.
    struct Nosy(Context, CancelHandle, Arc<AtomicUsize>);
    impl Drop for Nosy {
        fn drop(&mut self) {
            let _look = (self.0.err(), self.0.cause().is_some(), format!("{:?}", self.0));
            drop(self.0.with_cancel());
            self.1.cancel();
            self.2.fetch_add(1, Ordering::Relaxed);
        }
    }
    impl fmt::Debug for Nosy {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Nosy")
        }
    }
    impl fmt::Display for Nosy {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("nosy")
        }
    }
    impl Error for Nosy {}

    callers(|| {
        let dropped = Arc::new(AtomicUsize::new(0));
        let (outer, outer_handle) = Context::background().with_cancel();
        let (inner, inner_handle) = outer.with_cancel();
        let nosy = || Nosy(outer.clone(), outer_handle.clone(), dropped.clone());
        // The first is kept, the second refused.
        inner_handle.cancel_cause(nosy());
        inner_handle.cancel_cause(nosy());
        assert_eq!(dropped.load(Ordering::Relaxed), 1);
        assert_end(&outer, Some(Cancelled));
        assert_eq!(inner.cause().unwrap().to_string(), "nosy");
        drop((inner, inner_handle));
        assert_eq!(dropped.load(Ordering::Relaxed), 2);
    });
}

#[test]
fn whoever_waits_for_it_is_cancelled() {
    everywhere(|setup| {
        setup.run(|| {
            for wait in WAITS {
                for yields in [0, 1, 30] {
                    let (cx, handle) = Context::background().with_timeout(FOREVER);
                    let (ready, drops) = (Signal::new(), Drops::new());
                    let (inner, reached, token) = (cx.clone(), ready.clone(), drops.token());
                    let waiter = go!({
                        let _token = token;
                        reached.set();
                        wait(&inner);
                        fibra::park();
                    });
                    ready.wait();
                    give_way(yields);
                    waiter.cancel();
                    assert_cancelled(outcome(waiter));
                    assert_eq!(drops.count(), 1);
                    assert_end(&cx, None);
                    handle.cancel();
                    wait(&cx);
                }
            }
        });
    });
}

#[test]
fn all_at_once() {
    parties(|cast| {
        for _ in 0..3 {
            let (root, handle) = Context::background().with_cancel();
            let (stop, made) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
            let parties: Vec<_> = (0..4)
                .map(|party| {
                    let (root, stop, made) = (root.clone(), stop.clone(), made.clone());
                    cast.spawn(move || {
                        let mut cx = root.clone();
                        for n in 0.. {
                            if stop.load(Ordering::Relaxed) && cx.err().is_some() {
                                break;
                            }
                            let (inner, handle) = cx.with_cancel();
                            match (n + party) % 5 {
                                0 => handle.cancel(),
                                1 => cx = inner,
                                2 => cx = root.clone(),
                                3 => made.lock().unwrap().push(inner.done().clone()),
                                _ => made.lock().unwrap().push(cx.done().clone()),
                            }
                            give_way(usize::from(n % 4 == 0));
                        }
                    })
                })
                .collect();
            give_way(20);
            handle.cancel();
            stop.store(true, Ordering::Relaxed);
            parties.into_iter().for_each(|party| party.join());
            assert!(made.lock().unwrap().iter().all(is_ready));
        }
    });
}

#[test]
fn they_go_everywhere() {
    fn shared<T: Clone + Send + Sync + fmt::Debug + std::panic::RefUnwindSafe + 'static>(_: &T) {}
    let (cx, handle) = Context::background().with_value(1).with_timeout(FOREVER);
    shared(&cx);
    shared(&handle);
    assert!(format!("{cx:?}").starts_with("Context { err: None, deadline: Some("));
    let _: Option<Cause> = cx.cause();
    handle.cancel();
    assert_eq!(cx.err().unwrap().to_string(), "the context was cancelled");
}
