#[cfg(loom)]
mod models {
    use crate::sync::RwLock;
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;
    use loom::thread;
    use std::time::Duration;

    /// A number whose accesses loom checks: a write must not overlap with anything.
    struct Checked(UnsafeCell<usize>);

    // SAFETY: loom checks the accesses.
    unsafe impl Send for Checked {}
    // SAFETY: as above.
    unsafe impl Sync for Checked {}

    impl Checked {
        fn add(&self, n: usize) {
            // SAFETY: loom checks that there is nobody else.
            self.0.with_mut(|number| unsafe { *number += n });
        }

        fn get(&self) -> usize {
            // SAFETY: loom checks that nobody writes.
            self.0.with(|number| unsafe { *number })
        }
    }

    fn lock() -> Arc<RwLock<Checked>> {
        Arc::new(RwLock::new(Checked(UnsafeCell::new(0))))
    }

    /// With two preemptions: with three it takes minutes.
    fn check(model: impl Fn() + Send + Sync + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(2);
        builder.check(model);
    }

    /// One who writes twice and two who read: a reader that leaves may be late for the first write, and must
    /// not let in the second.
    #[test]
    fn loom_a_writer_and_two_readers() {
        check(|| {
            let lock = lock();
            let readers = [(); 2].map(|()| {
                let lock = lock.clone();
                thread::spawn(move || assert!(lock.read().get() < 3))
            });
            lock.write().add(1);
            lock.write().add(1);
            for reader in readers {
                reader.join().unwrap();
            }
            assert_eq!(lock.try_write().unwrap().get(), 2);
        });
    }

    /// Two who write and one who reads.
    #[test]
    fn loom_two_writers_and_a_reader() {
        loom::model(|| {
            let lock = lock();
            let writer = {
                let lock = lock.clone();
                thread::spawn(move || lock.write().add(1))
            };
            let reader = {
                let lock = lock.clone();
                thread::spawn(move || assert!(lock.read().get() < 3))
            };
            lock.write().add(1);
            writer.join().unwrap();
            reader.join().unwrap();
            assert_eq!(lock.try_write().unwrap().get(), 2);
        });
    }

    /// A writer whose time is over while it waits for readers: those behind it come in.
    #[test]
    fn loom_a_writer_that_gives_up() {
        loom::model(|| {
            let lock = lock();
            let first = lock.read();
            let hasty = {
                let lock = lock.clone();
                thread::spawn(move || match lock.write_timeout(Duration::ZERO) {
                    Some(number) => number.add(1),
                    None => {}
                })
            };
            let reader = {
                let lock = lock.clone();
                thread::spawn(move || assert!(lock.read().get() < 2))
            };
            assert_eq!(first.get(), 0);
            drop(first);
            reader.join().unwrap();
            hasty.join().unwrap();
            assert!(lock.try_write().unwrap().get() < 2);
        });
    }
}
