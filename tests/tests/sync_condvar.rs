//! The condition variable: who is woken, who is not, and that the mutex is locked afterwards in any case.

mod chan_parties;

use std::sync::Arc;
use std::time::{Duration, Instant};

use chan_parties::{Cast, Party, callers, give_way, parties, until};
use fibra::sync::{Condvar, Mutex};
use fibra::{go, uncancellable};
use fibra_tests::{FOREVER, OnDrop, assert_cancelled, everywhere, outcome};

/// Who has come to wait, and in which order they were woken.
#[derive(Default)]
struct Log {
    waiting: usize,
    woken: Vec<usize>,
}

type Shared = Arc<(Mutex<Log>, Condvar)>;

/// Waits once. From the lock to the wait nobody else has the mutex, so whoever finds it counted as waiting
/// finds it in line.
fn wait(shared: &Shared, number: usize) {
    let (mutex, condvar) = &**shared;
    let mut log = mutex.lock();
    log.waiting += 1;
    condvar.wait(&mut log);
    log.woken.push(number);
}

fn until_waiting(shared: &Shared, count: usize) {
    until(|| (shared.0.lock().waiting == count).then_some(()));
}

/// This many, one after the other in line.
fn in_line(cast: &Cast<'_>, shared: &Shared, count: usize) -> Vec<Party<()>> {
    let before = shared.0.lock().waiting;
    let start = |number| {
        let theirs = shared.clone();
        let party = cast.spawn(move || wait(&theirs, number));
        until_waiting(shared, before + number + 1);
        party
    };
    (0..count).map(start).collect()
}

#[test]
fn one_notification_wakes_the_oldest() {
    parties(|cast| {
        let shared = Shared::default();
        let (mutex, condvar) = &*shared;
        assert!(!condvar.notify_one());
        let waiters = in_line(cast, &shared, 6);
        for count in 1..=6 {
            assert!(condvar.notify_one());
            until(|| (mutex.lock().woken.len() == count).then_some(()));
        }
        assert!(!condvar.notify_one());
        assert!(mutex.lock().woken.iter().copied().eq(0..6));
        waiters.into_iter().for_each(|waiter| waiter.join());
    });
}

#[test]
fn a_broadcast_wakes_all_that_wait() {
    parties(|cast| {
        let shared = Shared::default();
        assert_eq!(shared.1.notify_all(), 0);
        for _ in 0..3 {
            let waiters = in_line(cast, &shared, 5);
            // Also with the mutex locked: they wake, and wait for that.
            let log = shared.0.lock();
            assert_eq!(shared.1.notify_all(), 5);
            drop(log);
            waiters.into_iter().for_each(|waiter| waiter.join());
            assert_eq!(shared.1.notify_all(), 0);
        }
        assert_eq!(shared.0.lock().woken.len(), 15);
    });
}

#[test]
fn a_broadcast_does_not_wake_whoever_waits_again() {
    parties(|cast| {
        let shared = Shared::default();
        let waiters: Vec<_> = (0..6)
            .map(|number| {
                let shared = shared.clone();
                cast.spawn(move || (0..20).for_each(|_| wait(&shared, number)))
            })
            .collect();
        for round in 1..=20 {
            until_waiting(&shared, 6 * round);
            // Some of them are back in line before the last is woken.
            assert_eq!(shared.1.notify_all(), 6);
        }
        waiters.into_iter().for_each(|waiter| waiter.join());
        let mut log = shared.0.lock();
        log.woken.sort_unstable();
        let expected = (0..6).flat_map(|number| [number; 20]);
        assert!(log.woken.iter().copied().eq(expected));
    });
}

#[test]
fn broadcasts_at_the_same_time_wake_each_once() {
    parties(|cast| {
        let shared = Shared::default();
        for _ in 0..10 {
            let waiters = in_line(cast, &shared, 6);
            let notifiers = [(); 3].map(|()| {
                let shared = shared.clone();
                cast.spawn(move || shared.1.notify_all() + usize::from(shared.1.notify_one()))
            });
            let woken: usize = notifiers.into_iter().map(|notifier| notifier.join()).sum();
            assert_eq!(woken, 6);
            waiters.into_iter().for_each(|waiter| waiter.join());
        }
    });
}

#[test]
fn a_condition_is_waited_for() {
    parties(|cast| {
        let shared = Arc::new((Mutex::new(0), Condvar::new()));
        let theirs = shared.clone();
        let waiter = cast.spawn(move || {
            let (mutex, condvar) = &*theirs;
            let mut number = mutex.lock();
            condvar.wait_while(&mut number, |number| *number < 5);
            assert_eq!(*number, 5);
            // One that holds already needs no wait.
            condvar.wait_while(&mut number, |number| *number < 5);
            let limit = Duration::ZERO;
            assert!(!condvar.wait_while_timeout(&mut number, |n| *n < 5, limit).timed_out());
            assert!(!condvar.wait_while_timeout(&mut number, |n| *n < 6, FOREVER).timed_out());
            assert_eq!(*number, 6);
        });
        for number in 1..=5 {
            let mut guard = shared.0.lock();
            *guard = number;
            shared.1.notify_one();
            drop(guard);
            give_way(2);
        }
        // It may have been 5 already when it looked, or it waits.
        until(|| {
            let mut number = shared.0.lock();
            let waits = shared.1.notify_one();
            (waits || waiter.is_finished()).then(|| *number = 6)
        });
        shared.1.notify_all();
        until(|| {
            shared.1.notify_all();
            waiter.is_finished().then_some(())
        });
        waiter.join();
    });
}

#[test]
fn a_wait_may_have_a_limit() {
    callers(|| {
        let (mutex, condvar) = (Mutex::new(0), Condvar::new());
        let mut guard = mutex.lock();
        for limit in [Duration::ZERO, Duration::from_millis(2)] {
            let start = Instant::now();
            assert!(condvar.wait_timeout(&mut guard, limit).timed_out());
            assert!(start.elapsed() >= limit);
            assert!(condvar.wait_until(&mut guard, Instant::now() + limit).timed_out());
            let mut asked = 0;
            let timed_out = condvar.wait_while_timeout(
                &mut guard,
                |_| {
                    asked += 1;
                    true
                },
                limit,
            );
            assert!(timed_out.timed_out() && asked == 2);
            assert!(mutex.try_lock().is_none());
        }
        assert!(!condvar.notify_one(), "nobody is left in line");
        drop(guard);
    });
}

#[test]
fn who_waits_with_a_limit_is_woken_in_time() {
    parties(|cast| {
        let shared = Shared::default();
        let waits: [fn(&Shared) -> bool; 3] = [
            |shared| {
                let mut log = shared.0.lock();
                log.waiting += 1;
                shared.1.wait_timeout(&mut log, Duration::MAX).timed_out()
            },
            |shared| {
                let mut log = shared.0.lock();
                log.waiting += 1;
                shared.1.wait_timeout(&mut log, FOREVER).timed_out()
            },
            |shared| {
                let mut log = shared.0.lock();
                log.waiting += 1;
                shared.1.wait_until(&mut log, Instant::now() + FOREVER).timed_out()
            },
        ];
        let waiters = waits.map(|wait| {
            let shared = shared.clone();
            cast.spawn(move || wait(&shared))
        });
        until_waiting(&shared, 3);
        assert_eq!(shared.1.notify_all(), 3);
        waiters.into_iter().for_each(|waiter| assert!(!waiter.join()));
    });
}

#[test]
fn a_cancel_ends_the_wait_with_the_mutex_locked() {
    everywhere(|setup| {
        setup.run(|| {
            let shared = Shared::default();
            for turn in 0..20 {
                let theirs = shared.clone();
                let waiter = go!({
                    let mut log = theirs.0.lock();
                    log.waiting += 1;
                    let mutex = &theirs.0;
                    let _locked = OnDrop(|| assert!(mutex.try_lock().is_none()));
                    theirs.1.wait_while(&mut log, |_| true);
                });
                until_waiting(&shared, turn + 1);
                let log = (turn % 2 == 0).then(|| shared.0.lock());
                waiter.cancel();
                give_way(turn % 5);
                drop(log);
                assert_cancelled(outcome(waiter));
                assert!(shared.0.try_lock().is_some());
                assert!(!shared.1.notify_one(), "nobody is left in line");
            }
        });
    });
}

#[test]
fn one_that_was_cancelled_takes_no_notification() {
    everywhere(|setup| {
        setup.run(|| {
            for turn in 0..50 {
                let shared = Shared::default();
                let waiters: Vec<_> = (0..4)
                    .map(|number| {
                        let shared = shared.clone();
                        go!({ wait(&shared, number) })
                    })
                    .collect();
                until_waiting(&shared, 4);
                let doomed = turn % 4;
                let cancels = || waiters[doomed].cancel();
                let notified = fibra::scope(|s| {
                    s.go(cancels);
                    give_way(turn % 3);
                    (0..3).filter(|_| shared.1.notify_one()).count()
                });
                // Each has woken somebody, who goes on even if he is cancelled later.
                assert_eq!(notified, 3);
                until(|| (shared.0.lock().woken.len() == 3).then_some(()));
                shared.1.notify_one();
                for (number, waiter) in waiters.into_iter().enumerate() {
                    match outcome(waiter) {
                        Ok(()) => {}
                        cancelled if number == doomed => assert_cancelled(cancelled),
                        Err(_) => panic!("{number} was not to be cancelled"),
                    }
                }
            }
        });
    });
}

#[test]
fn one_that_is_put_off_waits() {
    everywhere(|setup| {
        setup.run(|| {
            let shared = Shared::default();
            let theirs = shared.clone();
            let handle = go!({
                uncancellable(|| wait(&theirs, 7));
                fibra::park();
            });
            until_waiting(&shared, 1);
            handle.cancel();
            give_way(20);
            assert!(!handle.is_finished());
            assert!(shared.1.notify_one());
            assert_cancelled(outcome(handle));
            assert_eq!(shared.0.lock().woken, [7]);
        });
    });
}

#[test]
fn a_queue_with_many_ends() {
    parties(|cast| {
        #[derive(Default)]
        struct Queue {
            items: Mutex<Vec<usize>>,
            filled: Condvar,
            emptied: Condvar,
        }
        let queue = Arc::new(Queue::default());
        let producers = [(); 3].map(|()| {
            let queue = queue.clone();
            cast.spawn(move || {
                for item in 1..=100 {
                    let mut items = queue.items.lock();
                    queue.emptied.wait_while(&mut items, |items| items.len() == 2);
                    items.push(item);
                    queue.filled.notify_one();
                }
            })
        });
        let consumers = [(); 3].map(|()| {
            let queue = queue.clone();
            cast.spawn(move || {
                let take = |_| {
                    let mut items = queue.items.lock();
                    queue.filled.wait_while(&mut items, |items| items.is_empty());
                    queue.emptied.notify_one();
                    items.pop().unwrap()
                };
                (0..100).map(take).sum::<usize>()
            })
        });
        producers.into_iter().for_each(|producer| producer.join());
        let sum: usize = consumers.into_iter().map(|consumer| consumer.join()).sum();
        assert_eq!(sum, 3 * 5050);
    });
}
