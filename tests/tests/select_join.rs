//! A goroutine's handle in an arm of `select!`: ready once the goroutine has finished.

mod chan_parties;

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use chan_parties::{Party, give_way, parties, until};
use fibra::chan::{after, bounded, never};
use fibra::{JoinHandle, go, select};
use fibra_tests::{
    Drops, FOREVER, OnDrop, Signal, assert_cancelled, everywhere, join, outcome, text,
};

#[test]
fn it_waits_for_the_end() {
    parties(|cast| {
        for yields in [0, 1, 20] {
            let go_on = Signal::new();
            let waits = go_on.clone();
            let handle = cast.go(move || {
                waits.wait();
                String::from("a result")
            });
            select! {
                recv(handle) -> _ => panic!("it goes on"),
                default => {}
            }
            let setter = cast.spawn(move || {
                give_way(yields);
                go_on.set();
            });
            select! {
                recv(handle) -> ended => assert_eq!(ended, Ok(())),
                recv(never::<u8>()) -> _ => {}
            }
            assert!(handle.is_finished());
            assert_eq!(handle.join().unwrap(), "a result");
            setter.join();
        }
    });
}

#[test]
fn one_that_has_finished_is_ready_again_and_again() {
    parties(|cast| {
        let handle = cast.go(|| 5);
        select! { recv(handle) -> ended => assert_eq!(ended, Ok(())) }
        for _ in 0..5 {
            select! {
                recv(handle) -> ended => assert_eq!(ended, Ok(())),
                default => panic!("it has finished"),
            }
            select! {
                recv(&handle) -> ended => assert_eq!(ended, Ok(())),
                default(FOREVER) => panic!("it has finished"),
            }
        }
        assert_eq!(handle.join().unwrap(), 5);
    });
}

#[test]
fn a_panic_or_a_cancel_is_an_end() {
    parties(|cast| {
        let panics = cast.go(|| -> u8 { panic!("an end") });
        select! { recv(panics) -> ended => assert_eq!(ended, Ok(())) }
        assert_eq!(text(&*panics.join().unwrap_err()), "an end");

        let parks = cast.go(fibra::park);
        parks.cancel();
        select! { recv(parks) -> ended => assert_eq!(ended, Ok(())) }
        assert_cancelled(parks.join());
    });
}

#[test]
fn destructors_have_run_by_then() {
    everywhere(|setup| {
        setup.run(|| {
            for _ in 0..50 {
                let drops = Drops::new();
                let token = drops.token();
                let handle = go!({
                    let _last = OnDrop(fibra::yield_now);
                    let _token = token;
                });
                select! { recv(handle) -> _ => assert_eq!(drops.count(), 1) }
            }
        });
    });
}

#[test]
fn it_stands_beside_other_arms() {
    parties(|cast| {
        let (tx, rx) = bounded(0);
        let (inner, end) = bounded(0);
        let producer = cast.go(move || {
            for i in 0..20 {
                tx.send(i).unwrap();
            }
            // Stays open, so that the end of the goroutine is what ends the loop.
            inner.send(tx).unwrap();
        });
        let keeper = cast.spawn(move || end.recv().unwrap());
        let mut received = Vec::new();
        loop {
            select! {
                recv(rx) -> value => received.push(value.unwrap()),
                recv(producer) -> ended => {
                    ended.unwrap();
                    break;
                }
            }
        }
        assert!(received.into_iter().eq(0..20));
        drop(keeper.join());
        join(producer);
    });
}

#[test]
fn the_first_of_many_handles() {
    everywhere(|setup| {
        setup.run(|| {
            let signals: [Signal; 3] = std::array::from_fn(|_| Signal::new());
            let handles = signals.each_ref().map(|signal| {
                let signal = signal.clone();
                go!(signal.wait())
            });
            for (turn, last) in [(1, false), (0, false), (2, true)] {
                signals[turn].set();
                let ended = |i: usize| handles[i].is_finished() && i != turn;
                let (first, second, third) = (ended(0), ended(1), ended(2));
                // Those that are known to have ended are disabled.
                let arm = select! {
                    recv((!first).then_some(&handles[0])) -> _ => 0,
                    recv((!second).then_some(&handles[1])) -> _ => 1,
                    recv((!third).then_some(&handles[2])) -> _ => 2,
                };
                assert_eq!(arm, turn);
                assert_eq!(handles.iter().all(JoinHandle::is_finished), last);
            }
            handles.into_iter().for_each(join);
        });
    });
}

#[test]
fn the_end_races_with_values_and_timeouts() {
    parties(|cast| {
        for round in 0..60 {
            let (tx, rx) = bounded(1);
            let sender = cast.go(move || {
                give_way(round % 4);
                tx.send(round).unwrap();
            });
            let mut received = None;
            loop {
                select! {
                    recv(rx) -> value => match value {
                        Ok(value) => received = Some(value),
                        Err(_) => break,
                    },
                    recv(sender) -> ended => {
                        ended.unwrap();
                        // It was sent before the end.
                        received = received.or_else(|| rx.try_recv().ok());
                        break;
                    }
                    recv(after(FOREVER)) -> _ => panic!("for ever"),
                }
            }
            assert_eq!(received, Some(round));
            join(sender);
        }
    });
}

#[test]
fn several_wait_for_one() {
    parties(|cast| {
        for yields in [0, 20] {
            let go_on = Signal::new();
            let waits = go_on.clone();
            let handle = Arc::new(cast.go(move || waits.wait()));
            let waiters: Vec<_> = (0..4)
                .map(|i| {
                    let handle = handle.clone();
                    cast.spawn(move || {
                        give_way(i);
                        select! {
                            recv(handle.as_ref()) -> ended => ended.unwrap(),
                            recv(never::<u8>()) -> _ => {}
                        }
                        assert!(handle.is_finished());
                    })
                })
                .collect();
            give_way(yields);
            go_on.set();
            waiters.into_iter().for_each(Party::join);
            join(Arc::into_inner(handle).unwrap());
        }
    });
}

#[test]
fn a_select_that_gave_up_changes_nothing() {
    parties(|cast| {
        for last in 0..3 {
            let (go_on, drops, done) = (Signal::new(), Drops::new(), Signal::new());
            let (waits, token, sets) = (go_on.clone(), drops.token(), done.clone());
            let mut handle = cast.go(move || {
                waits.wait();
                sets.set();
                token
            });
            for _ in 0..3 {
                select! { recv(handle) -> _ => panic!("it waits"), default => {} }
                assert!(handle.join_timeout(Duration::ZERO).is_none());
                select! {
                    recv(handle) -> _ => panic!("it waits"),
                    default(Duration::from_micros(20)) => {}
                }
                assert!(handle.join_timeout(Duration::from_micros(20)).is_none());
            }
            select! { recv(handle) -> _ => panic!("it waits"), default => {} }
            match last {
                // Detached, it goes on.
                0 => drop(handle),
                1 => {
                    go_on.set();
                    drop(handle.join().unwrap());
                }
                _ => {
                    go_on.set();
                    drop(join(handle));
                }
            }
            go_on.set();
            done.wait();
            until(|| (drops.count() == 1).then_some(()));
        }
    });
}

#[test]
fn the_end_races_with_giving_up() {
    parties(|cast| {
        for round in 0..60_u64 {
            let drops = Drops::new();
            let token = drops.token();
            let mut handle = cast.go(move || {
                fibra::sleep(Duration::from_micros(round % 6 * 10));
                token
            });
            let ended = select! {
                recv(handle) -> ended => ended.is_ok(),
                default(Duration::from_micros(round % 5 * 15)) => false,
            };
            assert!(!ended || handle.is_finished());
            match round % 4 {
                0 => {
                    drop(handle.join_timeout(Duration::from_micros(10)));
                    drop(handle);
                }
                1 => drop(handle.join()),
                2 => drop(handle),
                _ => {
                    handle.cancel();
                    drop(handle.join());
                }
            }
            until(|| (drops.count() == 1).then_some(()));
        }
    });
}

#[test]
fn whoever_waits_for_it_is_cancelled() {
    everywhere(|setup| {
        setup.run(|| {
            for yields in [0, 1, 30] {
                let (go_on, ready, drops) = (Signal::new(), Signal::new(), Drops::new());
                let (waits, reached, token) = (go_on.clone(), ready.clone(), drops.token());
                let child = go!(waits.wait());
                let parent = go!({
                    let _token = token;
                    reached.set();
                    select! { recv(child) -> _ => {} }
                    fibra::park();
                });
                ready.wait();
                give_way(yields);
                parent.cancel();
                assert_cancelled(outcome(parent));
                assert_eq!(drops.count(), 1);
                // The child was detached, and is not disturbed.
                go_on.set();
            }
        });
    });
}

#[test]
fn threads_wait_for_goroutines_of_several_runtimes() {
    everywhere(|setup| {
        setup.with(|here| {
            let there = setup.runtime();
            let (go_on, first) = (Signal::new(), Signal::new());
            let (waits, sets) = (go_on.clone(), first.clone());
            let (slow, fast) = (here.spawn(move || waits.wait()), there.spawn(move || sets.set()));
            let waiter = thread::spawn(move || {
                select! {
                    recv(slow) -> _ => panic!("it waits"),
                    recv(fast) -> ended => ended.unwrap(),
                }
                (slow, fast)
            });
            first.wait();
            let (slow, fast) = waiter.join().unwrap();
            go_on.set();
            join(slow);
            join(fast);
        });
    });
}
