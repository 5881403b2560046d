#[cfg(loom)]
mod models {
    use crate::sync::{Condvar, Mutex};
    use loom::sync::Arc;
    use loom::thread;
    use std::time::Duration;

    /// One who waits for good, one whose time is over, and a notification for each that has happened. None
    /// is lost on the one that has left, and the mutex is locked by one at a time.
    #[test]
    fn loom_notify_against_wait_against_timeout() {
        loom::model(|| {
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
        loom::model(|| {
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
            waiters.map(|waiter| waiter.join().unwrap());
            assert_eq!(condvar.notify_all(), 0);
        });
    }
}
