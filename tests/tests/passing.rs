//! A goroutine that gives way switches to the next one that is ready: wherever in its frames it does so, each finds its
//! own as it left them.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fibra::coroutine::{Coroutine, SharedStack, Yielder};
use fibra::go;
use fibra_tests::{assert_cancelled, join, outcome, pinned};

const GOROUTINES: usize = 12;
const TURNS: usize = 60;

/// Gives way on a frame that nobody else's is like.
fn give_way(seed: usize, how: impl Fn()) {
    let frame = black_box([seed; 32]);
    how();
    assert_eq!(black_box(frame), [seed; 32]);
}

/// The same inside a coroutine, which is resumed twice.
fn inside(mut c: Coroutine<(), (), ()>) {
    c.resume(());
    c.resume(());
}

#[test]
fn goroutines_give_way_in_their_frames_in_coroutines_and_on_shared_stacks() {
    pinned(|setup| {
        setup.run(|| {
            let turns = Arc::new(AtomicUsize::new(0));
            let handles: Vec<_> = (0..GOROUTINES)
                .map(|me| {
                    let turns = turns.clone();
                    go!(move || {
                        let shared = SharedStack::new(64 * 1024).unwrap();
                        for turn in 0..TURNS {
                            let seed = me * TURNS + turn;
                            let body = move |y: &Yielder<(), ()>, ()| {
                                give_way(seed + 1, fibra::yield_now);
                                y.suspend(());
                                give_way(seed + 2, fibra::yield_now);
                            };
                            give_way(seed, || match (me + turn) % 3 {
                                0 => fibra::yield_now(),
                                1 => inside(Coroutine::new(body)),
                                // SAFETY: nothing outside points into its frames.
                                _ => inside(unsafe { Coroutine::on_shared_stack(&shared, body) }),
                            });
                            turns.fetch_add(1, Ordering::Relaxed);
                        }
                    })
                })
                .collect();
            handles.into_iter().for_each(join);
            assert_eq!(turns.load(Ordering::Relaxed), GOROUTINES * TURNS);
        });
    });
}

/// A token goes round; whoever has it unparks the next one and parks, at another depth each time.
#[test]
fn a_token_goes_round_among_parked_goroutines() {
    fn pass_on(depth: usize, how: &dyn Fn()) {
        match depth {
            0 => how(),
            _ => give_way(depth, || pass_on(depth - 1, how)),
        }
    }
    pinned(|setup| {
        setup.run(|| {
            let rounds = Arc::new(AtomicUsize::new(0));
            let (handles, tells): (Vec<_>, Vec<_>) = (0..GOROUTINES)
                .map(|me| {
                    let rounds = rounds.clone();
                    let (tell, told) = fibra::chan::bounded::<fibra::Goroutine>(1);
                    let handle = go!(move || {
                        let next = told.recv().unwrap();
                        for turn in 0..TURNS {
                            pass_on((me + turn) % 7, &|| {
                                fibra::park();
                                rounds.fetch_add(1, Ordering::Relaxed);
                                next.unpark();
                            });
                        }
                    });
                    (handle, tell)
                })
                .unzip();
            for (index, tell) in tells.iter().enumerate() {
                let next = handles[(index + 1) % GOROUTINES].goroutine_handle().clone();
                tell.send(next).unwrap();
            }
            handles[0].goroutine_handle().unpark();
            handles.into_iter().for_each(join);
            assert_eq!(rounds.load(Ordering::Relaxed), GOROUTINES * TURNS);
        });
    });
}

/// They would go on among themselves for ever.
#[test]
fn goroutines_that_only_switch_to_one_another_are_cancelled() {
    /// Counts the frames that are unwound and are still what they were.
    struct Frame(Arc<AtomicUsize>, [usize; 8]);
    impl Drop for Frame {
        fn drop(&mut self) {
            assert_eq!(black_box(self.1), [7; 8]);
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    pinned(|setup| {
        setup.run(|| {
            let [started, unwound] = [(); 2].map(|()| Arc::new(AtomicUsize::new(0)));
            let handles: Vec<_> = (0..GOROUTINES)
                .map(|_| {
                    let (started, unwound) = (started.clone(), unwound.clone());
                    go!(move || {
                        let _frame = Frame(unwound, black_box([7; 8]));
                        started.fetch_add(1, Ordering::Relaxed);
                        loop {
                            fibra::yield_now();
                        }
                    })
                })
                .collect();
            while started.load(Ordering::Relaxed) < GOROUTINES {
                fibra::yield_now();
            }
            handles.iter().for_each(|handle| handle.cancel());
            for handle in handles {
                assert_cancelled(outcome(handle));
            }
            assert_eq!(unwound.load(Ordering::Relaxed), GOROUTINES);
        });
    });
}
