//! The mutex: one at a time, nobody starves, and whoever gives up leaves nothing behind.

mod chan_parties;

use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use chan_parties::{callers, give_way, parties};
use fibra::go;
use fibra::sync::{Mutex, MutexGuard};
use fibra_tests::{FOREVER, OnDrop, Signal, assert_cancelled, everywhere, join, outcome};

/// Says whether somebody is inside, and counts those who were.
#[derive(Default)]
struct Room {
    busy: bool,
    visits: usize,
}

fn visit(mut room: MutexGuard<'_, Room>, yields: usize) {
    assert!(!room.busy);
    room.busy = true;
    give_way(yields);
    room.busy = false;
    room.visits += 1;
}

#[test]
fn one_at_a_time() {
    parties(|cast| {
        let room = Arc::new(Mutex::new(Room::default()));
        let others = [(); 8].map(|()| {
            let room = room.clone();
            cast.spawn(move || {
                for i in 0..100 {
                    visit(room.lock(), i % 3);
                    give_way(i % 2);
                }
            })
        });
        (0..100).for_each(|i| visit(room.lock(), i % 2));
        others.into_iter().for_each(|other| other.join());
        assert_eq!(room.try_lock().unwrap().visits, 900);
    });
}

#[test]
fn short_visits_of_many() {
    everywhere(|setup| {
        let room = setup.run(|| {
            let room = Arc::new(Mutex::new(Room::default()));
            let visitors: Vec<_> = (0..100)
                .map(|_| {
                    let room = room.clone();
                    go!({ (0..1000).for_each(|_| visit(room.lock(), 0)) })
                })
                .collect();
            visitors.into_iter().for_each(join);
            room
        });
        assert_eq!(room.lock().visits, 100_000);
    });
}

/// Whoever waits gets it ten times, although somebody else locks it again as soon as it is unlocked.
fn against(hog: fn(&Mutex<usize>)) {
    parties(|cast| {
        let (mutex, enough) = (Arc::new(Mutex::new(0)), Arc::new(AtomicBool::new(false)));
        let (greedy, stop) = (mutex.clone(), enough.clone());
        let other = cast.spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                hog(&greedy);
            }
        });
        for _ in 0..10 {
            fibra::sleep(Duration::from_micros(100));
            drop(mutex.lock());
        }
        enough.store(true, Ordering::Relaxed);
        other.join();
    });
}

#[test]
fn it_is_handed_to_whoever_waits_for_long() {
    against(|mutex| {
        let mut count = mutex.lock();
        fibra::sleep(Duration::from_micros(100));
        *count += 1;
    });
}

#[test]
fn it_is_handed_over_by_one_that_yields() {
    against(|mutex| {
        let mut count = mutex.lock();
        fibra::yield_now();
        *count += 1;
    });
}

#[test]
fn it_is_handed_over_by_a_thread_that_never_stops() {
    everywhere(|setup| {
        let mutex = Arc::new(Mutex::new(0_u64));
        let enough = Arc::new(AtomicBool::new(false));
        let (greedy, stop) = (mutex.clone(), enough.clone());
        let hog = thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                *greedy.lock() += 1;
            }
        });
        setup.run(|| {
            let sleepers = [(); 3].map(|()| {
                let mutex = mutex.clone();
                go!({
                    for _ in 0..10 {
                        fibra::sleep(Duration::from_micros(100));
                        drop(mutex.lock());
                    }
                })
            });
            sleepers.into_iter().for_each(join);
        });
        enough.store(true, Ordering::Relaxed);
        hog.join().unwrap();
    });
}

#[test]
fn a_wait_may_have_a_limit() {
    callers(|| {
        let mutex = Mutex::new(1);
        let guard = mutex.lock();
        assert!(mutex.try_lock().is_none());
        assert!(mutex.lock_timeout(Duration::ZERO).is_none());
        assert!(mutex.lock_timeout(Duration::from_millis(2)).is_none());
        drop(guard);
        for limit in [Duration::ZERO, FOREVER, Duration::MAX] {
            *mutex.lock_timeout(limit).unwrap() += 1;
        }
        assert_eq!(mutex.into_inner(), 4);
    });
}

#[test]
fn who_waits_with_a_limit_gets_it_in_time() {
    parties(|cast| {
        for limit in [FOREVER, Duration::MAX] {
            let mutex = Arc::new(Mutex::new(0));
            let guard = mutex.lock();
            let waiters = [(); 3].map(|()| {
                let mutex = mutex.clone();
                cast.spawn(move || *mutex.lock_timeout(limit).unwrap() += 1)
            });
            give_way(10);
            drop(guard);
            waiters.into_iter().for_each(|waiter| waiter.join());
            assert_eq!(*mutex.lock(), 3);
        }
    });
}

#[test]
fn limits_that_are_over_lose_no_turn() {
    parties(|cast| {
        let room = Arc::new(Mutex::new(Room::default()));
        let others: Vec<_> = (0..8)
            .map(|number| {
                let room = room.clone();
                cast.spawn(move || {
                    let limit = Duration::from_micros(number * 40);
                    let visits = (0..50).filter(|i| {
                        let guard = room.lock_timeout(limit);
                        guard.map(|room| visit(room, i % 3)).is_some()
                    });
                    visits.count()
                })
            })
            .collect();
        (0..50).for_each(|i| visit(room.lock(), i % 2));
        let visits: usize = others.into_iter().map(|other| other.join()).sum();
        assert_eq!(room.try_lock().unwrap().visits, 50 + visits);
    });
}

#[test]
fn a_cancel_ends_the_wait() {
    everywhere(|setup| {
        setup.run(|| {
            for limit in [None, Some(FOREVER)] {
                for yields in [0, 1, 40] {
                    let (mutex, ready) = (Arc::new(Mutex::new(0)), Signal::new());
                    let guard = mutex.lock();
                    let waiters = [(); 3].map(|()| {
                        let (mutex, ready) = (mutex.clone(), ready.clone());
                        go!({
                            ready.set();
                            match limit {
                                None => *mutex.lock() += 1,
                                Some(limit) => *mutex.lock_timeout(limit).unwrap() += 1,
                            }
                        })
                    });
                    ready.wait();
                    give_way(yields);
                    let [first, second, third] = waiters;
                    second.cancel();
                    assert_cancelled(outcome(second));
                    first.cancel();
                    assert_cancelled(outcome(first));
                    drop(guard);
                    join(third);
                    assert_eq!(*mutex.try_lock().unwrap(), 1);
                }
            }
        });
    });
}

#[test]
fn cancels_at_any_time_lose_no_turn() {
    everywhere(|setup| {
        setup.run(|| {
            let room = Arc::new(Mutex::new(Room::default()));
            let mut visits = 0;
            for turn in 0..60 {
                let visitors: Vec<_> = (0..6)
                    .map(|number| {
                        let room = room.clone();
                        go!({
                            let guard = room.lock();
                            fibra::uncancellable(|| visit(guard, number % 3));
                        })
                    })
                    .collect();
                give_way(turn % 17);
                visitors[turn % 6].cancel();
                visitors[turn % 5].cancel();
                for visitor in visitors {
                    match outcome(visitor) {
                        Ok(()) => visits += 1,
                        cancelled => assert_cancelled(cancelled),
                    }
                }
            }
            assert_eq!(room.try_lock().expect("nobody has it").visits, visits);
        });
    });
}

#[test]
fn one_that_is_put_off_waits() {
    everywhere(|setup| {
        setup.run(|| {
            let (mutex, ready) = (Arc::new(Mutex::new(0)), Signal::new());
            let guard = mutex.lock();
            let (theirs, reached) = (mutex.clone(), ready.clone());
            let handle = go!({
                reached.set();
                *fibra::uncancellable(|| theirs.lock()) += 1;
                // What is free needs no wait.
                *theirs.lock() += 1;
                fibra::park();
            });
            ready.wait();
            handle.cancel();
            give_way(20);
            assert!(!handle.is_finished());
            drop(guard);
            assert_cancelled(outcome(handle));
            assert_eq!(*mutex.lock(), 2);
        });
    });
}

#[test]
fn a_shutdown_ends_all_waits() {
    everywhere(|setup| {
        let (mutex, runtime) = (Arc::new(Mutex::new(0)), setup.runtime());
        let guard = mutex.lock();
        let waiters: Vec<_> = (0..5)
            .map(|_| {
                let mutex = mutex.clone();
                runtime.spawn(move || *mutex.lock() += 1)
            })
            .collect();
        assert!(runtime.shutdown_timeout(fibra_tests::LONG).is_complete());
        for waiter in waiters {
            assert_cancelled(waiter.join());
        }
        drop(guard);
        assert_eq!(*mutex.try_lock().unwrap(), 0);
    });
}

#[test]
fn a_panic_unlocks_and_does_not_poison() {
    callers(|| {
        let mutex = Mutex::new(1);
        let caught = panic::catch_unwind(|| {
            *mutex.lock() = 2;
            let _guard = mutex.lock();
            panic::resume_unwind(Box::new("no report"));
        });
        assert!(caught.is_err());
        assert_eq!(*mutex.lock(), 2);
    });
}

#[test]
fn a_destructor_locks_during_a_panic() {
    parties(|cast| {
        let (mutex, locked, unwinding) = (Arc::new(Mutex::new(0)), Signal::new(), Signal::new());
        // On a thread of its own: the one that panics blocks its worker.
        let (theirs, told, wait) = (mutex.clone(), locked.clone(), unwinding.clone());
        let owner = thread::spawn(move || {
            let mut guard = theirs.lock();
            told.set();
            wait.wait();
            *guard += 1;
        });
        locked.wait();
        let theirs = mutex.clone();
        let party = cast.spawn(move || {
            let caught = panic::catch_unwind(AssertUnwindSafe(|| {
                let _locks = OnDrop(|| {
                    unwinding.set();
                    *theirs.lock() += 1;
                });
                panic::resume_unwind(Box::new("no report"));
            }));
            assert!(caught.is_err());
        });
        party.join();
        fibra::blocking(|| owner.join()).unwrap();
        assert_eq!(*mutex.lock(), 2);
    });
}
