//! Coroutines that take turns on one stack.

mod coroutine_on;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use coroutine_on::{on, stack};
use fibra::coroutine::{
    self, Coroutine, RcCoroutine, ResumeError, SharedStack, Status, Step, Yielder,
};
use fibra_tests::child::{self, Child, status};
use fibra_tests::{Drops, LONG, Signal, at, join, pinned, text, turn};

/// Resident bytes that a suspended coroutine may cost, with all that belongs to it. Unoptimised frames are larger.
const EACH: usize = if cfg!(debug_assertions) { 2048 } else { 1024 };

/// A small generator of numbers that look random.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % n
    }
}

/// Keeps much on its frames, at different depths, with pointers within them.
fn busy(y: &Yielder<u64, u64>, id: u64, first: u64) -> u64 {
    fn deep(y: &Yielder<u64, u64>, depth: usize, sum: &mut u64, id: u64) {
        let frame = black_box([id ^ depth as u64; 8]);
        let within = black_box(&raw const frame[3]);
        if depth > 0 {
            deep(y, depth - 1, sum, id);
        }
        *sum += y.suspend(*sum + id);
        // SAFETY: the pointer is into this frame, which is back in its place.
        assert_eq!(unsafe { within.read() }, id ^ depth as u64);
        assert_eq!(frame, [id ^ depth as u64; 8]);
    }
    let mut sum = first;
    for depth in [3, 0, 40, 1] {
        deep(y, depth, &mut sum, id);
    }
    sum
}

/// Whatever the order, each behaves as on a stack of its own.
#[test]
fn they_take_turns_on_a_few_stacks() {
    let stacks: Vec<_> = (0..3).map(|_| stack()).collect();
    let mut random = Random(7);
    let mut pairs: Vec<_> = (0..60)
        .map(|id| {
            let shared = on(&stacks[random.below(3)], move |y, first| busy(y, id, first));
            (shared, Coroutine::new(move |y: &Yielder<u64, u64>, first| busy(y, id, first)))
        })
        .collect();
    let mut switches = 0;
    while !pairs.is_empty() {
        let i = random.below(pairs.len());
        let (shared, own) = &mut pairs[i];
        // Some are resumed in place, several times.
        for _ in 0..random.below(4) {
            switches += 1;
            match own.try_resume(switches) {
                Err(error) => assert_eq!(shared.try_resume(switches), Err(error)),
                Ok(step) => assert_eq!(shared.resume(switches), step),
            }
        }
        if own.status() == Status::Dead || random.below(100) == 0 {
            assert_eq!(shared.status(), own.status());
            pairs.swap_remove(i);
        }
    }
    assert!(switches > 1000, "{switches}");
}

/// The stack of `SharedStack` is really one.
#[test]
fn their_frames_have_the_same_addresses() {
    let stack = stack();
    let address = |y: &Yielder<(), usize>, ()| {
        let local = 0u8;
        loop {
            y.suspend((&raw const local).addr());
        }
    };
    let mut coroutines: Vec<Coroutine<(), usize, ()>> =
        (0..3).map(|_| on(&stack, address)).collect();
    let addresses: Vec<_> = (0..9).map(|i| coroutines[i % 3].next().unwrap()).collect();
    assert!(addresses.iter().all(|it| *it == addresses[0]), "{addresses:?}");
}

/// As with libco: one resumes another one of its own stack, which resumes a third one.
#[test]
fn a_host_waits_elsewhere_while_its_guest_runs() {
    let stack = stack();
    let log = Rc::new(RefCell::new(Vec::new()));
    fn nest(
        stack: &SharedStack,
        log: &Rc<RefCell<Vec<String>>>,
        depth: usize,
    ) -> Coroutine<u32, u32, u32> {
        let (stack, log) = (stack.clone(), log.clone());
        on(&stack.clone(), move |y: &Yielder<u32, u32>, mut n| {
            let handles = [y.handle(), coroutine::running().unwrap()];
            assert_eq!(handles[0], handles[1]);
            let ballast = black_box([depth; 50]);
            log.borrow_mut().push(format!("{depth} begins with {n}"));
            if depth > 0 {
                let mut guest = nest(&stack, &log, depth - 1);
                let seen = guest.handle();
                assert_eq!(seen.status(), Status::Suspended);
                while let Step::Yielded(step) = guest.resume(n) {
                    assert_eq!(handles[0].status(), Status::Running);
                    assert_eq!(seen.status(), Status::Suspended);
                    assert_eq!(ballast, [depth; 50]);
                    n = y.suspend(step * 10 + depth as u32);
                }
                assert_eq!(seen.status(), Status::Dead);
                assert_eq!(guest.try_resume(5), Err(ResumeError::Dead(5)));
            } else {
                for _ in 0..3 {
                    n = y.suspend(n);
                }
            }
            assert_eq!(ballast, [depth; 50]);
            log.borrow_mut().push(format!("{depth} ends"));
            n
        })
    }
    let mut outer = [nest(&stack, &log, 2), nest(&stack, &log, 2)];
    for n in 1..=3 {
        for outer in &mut outer {
            assert_eq!(outer.resume(n), Step::Yielded(n * 100 + 12));
        }
    }
    for outer in &mut outer {
        assert_eq!(outer.resume(4), Step::Returned(4));
    }
    let begin = ["2 begins with 1", "1 begins with 1", "0 begins with 1"];
    let end = ["0 ends", "1 ends", "2 ends"];
    assert_eq!(*log.borrow(), [begin, begin, end, end].concat());
}

#[test]
fn a_host_is_seen_as_normal() {
    let stack = stack();
    let mut host = on(&stack.clone(), move |y: &Yielder<(), Status>, ()| {
        let me = y.handle();
        let beyond = me.clone();
        let mut guest = on(&stack, move |y: &Yielder<(), Status>, ()| {
            y.suspend(me.status());
            // From a stack of its own, resumed by the guest.
            let mut third = Coroutine::new(move |y: &Yielder<(), Status>, ()| {
                y.suspend(me.status());
            });
            third.next().unwrap()
        });
        y.suspend(guest.next().unwrap());
        y.suspend(guest.resume(()).returned().unwrap());
        y.suspend(beyond.status());
    });
    assert_eq!(host.next(), Some(Status::Normal));
    assert_eq!(host.next(), Some(Status::Normal));
    assert_eq!(host.next(), Some(Status::Running));
    assert_eq!(host.next(), None);
}

#[test]
fn dropping_unwinds_once_wherever_the_frames_are() {
    let stack = stack();
    let drops = Drops::new();
    let new = |name: &'static str| {
        let (captured, drops) = (drops.token(), drops.clone());
        on(&stack, move |y: &Yielder<(), &str>, ()| {
            let _captured = captured;
            let ballast = black_box([7u8; 500]);
            let first = drops.token();
            assert!(catch_unwind(AssertUnwindSafe(|| y.suspend(name))).is_err());
            drop(first);
            assert_eq!(ballast, [7; 500]);
            let _second = drops.token();
            y.suspend("again");
            unreachable!("it is unwound again");
        })
    };
    drop(new("never started"));
    assert_eq!(drops.count(), 1);
    let mut away: Coroutine<(), &str, ()> = new("away");
    let mut in_place: Coroutine<(), &str, ()> = new("in place");
    assert_eq!(away.next(), Some("away"));
    assert_eq!(in_place.next(), Some("in place"));
    drop(away);
    assert_eq!(drops.count(), 4);
    // What is away is `in_place` now.
    drop(in_place);
    assert_eq!(drops.count(), 7);
    // By one of the same stack.
    let mut c = new("dropped by a host");
    let mut host = on(&stack, |y: &Yielder<(), &str>, ()| {
        let ballast = black_box([8u8; 900]);
        y.suspend(c.next().unwrap());
        drop(c);
        assert_eq!(ballast, [8; 900]);
    });
    assert_eq!(host.next(), Some("dropped by a host"));
    assert_eq!(host.next(), None);
    assert_eq!(drops.count(), 10);
    // And closed.
    let mut closed = new("closed");
    assert_eq!(closed.next(), Some("closed"));
    closed.close().unwrap();
    assert_eq!((closed.status(), drops.count()), (Status::Dead, 13));
}

#[test]
fn panics_travel() {
    let stack = stack();
    let new = || {
        on(&stack, |y: &Yielder<(), ()>, ()| {
            y.suspend(());
            panic!("inside");
        })
    };
    fn expect_panic(c: &mut Coroutine<(), (), ()>) {
        let payload = catch_unwind(AssertUnwindSafe(|| c.resume(()))).unwrap_err();
        assert_eq!(text(payload.as_ref()), "inside");
        assert_eq!(c.status(), Status::Dead);
    }
    let (mut a, mut b) = (new(), new());
    for c in [&mut a, &mut b] {
        assert_eq!(c.next(), Some(()));
    }
    expect_panic(&mut a);
    // From guest to host.
    let mut host = on(&stack, move |_: &Yielder<(), ()>, ()| expect_panic(&mut b));
    assert_eq!(host.resume(()), Step::Returned(()));
}

/// Nobody knows when the one that is active would want its frames back.
#[test]
fn the_stack_is_in_use_for_those_beyond_another_coroutine() {
    let stack = stack();
    let drops = Drops::new();
    let waiting = |token| {
        on(&stack, move |y: &Yielder<u32, u32>, n| {
            let _token = token;
            y.suspend(n);
            n
        })
    };
    let mut resumed = waiting(drops.token());
    let mut closed = waiting(drops.token());
    let mut dropped = waiting(drops.token());
    let mut panics: Coroutine<u32, u32, ()> = on(&stack, |y, n| {
        let unwound = catch_unwind(AssertUnwindSafe(|| y.suspend(n)));
        assert!(unwound.is_err());
        panic!("a loud end");
    });
    let mut unstarted = waiting(drops.token());
    for c in [&mut resumed, &mut closed, &mut dropped] {
        assert_eq!(c.resume(1), Step::Yielded(1));
    }
    assert_eq!(panics.resume(1), Step::Yielded(1));
    let counted = drops.clone();
    let mut host = on(&stack, move |y: &Yielder<(), ()>, ()| {
        let mut between = Coroutine::new(move |_: &Yielder<(), ()>, ()| {
            let error = resumed.try_resume(2).unwrap_err();
            assert_eq!(error, ResumeError::StackInUse(2));
            assert_eq!((error.status(), resumed.status()), (Status::Suspended, Status::Suspended));
            let panicked = catch_unwind(AssertUnwindSafe(|| closed.close())).unwrap_err();
            assert!(text(panicked.as_ref()).contains("on its shared stack"));
            assert_eq!(unstarted.try_resume(9), Err(ResumeError::StackInUse(9)));
            assert_eq!(unstarted.status(), Status::Suspended);
            drop(unstarted);
            assert_eq!(counted.count(), 1, "this one has no frames");
            drop((dropped, panics));
            assert_eq!(counted.count(), 1, "they are unwound later");
            (resumed, closed)
        });
        let (mut resumed, mut closed) = between.resume(()).returned().unwrap();
        assert_eq!(resumed.resume(3), Step::Returned(1), "a guest");
        closed.close().unwrap();
        drop(between);
        y.suspend(());
    });
    assert_eq!(host.next(), Some(()));
    assert_eq!(drops.count(), 3);
    // With the next one that goes, as nobody is active now.
    let panicked = catch_unwind(AssertUnwindSafe(|| drop(host))).unwrap_err();
    assert_eq!(text(panicked.as_ref()), "a loud end");
    assert_eq!(drops.count(), 4);
}

/// One that parks inside a goroutine keeps its place.
#[test]
fn the_stack_is_in_use_while_a_goroutine_is_parked_on_it() {
    thread_local!(static STACK: RefCell<Option<SharedStack>> = const { RefCell::new(None) });
    // Goroutines of one worker can share a stack.
    at(&[1], &[false], LONG, |setup| {
        setup.without_spares().run(|| {
            STACK.set(Some(stack()));
            let drops = Drops::new();
            let [ready, parked, done] = [(); 3].map(|()| Signal::new());
            let other = fibra::go!({
                let (drops, ready) = (drops.clone(), ready.clone());
                let (parked, done) = (parked.clone(), done.clone());
                move || {
                    let token = drops.token();
                    let stack = STACK.with_borrow(|stack| stack.clone().unwrap());
                    let mut other = on(&stack, move |y: &Yielder<u32, u32>, n| {
                        let _token = token;
                        y.suspend(n);
                    });
                    assert_eq!(other.resume(1), Step::Yielded(1));
                    ready.set();
                    parked.wait();
                    assert_eq!(other.try_resume(2), Err(ResumeError::StackInUse(2)));
                    drop(other);
                    assert_eq!(drops.count(), 0, "it is unwound later");
                    done.set();
                }
            }());
            ready.wait();
            let shared = STACK.take().unwrap();
            let mut sleeper = on(&shared, {
                let done = done.clone();
                move |y: &Yielder<(), usize>, ()| {
                    let ballast = black_box([5usize; 100]);
                    parked.set();
                    done.wait();
                    assert_eq!(ballast, [5; 100]);
                    y.suspend(ballast.iter().sum());
                }
            });
            STACK.set(Some(shared));
            assert_eq!(sleeper.next(), Some(500));
            join(other);
            assert_eq!(drops.count(), 0);
            drop(sleeper);
            assert_eq!(drops.count(), 1);
            STACK.set(None);
        });
    });
}

#[test]
fn many_goroutines_have_shared_stacks_of_their_own() {
    pinned(|setup| {
        setup.run(|| {
            fibra::scope(|s| {
                for id in 0..20 {
                    s.go(move || {
                        let stack = stack();
                        let mut all: Vec<_> = (0..5)
                            .map(|i| {
                                on(&stack, move |y: &Yielder<u64, u64>, n| {
                                    fibra::yield_now();
                                    busy(y, id * 5 + i, n)
                                })
                            })
                            .collect();
                        let mut own =
                            Coroutine::new(move |y: &Yielder<u64, u64>, n| busy(y, id * 5 + 4, n));
                        for n in 0..30 {
                            let want = own.resume(n);
                            let have = all.iter_mut().map(|c| c.resume(n)).last();
                            assert_eq!(have, Some(want));
                            fibra::yield_now();
                        }
                    });
                }
            });
        });
    });
}

/// Stacks come back when nobody needs them any more, whoever goes last.
#[test]
fn the_stack_goes_back_to_the_pool() {
    pinned(|setup| {
        setup.run(|| {
            let first = stack();
            let mut c = on(&first.clone(), |y: &Yielder<(), ()>, ()| y.suspend(()));
            drop(first);
            assert_eq!(c.next(), Some(()));
            drop(c);
            let second = stack();
            drop(on(&second, |_: &Yielder<(), ()>, ()| ()));
            drop(second);
        });
        // That all stacks are back is checked by `pinned`.
    });
}

#[test]
fn sizes_are_checked() {
    assert_eq!(SharedStack::new(0).unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
    assert_eq!(format!("{:?}", stack()), "SharedStack { size: StackSize(131072), .. }");
}

#[test]
fn one_with_several_owners() {
    let stack = stack();
    let new = || RcCoroutine::from(on(&stack, |y: &Yielder<u32, u32>, n| y.suspend(n + 1)));
    let (a, b) = (new(), new());
    assert_eq!(a.resume(1), Ok(Step::Yielded(2)));
    assert_eq!(b.resume(3), Ok(Step::Yielded(4)));
    assert_eq!(a.resume(5), Ok(Step::Returned(5)));
    assert_eq!((a.status(), b.status()), (Status::Dead, Status::Suspended));
}

/// A queue of them, as a scheduler has it.
#[test]
fn a_suspended_one_costs_less_than_a_kibibyte() {
    let _turn = turn();
    if child::is_sanitized() {
        return; // It has memory of its own for each.
    }
    let end = Child::new().run("", |_| {
        const COUNT: usize = 100_000;
        let stacks: Vec<_> = (0..4).map(|_| stack()).collect();
        let new = |i: usize| {
            on(&stacks[i % stacks.len()], move |y: &Yielder<(), usize>, ()| {
                let kept = black_box([i; 8]);
                for n in 0..2 {
                    y.suspend(n + i);
                }
                assert_eq!(kept, [i; 8]);
            })
        };
        let mut all = VecDeque::with_capacity(COUNT);
        // So that the stacks and the queue's memory do not count.
        all.extend((0..COUNT).map(|_| None));
        all.clear();
        drop((0..8).map(|i| (new(i)).next()).collect::<Vec<_>>());
        let before = status("VmRSS");
        for i in 0..COUNT {
            let mut c = new(i);
            assert_eq!(c.next(), Some(i));
            all.push_back(Some(c));
        }
        let each = ((status("VmRSS") - before) << 10) / COUNT;
        println!("{COUNT} coroutines: {each} bytes each");
        assert!(each <= EACH, "{each} bytes each");
        for (i, c) in all.iter_mut().flatten().enumerate() {
            assert_eq!(c.next(), Some(i + 1));
        }
        for c in all.iter_mut().flatten().step_by(2) {
            assert_eq!(c.next(), None);
        }
    });
    print!("{}", end.succeeded().stdout);
}

#[test]
fn a_backtrace_ends_at_the_root() {
    #[inline(never)]
    fn marked_frame() -> String {
        std::backtrace::Backtrace::force_capture().to_string()
    }
    let stack = stack();
    let new = || {
        on(&stack, |y: &Yielder<(), String>, ()| {
            y.suspend(marked_frame());
            y.suspend(marked_frame());
        })
    };
    let mut both: [Coroutine<(), String, ()>; 2] = [new(), new()];
    for _ in 0..2 {
        for c in &mut both {
            let trace = c.next().unwrap();
            assert!(trace.contains("marked_frame"), "{trace}");
            let last = trace.lines().rfind(|line| !line.trim_start().starts_with("at ")).unwrap();
            assert!(last.contains("fibra_context_root"), "{trace}");
        }
    }
}

/// Who runs there changes, and so does the name in the message.
#[test]
fn overflow_of_a_shared_stack_names_who_is_there() {
    let _turn = turn();
    fn recurse(n: usize) -> usize {
        let frame = black_box([n; 64]);
        if n == usize::MAX { 0 } else { recurse(n + 1) + black_box(frame)[3] }
    }
    for case in ["fresh", "back", "guest", "host"] {
        let end = Child::new().run(case, |case| {
            let stack = stack();
            let new = |name: &str, overflows: bool| {
                let body = move |y: &Yielder<(), ()>, ()| {
                    y.suspend(());
                    if overflows { recurse(0) } else { 0 }
                };
                // SAFETY: nothing points into the frames.
                unsafe { Coroutine::builder().name(name).build_on_shared_stack(&stack, body) }
            };
            let (mut parser, mut other) = (new("parser", true), new("other", false));
            assert_eq!(parser.resume(()), Step::Yielded(()));
            assert_eq!(other.resume(()), Step::Yielded(()));
            let on = |name: Option<&str>, body: Box<dyn FnOnce() -> usize>| {
                let builder = Coroutine::builder();
                let builder = if let Some(name) = name { builder.name(name) } else { builder };
                let body = |_: &Yielder<(), ()>, ()| body();
                // SAFETY: nothing points into the frames.
                unsafe { builder.build_on_shared_stack(&stack, body) }.resume(())
            };
            let step = match case {
                "fresh" => on(None, Box::new(|| recurse(0))),
                "back" => parser.resume(()),
                "guest" => on(None, Box::new(move || parser.resume(()).returned().unwrap())),
                _ => {
                    let body = move || {
                        assert_eq!(other.resume(()), Step::Returned(0));
                        recurse(0)
                    };
                    on(Some("parser"), Box::new(body))
                }
            };
            unreachable!("{step:?}");
        });
        let end = end.died_of(libc::SIGABRT);
        let who = if case == "fresh" { "a coroutine" } else { "coroutine 'parser'" };
        assert!(
            end.stderr.starts_with(&format!("{who} overflowed its stack of 128 KiB;")),
            "{case}: {end}"
        );
    }
}
