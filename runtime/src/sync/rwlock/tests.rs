#[cfg(loom)]
mod models {
    use crate::sync::RwLock;
    use crate::sync::checked::{Checked, check};
    use loom::sync::Arc;
    use loom::thread;
    use std::time::Duration;

    fn lock() -> Arc<RwLock<Checked>> {
        Arc::new(RwLock::new(Checked::new()))
    }

    /// One who writes twice and two who read: a reader that leaves may be late for the first write, and must
    /// not let in the second.
    ///
    /// Fails when a reader that is late does not look again; when readers that are served are not counted; when
    /// `announce_reader` does not look at WRITER, or the writer not again at the count, under the line's lock;
    /// when the last reader wakes nobody; when any change or look that locks or unlocks is `Relaxed`.
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
    ///
    /// Fails when the writers' mutex is unlocked before the readers are let in.
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
    ///
    /// Fails when it clears WRITER and lets nobody in.
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
