#[cfg(loom)]
mod models {
    use crate::sync::Once;
    use crate::sync::checked::Checked;
    use loom::sync::Arc;
    use loom::thread;

    struct Shared {
        once: Once,
        value: Checked,
    }

    impl Shared {
        /// Fails the first time.
        fn try_once(&self) -> Result<(), ()> {
            self.once.try_call_once(|| {
                self.value.add(1);
                if self.value.get() == 1 { Err(()) } else { Ok(()) }
            })
        }
    }

    /// The first one fails, so the next one does it, and then all see what it has written.
    ///
    /// Fails when it counts as done before it is; when whoever has waited does not look again; when the store or
    /// the load of `done` is `Relaxed`.
    #[test]
    fn loom_it_is_done_once() {
        loom::model(|| {
            let shared = Arc::new(Shared { once: Once::new(), value: Checked::new() });
            let others = [(); 2].map(|()| {
                let shared = shared.clone();
                thread::spawn(move || {
                    if shared.try_once().is_ok() || shared.once.is_completed() {
                        assert_eq!(shared.value.get(), 2);
                    }
                })
            });
            if shared.try_once().is_ok() {
                assert_eq!(shared.value.get(), 2);
            }
            for other in others {
                other.join().unwrap();
            }
            assert!(shared.once.is_completed());
        });
    }
}
