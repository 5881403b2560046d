//! Wait groups: a wait ends with the zero that ends its stretch, wherever it waits.

mod chan_parties;

use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use chan_parties::{callers, give_way, parties};
use fibra::chan::{Select, after, never};
use fibra::sync::WaitGroup;
use fibra::{go, select};
use fibra_tests::{
    Drops, FOREVER, LONG, OnDrop, Signal, assert_cancelled, everywhere, join, outcome, text,
};

const SHORT: Duration = Duration::from_millis(2);

/// All ways to wait.
const WAITS: [fn(&WaitGroup); 5] = [
    |group| group.wait(),
    |group| assert!(group.wait_timeout(FOREVER)),
    |group| select! { recv(group) -> zero => assert_eq!(zero, Ok(())) },
    |group| {
        select! {
            recv(never::<u8>()) -> _ => {}
            recv(group) -> zero => assert_eq!(zero, Ok(())),
            default(FOREVER) => panic!("for ever"),
        }
    },
    |group| {
        let mut select = Select::new();
        select.recv(group);
        assert_eq!(select.select().recv(group), Ok(()));
    },
];

#[test]
fn without_a_count_nobody_waits() {
    callers(|| {
        let group = WaitGroup::default();
        for _ in 0..3 {
            WAITS.iter().for_each(|wait| wait(&group));
            assert!(group.wait_timeout(Duration::ZERO));
            group.add(0);
            group.add(2);
            group.done();
            group.done();
        }
        assert_eq!(format!("{group:?}"), "WaitGroup { count: 0 }");
    });
}

#[test]
fn a_wait_sees_what_was_done() {
    parties(|cast| {
        for wait in WAITS {
            for members in [1, 2, 7] {
                let group = WaitGroup::new();
                let count = Arc::new(AtomicUsize::new(0));
                group.add(members);
                let parties: Vec<_> = (0..members)
                    .map(|member| {
                        let (group, count) = (group.clone(), count.clone());
                        cast.spawn(move || {
                            give_way(member);
                            count.fetch_add(1, Ordering::Relaxed);
                            group.done();
                        })
                    })
                    .collect();
                wait(&group);
                assert_eq!(count.load(Ordering::Relaxed), members);
                parties.into_iter().for_each(|party| party.join());
            }
        }
    });
}

#[test]
fn all_who_wait_go_on() {
    parties(|cast| {
        for yields in [0, 1, 20] {
            let (group, done) = (WaitGroup::new(), Arc::new(AtomicBool::new(false)));
            group.add(1);
            let waiters: Vec<_> = WAITS
                .iter()
                .cycle()
                .take(20)
                .map(|wait| {
                    let (group, done) = (group.clone(), done.clone());
                    cast.spawn(move || {
                        wait(&group);
                        assert!(done.load(Ordering::Relaxed));
                    })
                })
                .collect();
            give_way(yields);
            done.store(true, Ordering::Relaxed);
            group.done();
            waiters.into_iter().for_each(|waiter| waiter.join());
        }
    });
}

#[test]
fn the_count_may_go_up_during_a_wait() {
    parties(|cast| {
        for wait in WAITS {
            let (group, last) = (WaitGroup::new(), Arc::new(AtomicBool::new(false)));
            group.add(1);
            let (other, done) = (group.clone(), last.clone());
            let member = cast.spawn(move || {
                for n in 1..50 {
                    other.add(n % 3 + 1);
                    give_way(n % 2);
                    (0..n % 3 + 1).for_each(|_| other.done());
                }
                done.store(true, Ordering::Relaxed);
                other.done();
            });
            wait(&group);
            assert!(last.load(Ordering::Relaxed));
            member.join();
        }
    });
}

#[test]
fn it_is_used_again_and_again() {
    parties(|cast| {
        let group = WaitGroup::new();
        // What two parties pass back and forth: in each round all of the other's work is seen.
        let (round, rounds) = (Arc::new(AtomicUsize::new(0)), 100);
        let (started, counted) = (WaitGroup::new(), round.clone());
        group.add(1);
        started.add(1);
        let (other, other_started) = (group.clone(), started.clone());
        let worker = cast.spawn(move || {
            for n in 0..rounds {
                WAITS[n % WAITS.len()](&other_started);
                other_started.add(1);
                counted.fetch_add(1, Ordering::Relaxed);
                other.done();
            }
        });
        for n in 0..rounds {
            started.done();
            WAITS[n % WAITS.len()](&group);
            group.add(1);
            assert_eq!(round.load(Ordering::Relaxed), n + 1);
        }
        worker.join();
    });
}

#[test]
fn a_zero_lets_out_also_if_the_count_goes_up_at_once() {
    parties(|cast| {
        for _ in 0..100 {
            let (group, waits) = (WaitGroup::new(), Signal::new());
            group.add(1);
            let (other, reached) = (group.clone(), waits.clone());
            let waiter = cast.spawn(move || {
                reached.set();
                other.wait();
            });
            waits.wait();
            // Perhaps it waits by now. Nobody is ever done with the second one; only what comes before it may
            // let the waiter out.
            while !waiter.is_finished() {
                group.done();
                group.add(1);
                fibra::yield_now();
            }
            waiter.join();
        }
    });
}

#[test]
fn no_wait_ends_above_zero() {
    parties(|cast| {
        let (group, stop) = (WaitGroup::new(), Arc::new(AtomicBool::new(false)));
        let below = Arc::new(AtomicUsize::new(0));
        let parties: Vec<_> = (0..3)
            .map(|party| {
                let (group, stop, below) = (group.clone(), stop.clone(), below.clone());
                cast.spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        // Ours is part of the count, so the group cannot be at zero now.
                        group.add(1);
                        if group.wait_timeout(Duration::ZERO) {
                            below.fetch_add(1, Ordering::Relaxed);
                        }
                        give_way(party);
                        group.done();
                        let _zero = group.wait_timeout(Duration::from_micros(50));
                    }
                })
            })
            .collect();
        fibra::sleep(Duration::from_millis(10));
        stop.store(true, Ordering::Relaxed);
        parties.into_iter().for_each(|party| party.join());
        assert_eq!(below.load(Ordering::Relaxed), 0);
        group.wait();
    });
}

#[test]
fn giving_up() {
    callers(|| {
        let group = WaitGroup::new();
        group.add(1);
        for _ in 0..3 {
            let start = Instant::now();
            assert!(!group.wait_timeout(SHORT));
            assert!(start.elapsed() >= SHORT);
            assert!(!group.wait_timeout(Duration::ZERO));
            select! {
                recv(group) -> _ => panic!("it is not done"),
                default => {}
            }
        }
        group.done();
        assert!(group.wait_timeout(Duration::ZERO));
    });
}

#[test]
fn more_done_than_added_is_a_panic() {
    callers(|| {
        let group = WaitGroup::new();
        for _ in 0..2 {
            let error = panic::catch_unwind(|| group.done()).unwrap_err();
            assert_eq!(text(&*error), "a WaitGroup was done more often than was added to it");
            // Nothing has happened.
            group.add(1);
            assert!(!group.wait_timeout(Duration::ZERO));
            group.done();
            group.wait();
        }
        let error = panic::catch_unwind(|| group.add(usize::MAX)).unwrap_err();
        assert_eq!(text(&*error), "the count of a WaitGroup is too large");
        group.add(usize::MAX / 2);
        panic::catch_unwind(|| group.add(1)).unwrap_err();
        assert_eq!(format!("{group:?}"), format!("WaitGroup {{ count: {} }}", usize::MAX / 2));
    });
}

#[test]
fn go_counts_until_the_end() {
    callers(|| {
        let (group, drops) = (WaitGroup::new(), Drops::new());
        for n in 0..50 {
            let token = drops.token();
            group.go(move || {
                give_way(n % 5);
                token
            });
        }
        group.wait();
        assert_eq!(drops.count(), 50);
    });
}

#[test]
fn a_panic_counts_as_done() {
    callers(|| {
        let (group, drops) = (WaitGroup::new(), Drops::new());
        for n in 0..4 {
            let token = drops.token();
            group.go(move || {
                let _token = token;
                give_way(n);
                panic!("of a member");
            });
        }
        assert!(group.wait_timeout(LONG));
        assert_eq!(drops.count(), 4);
    });
}

#[test]
fn members_go_in_turn() {
    everywhere(|setup| {
        setup.run(|| {
            // Members that add members.
            fn tree(group: &WaitGroup, depth: usize, leaves: &Arc<AtomicUsize>) {
                if depth == 0 {
                    leaves.fetch_add(1, Ordering::Relaxed);
                    return;
                }
                for _ in 0..3 {
                    let (inner, leaves) = (group.clone(), leaves.clone());
                    group.go(move || tree(&inner, depth - 1, &leaves));
                }
            }
            let (group, leaves) = (WaitGroup::new(), Arc::new(AtomicUsize::new(0)));
            tree(&group, 6, &leaves);
            group.wait();
            assert_eq!(leaves.load(Ordering::Relaxed), 729);
        });
    });
}

#[test]
fn those_that_never_run_count_as_done() {
    everywhere(|setup| {
        let (group, ready) = (WaitGroup::new(), Signal::new());
        let runtime = setup.runtime();
        let (inner, reached) = (group.clone(), ready.clone());
        drop(runtime.spawn(move || {
            for _ in 0..20 {
                inner.go(fibra::park);
            }
            reached.set();
            fibra::park();
        }));
        ready.wait();
        assert!(!group.wait_timeout(Duration::ZERO));
        drop(runtime);
        group.wait();
    });
}

#[test]
fn an_arm_among_others() {
    parties(|cast| {
        let group = WaitGroup::new();
        group.add(1);
        select! {
            recv(group) -> _ => panic!("it is not done"),
            recv(after(SHORT)) -> _ => {}
        }
        let other = group.clone();
        let member = cast.spawn(move || other.done());
        for _ in 0..3 {
            select! {
                recv(&group) -> zero => assert_eq!(zero, Ok(())),
                recv(after(FOREVER)) -> _ => panic!("for ever"),
            }
        }
        member.join();
        select! {
            recv(None::<&WaitGroup>) -> _ => panic!("disabled"),
            default => {}
        }
    });
}

#[test]
fn ends_every_wait_when_cancelled() {
    everywhere(|setup| {
        setup.run(|| {
            for wait in WAITS {
                for yields in [0, 1, 30] {
                    let (group, ready, drops) = (WaitGroup::new(), Signal::new(), Drops::new());
                    group.add(1);
                    let (other, reached, token) = (group.clone(), ready.clone(), drops.token());
                    let waiter = go!({
                        let _token = token;
                        reached.set();
                        wait(&other);
                        fibra::park();
                    });
                    ready.wait();
                    give_way(yields);
                    waiter.cancel();
                    assert_cancelled(outcome(waiter));
                    assert_eq!(drops.count(), 1);
                    group.done();
                    wait(&group);
                }
            }
        });
    });
}

#[test]
fn one_that_is_put_off_waits() {
    everywhere(|setup| {
        setup.run(|| {
            let (group, ready) = (WaitGroup::new(), Signal::new());
            group.add(1);
            let (other, reached) = (group.clone(), ready.clone());
            let waiter = go!({
                reached.set();
                fibra::uncancellable(|| other.wait());
                5
            });
            ready.wait();
            waiter.cancel();
            give_way(20);
            assert!(!waiter.is_finished());
            group.done();
            assert_eq!(join(waiter), 5);
        });
    });
}

#[test]
fn a_destructor_that_unwinds_may_be_done() {
    everywhere(|setup| {
        setup.run(|| {
            let group = WaitGroup::new();
            group.add(1);
            let other = group.clone();
            let member = go!(move || -> () {
                let _done = OnDrop(|| other.done());
                panic!("before it is done");
            });
            group.wait();
            assert!(outcome(member).is_err());
        });
    });
}

#[test]
fn threads_and_goroutines_of_two_runtimes_share_one() {
    everywhere(|setup| {
        setup.with(|here| {
            let there = setup.runtime();
            let group = WaitGroup::new();
            group.add(30);
            let members: Vec<_> = [here, &there]
                .iter()
                .flat_map(|runtime| {
                    let group = &group;
                    (0..10).map(move |_| {
                        let group = group.clone();
                        runtime.spawn(move || group.done())
                    })
                })
                .collect();
            let threads: Vec<_> = (0..10)
                .map(|_| {
                    let group = group.clone();
                    thread::spawn(move || group.done())
                })
                .collect();
            let waiter = {
                let group = group.clone();
                there.spawn(move || group.wait())
            };
            group.wait();
            join(waiter);
            members.into_iter().for_each(join);
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        });
    });
}
