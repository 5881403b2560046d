//! Coroutines with one owner or several: what they are doing, what cannot be done with them, and how they end. On
//! plain threads and inside goroutines.

use std::cell::{Cell, OnceCell, RefCell};
use std::future;
use std::panic::{self, AssertUnwindSafe};
use std::rc::Rc;
use std::task::Poll;
use std::thread;

use fibra::chan::bounded;
use fibra::coroutine::{
    self, Coroutine, Group, Handle, Member, RcCoroutine, ResumeError, Status, Step, Yielder,
};
use fibra::go;
use fibra_tests::{Drops, LONG, OnDrop, anywhere, at, everywhere, join, text};
use futures_util::StreamExt;
use futures_util::stream;

fn caught<T>(f: impl FnOnce() -> T) -> thread::Result<T> {
    panic::catch_unwind(AssertUnwindSafe(f))
}

/// Panics without the hook, which would write to stderr.
fn quiet_panic(payload: &'static str) -> ! {
    panic::resume_unwind(Box::new(payload))
}

#[test]
fn all_four_states_are_seen_from_all_sides() {
    anywhere(|| {
        assert_eq!(coroutine::running(), None);
        let outer_seen_by_inner = Rc::new(RefCell::new(Vec::new()));
        let log = outer_seen_by_inner.clone();
        let mut outer = Coroutine::builder()
            .name("outer")
            .build(move |y: &Yielder<(), Handle>, ()| {
                let me = y.handle();
                assert_eq!(me.status(), Status::Running);
                assert_eq!(coroutine::running().as_ref(), Some(&me));
                let log = log.clone();
                let of_outer = me.clone();
                let mut inner = Coroutine::new(move |y: &Yielder<(), ()>, ()| {
                    log.borrow_mut().push(of_outer.status());
                    assert_ne!(coroutine::running().as_ref(), Some(&of_outer));
                    assert_eq!(coroutine::running().unwrap().status(), Status::Running);
                    y.suspend(());
                    log.borrow_mut().push(of_outer.status());
                });
                let of_inner = inner.handle();
                assert_eq!(of_inner.status(), Status::Suspended);
                inner.resume(());
                assert_eq!(of_inner.status(), Status::Suspended);
                assert_eq!(coroutine::running().as_ref(), Some(&me));
                y.suspend(of_inner.clone());
                inner.resume(());
                assert_eq!(of_inner.status(), Status::Dead);
                y.suspend(of_inner);
            })
            .unwrap();
        let of_outer = outer.handle();
        assert_eq!((outer.status(), of_outer.status()), (Status::Suspended, Status::Suspended));
        let of_inner = outer.next().unwrap();
        assert_eq!((of_outer.status(), of_inner.status()), (Status::Suspended, Status::Suspended));
        assert_ne!(of_outer.id(), of_inner.id());
        assert_eq!((of_outer.name(), of_inner.name()), (Some("outer"), None));
        outer.next().unwrap();
        assert_eq!(*outer_seen_by_inner.borrow(), [Status::Normal, Status::Normal]);
        assert_eq!(outer.next(), None);
        assert_eq!((outer.status(), of_outer.status()), (Status::Dead, Status::Dead));
        drop(outer);
        assert_eq!(of_outer.status(), Status::Dead);
        assert_eq!(of_outer.name(), Some("outer"), "a handle outlives its coroutine");
        assert!(!coroutine::is_yieldable());
    });
}

#[test]
fn a_chain_of_twenty_is_normal_but_for_its_end() {
    fn nested(depth: usize, mut handles: Vec<Handle>) -> Vec<Status> {
        if depth == 0 {
            return handles.iter().map(Handle::status).collect();
        }
        let mut c = Coroutine::new(move |_: &Yielder<(), ()>, ()| {
            handles.push(coroutine::running().unwrap());
            nested(depth - 1, handles)
        });
        c.resume(()).returned().unwrap()
    }
    anywhere(|| {
        let seen = nested(20, Vec::new());
        let (last, others) = seen.split_last().unwrap();
        assert_eq!(*last, Status::Running);
        assert_eq!(others, [Status::Normal; 19]);
    });
}

/// A goroutine is made of a coroutine, too, but is none.
#[test]
fn a_goroutine_is_not_yieldable() {
    everywhere(|setup| {
        setup.run(|| {
            assert!(!coroutine::is_yieldable());
            let mut c = Coroutine::new(|_: &Yielder<(), ()>, ()| {
                assert!(coroutine::is_yieldable());
                assert!(!join(go!(coroutine::is_yieldable())), "spawned from inside one");
                assert!(!go!(coroutine::is_yieldable()).join().unwrap(), "perhaps run in place");
                assert!(coroutine::is_yieldable());
            });
            c.resume(());
        });
    });
}

/// Lua's `coroutine.status` of the one that resumes itself, and what `coroutine.resume` says.
#[test]
fn shared_owners_get_errors_for_active_ones() {
    type Shared = RcCoroutine<u32, u32, u32>;
    anywhere(|| {
        let itself = Rc::new(OnceCell::<Shared>::new());
        let weak = Rc::downgrade(&itself);
        let c = RcCoroutine::from(Coroutine::new(move |y, first: u32| {
            let me = weak.upgrade().unwrap().get().unwrap().clone();
            assert_eq!(me.status(), Status::Running);
            assert_eq!(me.resume(first), Err(ResumeError::Running(first)));
            assert!(me.close().is_none());
            let from_inside = Coroutine::new(move |_: &Yielder<(), ()>, ()| {
                assert_eq!(me.status(), Status::Normal);
                assert_eq!(me.resume(8), Err(ResumeError::Normal(8)));
                assert!(me.close().is_none());
            })
            .next();
            assert_eq!(from_inside, None);
            y.suspend(1) + 1
        }));
        itself.set(c.clone()).unwrap();
        assert_eq!(c.resume(5), Ok(Step::Yielded(1)));
        assert_eq!(c.status(), Status::Suspended);
        assert_eq!(c.clone().resume(6), Ok(Step::Returned(7)));
        let error = c.resume(9).unwrap_err();
        assert_eq!((error.status(), error.into_input()), (Status::Dead, 9));
    });
}

/// It drops all of its owners while it runs, and lives until it stops.
#[test]
fn a_shared_one_outlives_its_owners_while_it_runs() {
    anywhere(|| {
        let owner: Rc<RefCell<Option<RcCoroutine<(), u32, ()>>>> = Rc::default();
        let inside = owner.clone();
        let drops = Drops::new();
        let token = drops.token();
        let c = RcCoroutine::from(Coroutine::new(move |y, ()| {
            drop(inside.borrow_mut().take());
            y.suspend(1);
            drop(token);
        }));
        let of_c = c.handle();
        *owner.borrow_mut() = Some(c);
        let c = owner.borrow().as_ref().unwrap().handle();
        assert_eq!(c, of_c);
        // The borrow must end before the coroutine takes it.
        let resumed = { owner.borrow().clone() }.map(|c| c.resume(()));
        assert_eq!(resumed, Some(Ok(Step::Yielded(1))));
        assert_eq!((of_c.status(), drops.count()), (Status::Dead, 1));
    });
}

/// The closure's destructor knows another owner.
#[test]
fn a_shared_one_cannot_be_resumed_by_what_its_end_drops() {
    anywhere(|| {
        for started in [false, true] {
            let owner: Rc<RefCell<Option<RcCoroutine<(), (), ()>>>> = Rc::default();
            let (inside, log) = (owner.clone(), Rc::new(Cell::new(None)));
            let seen = log.clone();
            let on_drop = OnDrop(move || {
                let c = inside.borrow_mut().take().unwrap();
                seen.set(Some(c.resume(()).map_err(|e| e.status())));
            });
            let c = RcCoroutine::from(Coroutine::new(move |y, ()| {
                y.suspend(());
                drop(on_drop);
            }));
            *owner.borrow_mut() = Some(c.clone());
            if started {
                assert_eq!(c.resume(()), Ok(Step::Yielded(())));
            }
            c.close().unwrap().unwrap();
            let want = if started { Status::Running } else { Status::Dead };
            assert_eq!(log.get(), Some(Err(want)), "started: {started}");
        }
    });
}

#[test]
fn wrap_is_a_function() {
    anywhere(|| {
        let mut add = Coroutine::new(|y: &Yielder<u32, u32>, mut n: u32| {
            let mut sum = 0;
            while n > 0 {
                sum += n;
                n = y.suspend(sum);
            }
            sum * 100
        })
        .wrap();
        assert_eq!([1, 2, 0].map(|n| add(n).unwrap().into_value()), [1, 3, 300]);
        assert_eq!(add(1), Err(ResumeError::Dead(1)));
    });
}

#[test]
fn close_unwinds_now() {
    anywhere(|| {
        let drops = Drops::new();
        let token = drops.token();
        let mut c = Coroutine::new(move |y: &Yielder<u32, ()>, _| {
            let _here = token;
            y.suspend(());
        });
        c.resume(1);
        assert_eq!(drops.count(), 0);
        c.close().unwrap();
        assert_eq!((drops.count(), c.status()), (1, Status::Dead));
        assert_eq!(c.try_resume(2), Err(ResumeError::Dead(2)));
        c.close().unwrap();
    });
}

#[test]
fn close_before_the_start_drops_the_closure() {
    anywhere(|| {
        let drops = Drops::new();
        let token = drops.token();
        let mut c = Coroutine::new(move |_: &Yielder<u32, ()>, _| drop(token));
        c.close().unwrap();
        assert_eq!((drops.count(), c.status()), (1, Status::Dead));
        assert_eq!(c.try_resume(2), Err(ResumeError::Dead(2)));
        drop(c);
        assert_eq!(drops.count(), 1);
    });
}

#[test]
fn close_gives_the_panic_that_it_meets() {
    anywhere(|| {
        let suspended = || {
            let mut c = Coroutine::new(|y: &Yielder<(), ()>, ()| {
                if caught(|| y.suspend(())).is_err() {
                    quiet_panic("while it was unwound");
                }
            });
            c.resume(());
            c
        };
        let payload = suspended().close().unwrap_err();
        assert_eq!(text(payload.as_ref()), "while it was unwound");
        // A drop cannot give it, and lets it go on.
        let payload = caught(|| drop(suspended())).unwrap_err();
        assert_eq!(text(payload.as_ref()), "while it was unwound");
        // Unless there is one already.
        let payload = caught(|| {
            let _suspended = suspended();
            quiet_panic("the first");
        });
        assert_eq!(text(payload.unwrap_err().as_ref()), "the first");
    });
}

#[test]
fn one_that_catches_the_unwinding_is_unwound_again() {
    anywhere(|| {
        let caught_so_far = Rc::new(Cell::new(0));
        let inside = caught_so_far.clone();
        let drops = Drops::new();
        let yielded = drops.clone();
        let mut c = Coroutine::new(move |y, ()| {
            while inside.get() < 10 {
                let more = caught(|| y.suspend(yielded.token()));
                inside.set(inside.get() + i32::from(more.is_err()));
            }
            "returned at last"
        });
        assert!(matches!(c.resume(()), Step::Yielded(_)));
        assert_eq!(drops.count(), 1);
        c.close().unwrap();
        assert_eq!(caught_so_far.get(), 10);
        assert_eq!(drops.count(), 10, "what it gave meanwhile was dropped");
    });
}

#[test]
fn panics_go_to_the_resumer_through_all_levels() {
    anywhere(|| {
        let drops = Drops::new();
        let (a, b) = (drops.token(), drops.token());
        let mut outer = Coroutine::new(move |_: &Yielder<(), ()>, ()| {
            let _a = a;
            let mut inner = Coroutine::new(move |_: &Yielder<(), ()>, ()| {
                let _b = b;
                quiet_panic("innermost");
            });
            let _: Step<(), ()> = inner.resume(());
        });
        let payload = caught(|| outer.resume(())).unwrap_err();
        assert_eq!(text(payload.as_ref()), "innermost");
        assert_eq!((outer.status(), drops.count()), (Status::Dead, 2));
        assert!(!thread::panicking());
    });
}

#[test]
fn a_drop_unwinds_the_nested_ones_too() {
    anywhere(|| {
        let order = Rc::new(RefCell::new(Vec::new()));
        let note = |what: &'static str| {
            let order = order.clone();
            OnDrop(move || order.borrow_mut().push(what))
        };
        let (in_outer, in_inner) = (note("outer"), note("inner"));
        let mut outer = Coroutine::new(move |y: &Yielder<(), ()>, ()| {
            let _outer = in_outer;
            let mut inner = Coroutine::new(move |y: &Yielder<(), ()>, ()| {
                let _inner = in_inner;
                y.suspend(());
            });
            inner.next();
            y.suspend(());
        });
        outer.next();
        drop(outer);
        assert_eq!(*order.borrow(), ["inner", "outer"]);
    });
}

/// The yielder of an outer coroutine is of no use on the frames of an inner one.
#[test]
fn only_ones_own_frames_can_suspend() {
    anywhere(|| {
        coroutine::scope(|s| {
            let mut outer = s.coroutine(|outer: &Yielder<(), u32>, ()| {
                let tried = coroutine::scope(|s| {
                    let mut inner = s.coroutine(|_: &Yielder<(), ()>, ()| {
                        caught(|| outer.suspend(1)).map_err(|payload| text(payload.as_ref()).len())
                    });
                    inner.resume(()).returned().unwrap()
                });
                assert!(tried.is_err());
                outer.suspend(2);
            });
            assert_eq!(outer.next(), Some(2));
            assert_eq!(outer.next(), None);
            assert_eq!(outer.next(), None);
        });
    });
}

/// A coroutine blocks as its goroutine does: that parks with all coroutines that are active in it.
#[test]
fn what_blocks_inside_parks_the_goroutine() {
    everywhere(|setup| {
        setup.run(|| {
            let (tx, rx) = bounded(0);
            let (echo_tx, echo_rx) = bounded(0);
            let source = go!({
                let mut outer = Coroutine::new(move |y: &Yielder<(), u32>, ()| {
                    let inner = Coroutine::new(move |y: &Yielder<(), u32>, ()| {
                        let me = coroutine::running().unwrap();
                        for n in rx {
                            fibra::yield_now();
                            assert_eq!(me.status(), Status::Running);
                            assert_eq!(coroutine::running().as_ref(), Some(&me));
                            y.suspend(fibra::block_on(twice(n)));
                        }
                    });
                    inner.for_each(|n| y.suspend(n + 1));
                });
                for n in outer.by_ref() {
                    echo_tx.send(n).unwrap();
                }
                outer.status()
            });
            for n in 0..20 {
                tx.send(n).unwrap();
                assert_eq!(echo_rx.recv(), Ok(2 * n + 1));
            }
            drop(tx);
            assert_eq!(join(source), Status::Dead);
        });
    });
}

/// Its goroutine is parked in the middle of it, and another one of the same worker finds it in a thread-local.
#[test]
fn one_that_is_active_in_another_goroutine_is_an_error() {
    thread_local! {
        static SHARED: RefCell<Option<RcCoroutine<u32, u32, u32>>> = const { RefCell::new(None) };
        static GROUP: RefCell<Option<(Rc<Group<u32>>, Member)>> = const { RefCell::new(None) };
    }
    let shared = || SHARED.with(|it| it.borrow().clone()).unwrap();
    let group = || GROUP.with(|it| it.borrow().clone()).unwrap();
    // One worker, and nobody moves.
    at(&[1], &[false], LONG, |setup| {
        setup.without_spares().run(|| {
            let (goes_on_tx, goes_on) = bounded::<()>(0);
            let (started_tx, started) = bounded(0);
            let wait = move |n| {
                started_tx.send(()).unwrap();
                goes_on.recv().map_or(n, |()| 0)
            };
            let in_member = wait.clone();
            SHARED.set(Some(Coroutine::new(move |_: &Yielder<u32, u32>, n| wait(n)).into()));
            let new = Group::new();
            let member = new.add(move |_, n| in_member(n));
            GROUP.set(Some((Rc::new(new), member)));
            let resumes = go!({ shared().resume(1).map(Step::into_value).ok() });
            let enters = go!({
                let (group, member) = group();
                group.enter(member, 2)
            });
            started.recv().unwrap();
            started.recv().unwrap();
            assert_eq!(shared().status(), Status::Normal);
            assert_eq!(shared().resume(3), Err(ResumeError::Normal(3)));
            assert!(shared().close().is_none());
            let (group, member) = group();
            assert_eq!(group.status(member), Status::Normal);
            assert_eq!(group.enter(member, 4), Err(ResumeError::Normal(4)));
            drop(goes_on_tx);
            assert_eq!(join(resumes), Some(1));
            assert_eq!(join(enters), Ok(2));
            assert_eq!(shared().status(), Status::Dead);
            drop((SHARED.take(), GROUP.take()));
        });
    });
}

/// Ready after it was woken, by itself and at once.
async fn twice(n: u32) -> u32 {
    let mut woken = false;
    future::poll_fn(|context| {
        if woken {
            return Poll::Ready(());
        }
        woken = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
    n * 2
}

#[test]
fn a_coroutine_is_a_source_for_async_code() {
    anywhere(|| {
        let numbers = Coroutine::new(|y: &Yielder<(), u32>, ()| {
            for n in 0..5 {
                y.suspend(fibra::block_on(twice(n)));
            }
        });
        let all = stream::iter(numbers).then(twice).collect::<Vec<_>>();
        assert_eq!(fibra::block_on(all), [0, 4, 8, 12, 16]);
    });
}

/// A cancelled goroutine unwinds through the coroutines that are active in it.
#[test]
fn cancelling_a_goroutine_unwinds_its_coroutines() {
    everywhere(|setup| {
        setup.run(|| {
            let drops = Drops::new();
            let (active, suspended) = (drops.token(), drops.token());
            let (started_tx, started) = bounded(0);
            let handle = go!({
                let mut waits = Coroutine::new(move |y: &Yielder<(), ()>, ()| {
                    let _token = suspended;
                    y.suspend(());
                });
                waits.next();
                let mut parks = Coroutine::new(move |_: &Yielder<(), ()>, ()| {
                    let _token = active;
                    started_tx.send(()).unwrap();
                    fibra::sleep(fibra_tests::FOREVER);
                });
                parks.resume(());
            });
            started.recv().unwrap();
            handle.cancel();
            fibra_tests::assert_cancelled(fibra_tests::outcome(handle));
            assert_eq!(drops.count(), 2);
        });
    });
}
