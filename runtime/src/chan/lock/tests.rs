use super::*;

#[cfg(not(loom))]
mod states {
    use super::*;
    use std::cell::UnsafeCell;
    use std::thread;

    /// A number behind the lock.
    struct Counter(BiasedLock, UnsafeCell<u64>);

    // SAFETY: the number is only touched with the lock held.
    unsafe impl Sync for Counter {}

    impl Counter {
        fn new() -> Counter {
            membarrier::register();
            Counter(BiasedLock::new(), UnsafeCell::new(0))
        }

        fn add(&self, times: u64) {
            for _ in 0..times {
                self.0.lock();
                // SAFETY: locked.
                unsafe { *self.1.get() += 1 };
                // SAFETY: locked above.
                unsafe { self.0.unlock() };
            }
        }

        fn get(&mut self) -> u64 {
            *self.1.get_mut()
        }
    }

    #[test]
    fn who_is_alone_gets_the_bias_and_loses_it_to_the_next() {
        let counter = Counter::new();
        counter.add(u64::from(ENOUGH));
        assert!(!counter.0.is_biased());
        counter.add(1);
        assert!(counter.0.is_biased());
        counter.add(10);
        assert!(counter.0.is_biased());
        thread::scope(|scope| {
            scope.spawn(|| counter.add(1));
        });
        assert!(!counter.0.is_biased());
        counter.add(2 * u64::from(ENOUGH));
        assert!(!counter.0.is_biased(), "once for all");
    }

    #[test]
    fn who_takes_turns_gets_no_bias() {
        let counter = Counter::new();
        for _ in 0..MOST_CHANGES {
            counter.add(u64::from(ENOUGH) / 2);
            thread::scope(|scope| {
                scope.spawn(|| counter.add(1));
            });
        }
        counter.add(2 * u64::from(ENOUGH));
        assert!(!counter.0.is_biased());
    }

    #[test]
    fn nothing_is_lost_when_the_bias_is_taken_back() {
        // Fewer than a thread's start takes, so that the others come at any moment.
        for round in 0..200 {
            let mut counter = Counter::new();
            counter.add(1 + u64::from(ENOUGH));
            thread::scope(|scope| {
                scope.spawn(|| counter.add(100 + round));
                scope.spawn(|| counter.add(100));
                counter.add(20_000);
            });
            assert_eq!(counter.get(), 20_000 + 200 + round + 1 + u64::from(ENOUGH));
        }
    }
}

#[cfg(loom)]
mod models {
    use super::*;
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;
    use loom::thread;

    /// loom's cell reports whoever touches the number at the same time as somebody else.
    struct Counter(BiasedLock, UnsafeCell<u64>);

    // SAFETY: the number is only touched with the lock held.
    unsafe impl Sync for Counter {}
    // SAFETY: as above.
    unsafe impl Send for Counter {}

    impl Counter {
        fn add(&self, thread: usize) {
            self.0.lock_as(thread, Lock::lock);
            // SAFETY: locked.
            self.1.with_mut(|number| unsafe { *number += 1 });
            // SAFETY: locked above.
            unsafe { self.0.unlock() };
        }
    }

    /// Pointers of three threads.
    const THREADS: [usize; 3] = [16, 32, 48];

    fn with_bias() -> Arc<Counter> {
        let counter = Arc::new(Counter(BiasedLock::new(), UnsafeCell::new(0)));
        counter.add(THREADS[0]);
        counter.add(THREADS[0]);
        assert_eq!(counter.0.bias.load(Ordering::Relaxed), THREADS[0]);
        counter
    }

    /// The thread with the bias, twice, against another one, twice. Fails without the light or the heavy fence, without
    /// the second look at the bias, without the wait for whoever is inside, and if `unlock` releases the other way.
    #[test]
    fn loom_the_bias_against_another_thread() {
        loom::model(|| {
            let counter = with_bias();
            let other = {
                let counter = counter.clone();
                thread::spawn(move || {
                    counter.add(THREADS[1]);
                    counter.add(THREADS[1]);
                })
            };
            counter.add(THREADS[0]);
            counter.add(THREADS[0]);
            other.join().unwrap();
            // SAFETY: the other one has ended.
            assert_eq!(counter.1.with(|number| unsafe { *number }), 6);
        });
    }

    /// Two others at once: only one takes it back, and the second waits for that.
    #[test]
    fn loom_the_bias_against_two_threads() {
        loom::model(|| {
            let counter = with_bias();
            let others = [1, 2].map(|index| {
                let counter = counter.clone();
                thread::spawn(move || counter.add(THREADS[index]))
            });
            counter.add(THREADS[0]);
            for other in others {
                other.join().unwrap();
            }
            // SAFETY: the others have ended.
            assert_eq!(counter.1.with(|number| unsafe { *number }), 5);
        });
    }

    /// Nobody has it yet, and two want it.
    #[test]
    fn loom_the_bias_is_given_to_one() {
        loom::model(|| {
            let counter = Arc::new(Counter(BiasedLock::new(), UnsafeCell::new(0)));
            let other = {
                let counter = counter.clone();
                thread::spawn(move || (0..3).for_each(|_| counter.add(THREADS[1])))
            };
            (0..3).for_each(|_| counter.add(THREADS[0]));
            other.join().unwrap();
            // SAFETY: the other one has ended.
            assert_eq!(counter.1.with(|number| unsafe { *number }), 6);
        });
    }
}
