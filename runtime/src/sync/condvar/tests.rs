/// White-box: in the middle of a broadcast, which no test can stop there from outside.
#[cfg(not(loom))]
#[test]
fn a_notification_is_not_lost_on_whoever_a_broadcast_has_reached() {
    use crate::sync::{Condvar, Mutex};
    use std::thread;

    let (mutex, condvar) = (Mutex::new(Vec::new()), Condvar::new());
    thread::scope(|s| {
        let wait = |name| {
            let mut woken = mutex.lock();
            condvar.wait(&mut woken);
            woken.push(name);
        };
        let in_line = |queue: usize| {
            while condvar.line.lock().is_empty(queue) {
                thread::yield_now();
            }
        };
        let old = s.spawn(move || wait("old"));
        in_line(0);
        // The flip of a broadcast that has served nobody yet.
        *condvar.line.lock().state() = super::Turn { newcomers: 1, flips: 1 };
        let new = s.spawn(move || wait("new"));
        in_line(1);
        assert!(condvar.notify_one());
        new.join().unwrap();
        assert_eq!(*mutex.lock(), ["new"]);
        assert!(!condvar.notify_one());
        // A later broadcast helps the one that was stopped.
        assert_eq!(condvar.notify_all(), 1);
        old.join().unwrap();
    });
    assert_eq!(mutex.into_inner(), ["new", "old"]);
}

#[cfg(loom)]
mod models {
    use crate::sync::{Condvar, Mutex};
    use loom::sync::Arc;
    use loom::thread;
    use std::time::Duration;

    /// Two preemptions: with three the models take minutes.
    fn check(model: impl Fn() + Send + Sync + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(2);
        builder.check(model);
    }

    /// One who waits for good, one whose time is over, and a notification for each that has happened. None
    /// is lost on the one that has left, and the mutex is locked by one at a time.
    #[test]
    fn loom_notify_against_wait_against_timeout() {
        check(|| {
            let shared = Arc::new((Mutex::new(0), Condvar::new()));
            let waiter = {
                let shared = shared.clone();
                thread::spawn(move || {
                    let (mutex, condvar) = &*shared;
                    let mut number = mutex.lock();
                    condvar.wait_while(&mut number, |number| *number == 0);
                    *number += 10;
                })
            };
            let hasty = {
                let shared = shared.clone();
                thread::spawn(move || {
                    let (mutex, condvar) = &*shared;
                    let mut number = mutex.lock();
                    let notified = !condvar.wait_timeout(&mut number, Duration::ZERO).timed_out();
                    if notified {
                        // Not for it: somebody else may be waiting.
                        condvar.notify_one();
                    }
                })
            };
            let (mutex, condvar) = &*shared;
            *mutex.lock() += 1;
            condvar.notify_one();
            waiter.join().unwrap();
            hasty.join().unwrap();
            assert_eq!(*mutex.try_lock().unwrap(), 11);
        });
    }

    /// A broadcast reaches both that wait, and two broadcasts at the same time do not get in each other's
    /// way.
    #[test]
    fn loom_two_broadcasts() {
        check(|| {
            let shared = Arc::new((Mutex::new(0), Condvar::new()));
            let waiters = [(); 2].map(|()| {
                let shared = shared.clone();
                thread::spawn(move || {
                    let (mutex, condvar) = &*shared;
                    let mut number = mutex.lock();
                    if *number == 0 {
                        condvar.wait(&mut number);
                    }
                    condvar.notify_all();
                })
            });
            let (mutex, condvar) = &*shared;
            *mutex.lock() = 1;
            condvar.notify_all();
            for waiter in waiters {
                waiter.join().unwrap();
            }
            assert_eq!(condvar.notify_all(), 0);
        });
    }
}
