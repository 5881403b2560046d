//! The reader-writer lock: who is inside together, and that neither side starves the other.

mod chan_parties;

use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use chan_parties::{Cast, Party, callers, give_way, parties, until};
use fibra::go;
use fibra::sync::{Barrier, RwLock};
use fibra_tests::{FOREVER, Signal, assert_cancelled, at, everywhere, join, outcome};

#[test]
fn a_writer_is_alone() {
    parties(|cast| {
        let shared = Arc::new((RwLock::new(0), AtomicUsize::new(0)));
        let others: Vec<_> = (0..8)
            .map(|number| {
                let shared = shared.clone();
                cast.spawn(move || {
                    let (lock, inside) = &*shared;
                    for i in 0..60 {
                        if (number + i) % 3 == 0 {
                            let mut count = lock.write();
                            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                            give_way(i % 2);
                            *count += 1;
                            inside.fetch_sub(1, Ordering::SeqCst);
                        } else {
                            let count = lock.read();
                            let before = *count;
                            inside.fetch_add(1, Ordering::SeqCst);
                            give_way(i % 3);
                            inside.fetch_sub(1, Ordering::SeqCst);
                            assert_eq!(*count, before);
                        }
                    }
                })
            })
            .collect();
        others.into_iter().for_each(|other| other.join());
        assert_eq!(*shared.0.try_write().unwrap(), 8 * 60 / 3);
    });
}

#[test]
fn readers_are_inside_together() {
    parties(|cast| {
        let shared = Arc::new((RwLock::new(()), Barrier::new(4)));
        let others = [(); 3].map(|()| {
            let shared = shared.clone();
            cast.spawn(move || {
                let _inside = shared.0.read();
                shared.1.wait();
            })
        });
        let inside = shared.0.read();
        shared.1.wait();
        assert!(shared.0.try_read().is_some() && shared.0.try_write().is_none());
        drop(inside);
        others.into_iter().for_each(|other| other.join());
    });
}

/// A writer that waits for the readers that are inside.
fn waiting_writer(
    cast: &Cast<'_>,
    lock: &Arc<RwLock<usize>>,
    limit: Option<Duration>,
) -> Party<bool> {
    let theirs = lock.clone();
    let writer = cast.spawn(move || {
        let guard = match limit {
            None => Some(theirs.write()),
            Some(limit) => theirs.write_timeout(limit),
        };
        guard.map(|mut value| *value += 1).is_some()
    });
    // From then on no reader comes in.
    until(|| (lock.try_read().is_none() || writer.is_finished()).then_some(()));
    writer
}

#[test]
fn a_writer_that_waits_is_next() {
    parties(|cast| {
        let lock = Arc::new(RwLock::new(0));
        let inside = [lock.read(), lock.read()];
        let writer = waiting_writer(cast, &lock, None);
        let readers = [(); 3].map(|()| {
            let lock = lock.clone();
            cast.spawn(move || *lock.read())
        });
        give_way(10);
        assert!(inside.iter().all(|value| **value == 0));
        drop(inside);
        assert!(writer.join());
        readers.into_iter().for_each(|reader| assert_eq!(reader.join(), 1));
    });
}

#[test]
fn readers_that_never_stop_do_not_starve_a_writer() {
    parties(|cast| {
        let (lock, enough) = (Arc::new(RwLock::new(0)), Arc::new(AtomicBool::new(false)));
        let readers = [(); 3].map(|()| {
            let (lock, enough) = (lock.clone(), enough.clone());
            cast.spawn(move || {
                while !enough.load(Ordering::Relaxed) {
                    let _inside = lock.read();
                    fibra::sleep(Duration::from_micros(100));
                }
            })
        });
        for _ in 0..10 {
            *lock.write() += 1;
        }
        enough.store(true, Ordering::Relaxed);
        readers.into_iter().for_each(|reader| reader.join());
    });
}

#[test]
fn writers_that_never_stop_do_not_starve_a_reader() {
    parties(|cast| {
        let (lock, enough) = (Arc::new(RwLock::new(0)), Arc::new(AtomicBool::new(false)));
        let writers = [(); 3].map(|()| {
            let (lock, enough) = (lock.clone(), enough.clone());
            cast.spawn(move || {
                while !enough.load(Ordering::Relaxed) {
                    let mut value = lock.write();
                    fibra::sleep(Duration::from_micros(100));
                    *value += 1;
                }
            })
        });
        for _ in 0..10 {
            drop(lock.read());
        }
        enough.store(true, Ordering::Relaxed);
        writers.into_iter().for_each(|writer| writer.join());
    });
}

/// At one worker, where a goroutine has parked when another one runs.
#[test]
fn readers_that_wait_are_next() {
    at(&[1], &[false, true], Duration::from_secs(60), |setup| {
        setup.without_spares().run(|| {
            let lock = Arc::new(RwLock::new(0));
            let mut value = lock.write();
            let readers = [(); 3].map(|()| {
                let (lock, ready) = (lock.clone(), Signal::new());
                let reached = ready.clone();
                let reader = go!({
                    reached.set();
                    *lock.read()
                });
                ready.wait();
                reader
            });
            *value = 1;
            drop(value);
            // They have not run yet, and still this must wait for them.
            *lock.write() = 2;
            readers.into_iter().for_each(|reader| assert_eq!(join(reader), 1));
        });
    });
}

#[test]
fn a_wait_may_have_a_limit() {
    callers(|| {
        let lock = RwLock::new(1);
        let limits = [Duration::ZERO, Duration::from_millis(2)];
        let reader = lock.read();
        for limit in limits {
            assert!(lock.write_timeout(limit).is_none());
            // It has given up, so readers need not wait for it.
            assert!(lock.read_timeout(limit).is_some() && lock.try_read().is_some());
        }
        drop(reader);
        let writer = lock.write();
        for limit in limits {
            assert!(lock.write_timeout(limit).is_none() && lock.read_timeout(limit).is_none());
            assert!(lock.try_write().is_none() && lock.try_read().is_none());
        }
        drop(writer);
        for limit in [Duration::ZERO, FOREVER, Duration::MAX] {
            let value = *lock.read_timeout(limit).unwrap();
            *lock.write_timeout(limit).unwrap() = 2 * value;
        }
        assert_eq!(lock.into_inner(), 8);
    });
}

#[test]
fn readers_wait_no_longer_than_a_writer_does() {
    parties(|cast| {
        let lock = Arc::new(RwLock::new(0));
        let inside = lock.read();
        let writer = waiting_writer(cast, &lock, Some(Duration::from_millis(10)));
        let readers = [(); 3].map(|()| {
            let lock = lock.clone();
            cast.spawn(move || *lock.read())
        });
        assert!(!writer.join());
        readers.into_iter().for_each(|reader| assert_eq!(reader.join(), 0));
        drop(inside);
    });
}

#[test]
fn a_writer_that_is_cancelled_lets_readers_in() {
    everywhere(|setup| {
        setup.run(|| {
            for yields in [0, 1, 40] {
                let lock = Arc::new(RwLock::new(0));
                let inside = lock.read();
                let theirs = lock.clone();
                let writer = go!({ *theirs.write() += 1 });
                until(|| lock.try_read().is_none().then_some(()));
                let readers = [(); 3].map(|()| {
                    let lock = lock.clone();
                    go!({ *lock.read() })
                });
                give_way(yields);
                writer.cancel();
                assert_cancelled(outcome(writer));
                readers.into_iter().for_each(|reader| assert_eq!(join(reader), 0));
                drop(inside);
                assert!(lock.try_write().is_some());
            }
        });
    });
}

#[test]
fn cancels_at_any_time_leave_it_usable() {
    everywhere(|setup| {
        setup.run(|| {
            let lock = Arc::new(RwLock::new(0));
            let mut written = 0;
            for turn in 0..100 {
                let others: Vec<_> = (0..6)
                    .map(|number| {
                        let lock = lock.clone();
                        go!({
                            if number % 2 == 0 {
                                let mut value = lock.write();
                                fibra::uncancellable(|| give_way(number % 4));
                                *value += 1;
                            } else {
                                let _inside = lock.read();
                                give_way(number);
                            }
                        })
                    })
                    .collect();
                give_way(turn % 17);
                others[turn % 6].cancel();
                others[turn % 5].cancel();
                for (number, other) in others.into_iter().enumerate() {
                    match outcome(other) {
                        Ok(()) => written += (number + 1) % 2,
                        cancelled => assert_cancelled(cancelled),
                    }
                }
            }
            assert_eq!(*lock.try_write().expect("nobody has it"), written);
        });
    });
}

#[test]
fn limits_that_are_over_leave_it_usable() {
    parties(|cast| {
        let lock = Arc::new(RwLock::new(0));
        let others: Vec<_> = (0..8)
            .map(|number| {
                let lock = lock.clone();
                cast.spawn(move || {
                    let limit = Duration::from_micros(number * 30);
                    let mut written = 0;
                    for i in 0..40 {
                        if (number + i) % 3 == 0 {
                            if let Some(mut value) = lock.write_timeout(limit) {
                                give_way(1);
                                *value += 1;
                                written += 1;
                            }
                        } else {
                            let _inside = lock.read_timeout(limit);
                            give_way(2);
                        }
                    }
                    written
                })
            })
            .collect();
        let written: usize = others.into_iter().map(|other| other.join()).sum();
        assert_eq!(*lock.try_write().expect("nobody has it"), written);
    });
}

#[test]
fn a_shutdown_ends_all_waits() {
    everywhere(|setup| {
        let (lock, runtime, reached) = (Arc::new(RwLock::new(0)), setup.runtime(), Signal::new());
        let guard = lock.write();
        let waiters: Vec<_> = (0..6)
            .map(|number| {
                let (lock, reached) = (lock.clone(), reached.clone());
                runtime.spawn(move || {
                    reached.set();
                    if number % 2 == 0 { *lock.write() } else { *lock.read() }
                })
            })
            .collect();
        reached.wait();
        assert!(runtime.shutdown_timeout(fibra_tests::LONG).is_complete());
        for waiter in waiters {
            assert_cancelled(waiter.join());
        }
        drop(guard);
        assert_eq!(*lock.try_write().unwrap(), 0);
    });
}

#[test]
fn a_panic_unlocks_and_does_not_poison() {
    callers(|| {
        let lock = RwLock::new(1);
        for writes in [true, false] {
            let caught = panic::catch_unwind(|| {
                let _inside = (!writes).then(|| lock.read());
                let _alone = writes.then(|| lock.write());
                panic::resume_unwind(Box::new("no report"));
            });
            assert!(caught.is_err());
            *lock.try_write().unwrap() += 1;
        }
        assert_eq!(*lock.read(), 3);
    });
}
