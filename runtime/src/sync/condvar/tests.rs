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
    use crate::sync::checked::{Checked, check};
    use crate::sync::{Condvar, Mutex};
    use loom::sync::Arc;
    use loom::thread;
    use std::time::Duration;

    fn shared() -> Arc<(Mutex<Checked>, Condvar)> {
        Arc::new((Mutex::new(Checked::new()), Condvar::new()))
    }

    /// One who waits for good, one whose time is over, and a notification: it is not lost on the one that has
    /// left, and the mutex is had by one at a time.
    ///
    /// Fails when the mutex is unlocked before the waiter stands in line, and when it is not locked again.
    #[test]
    fn loom_notify_against_wait_against_timeout() {
        check(|| {
            let shared = shared();
            let waiter = {
                let shared = shared.clone();
                thread::spawn(move || {
                    let (mutex, condvar) = &*shared;
                    let mut number = mutex.lock();
                    condvar.wait_while(&mut number, |number| number.get() == 0);
                    number.add(10);
                })
            };
            let hasty = {
                let shared = shared.clone();
                thread::spawn(move || {
                    let (mutex, condvar) = &*shared;
                    let mut number = mutex.lock();
                    if !condvar.wait_timeout(&mut number, Duration::ZERO).timed_out() {
                        // Not for it: somebody else may be waiting.
                        assert!(number.get() > 0);
                        condvar.notify_one();
                    }
                })
            };
            let (mutex, condvar) = &*shared;
            mutex.lock().add(1);
            condvar.notify_one();
            waiter.join().unwrap();
            hasty.join().unwrap();
            assert_eq!(mutex.try_lock().unwrap().get(), 11);
        });
    }

    /// A broadcast reaches both that wait, and broadcasts at the same time do not get in each other's way.
    ///
    /// Fails when one flips before the other queue is empty.
    #[test]
    fn loom_two_broadcasts() {
        check(|| {
            let shared = shared();
            let waiters = [(); 2].map(|()| {
                let shared = shared.clone();
                thread::spawn(move || {
                    let (mutex, condvar) = &*shared;
                    let mut number = mutex.lock();
                    if number.get() == 0 {
                        condvar.wait(&mut number);
                    }
                    condvar.notify_all();
                })
            });
            let (mutex, condvar) = &*shared;
            mutex.lock().add(1);
            condvar.notify_all();
            for waiter in waiters {
                waiter.join().unwrap();
            }
            assert_eq!(condvar.notify_all(), 0);
        });
    }
}
