use super::*;

#[cfg(not(loom))]
mod slots {
    use super::*;
    use crate::goroutine::pool;
    use crate::goroutine::{Affinity, new};
    use std::panic::Location;
    use std::sync::atomic::AtomicBool;
    use std::thread;

    fn spawn() -> GoroutineRef {
        new(pool::take().unwrap(), || (), 1, Affinity::Worker, None, Location::caller())
    }

    fn run(goroutine: GoroutineRef) {
        // SAFETY: fresh, in no queue.
        let _nothing = unsafe { goroutine.run() };
        goroutine.set_gone();
    }

    #[test]
    fn only_who_is_not_gone_is_found() {
        let goroutine = spawn();
        let visit = Visit::begin();
        assert!(visit.acquire(goroutine).is_some());
        // Its result may have a destructor, which runs as part of it.
        goroutine.set_finished();
        assert!(visit.acquire(goroutine).is_some());
        run(goroutine);
        assert!(visit.acquire(goroutine).is_none());
        drop(visit);
        // SAFETY: four references: the visitor's two, and those of a new goroutine.
        unsafe {
            assert!(goroutine.release_some(2).is_none());
            pool::give(goroutine.release_some(2).unwrap());
        }
        assert!(Visit::begin().acquire(goroutine).is_none());
    }

    #[test]
    fn each_slot_is_freed_once_with_visitors_and_without() {
        const ROUNDS: usize = 100_000;
        // The pool gives them out again and again.
        let slots: Vec<_> = (0..4).map(|_| spawn()).collect();
        for &goroutine in &slots {
            run(goroutine);
            // SAFETY: the references of a new goroutine.
            pool::give(unsafe { goroutine.release_some(2) }.unwrap());
        }
        let stop = &AtomicBool::new(false);
        let (freed_here, freed_there) = thread::scope(|scope| {
            let visitor = scope.spawn(move || {
                let mut freed = 0;
                while !stop.load(Ordering::Relaxed) {
                    let visit = Visit::begin();
                    for goroutine in slots.iter().filter_map(|&slot| visit.acquire(slot)) {
                        // SAFETY: the reference just acquired.
                        if let Some(slot) = unsafe { goroutine.release() } {
                            freed += 1;
                            pool::give(slot);
                        }
                    }
                }
                freed
            });
            let mut freed = 0;
            for _ in 0..ROUNDS {
                let goroutine = spawn();
                run(goroutine);
                // SAFETY: the references of a new goroutine.
                if let Some(slot) = unsafe { goroutine.release_some(2) } {
                    freed += 1;
                    pool::give(slot);
                }
            }
            stop.store(true, Ordering::Relaxed);
            (freed, visitor.join().unwrap())
        });
        assert_eq!(freed_here + freed_there, ROUNDS);
    }
}

#[cfg(loom)]
mod models {
    use super::*;
    use crate::goroutine::{FRESH, Header, job};
    use crate::primitive::Locked;
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;
    use loom::thread;
    use std::ptr::NonNull;

    /// A header, and what only those touch who have a reference to the goroutine in it.
    struct Slot {
        header: Header,
        closure: UnsafeCell<u32>,
        /// What the pool is: the slot, once it has been freed.
        free: Locked<bool>,
    }

    // SAFETY: as a header in a slot; the cell is what the model is about.
    unsafe impl Send for Slot {}
    // SAFETY: as above.
    unsafe impl Sync for Slot {}

    impl Slot {
        fn goroutine(&self) -> GoroutineRef {
            GoroutineRef(NonNull::from(&self.header))
        }

        /// As `job::new`, with one reference.
        fn spawn(&self) {
            self.closure.with_mut(|closure| unsafe { *closure += 1 });
            self.header.stage.store(FRESH, Ordering::Release);
            self.header.references.store(1, Ordering::Release);
        }

        fn release(&self) {
            // SAFETY: the model's threads have the references that they give back.
            if unsafe { self.goroutine().release() }.is_some() {
                // Nobody has a reference.
                self.closure.with_mut(|closure| unsafe { *closure += 1 });
                assert!(!std::mem::replace(&mut *self.free.lock(), true), "freed twice");
            }
        }

        fn look(&self) {
            self.closure.with(|closure| unsafe { assert!(*closure % 2 == 1, "nobody lives here") });
        }
    }

    /// A goroutine ends, and another one in its slot, beside a visitor who looks at whom it finds. Fails without either
    /// fence; if the visitor does not ask who is gone; if whoever gives back does not ask for visitors, or asks
    /// only after it has looked at the count; and with a Relaxed in place of any Acquire or Release in `release_all`
    /// and in the visitor's `drop`. That of the stage is by argument only.
    #[test]
    fn loom_the_last_reference_is_given_back_once() {
        loom::model(|| {
            let slot = Arc::new(Slot {
                header: job::vacant(),
                closure: UnsafeCell::new(0),
                free: Locked::new(true),
            });
            let visited = slot.clone();
            let visitor = thread::spawn(move || {
                let found = Visit::begin().acquire(visited.goroutine());
                if found.is_some() {
                    visited.look();
                    visited.release();
                }
            });
            for _ in 0..2 {
                if !std::mem::replace(&mut *slot.free.lock(), false) {
                    // The visitor has it still.
                    break;
                }
                slot.spawn();
                slot.goroutine().set_gone();
                slot.release();
            }
            visitor.join().unwrap();
            assert!(*slot.free.lock(), "nobody freed it");
        });
    }
}
