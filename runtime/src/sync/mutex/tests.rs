#[cfg(loom)]
mod models {
    use crate::sync::Mutex;
    use crate::sync::checked::{Checked, check};
    use loom::sync::Arc;
    use loom::thread;
    use std::time::Duration;

    /// Three who lock, one of them twice; whoever has tried in vain gets it handed over (see
    /// `Note::is_impatient`).
    ///
    /// Fails when `announce` sets QUEUED without a look at LOCKED, or the two are two steps; when it or `take` keeps
    /// WOKEN; when a hand-over frees the lock, or the one who was served does not look for it; when an unlock
    /// takes no notice of QUEUED; when `take`, or any of the changes that free the lock, is `Relaxed`.
    #[test]
    fn loom_three_lockers_with_hand_over() {
        check(|| {
            let mutex = Arc::new(Mutex::new(Checked::new()));
            let others = [(); 2].map(|()| {
                let mutex = mutex.clone();
                thread::spawn(move || mutex.lock().add(1))
            });
            mutex.lock().add(1);
            mutex.lock().add(1);
            for other in others {
                other.join().unwrap();
            }
            assert_eq!(mutex.try_lock().unwrap().get(), 4);
        });
    }

    /// One who locks, one who waits, and one whose time is over while it stands in line; to the line a cancel is
    /// the same.
    ///
    /// Fails when an unlock that finds nobody left in line keeps LOCKED, or frees it `Relaxed`; and in most cases
    /// of the model above.
    #[test]
    fn loom_unlock_against_lock_against_timeout() {
        loom::model(|| {
            let mutex = Arc::new(Mutex::new(Checked::new()));
            let waiter = {
                let mutex = mutex.clone();
                thread::spawn(move || mutex.lock().add(1))
            };
            let hasty = {
                let mutex = mutex.clone();
                thread::spawn(move || match mutex.lock_timeout(Duration::ZERO) {
                    Some(count) => {
                        count.add(1);
                        1
                    }
                    None => 0,
                })
            };
            mutex.lock().add(1);
            waiter.join().unwrap();
            let count = 2 + hasty.join().unwrap();
            assert_eq!(mutex.try_lock().unwrap().get(), count);
        });
    }
}
