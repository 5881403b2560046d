#[cfg(loom)]
mod models {
    use crate::sync::Once;
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;
    use loom::thread;

    /// Something that loom checks, done once.
    struct Shared {
        once: Once,
        value: UnsafeCell<usize>,
    }

    // SAFETY: loom checks the accesses.
    unsafe impl Send for Shared {}
    // SAFETY: as above.
    unsafe impl Sync for Shared {}

    impl Shared {
        /// Fails the first time.
        fn try_once(&self) -> Result<(), ()> {
            self.once.try_call_once(|| {
                // SAFETY: loom checks that there is nobody else.
                self.value.with_mut(|value| unsafe { *value += 1 });
                if self.value.with(|value| unsafe { *value }) == 1 { Err(()) } else { Ok(()) }
            })
        }

        fn get(&self) -> usize {
            // SAFETY: loom checks that nobody writes.
            self.value.with(|value| unsafe { *value })
        }
    }

    /// The first one fails, so the next one does it, and then all see what it has written.
    #[test]
    fn loom_it_is_done_once() {
        loom::model(|| {
            let shared = Arc::new(Shared { once: Once::new(), value: UnsafeCell::new(0) });
            let others = [(); 2].map(|()| {
                let shared = shared.clone();
                thread::spawn(move || {
                    if shared.try_once().is_ok() || shared.once.is_completed() {
                        assert_eq!(shared.get(), 2);
                    }
                })
            });
            if shared.try_once().is_ok() {
                assert_eq!(shared.get(), 2);
            }
            for other in others {
                other.join().unwrap();
            }
            assert!(shared.once.is_completed());
        });
    }
}
