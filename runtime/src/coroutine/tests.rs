use super::*;
use std::cell::Cell;
use std::convert::Infallible;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

#[test]
fn values_travel_both_ways() {
    let mut c = Coroutine::new(|y: &Yielder<String, usize>, first: String| {
        let mut all = first;
        while all.len() < 6 {
            all += &y.suspend(all.len());
        }
        all
    });
    assert_eq!(c.status(), Status::Suspended);
    assert_eq!(c.resume("ab".into()), Step::Yielded(2));
    assert_eq!(c.resume("cd".into()), Step::Yielded(4));
    assert_eq!(c.resume("ef".into()), Step::Returned("abcdef".into()));
    assert_eq!(c.status(), Status::Dead);
    assert_eq!(c.try_resume("x".into()), Err(ResumeError::Dead("x".into())));
}

#[test]
fn values_that_fit_a_word_travel_whole_and_are_dropped_once() {
    fn there_and_back<T: Clone + PartialEq + std::fmt::Debug + 'static>(value: T) {
        let mut c = Coroutine::new(|y: &Yielder<T, T>, mut value: T| {
            for _ in 0..3 {
                value = y.suspend(value);
            }
            value
        });
        for _ in 0..3 {
            assert_eq!(c.resume(value.clone()), Step::Yielded(value.clone()));
        }
        assert_eq!(c.resume(value.clone()), Step::Returned(value));
    }
    #[derive(Clone, PartialEq, Debug)]
    #[repr(align(64))]
    struct Nothing;
    #[derive(Clone, PartialEq, Debug)]
    struct Gap(u8, u32);
    there_and_back(Nothing);
    there_and_back([1u8, 2, 3]);
    there_and_back(Gap(1, 2));
    there_and_back(usize::MAX);
    there_and_back(0usize);
    there_and_back(None::<Box<u8>>);
    there_and_back(None::<u32>);
    there_and_back(Some(7u32));
    there_and_back([1u8; 9]);
    let counted = Rc::new(());
    there_and_back(counted.clone());
    there_and_back(Some(counted.clone()));
    assert_eq!(Rc::strong_count(&counted), 1);
    let mut dropped = Coroutine::new(|y: &Yielder<Rc<()>, Rc<()>>, first| {
        y.suspend(first);
    });
    drop(dropped.resume(counted.clone()));
    drop(dropped);
    assert_eq!(Rc::strong_count(&counted), 1);
}

#[test]
#[should_panic(expected = "cannot resume a dead coroutine")]
fn resuming_a_dead_one_panics() {
    let mut c = Coroutine::new(|_: &Yielder<(), ()>, ()| ());
    assert_eq!(c.resume(()), Step::Returned(()));
    c.resume(());
}

#[test]
fn a_panic_goes_on_in_the_resumer() {
    let mut c = Coroutine::new(|y: &Yielder<(), ()>, ()| {
        y.suspend(());
        panic!("inside");
    });
    assert_eq!(c.resume(()), Step::Yielded(()));
    let payload = catch_unwind(AssertUnwindSafe(|| -> Step<(), ()> { c.resume(()) })).unwrap_err();
    assert_eq!(payload.downcast_ref(), Some(&"inside"));
    assert_eq!(c.status(), Status::Dead);
}

#[test]
fn dropping_unwinds_once_and_again_if_caught() {
    let counted = Rc::new(());
    let inside = counted.clone();
    let mut c = Coroutine::new(move |y: &Yielder<(), u32>, ()| {
        let first = inside.clone();
        let caught = catch_unwind(AssertUnwindSafe(|| y.suspend(1)));
        assert!(caught.is_err());
        drop(first);
        let _second = inside.clone();
        y.suspend(2);
        unreachable!("it is unwound again");
    });
    assert_eq!(c.resume(()), Step::Yielded(1));
    assert_eq!(Rc::strong_count(&counted), 3);
    drop::<Coroutine<(), u32, ()>>(c);
    assert_eq!(Rc::strong_count(&counted), 1);
}

#[test]
fn one_that_never_ran_drops_its_closure() {
    for large in [false, true] {
        let counted = Rc::new(());
        let inside = counted.clone();
        let ballast = [0u8; 5000];
        let c = if large {
            Coroutine::new(move |_: &Yielder<(), ()>, ()| drop((inside, ballast[0])))
        } else {
            Coroutine::new(move |_: &Yielder<(), ()>, ()| drop(inside))
        };
        assert_eq!(Rc::strong_count(&counted), 2);
        drop(c);
        assert_eq!(Rc::strong_count(&counted), 1);
    }
}

#[test]
fn nested_and_iterated() {
    let mut outer = Coroutine::new(|y: &Yielder<(), u32>, ()| {
        let inner = Coroutine::new(|y: &Yielder<(), u32>, ()| {
            for i in 0..3 {
                y.suspend(i);
            }
        });
        for value in inner {
            y.suspend(value * 10);
        }
    });
    assert_eq!(outer.by_ref().collect::<Vec<_>>(), [0, 10, 20]);
    assert_eq!(outer.next(), None);
}

#[test]
fn stack_sizes() {
    let error = Coroutine::builder().stack_size(0).build(|_: &Yielder<(), ()>, ()| ()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    let mut deep = Coroutine::builder()
        .name("deep")
        .stack_size(4 << 20)
        .build(|_: &Yielder<(), ()>, ()| {
            fn sum(n: u64) -> u64 {
                if n == 0 { 0 } else { std::hint::black_box(n) + sum(n - 1) }
            }
            sum(10_000)
        })
        .unwrap();
    assert_eq!(deep.resume(()), Step::Returned(50_005_000));
}

#[test]
fn a_backtrace_shows_the_frames_and_ends_at_the_root() {
    #[inline(never)]
    fn marked_frame() -> String {
        std::backtrace::Backtrace::force_capture().to_string()
    }
    let mut c = Coroutine::new(|_: &Yielder<(), ()>, ()| marked_frame());
    let Step::Returned(trace) = c.resume(()) else { panic!("it returns") };
    assert!(trace.contains("marked_frame"), "{trace}");
    assert!(trace.contains("coroutine::link::enter"), "{trace}");
    let last = trace.lines().rfind(|line| !line.trim_start().starts_with("at ")).unwrap();
    assert!(last.contains("fibra_context_root"), "{trace}");
}

/// Each passes even numbers on to the other one. Whoever resumed the one gets what the other one says, from its frames.
#[test]
fn another_one_goes_on_in_its_place() {
    type Passing = Coroutine<u32, (char, u32), Infallible>;
    // So that the resumer waits at another place each time.
    fn resume(c: &mut Passing, depth: u32, number: u32) -> (char, u32) {
        let depth = std::hint::black_box(depth);
        match depth {
            0 => match c.resume(number) {
                Step::Yielded(value) => value,
                Step::Returned(never) => match never {},
            },
            _ => std::hint::black_box(resume(c, depth - 1, number)),
        }
    }
    let waiting = Rc::new(Cell::new(None::<Passing>));
    let new = |name| {
        let waiting = waiting.clone();
        Passing::new(move |y, mut number| {
            let kept = std::hint::black_box([number; 8]);
            loop {
                assert_eq!(kept, [1; 8]);
                number = match waiting.take() {
                    // SAFETY: it has the same types, is suspended, and this is the coroutine of `y`.
                    Some(next) if number.is_multiple_of(2) => unsafe {
                        let (stopped, next) = next.swap(y.as_active());
                        waiting.set(Some(stopped));
                        y.as_active().pass(next, number + 1)
                    },
                    other => {
                        waiting.set(other);
                        y.suspend((name, number))
                    }
                };
            }
        })
    };
    let (mut resumed, mut other) = (new('a'), new('b'));
    assert_eq!(resume(&mut resumed, 1, 1), ('a', 1));
    assert_eq!(resume(&mut other, 2, 1), ('b', 1));
    waiting.set(Some(other));
    for round in 1..100 {
        let names = if round % 2 == 1 { ['a', 'b'] } else { ['b', 'a'] };
        assert_eq!(resume(&mut resumed, round % 5, 3), (names[0], 3));
        assert_eq!(resume(&mut resumed, round % 7, 2 * round), (names[1], 2 * round + 1));
    }
    drop(waiting.take());
    drop(resumed);
    assert_eq!(Rc::strong_count(&waiting), 1, "both were unwound");
}

/// The rounding mode of one coroutine stays its own.
#[cfg(feature = "fp-env")]
#[test]
fn floating_point_environment() {
    use std::arch::asm;
    fn mxcsr() -> u32 {
        let mut value = 0u32;
        // SAFETY: stores a control register.
        unsafe { asm!("stmxcsr [{}]", in(reg) &raw mut value, options(nostack)) };
        value
    }
    const ROUND_UP: u32 = 0x4000;
    let before = mxcsr();
    let mut c = Coroutine::new(move |y: &Yielder<(), u32>, ()| {
        let (changed, x87) = (mxcsr() | ROUND_UP, 0x0b7fu16);
        // SAFETY: the test does no arithmetic before it goes back.
        unsafe {
            asm!("ldmxcsr [{}]", "fldcw [{}]", in(reg) &raw const changed, in(reg) &raw const x87,
                 options(nostack));
        }
        y.suspend(mxcsr());
        mxcsr()
    });
    assert_eq!(c.resume(()), Step::Yielded(before | ROUND_UP));
    assert_eq!(mxcsr(), before, "the resumer's is back");
    assert_eq!(c.resume(()), Step::Returned(before | ROUND_UP), "and the coroutine's, too");
}
