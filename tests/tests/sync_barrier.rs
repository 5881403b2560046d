//! The barrier: nobody passes before all are there, and one of them leads.

mod chan_parties;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chan_parties::{callers, give_way, parties};
use fibra::go;
use fibra::sync::Barrier;
use fibra_tests::{Signal, assert_cancelled, everywhere, join, outcome};

#[test]
fn nobody_passes_before_all_are_there() {
    parties(|cast| {
        let shared = Arc::new((Barrier::new(5), AtomicUsize::new(0)));
        let others: Vec<_> = (0..5)
            .map(|number| {
                let shared = shared.clone();
                cast.spawn(move || {
                    let (barrier, arrivals) = &*shared;
                    let mut led = 0;
                    for round in 1..=40 {
                        give_way((number + round) % 4);
                        arrivals.fetch_add(1, Ordering::SeqCst);
                        led += usize::from(barrier.wait().is_leader());
                        // The others may have come to the next round, but not beyond it.
                        let arrivals = arrivals.load(Ordering::SeqCst);
                        assert!((5 * round..5 * (round + 1)).contains(&arrivals));
                    }
                    led
                })
            })
            .collect();
        let led: usize = others.into_iter().map(|other| other.join()).sum();
        assert_eq!(led, 40);
    });
}

/// More of them than one round takes: as many rounds as they fill.
#[test]
fn rounds_overlap() {
    parties(|cast| {
        let barrier = Arc::new(Barrier::new(3));
        let others = [(); 9].map(|()| {
            let barrier = barrier.clone();
            cast.spawn(move || usize::from(barrier.wait().is_leader()))
        });
        let led: usize = others.into_iter().map(|other| other.join()).sum();
        assert_eq!(led, 3);
    });
}

#[test]
fn alone_nobody_waits() {
    callers(|| {
        for parties in [0, 1] {
            let barrier = Barrier::new(parties);
            for _ in 0..3 {
                assert!(barrier.wait().is_leader());
            }
        }
    });
}

#[test]
fn one_that_was_cancelled_does_not_count() {
    everywhere(|setup| {
        setup.run(|| {
            let barrier = Arc::new(Barrier::new(3));
            for yields in [0, 1, 40] {
                let ready = Signal::new();
                let [doomed, stays] = [(); 2].map(|()| {
                    let (barrier, ready) = (barrier.clone(), ready.clone());
                    go!({
                        ready.set();
                        barrier.wait().is_leader()
                    })
                });
                ready.wait();
                give_way(yields);
                doomed.cancel();
                assert_cancelled(outcome(doomed));
                // With the one that was cancelled there would be too many, and the last would wait for ever.
                let others = [(); 2].map(|()| {
                    let barrier = barrier.clone();
                    go!({ barrier.wait().is_leader() })
                });
                let led = others.map(join).into_iter().filter(|led| *led).count();
                assert_eq!(led + usize::from(join(stays)), 1);
            }
        });
    });
}

#[test]
fn cancels_at_any_time_leave_it_usable() {
    everywhere(|setup| {
        setup.run(|| {
            let barrier = Arc::new(Barrier::new(3));
            for turn in 0..60 {
                let waiters: Vec<_> = (0..3)
                    .map(|_| {
                        let barrier = barrier.clone();
                        go!({ barrier.wait().is_leader() })
                    })
                    .collect();
                give_way(turn % 7);
                waiters[turn % 3].cancel();
                // If it was cancelled in time, the round lacks one.
                let mut outcomes: Vec<_> = Vec::new();
                for (number, waiter) in waiters.into_iter().enumerate() {
                    if number == turn % 3 {
                        outcomes.insert(0, waiter);
                    } else {
                        outcomes.push(waiter);
                    }
                }
                let mut waiters = outcomes.into_iter();
                let mut led = 0;
                match outcome(waiters.next().unwrap()) {
                    Ok(leader) => led += usize::from(leader),
                    cancelled => {
                        assert_cancelled(cancelled);
                        led += usize::from(barrier.wait().is_leader());
                    }
                }
                led += waiters.filter_map(|waiter| join(waiter).then_some(())).count();
                assert_eq!(led, 1);
            }
        });
    });
}
