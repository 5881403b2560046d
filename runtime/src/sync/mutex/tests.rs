#[cfg(loom)]
mod models {
    use crate::sync::Mutex;
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;
    use loom::thread;
    use std::time::Duration;

    /// A number whose accesses loom checks: they must not overlap, and each must see the one before.
    struct Counter(UnsafeCell<usize>);

    // SAFETY: loom checks the accesses.
    unsafe impl Send for Counter {}

    impl Counter {
        fn new() -> Counter {
            Counter(UnsafeCell::new(0))
        }

        fn add(&self, n: usize) {
            // SAFETY: loom checks that there is nobody else.
            self.0.with_mut(|number| unsafe { *number += n });
        }

        fn get(&self) -> usize {
            // SAFETY: as in `add`.
            self.0.with(|number| unsafe { *number })
        }
    }

    /// With two preemptions: with three it takes minutes.
    fn check(model: impl Fn() + Send + Sync + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(2);
        builder.check(model);
    }

    /// Three who lock, one of them twice; whoever has tried in vain gets it handed over (see
    /// `Note::is_impatient`).
    #[test]
    fn loom_three_lockers_with_hand_over() {
        check(|| {
            let mutex = Arc::new(Mutex::new(Counter::new()));
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

    /// One who locks twice, one who waits, and one whose time is over while it stands in line.
    #[test]
    fn loom_unlock_against_lock_against_timeout() {
        loom::model(|| {
            let mutex = Arc::new(Mutex::new(Counter::new()));
            let waiter = {
                let mutex = mutex.clone();
                thread::spawn(move || mutex.lock().add(1))
            };
            let hasty = {
                let mutex = mutex.clone();
                thread::spawn(move || match mutex.lock_timeout(Duration::ZERO) {
                    Some(counter) => {
                        counter.add(1);
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
