//! A `JoinHandle` that is awaited: what it gives, whom it wakes, and what is left when it is dropped.

use std::cell::RefCell;
use std::future::{Future, IntoFuture};
use std::panic::{self, AssertUnwindSafe};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use fibra::{Cancelled, JoinFuture, JoinHandle, block_on, go};
use fibra_tests::{
    Drops, LONG, OnDrop, Signal, Token, assert_cancelled, everywhere, join, text, thread_id,
};
use futures_util::future::{Either, join_all, select};

#[expect(dead_code, reason = "not all of it is used in each file")]
mod futures_event;
use futures_event::{Event, Task};

/// Where the handle may go, the future may go, whatever the result is.
#[test]
fn it_may_move_between_threads_as_the_handle_may() {
    const fn moves<T: Send + Sync + Unpin>() {}
    const {
        moves::<JoinHandle<u32>>();
        moves::<JoinFuture<u32>>();
        moves::<JoinHandle<Rc<()>>>();
        moves::<JoinFuture<Rc<()>>>();
    }
}

fn poll<T>(future: &mut JoinFuture<T>, task: &Arc<Task>) -> Poll<thread::Result<T>> {
    Pin::new(future).poll(&mut Context::from_waker(&task.clone().into()))
}

/// A goroutine that ends with a token when it is told to.
fn told<T: Send + 'static>(token: T) -> (Signal, JoinFuture<T>) {
    let signal = Signal::new();
    let wait = signal.clone();
    let handle = go!({
        wait.wait();
        token
    });
    (signal, handle.into_future())
}

/// Waits for the end in another way than the future does.
fn finish<T>(signal: &Signal, future: &JoinFuture<T>) {
    signal.set();
    while !future.handle().is_finished() {
        fibra::yield_now();
    }
}

/// What a claimer does it may still do after the goroutine has finished.
fn soon(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < LONG, "not soon: {what}");
        fibra::yield_now();
    }
}

#[test]
fn it_gives_what_join_gives() {
    everywhere(|setup| {
        setup.run(|| {
            let (value, panics, parks) = (go!(|| 6 * 7), go!(move || -> () { panic!("away") }), {
                let handle = go!(fibra::park());
                handle.cancel();
                handle
            });
            block_on(async {
                assert_eq!(value.await.unwrap(), 42);
                assert_eq!(text(&*panics.await.unwrap_err()), "away");
                assert!(parks.await.unwrap_err().is::<Cancelled>());
            });
        });
        setup.with(|runtime| {
            assert_eq!(block_on(runtime.spawn(|| "to a thread")).unwrap(), "to a thread");
        });
    });
}

#[test]
fn a_thousand_at_once() {
    everywhere(|setup| {
        setup.run(|| {
            let handle = |i| {
                go!(move || {
                    (0..i % 4).for_each(|_| fibra::yield_now());
                    i
                })
            };
            let results = block_on(join_all((0..1000).map(handle).map(IntoFuture::into_future)));
            let values: Vec<usize> = results.into_iter().map(Result::unwrap).collect();
            assert_eq!(values, Vec::from_iter(0..1000));
        });
    });
}

#[test]
fn only_the_latest_waker_is_woken_and_none_is_kept() {
    everywhere(|setup| {
        setup.run(|| {
            let (first, second) = (Task::new(), Task::new());
            let (signal, mut future) = told(5);
            assert!(poll(&mut future, &first).is_pending());
            assert!(poll(&mut future, &first).is_pending());
            assert_eq!(Arc::strong_count(&first), 2);
            assert!(poll(&mut future, &second).is_pending());
            assert_eq!((Arc::strong_count(&first), Arc::strong_count(&second)), (1, 2));
            signal.set();
            soon("it is woken", || second.woken() == 1);
            let Poll::Ready(Ok(5)) = poll(&mut future, &first) else { panic!("not ready") };
            assert_eq!((first.woken(), second.woken()), (0, 1));
            soon("nobody holds a waker", || Arc::strong_count(&second) == 1);
            assert_eq!(Arc::strong_count(&first), 1);
            drop(future);
        });
    });
}

#[test]
fn dropped_at_every_stage() {
    everywhere(|setup| {
        setup.run(|| {
            let (drops, task) = (Drops::new(), Task::new());
            let mut ended = 0;
            let mut check = |stage: &str, signal: &Signal, future: JoinFuture<Token>| {
                let goroutine = future.handle().goroutine_handle();
                drop(future);
                signal.set();
                ended += 1;
                soon(stage, || drops.count() == ended && Arc::strong_count(&task) == 1);
                drop(goroutine);
            };
            let stage = || told(drops.token());
            let (signal, future) = stage();
            check("never polled", &signal, future);

            let (signal, future) = stage();
            finish(&signal, &future);
            check("never polled, finished", &signal, future);

            let (signal, mut future) = stage();
            assert!(poll(&mut future, &task).is_pending());
            check("waits", &signal, future);
            assert_eq!(task.woken(), 0);

            let (signal, mut future) = stage();
            assert!(poll(&mut future, &task).is_pending());
            finish(&signal, &future);
            check("woken", &signal, future);
            assert!(task.woken() <= 1);

            let (signal, mut future) = stage();
            finish(&signal, &future);
            let Poll::Ready(Ok(token)) = poll(&mut future, &task) else { panic!("not ready") };
            drop(token);
            check("it has given its result", &signal, future);

            let (signal, mut future) = stage();
            assert!(poll(&mut future, &task).is_pending());
            future.handle().cancel();
            check("cancelled", &signal, future);
        });
    });
}

#[test]
fn a_drop_races_with_the_end() {
    everywhere(|setup| {
        let (drops, task) = (Drops::new(), Task::new());
        setup.run(|| {
            for i in 0..500 {
                let token = drops.token();
                let mut future = go!({
                    (0..i % 5).for_each(|_| fibra::yield_now());
                    token
                })
                .into_future();
                if poll(&mut future, &task).is_pending() {
                    (0..i % 7).for_each(|_| fibra::yield_now());
                    if i % 3 == 0 {
                        drop(poll(&mut future, &Task::new()));
                    }
                }
                drop(future);
            }
        });
        assert_eq!(drops.count(), 500);
        assert!(task.woken() <= 500);
        assert_eq!(Arc::strong_count(&task), 1);
    });
}

#[test]
fn whoever_is_faster() {
    everywhere(|setup| {
        setup.run(|| {
            let event = Event::new();
            let (signal, future) = told(());
            event.set();
            let Either::Right(((), handle)) = block_on(select(future, pin!(event.wait()))) else {
                panic!("it waits");
            };
            // Not lost: it can be awaited again.
            signal.set();
            block_on(handle).unwrap();
            // Or be cancelled.
            let (_signal, future) = told(());
            let Either::Right(((), late)) = block_on(select(future, pin!(event.wait()))) else {
                panic!("it waits");
            };
            late.handle().cancel();
            assert_cancelled(block_on(late));
        });
    });
}

#[test]
fn it_goes_on_in_another_place() {
    everywhere(|setup| {
        setup.with(|runtime| {
            let signal = Signal::new();
            let wait = signal.clone();
            let mut future = runtime
                .spawn(move || {
                    wait.wait();
                    8
                })
                .into_future();
            let task = Task::new();
            assert!(poll(&mut future, &task).is_pending());
            // In a goroutine; then on a thread.
            let mut future = join(runtime.spawn(move || {
                let task = Task::new();
                assert!(poll(&mut future, &task).is_pending());
                future
            }));
            let other = Task::new();
            assert!(poll(&mut future, &other).is_pending());
            let thread = thread::spawn(move || block_on(future).unwrap());
            signal.set();
            assert_eq!(thread.join().unwrap(), 8);
            assert_eq!(task.woken(), 0);
            assert!(other.woken() <= 1);
        });
    });
}

#[test]
fn awaiting_oneself_panics() {
    everywhere(|setup| {
        setup.run(|| {
            let own: Arc<Mutex<Option<JoinHandle<()>>>> = Arc::default();
            let (given, slot) = (Signal::new(), own.clone());
            let (wait, (tell, told)) = (given.clone(), mpsc::channel());
            let handle = go!({
                wait.wait();
                let handle = slot.lock().unwrap().take().unwrap();
                let waits = panic::catch_unwind(AssertUnwindSafe(|| block_on(handle)));
                tell.send(text(&*waits.map(drop).unwrap_err()).to_owned()).unwrap();
            });
            *own.lock().unwrap() = Some(handle);
            given.set();
            let message = fibra::blocking(move || told.recv().unwrap());
            assert_eq!(message, "a goroutine cannot join itself");
        });
    });
}

#[test]
fn a_result_is_given_once() {
    everywhere(|setup| {
        setup.run(|| {
            let fails = |future: &mut JoinFuture<i32>| {
                let again = panic::catch_unwind(AssertUnwindSafe(|| poll(future, &Task::new())));
                assert!(text(&*again.map(drop).unwrap_err()).contains("taken"));
            };
            let mut future = go!(|| 1).into_future();
            assert_eq!(block_on(&mut future).unwrap(), 1);
            fails(&mut future);
            let mut handle = go!(|| 2);
            assert_eq!(handle.join_timeout(LONG).unwrap().unwrap(), 2);
            fails(&mut handle.into_future());
        });
    });
}

/// A waker that does what it likes.
struct Does<F>(F);

impl<F: Fn() + Send + Sync + 'static> Wake for Does<F> {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }
}

/// Waits for a goroutine with such a waker, until that has come to its end or panicked.
fn woken_by(wake: impl Fn() + Send + Sync + 'static) {
    let (signal, mut future) = told(3);
    let drops = Drops::new();
    let token = drops.token();
    let waker = Waker::from(Arc::new(Does(move || {
        let _kept = &token;
        wake();
    })));
    let polled = Pin::new(&mut future).poll(&mut Context::from_waker(&waker));
    assert!(polled.is_pending());
    drop(waker);
    signal.set();
    soon("it is woken", || drops.count() == 1);
    assert_eq!(block_on(future).unwrap(), 3);
}

#[test]
fn a_waker_that_panics_harms_nobody() {
    everywhere(|setup| {
        setup.run(|| {
            let woken = Arc::new(AtomicUsize::new(0));
            for _ in 0..5 {
                let count = woken.clone();
                woken_by(move || {
                    count.fetch_add(1, Ordering::SeqCst);
                    panic!("by a waker");
                });
                let count = woken.clone();
                woken_by(move || {
                    count.fetch_add(1, Ordering::SeqCst);
                    // A payload that panics, too.
                    panic::panic_any(OnDrop(|| panic!("by a payload")));
                });
            }
            assert_eq!(woken.load(Ordering::SeqCst), 10);
        });
    });
}

/// A waker that panics when it is dropped.
struct Sore;

impl Wake for Sore {
    fn wake(self: Arc<Self>) {}
}

impl Drop for Sore {
    fn drop(&mut self) {
        panic!("sore");
    }
}

#[test]
fn a_waker_that_panics_when_dropped_leaves_nothing_undone() {
    everywhere(|setup| {
        setup.run(|| {
            let drops = Drops::new();
            let sore = || {
                let (signal, mut future) = told(drops.token());
                let waker = Waker::from(Arc::new(Sore));
                let polled = Pin::new(&mut future).poll(&mut Context::from_waker(&waker));
                assert!(polled.is_pending());
                (signal, future)
            };
            let panics = |f: &mut dyn FnMut()| {
                let payload = panic::catch_unwind(AssertUnwindSafe(f)).unwrap_err();
                assert_eq!(text(&*payload), "sore");
            };
            let (signal, future) = sore();
            let mut future = Some(future);
            panics(&mut || drop(future.take()));
            signal.set();
            soon("the goroutine ends", || drops.count() == 1);

            let (signal, mut future) = sore();
            let task = Task::new();
            panics(&mut || drop(poll(&mut future, &task)));
            signal.set();
            drop(block_on(future).unwrap());
            assert_eq!((drops.count(), Arc::strong_count(&task)), (2, 1));
        });
    });
}

/// Belongs to one thread.
struct Bound(ThreadId, Arc<AtomicBool>);

impl Drop for Bound {
    fn drop(&mut self) {
        if thread_id() != self.0 {
            self.1.store(true, Ordering::SeqCst);
        }
    }
}

fibra::goroutine_local! {
    static BOUND: RefCell<Option<Bound>> = RefCell::new(None);
}

/// The one that ends has told so already: it must not be suspended in the waker, nor be given values that
/// nobody would drop in time.
#[test]
fn a_waker_that_blocks_runs_as_on_a_plain_thread() {
    everywhere(|setup| {
        let misplaced = Arc::new(AtomicBool::new(false));
        let wrong = misplaced.clone();
        let wake = move || {
            let here = thread_id();
            let same = || thread_id() == here && fibra::current().is_none();
            BOUND.with(|local| *local.borrow_mut() = Some(Bound(here, wrong.clone())));
            let before = same();
            fibra::yield_now();
            fibra::sleep(Duration::from_micros(200));
            block_on(async {});
            if !before || !same() {
                wrong.store(true, Ordering::SeqCst);
            }
        };
        setup.run(|| {
            let handles: Vec<_> = (0..20)
                .map(|_| {
                    let wake = wake.clone();
                    go!(move || (0..5).for_each(|_| woken_by(wake.clone())))
                })
                .collect();
            handles.into_iter().for_each(join);
        });
        assert!(!misplaced.load(Ordering::SeqCst));
    });
}

#[test]
fn wakers_that_end_the_next_one() {
    everywhere(|setup| {
        setup.run(|| {
            let end = Event::new();
            let (mut next, mut futures) = (Signal::new(), Vec::new());
            let first = next.clone();
            for i in 0..100 {
                let wait = next.clone();
                let mut future = go!(wait.wait()).into_future();
                next = Signal::new();
                let (tell, end) = (next.clone(), end.clone());
                let waker = Waker::from(Arc::new(Does(move || match i {
                    99 => end.set(),
                    _ => tell.set(),
                })));
                assert!(Pin::new(&mut future).poll(&mut Context::from_waker(&waker)).is_pending());
                futures.push(future);
            }
            first.set();
            block_on(end.wait());
            block_on(join_all(futures)).into_iter().for_each(Result::unwrap);
        });
    });
}
