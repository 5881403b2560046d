//! The semaphore: never more than there are permits, first come first served, and none is lost.

mod chan_parties;

use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chan_parties::{callers, give_way, parties, until};
use fibra::go;
use fibra::sync::Semaphore;
use fibra_tests::{FOREVER, Signal, assert_cancelled, at, everywhere, join, outcome, text};

#[test]
fn never_more_than_there_are_permits() {
    parties(|cast| {
        for permits in [1, 3] {
            let shared = Arc::new((Semaphore::new(permits), AtomicUsize::new(0)));
            let others = [(); 8].map(|()| {
                let shared = shared.clone();
                cast.spawn(move || {
                    let (semaphore, inside) = &*shared;
                    for i in 0..50 {
                        let _permit = semaphore.acquire();
                        assert!(inside.fetch_add(1, Ordering::SeqCst) < permits);
                        give_way(i % 3);
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                })
            });
            others.into_iter().for_each(|other| other.join());
            assert_eq!(shared.0.available_permits(), permits);
        }
    });
}

#[test]
fn all_permits_are_of_use() {
    parties(|cast| {
        let semaphore = Arc::new(Semaphore::new(3));
        let (inside, all) = (Arc::new(AtomicUsize::new(0)), Signal::new());
        let others = [(); 3].map(|()| {
            let (semaphore, inside, all) = (semaphore.clone(), inside.clone(), all.clone());
            cast.spawn(move || {
                let _permit = semaphore.acquire();
                if inside.fetch_add(1, Ordering::SeqCst) == 2 {
                    all.set();
                }
                all.wait();
            })
        });
        others.into_iter().for_each(|other| other.join());
    });
}

/// At one worker, where a goroutine has parked when another one runs.
#[test]
fn first_come_first_served() {
    at(&[1], &[false, true], Duration::from_secs(60), |setup| {
        setup.without_spares().run(|| {
            let semaphore = Arc::new(Semaphore::new(0));
            let served = Arc::new(Mutex::new(Vec::new()));
            let (mut waiters, mut doomed) = (Vec::new(), Vec::new());
            for number in 0..20 {
                let (semaphore, served, ready) = (semaphore.clone(), served.clone(), Signal::new());
                let reached = ready.clone();
                let waiter = go!({
                    reached.set();
                    semaphore.acquire().forget();
                    served.lock().unwrap().push(number);
                });
                ready.wait();
                if number % 5 == 3 { doomed.push(waiter) } else { waiters.push(waiter) }
            }
            for handle in doomed {
                handle.cancel();
                assert_cancelled(outcome(handle));
            }
            for count in 1..=16 {
                semaphore.add_permits(1);
                // Whoever comes later does not take it from the one that is served.
                assert!(semaphore.try_acquire().is_none());
                until(|| (served.lock().unwrap().len() == count).then_some(()));
            }
            waiters.into_iter().for_each(join);
            let expected: Vec<_> = (0..20).filter(|number| number % 5 != 3).collect();
            assert_eq!(*served.lock().unwrap(), expected);
        });
    });
}

#[test]
fn permits_that_are_added_serve_as_many() {
    parties(|cast| {
        let semaphore = Arc::new(Semaphore::new(0));
        let waiters = [(); 5].map(|()| {
            let semaphore = semaphore.clone();
            cast.spawn(move || semaphore.acquire().forget())
        });
        give_way(5);
        semaphore.add_permits(7);
        waiters.into_iter().for_each(|waiter| waiter.join());
        assert_eq!(semaphore.available_permits(), 2);
        semaphore.add_permits(0);
        assert_eq!(semaphore.available_permits(), 2);
    });
}

#[test]
fn guards_give_back_unless_they_forget() {
    callers(|| {
        let semaphore = Semaphore::new(2);
        let first = semaphore.acquire();
        let second = semaphore.try_acquire().unwrap();
        assert!(semaphore.try_acquire().is_none());
        assert_eq!(semaphore.available_permits(), 0);
        drop(first);
        assert_eq!(semaphore.available_permits(), 1);
        second.forget();
        assert_eq!(semaphore.available_permits(), 1);
        let caught = panic::catch_unwind(|| {
            let _permit = semaphore.acquire();
            panic::resume_unwind(Box::new("no report"));
        });
        assert!(caught.is_err());
        assert_eq!(semaphore.available_permits(), 1);
    });
}

#[test]
fn a_wait_may_have_a_limit() {
    callers(|| {
        let semaphore = Semaphore::new(1);
        for limit in [Duration::ZERO, Duration::from_millis(1), FOREVER, Duration::MAX] {
            drop(semaphore.acquire_timeout(limit).unwrap());
        }
        semaphore.acquire().forget();
        for limit in [Duration::ZERO, Duration::from_millis(2)] {
            assert!(semaphore.acquire_timeout(limit).is_none());
        }
        semaphore.add_permits(1);
        assert!(semaphore.try_acquire().is_some());
    });
}

#[test]
fn limits_that_are_over_lose_no_permit() {
    parties(|cast| {
        let semaphore = Arc::new(Semaphore::new(2));
        let others: Vec<_> = (0..8)
            .map(|number| {
                let semaphore = semaphore.clone();
                cast.spawn(move || {
                    for i in 0..50 {
                        let limit = Duration::from_micros(number * 20);
                        let permit = semaphore.acquire_timeout(limit);
                        give_way(i % 3);
                        drop(permit);
                    }
                })
            })
            .collect();
        others.into_iter().for_each(|other| other.join());
        assert_eq!(semaphore.available_permits(), 2);
    });
}

#[test]
fn cancels_at_any_time_lose_no_permit() {
    everywhere(|setup| {
        setup.run(|| {
            let semaphore = Arc::new(Semaphore::new(1));
            for turn in 0..100 {
                let takers: Vec<_> = (0..6)
                    .map(|number| {
                        let semaphore = semaphore.clone();
                        go!({
                            let _permit = if number % 2 == 0 {
                                semaphore.acquire()
                            } else {
                                semaphore.acquire_timeout(FOREVER).unwrap()
                            };
                            give_way(number % 3);
                        })
                    })
                    .collect();
                give_way(turn % 17);
                takers[turn % 6].cancel();
                takers[turn % 5].cancel();
                takers.into_iter().for_each(|taker| drop(outcome(taker)));
                assert_eq!(semaphore.available_permits(), 1);
            }
        });
    });
}

#[test]
fn one_that_was_cancelled_takes_none() {
    everywhere(|setup| {
        setup.run(|| {
            for yields in [0, 1, 40] {
                let (semaphore, ready) = (Arc::new(Semaphore::new(0)), Signal::new());
                let (theirs, reached) = (semaphore.clone(), ready.clone());
                let waiter = go!({
                    reached.set();
                    drop(theirs.acquire());
                });
                ready.wait();
                give_way(yields);
                waiter.cancel();
                assert_cancelled(outcome(waiter));
                semaphore.add_permits(1);
                assert!(semaphore.try_acquire().is_some());
            }
        });
    });
}

#[test]
fn too_many_permits() {
    callers(|| {
        let semaphore = Semaphore::new(usize::MAX - 1);
        semaphore.add_permits(1);
        let added = panic::catch_unwind(AssertUnwindSafe(|| semaphore.add_permits(1)));
        assert!(text(added.unwrap_err().as_ref()).contains("more than usize::MAX permits"));
        assert_eq!(semaphore.available_permits(), usize::MAX);
        drop(semaphore.acquire());
    });
}
