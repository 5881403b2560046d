//! `block_on`: who may wake it, how it ends, and what it must leave alone.

use std::cell::Cell;
use std::future::{self, Future};
use std::panic::{self, AssertUnwindSafe};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use fibra::{block_on, go};
use fibra_tests::{
    Drops, LONG, OnDrop, Signal, assert_cancelled, at, everywhere, join, outcome, pinned, text,
    thread_id,
};

#[expect(dead_code, reason = "not all of it is used in each file")]
mod futures_event;
use futures_event::Event;

/// Pending so many times, each time woken before it has returned.
fn yields(times: usize) -> impl Future<Output = usize> {
    let mut polls = 0;
    future::poll_fn(move |context| {
        if polls == times {
            return Poll::Ready(polls);
        }
        polls += 1;
        context.waker().wake_by_ref();
        Poll::Pending
    })
}

#[test]
fn a_future_that_is_ready() {
    everywhere(|setup| {
        setup.run(|| {
            let text = String::from("borrowed");
            assert_eq!(block_on(future::ready(1)), 1);
            assert_eq!(block_on(async { text.len() + future::ready(1).await }), 9);
        });
    });
    assert_eq!(block_on(async { thread_id() }), thread_id(), "on a plain thread");
}

#[test]
fn a_goroutine_waits_for_a_goroutine() {
    everywhere(|setup| {
        setup.run(|| {
            let (there, back) = (Event::new(), Event::new());
            let (answers, answer) = (there.wait(), back.clone());
            let other = go!({
                block_on(answers);
                answer.set();
            });
            there.set();
            block_on(back.wait());
            join(other);
        });
    });
}

#[test]
fn a_goroutine_and_a_thread_wait_for_each_other() {
    everywhere(|setup| {
        setup.with(|runtime| {
            for _ in 0..50 {
                let (there, back) = (Event::new(), Event::new());
                let (answers, answer) = (there.wait(), back.clone());
                let other = runtime.spawn(move || {
                    block_on(answers);
                    answer.set();
                });
                there.set();
                block_on(back.wait());
                join(other);
            }
        });
    });
}

#[test]
fn thousands_wait() {
    everywhere(|setup| {
        setup.run(|| {
            let event = Event::new();
            let wait = |i| {
                let wait = event.wait();
                go!(move || {
                    block_on(wait);
                    i
                })
            };
            let handles: Vec<_> = (0..2000).map(wait).collect();
            while event.waiting() < 2000 {
                fibra::yield_now();
            }
            // For nothing: all poll again.
            event.wakers().into_iter().for_each(Waker::wake);
            event.set();
            for (i, handle) in handles.into_iter().enumerate() {
                assert_eq!(join(handle), i);
            }
        });
    });
}

#[test]
fn woken_during_the_poll() {
    everywhere(|setup| {
        setup.run(|| {
            assert_eq!(block_on(yields(1000)), 1000);
            // By another thread, and this one has ended before the poll has.
            let mut polls = 0;
            block_on(future::poll_fn(|context| {
                polls += 1;
                let waker = context.waker().clone();
                thread::spawn(move || waker.wake()).join().unwrap();
                if polls == 20 { Poll::Ready(()) } else { Poll::Pending }
            }));
        });
    });
    assert_eq!(block_on(yields(10)), 10, "on a plain thread");
}

#[test]
fn a_future_that_wakes_itself_lets_others_run() {
    everywhere(|setup| {
        setup.run(|| {
            let flag = Arc::new(AtomicBool::new(false));
            let sets = flag.clone();
            let other = go!(move || sets.store(true, Ordering::SeqCst));
            block_on(future::poll_fn(|context| {
                if flag.load(Ordering::SeqCst) {
                    return Poll::Ready(());
                }
                context.waker().wake_by_ref();
                Poll::Pending
            }));
            join(other);
        });
    });
}

#[test]
fn wakers_outlive_the_call_and_end_nothing_else() {
    everywhere(|setup| {
        setup.run(|| {
            let mut kept = Vec::new();
            for _ in 0..3 {
                let mut polls = 0;
                block_on(future::poll_fn(|context| {
                    polls += 1;
                    kept.extend(vec![context.waker().clone(); 3]);
                    context.waker().wake_by_ref();
                    if polls == 2 { Poll::Ready(()) } else { Poll::Pending }
                }));
            }
            let wake_all = || kept.iter().for_each(Waker::wake_by_ref);
            // No token comes of it.
            wake_all();
            let start = Instant::now();
            fibra::park_timeout(Duration::from_millis(2));
            assert!(start.elapsed() >= Duration::from_millis(2));
            // A park that is under way goes on.
            thread::scope(|s| {
                let start = Instant::now();
                let waker = s.spawn(|| (0..100).for_each(|_| wake_all()));
                fibra::sleep(Duration::from_millis(2));
                assert!(start.elapsed() >= Duration::from_millis(2));
                waker.join().unwrap();
            });
            // Nor does another `block_on` take them for its own.
            let (event, mut polls) = (Event::new(), 0);
            let (sets, others) = (event.clone(), kept.clone());
            let other = go!({
                while sets.waiting() == 0 {
                    others.iter().for_each(Waker::wake_by_ref);
                    fibra::yield_now();
                }
                others.iter().for_each(Waker::wake_by_ref);
                sets.set();
            });
            let mut wait = Box::pin(event.wait());
            block_on(future::poll_fn(|context| {
                polls += 1;
                wait.as_mut().poll(context)
            }));
            assert!(polls <= 2, "polled {polls} times");
            join(other);
        });
    });
}

#[test]
fn a_token_of_unpark_is_left_alone() {
    everywhere(|setup| {
        setup.run(|| {
            fibra::current().unwrap().unpark();
            let event = Event::new();
            let sets = event.clone();
            let other = go!(sets.set());
            block_on(event.wait());
            fibra::park();
            join(other);
        });
    });
}

#[test]
fn many_wakers_at_once() {
    everywhere(|setup| {
        setup.run(|| {
            for _ in 0..100 {
                let event = Event::new();
                let hurried = event.clone();
                let handles: Vec<_> = (0..4)
                    .map(|_| {
                        let event = event.clone();
                        go!(move || event.wakers().into_iter().for_each(Waker::wake))
                    })
                    .collect();
                let thread = thread::spawn(move || hurried.set());
                block_on(event.wait());
                handles.into_iter().for_each(join);
                thread.join().unwrap();
            }
        });
    });
}

/// Counts when it is dropped, and is never ready.
struct Never<T>(T, Event);

impl<T: Unpin> Future for Never<T> {
    type Output = ();
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut wait = Box::pin(self.1.wait());
        wait.as_mut().poll(context)
    }
}

#[test]
fn a_cancelled_goroutine_drops_its_future_once() {
    everywhere(|setup| {
        setup.run(|| {
            for turns in [0, 1, 100] {
                let (drops, event, ready) = (Drops::new(), Event::new(), Signal::new());
                let future = Never(drops.token(), event.clone());
                let reached = ready.clone();
                let handle = go!({
                    reached.set();
                    block_on(future);
                });
                ready.wait();
                (0..turns).for_each(|_| fibra::yield_now());
                handle.cancel();
                assert_cancelled(outcome(handle));
                assert_eq!(drops.count(), 1);
                event.wakers().into_iter().for_each(Waker::wake);
            }
        });
    });
}

#[test]
fn a_cancelled_goroutine_unwinds_from_a_future_that_wakes_itself() {
    everywhere(|setup| {
        setup.run(|| {
            let handle = go!(block_on(future::poll_fn(|context| -> Poll<()> {
                context.waker().wake_by_ref();
                Poll::Pending
            })));
            handle.cancel();
            assert_cancelled(outcome(handle));
        });
    });
}

#[test]
fn cancellation_can_be_put_off() {
    everywhere(|setup| {
        setup.run(|| {
            let (event, ready) = (Event::new(), Signal::new());
            let (wait, reached) = (event.wait(), ready.clone());
            let handle = go!({
                fibra::uncancellable(|| {
                    reached.set();
                    block_on(wait);
                });
                "came to its end"
            });
            ready.wait();
            handle.cancel();
            event.set();
            assert_eq!(join(handle), "came to its end");
        });
    });
}

#[test]
fn a_panic_of_the_future_goes_on_in_the_caller() {
    everywhere(|setup| {
        setup.run(|| {
            let drops = Drops::new();
            for at in 0..3 {
                let token = drops.token();
                let result = panic::catch_unwind(AssertUnwindSafe(|| {
                    block_on(async move {
                        let _token = token;
                        yields(at).await;
                        panic!("after {at}");
                    })
                }));
                let payload = result.unwrap_err();
                assert_eq!(text(&*payload), format!("after {at}"));
            }
            assert_eq!(drops.count(), 3);
            assert_eq!(block_on(yields(3)), 3, "and the goroutine can go on");
        });
    });
}

#[test]
fn one_inside_another() {
    everywhere(|setup| {
        setup.run(|| {
            let (outer, inner) = (Event::new(), Event::new());
            let (first, second) = (outer.clone(), inner.clone());
            let other = go!({
                // The outer one is woken while the inner one waits.
                while outer.wakers().into_iter().map(Waker::wake).count() == 0 {
                    fibra::yield_now();
                }
                inner.set();
                outer.set();
            });
            let mut wait = Box::pin(first.wait());
            let mut polls = 0;
            block_on(future::poll_fn(|context| {
                polls += 1;
                let outer = wait.as_mut().poll(context);
                if polls == 1 {
                    assert_eq!(block_on(yields(3)), 3);
                    block_on(second.wait());
                }
                outer
            }));
            join(other);
        });
    });
}

#[test]
fn a_future_that_blocks() {
    everywhere(|setup| {
        setup.run(|| {
            let handle = go!(|| 40);
            let sum = block_on(async {
                fibra::sleep(Duration::from_millis(1));
                yields(2).await + handle.join().unwrap()
            });
            assert_eq!(sum, 42);
        });
    });
}

#[test]
fn a_pinned_goroutine_polls_on_one_thread() {
    pinned(|setup| {
        setup.run(|| {
            let handles: Vec<_> = (0..20)
                .map(|_| {
                    go!({
                        let (event, local) = (Event::new(), Rc::new(Cell::new(0)));
                        let sets = event.clone();
                        let waker = thread::spawn(move || sets.set());
                        block_on(async {
                            let here = thread_id();
                            let kept = local.clone();
                            event.wait().await;
                            assert_eq!(thread_id(), here);
                            kept.set(1);
                        });
                        waker.join().unwrap();
                        assert_eq!((local.get(), Rc::strong_count(&local)), (1, 1));
                    })
                })
                .collect();
            handles.into_iter().for_each(join);
        });
    });
}

#[test]
fn in_a_destructor_during_a_panic() {
    everywhere(|setup| {
        setup.run(|| {
            let event = Event::new();
            let handle = go!({
                let _waits = OnDrop(|| {
                    let sets = event.clone();
                    let waker = thread::spawn(move || sets.set());
                    block_on(event.wait());
                    assert_eq!(block_on(yields(3)), 3);
                    waker.join().unwrap();
                });
                panic!("first");
            });
            let result: thread::Result<()> = outcome(handle);
            assert_eq!(text(&*result.unwrap_err()), "first");
        });
    });
}

#[test]
fn what_it_waits_for_is_told() {
    at(&[1], &[false], LONG, |setup| {
        let runtime = setup.builder().spare_workers(0).build().unwrap();
        let event = Event::new();
        let wait = event.wait();
        drop(runtime.spawn(move || fibra::uncancellable(|| block_on(wait))));
        // The only worker runs this one after that one has parked.
        while event.waiting() == 0 {
            join(runtime.spawn(|| ()));
        }
        join(runtime.spawn(|| ()));
        let report = runtime.shutdown_timeout(Duration::ZERO);
        assert_eq!(report.left.len(), 1);
        assert_eq!(report.left[0].state, "future");
        event.set();
    });
}

#[test]
fn the_end_of_the_runtime_drops_the_future() {
    everywhere(|setup| {
        let (drops, event) = (Drops::new(), Event::new());
        let runtime = setup.runtime();
        for _ in 0..20 {
            let future = Never(drops.token(), event.clone());
            drop(runtime.spawn(move || block_on(future)));
        }
        drop(runtime);
        assert_eq!(drops.count(), 20);
        event.wakers().into_iter().for_each(Waker::wake);
    });
}
