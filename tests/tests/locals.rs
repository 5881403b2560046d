//! What each goroutine has of its own: identity, goroutine-local values, its thread.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;

use fibra::{Builder, JoinHandle, go};
use fibra_tests::{OnDrop, Signal, alone, everywhere, join, outcome, pinned, thread_id};

#[test]
fn ids_are_unique() {
    everywhere(|setup| {
        setup.with(|runtime| {
            let from_threads = thread::scope(|s| {
                let spawners: Vec<_> = (0..4)
                    .map(|_| s.spawn(|| (0..100).map(|_| runtime.spawn(|| ())).collect::<Vec<_>>()))
                    .collect();
                spawners.into_iter().flat_map(|spawner| spawner.join().unwrap()).collect::<Vec<_>>()
            });
            let from_goroutines = runtime.run(|| {
                let spawners: Vec<_> = (0..4)
                    .map(|_| go!((0..2000).map(|_| fibra::spawn(|| ())).collect::<Vec<_>>()))
                    .collect();
                spawners.into_iter().flat_map(join).collect::<Vec<_>>()
            });
            let handles: Vec<_> = from_threads.into_iter().chain(from_goroutines).collect();
            let mut ids: Vec<_> = handles.iter().map(JoinHandle::id).collect();
            ids.sort();
            ids.dedup();
            assert_eq!(ids.len(), 8400);
            handles.into_iter().for_each(join);
        });
    });
}

#[test]
fn a_goroutine_knows_itself() {
    everywhere(|setup| {
        setup.run(|| {
            let line = line!() + 1;
            let handle = Builder::new().name("named").spawn(fibra::current).unwrap();
            assert_eq!(handle.name(), Some("named"));
            let (id, outside) = (handle.id(), handle.goroutine_handle());
            let inside = join(handle).unwrap();
            for goroutine in [inside, outside] {
                assert_eq!(goroutine.id(), id);
                assert_eq!(goroutine.name(), Some("named"));
                assert_eq!(goroutine.spawn_site().line(), line);
                assert!(goroutine.spawn_site().file().ends_with("locals.rs"));
            }
            assert_eq!(fibra::current().unwrap().name(), Some("main"));
            assert_eq!(go!(|| ()).name(), None);
        });
        assert!(fibra::current().is_none());
    });
}

/// What a local was, and on which thread its destructor ran.
type Ends = Arc<Mutex<Vec<(u32, ThreadId)>>>;

/// Tells of its end.
struct Teller(RefCell<Option<(u32, Ends)>>);

impl Teller {
    fn new() -> Teller {
        Teller(RefCell::new(None))
    }

    fn tell(&self, number: u32, ends: &Ends) {
        *self.0.borrow_mut() = Some((number, ends.clone()));
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        if let Some((number, ends)) = self.0.take() {
            ends.lock().unwrap_or_else(PoisonError::into_inner).push((number, thread_id()));
        }
    }
}

fibra::goroutine_local! {
    static COUNT: Cell<u32> = Cell::new(1);
    static FIRST: Teller = Teller::new();
    static SECOND: Teller = Teller::new();
    static THIRD: Teller = Teller::new();
    static REENTRANT: u32 = {
        let inner = COUNT.with(Cell::get);
        COUNT.with(|count| count.set(inner + 1));
        if inner < 3 { REENTRANT.with(|value| value + 10) } else { 100 }
    };
    static PARKING: u32 = {
        fibra::yield_now();
        join(go!(|| PARKLESS.with(|value| value + 1)))
    };
    static PARKLESS: u32 = 6;
    static BOMB: Bomb = Bomb;
    static MAKER: OnDrop<fn()> = OnDrop(|| THIRD.with(|_| ()));
}

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("a destructor of a local");
    }
}

fn list(ends: &Ends) -> Vec<(u32, ThreadId)> {
    ends.lock().unwrap().clone()
}

fn numbers(ends: &Ends) -> Vec<u32> {
    list(ends).into_iter().map(|end| end.0).collect()
}

#[test]
fn each_goroutine_has_its_own() {
    everywhere(|setup| {
        setup.run(|| {
            COUNT.with(|count| count.set(50));
            let handles: Vec<_> = (0..100)
                .map(|i| {
                    go!(move || {
                        assert_eq!(COUNT.with(Cell::get), 1);
                        COUNT.with(|count| count.set(i));
                        for _ in 0..3 {
                            fibra::yield_now();
                            assert_eq!(COUNT.with(Cell::get), i);
                        }
                    })
                })
                .collect();
            handles.into_iter().for_each(join);
            assert_eq!(COUNT.with(Cell::get), 50);
        });
    });
}

#[test]
fn each_plain_thread_has_its_own() {
    alone(|| {
        COUNT.with(|count| count.set(7));
        let ends = Ends::default();
        let told = ends.clone();
        let other = thread::spawn(move || {
            FIRST.with(|teller| teller.tell(1, &told));
            SECOND.with(|teller| teller.tell(2, &told));
            (COUNT.with(Cell::get), thread_id())
        });
        let (count, id) = other.join().unwrap();
        assert_eq!((count, COUNT.with(Cell::get)), (1, 7));
        assert_eq!(list(&ends), [(2, id), (1, id)]);
    });
}

#[test]
fn destructors_run_newest_first_on_the_worker() {
    everywhere(|setup| {
        setup.run(|| {
            let ends = Ends::default();
            let told = ends.clone();
            let worker = join(go!({
                SECOND.with(|teller| teller.tell(2, &told));
                FIRST.with(|teller| teller.tell(1, &told));
                fibra::yield_now();
                THIRD.with(|teller| teller.tell(3, &told));
                thread_id()
            }));
            assert_eq!(list(&ends), [3, 1, 2].map(|n| (n, worker)));
        });
    });
}

#[test]
fn destructors_run_when_it_is_cancelled_or_panics() {
    everywhere(|setup| {
        setup.run(|| {
            let ends = Ends::default();
            for panics in [false, true] {
                let (told, ready) = (ends.clone(), Signal::new());
                let reached = ready.clone();
                let handle = go!({
                    FIRST.with(|teller| teller.tell(u32::from(panics), &told));
                    reached.set();
                    if panics {
                        panic!("with a local");
                    }
                    fibra::park();
                });
                ready.wait();
                handle.cancel();
                assert!(outcome(handle).is_err());
            }
            assert_eq!(numbers(&ends), [0, 1]);
        });
    });
}

#[test]
fn a_destructor_may_make_another_local() {
    everywhere(|setup| {
        setup.run(|| {
            let ends = Ends::default();
            let told = ends.clone();
            join(go!({
                FIRST.with(|teller| teller.tell(1, &told));
                // Its destructor makes THIRD, which was not there before.
                MAKER.with(|_| ());
                assert_eq!(COUNT.with(Cell::get), 1);
            }));
            assert_eq!(numbers(&ends), [1]);
        });
    });
}

#[test]
fn one_may_ask_for_itself_and_park_while_it_is_made() {
    everywhere(|setup| {
        setup.run(|| {
            join(go!({
                assert_eq!(REENTRANT.with(|value| *value), 100);
                assert_eq!(REENTRANT.with(|value| *value), 100);
                assert_eq!(PARKING.with(|value| *value), 7);
            }));
        });
    });
}

/// A local that is dropped on another thread than its goroutine's may be an `Rc` shared with a
/// `thread_local!` there: these two would be undefined behaviour in safe code.
#[test]
fn after_a_destructor_panics_the_others_still_run_on_the_worker() {
    everywhere(|setup| {
        setup.with(|runtime| {
            let ends = Ends::default();
            let told = ends.clone();
            let handle = runtime.spawn(move || {
                FIRST.with(|teller| teller.tell(1, &told));
                BOMB.with(|_| ());
                SECOND.with(|teller| teller.tell(2, &told));
                thread_id()
            });
            let kept = handle.goroutine_handle();
            let worker = join(handle);
            drop(kept);
            assert_eq!(list(&ends), [(2, worker), (1, worker)]);
        });
    });
}

#[test]
fn a_local_made_by_the_results_destructor_ends_on_the_worker() {
    everywhere(|setup| {
        setup.with(|runtime| {
            let ends = Ends::default();
            let (told, ready, go_on) = (ends.clone(), Signal::new(), Signal::new());
            let (reached, proceed, dropped) = (ready.clone(), go_on.clone(), Signal::new());
            let end = dropped.clone();
            let handle = runtime.spawn(move || {
                // Something of the goroutine's own, so that there is a place for locals.
                COUNT.with(|count| count.set(2));
                reached.set();
                proceed.wait();
                OnDrop(move || {
                    FIRST.with(|teller| teller.tell(1, &told));
                    told.lock().unwrap().push((0, thread_id()));
                    end.set();
                })
            });
            ready.wait();
            let kept = handle.goroutine_handle();
            drop(handle);
            go_on.set();
            dropped.wait();
            while runtime.metrics().live != 0 {
                thread::yield_now();
            }
            drop(kept);
            let ends = ends.lock().unwrap();
            let [(0, destructor), (1, local)] = ends[..] else { panic!("{ends:?}") };
            assert_eq!(destructor, local);
            assert_ne!(local, thread_id());
        });
    });
}

#[test]
fn a_started_goroutine_stays_on_its_thread() {
    pinned(|setup| {
        setup.run(|| {
            let handles: Vec<_> = (0..200_u64)
                .map(|i| {
                    go!(move || {
                        let home = thread_id();
                        for round in 0..50 {
                            match (i + round) % 5 {
                                0 => fibra::yield_now(),
                                1 => fibra::sleep(Duration::from_micros(i)),
                                2 => join(go!(|| ())),
                                3 => fibra::scope(|s| drop(s.go(|| ()))),
                                _ => fibra::park_timeout(Duration::from_micros(1)),
                            }
                            assert_eq!(thread_id(), home);
                        }
                    })
                })
                .collect();
            handles.into_iter().for_each(join);
        });
    });
}

#[test]
fn an_rc_from_a_thread_local_is_held_across_yields() {
    thread_local! {
        static SHARED: Rc<Cell<u64>> = Rc::new(Cell::new(0));
    }
    pinned(|setup| {
        let total = setup.run(|| {
            let handles: Vec<_> = (0..4000_u64)
                .map(|i| {
                    go!(move || {
                        let mine = SHARED.with(Rc::clone);
                        for round in 0..i % 8 {
                            if round % 4 == 3 {
                                fibra::park_timeout(Duration::from_micros(i % 50));
                            } else {
                                fibra::yield_now();
                            }
                            let again = mine.clone();
                            assert!(Rc::ptr_eq(&again, &SHARED.with(Rc::clone)));
                            again.set(again.get() + 1);
                        }
                        i % 8
                    })
                })
                .collect();
            handles.into_iter().map(join).sum::<u64>()
        });
        assert_eq!(total, 14_000);
    });
}
