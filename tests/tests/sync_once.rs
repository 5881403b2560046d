//! What is done once, and what is made once.

mod chan_parties;

use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chan_parties::{callers, give_way, parties};
use fibra::go;
use fibra::sync::{Once, OnceLock};
use fibra_tests::{Drops, Signal, assert_cancelled, everywhere, join, outcome};

#[test]
fn it_is_done_once_and_all_wait_for_it() {
    parties(|cast| {
        let shared = Arc::new((Once::new(), AtomicUsize::new(0)));
        let others = [(); 8].map(|()| {
            let shared = shared.clone();
            cast.spawn(move || {
                let (once, count) = &*shared;
                once.call_once(|| {
                    give_way(5);
                    fibra::sleep(std::time::Duration::from_millis(1));
                    count.fetch_add(1, Ordering::Relaxed);
                });
                assert!(once.is_completed());
                assert_eq!(count.load(Ordering::Relaxed), 1);
            })
        });
        others.into_iter().for_each(|other| other.join());
        shared.0.call_once(|| unreachable!("it has been done"));
    });
}

#[test]
fn after_a_panic_the_next_one_does_it() {
    parties(|cast| {
        let shared = Arc::new((Once::new(), AtomicUsize::new(0)));
        let others = [(); 6].map(|()| {
            let shared = shared.clone();
            cast.spawn(move || {
                let (once, count) = &*shared;
                panic::catch_unwind(|| {
                    once.call_once(|| {
                        give_way(1);
                        if count.fetch_add(1, Ordering::Relaxed) < 3 {
                            panic::resume_unwind(Box::new("no report"));
                        }
                    });
                })
                .is_err()
            })
        });
        let panics = others.into_iter().filter_map(|other| other.join().then_some(())).count();
        assert_eq!((panics, shared.1.load(Ordering::Relaxed)), (3, 4));
        assert!(shared.0.is_completed());
    });
}

#[test]
fn after_a_cancel_the_next_one_does_it() {
    everywhere(|setup| {
        setup.run(|| {
            for yields in [0, 1, 40] {
                let (shared, inside) = (Arc::new((Once::new(), OnceLock::new())), Signal::new());
                let (theirs, told) = (shared.clone(), inside.clone());
                let doomed = go!({
                    theirs.0.call_once(|| {
                        theirs.1.get_or_init(|| {
                            told.set();
                            fibra::park();
                        });
                    });
                });
                inside.wait();
                // One that waits for it, and one that does so until it is cancelled, too.
                let [next, impatient] = [(); 2].map(|()| {
                    let shared = shared.clone();
                    go!({
                        shared.0.call_once(|| {});
                        shared.1.get_or_init(|| {});
                    })
                });
                give_way(yields);
                impatient.cancel();
                assert_cancelled(outcome(impatient));
                assert!(!shared.0.is_completed() && shared.1.get().is_none());
                doomed.cancel();
                assert_cancelled(outcome(doomed));
                join(next);
                assert!(shared.0.is_completed() && shared.1.get().is_some());
            }
        });
    });
}

#[test]
fn all_get_the_same_value() {
    parties(|cast| {
        let (lock, drops) = (Arc::new(OnceLock::new()), Drops::new());
        let others = [(); 8].map(|()| {
            let (lock, drops) = (lock.clone(), drops.clone());
            cast.spawn(move || {
                let value: &(Box<usize>, _) = lock.get_or_init(|| {
                    give_way(3);
                    (Box::new(7), drops.token())
                });
                std::ptr::from_ref(&*value.0).addr()
            })
        });
        let places: Vec<_> = others.into_iter().map(|other| other.join()).collect();
        assert!(places.iter().all(|place| *place == places[0]));
        assert_eq!(drops.count(), 0);
        drop(lock);
        assert_eq!(drops.count(), 1);
    });
}

#[test]
fn one_of_many_sets_it() {
    parties(|cast| {
        let lock = Arc::new(OnceLock::new());
        let others: Vec<_> = (0..8)
            .map(|number| {
                let lock = lock.clone();
                cast.spawn(move || match lock.set(number) {
                    Ok(()) => 1,
                    Err(mine) => {
                        assert!(mine == number && lock.get().is_some_and(|value| *value != mine));
                        0
                    }
                })
            })
            .collect();
        let set: usize = others.into_iter().map(|other| other.join()).sum();
        assert_eq!(set, 1);
    });
}

#[test]
fn a_failure_leaves_no_value() {
    callers(|| {
        let drops = Drops::new();
        let mut lock = OnceLock::new();
        assert!(lock.get().is_none() && lock.get_mut().is_none() && lock.take().is_none());
        assert_eq!(lock.get_or_try_init(|| Err(5)).unwrap_err(), 5);
        let caught = panic::catch_unwind(|| {
            let lock = OnceLock::<u8>::new();
            lock.get_or_init(|| panic::resume_unwind(Box::new("no report")));
        });
        assert!(caught.is_err());
        assert!(lock.get().is_none());
        let made: Result<_, ()> = lock.get_or_try_init(|| Ok((1, drops.token())));
        assert_eq!(made.unwrap().0, 1);
        assert!(lock.set((2, drops.token())).is_err());
        assert_eq!(drops.count(), 1);
        lock.get_mut().unwrap().0 = 3;
        assert_eq!(lock.take().unwrap().0, 3);
        assert_eq!(drops.count(), 2);
        lock.set((4, drops.token())).unwrap();
        assert_eq!(lock.get_or_init(|| unreachable!("there is one")).0, 4);
        assert_eq!(lock.into_inner().unwrap().0, 4);
        assert_eq!(drops.count(), 3);
    });
}
