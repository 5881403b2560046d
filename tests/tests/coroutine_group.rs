//! Symmetric coroutines: transfers among them, successors, and what cannot be.

use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe};
use std::rc::Rc;

use fibra::coroutine::{self, Coroutine, Group, Member, ResumeError, Status, Yielder};
use fibra_tests::{Drops, anywhere, everywhere, text};

#[test]
fn control_goes_round() {
    anywhere(|| {
        let group = Group::new();
        let members: Vec<Member> = (0..5).map(|_| group.declare()).collect();
        for (i, &member) in members.iter().enumerate() {
            let next = members[(i + 1) % 5];
            group.define(member, move |me, mut n: u32| {
                assert_eq!(me.member(), member);
                while n < 1000 {
                    n = me.transfer(next, n + 1).unwrap();
                }
                me.leave(n)
            });
        }
        assert_eq!(group.enter(members[0], 0), Ok(1000));
        assert!(members.iter().all(|&it| group.status(it) == Status::Suspended));
        // Member 0 waits in `leave`, and returns.
        assert_eq!(group.enter(members[0], 7), Ok(7));
        assert_eq!(group.status(members[0]), Status::Dead);
    });
}

#[test]
fn successors_form_a_chain() {
    anywhere(|| {
        let group = Group::new();
        let order = Rc::new(RefCell::new(Vec::new()));
        let members: Vec<Member> = (0..4)
            .map(|i| {
                let order = order.clone();
                group.add(move |_, n: u32| {
                    order.borrow_mut().push(i);
                    n * 10 + i
                })
            })
            .collect();
        for (&from, &to) in members.iter().zip(&members[1..]) {
            group.link(from, to);
        }
        group.link(members[2], None);
        assert_eq!(group.enter(members[0], 5), Ok(5012));
        assert_eq!(*order.borrow(), [0, 1, 2]);
        // The successor of the last is dead, and who entered gets the value back.
        group.link(members[3], members[0]);
        assert_eq!(group.enter(members[3], 1), Err(ResumeError::Dead(13)));
    });
}

#[test]
fn a_member_chooses_its_successor_as_it_goes() {
    anywhere(|| {
        let group = Group::new();
        let end = group.add(|_, n: u32| n + 100);
        let begin = group.add(move |me, n| {
            me.link(end);
            n + 1
        });
        assert_eq!(group.enter(begin, 1), Ok(102));
    });
}

#[test]
fn impossible_transfers_are_errors() {
    anywhere(|| {
        let group = Rc::new(Group::new());
        let inside = Rc::downgrade(&group);
        let (a, b, dead) = (group.declare(), group.declare(), group.declare());
        group.define(a, move |me, n: u32| {
            assert_eq!(me.transfer(a, n), Err(ResumeError::Running(n)));
            assert_eq!(me.transfer(dead, n), Err(ResumeError::Dead(n)));
            // A second loop, in which this member waits for the other one.
            let nested = inside.upgrade().unwrap().enter(b, n + 1);
            assert_eq!(nested, Ok(n + 3));
            n
        });
        let inside = Rc::downgrade(&group);
        group.define(b, move |me, n| {
            assert_eq!(me.transfer(a, n), Err(ResumeError::Normal(n)));
            let group = inside.upgrade().unwrap();
            assert_eq!((group.status(a), group.status(b)), (Status::Normal, Status::Running));
            drop(group);
            // Back to the member that has entered, not to the first.
            me.leave(n + 2)
        });
        assert_eq!(group.enter(a, 1), Ok(1));
        assert_eq!((group.status(a), group.status(b)), (Status::Dead, Status::Suspended));
        assert_eq!(group.enter(a, 2), Err(ResumeError::Dead(2)));
        assert_eq!(group.enter(dead, 3), Err(ResumeError::Dead(3)));
    });
}

#[test]
fn a_repeated_member_starts_anew_on_the_same_stack() {
    anywhere(|| {
        #[inline(never)]
        fn place() -> usize {
            let here = 0u8;
            (&raw const here).addr()
        }
        const SLOT: usize = 256 << 10;
        let group = Group::new();
        let places = Rc::new(RefCell::new(Vec::new()));
        let rounds = Rc::new(Cell::new(0));
        let [f, g] = [0, 1].map(|_| group.declare());
        for (this, next) in [(f, g), (g, f)] {
            let (places, rounds) = (places.clone(), rounds.clone());
            group.repeat(this, move |me, n: u32| {
                places.borrow_mut().push(place());
                rounds.set(rounds.get() + 1);
                if rounds.get() == 10 {
                    me.link(None);
                }
                n + 1
            });
            group.link(this, next);
        }
        assert_eq!(group.enter(f, 0), Ok(10));
        assert_eq!(group.status(f), Status::Dead);
        let places = places.borrow();
        let same = places.iter().all(|place| place.abs_diff(places[0]) < SLOT);
        assert!(same, "{places:x?}");
    });
}

#[test]
fn a_panic_goes_to_whoever_entered() {
    anywhere(|| {
        let group = Group::new();
        let bad = group.add(|_, _: u32| panic::resume_unwind(Box::new("bad")));
        let good = group.add(move |me, n| me.transfer(bad, n).unwrap());
        let payload = panic::catch_unwind(AssertUnwindSafe(|| group.enter(good, 1))).unwrap_err();
        assert_eq!(text(payload.as_ref()), "bad");
        assert_eq!((group.status(good), group.status(bad)), (Status::Suspended, Status::Dead));
        assert_eq!(group.enter(good, 2), Ok(2));
    });
}

#[test]
fn a_group_that_is_dropped_unwinds_its_members() {
    anywhere(|| {
        let drops = Drops::new();
        let group = Group::new();
        let (suspended, fresh) = (drops.token(), drops.token());
        let member = group.add(move |me, n: u32| {
            let _token = suspended;
            me.leave(n)
        });
        group.add(move |_, n| {
            drop(fresh);
            n
        });
        assert_eq!(group.enter(member, 3), Ok(3));
        assert_eq!(drops.count(), 0);
        drop(group);
        assert_eq!(drops.count(), 2);
    });
}

#[test]
fn members_of_other_groups_and_bodies_that_are_there_already() {
    anywhere(|| {
        let refuses = |f: &dyn Fn()| {
            let payload = panic::catch_unwind(AssertUnwindSafe(f)).unwrap_err();
            text(payload.as_ref()).to_owned()
        };
        let (group, other) = (Group::<u32>::new(), Group::<u32>::new());
        let (mine, theirs) = (group.add(|_, n| n), other.add(|_, n| n));
        let foreign = "the member is of another group";
        assert_eq!(refuses(&|| assert!(group.enter(theirs, 1).is_ok())), foreign);
        assert_eq!(refuses(&|| assert_eq!(group.status(theirs), Status::Suspended)), foreign);
        assert!(refuses(&|| group.link(mine, theirs)).contains("another group"));
        assert!(refuses(&|| group.define(mine, |_, n| n)).contains("has not ended"));
        assert_eq!(group.enter(mine, 4), Ok(4));
        group.define(mine, |_, n| n + 1);
        assert_eq!(group.enter(mine, 4), Ok(5));
    });
}

/// Members are coroutines, may have others below them, and block as those do.
#[test]
fn members_park_their_goroutine() {
    everywhere(|setup| {
        setup.run(|| {
            let group = Group::new();
            let (ping, pong) = (group.declare(), group.declare());
            for (this, other) in [(ping, pong), (pong, ping)] {
                group.define(this, move |me, mut n: u32| {
                    assert!(coroutine::is_yieldable());
                    let mut nested = Coroutine::new(|y: &Yielder<(), u32>, ()| {
                        for n in 0.. {
                            fibra::yield_now();
                            y.suspend(n);
                        }
                    });
                    while n < 100 {
                        n += nested.next().unwrap() + 1;
                        fibra::yield_now();
                        n = me.transfer(other, n).unwrap();
                    }
                    me.leave(n)
                });
            }
            let handles: Vec<_> = (0..3).map(|_| fibra::go!(fibra::yield_now())).collect();
            assert!(group.enter(ping, 0).unwrap() >= 100);
            handles.into_iter().for_each(fibra_tests::join);
        });
    });
}
