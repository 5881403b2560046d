//! Values that travel between coroutines that take turns on one stack.

mod coroutine_on;

use std::hint::black_box;
use std::rc::Rc;

use coroutine_on::{on, stack};
use fibra::coroutine::{Coroutine, ResumeError, SharedStack, Step, Yielder};

#[test]
fn values_of_all_kinds_travel() {
    #[derive(Clone, Copy, PartialEq, Debug)]
    #[repr(align(128))]
    struct Aligned([u8; 300]);
    let stack = stack();
    fn echo<T: Clone + PartialEq + std::fmt::Debug + 'static>(stack: &SharedStack, value: T) {
        let mut both: Vec<_> = (0..2)
            .map(|_| {
                on(stack, |y: &Yielder<T, (T, T)>, mut value: T| {
                    for _ in 0..3 {
                        value = y.suspend((value.clone(), value));
                    }
                    Box::new(value)
                })
            })
            .collect();
        for _ in 0..3 {
            for c in &mut both {
                assert_eq!(c.resume(value.clone()), Step::Yielded((value.clone(), value.clone())));
            }
        }
        for c in &mut both {
            assert_eq!(c.resume(value.clone()), Step::Returned(Box::new(value.clone())));
        }
    }
    let all = |stack: &SharedStack| {
        echo(stack, ());
        echo(stack, 7u8);
        echo(stack, [1u8, 2, 3]);
        echo(stack, 0usize);
        echo(stack, Some(Box::new(5)));
        echo(stack, None::<Box<u32>>);
        echo(stack, String::from("a string"));
        echo(stack, [3u64; 200]);
        echo(stack, Aligned([9; 300]));
    };
    all(&stack);
    // And between two of the same stack.
    let same = stack.clone();
    let mut host = on(&stack, move |_: &Yielder<(), ()>, ()| all(&same));
    assert_eq!(host.resume(()), Step::Returned(()));
}

/// Only one of the two directions has an address to be put right.
#[test]
fn large_and_small_values_travel_between_host_and_guest() {
    let stack = stack();
    let same = stack.clone();
    let mut host = on(&stack, move |_: &Yielder<(), ()>, ()| {
        let mut shrink = on(&same, |y: &Yielder<[u64; 50], u8>, mut large| {
            loop {
                large = y.suspend(large.iter().sum::<u64>() as u8);
            }
        });
        let mut grow = on(&same, |y: &Yielder<u8, [u64; 50]>, mut small| {
            loop {
                small = y.suspend([u64::from(small); 50]);
            }
        });
        for i in 0..5 {
            assert_eq!(grow.resume(i), Step::<_, ()>::Yielded([u64::from(i); 50]));
            assert_eq!(shrink.resume([i.into(); 50]), Step::<_, ()>::Yielded(i * 50));
        }
    });
    assert_eq!(host.resume(()), Step::Returned(()));
}

#[test]
fn an_input_that_is_refused_comes_back_whole() {
    fn refused<T: Clone + PartialEq + std::fmt::Debug + 'static>(value: T) {
        let stack = stack();
        let mut other = on(&stack, |y: &Yielder<T, T>, mut value: T| {
            loop {
                value = y.suspend(value);
            }
        });
        let back = value.clone();
        let step = Step::<T, ()>::Yielded(value.clone());
        // Between the two is one that is elsewhere, so that the stack is in use.
        let mut first = on(&stack, move |_: &Yielder<(), ()>, ()| {
            let mut between = Coroutine::new(move |_: &Yielder<(), ()>, ()| {
                assert_eq!(
                    other.try_resume(value.clone()),
                    Err(ResumeError::StackInUse(value.clone()))
                );
                other
            });
            between.resume(()).returned().unwrap()
        });
        let mut other = first.resume(()).returned().unwrap();
        assert_eq!(other.resume(back), step);
    }
    refused(7u8);
    refused(Box::new(7));
    refused(String::from("a string"));
    let counted = Rc::new(());
    refused(counted.clone());
    refused([counted.clone(), counted.clone()]);
    assert_eq!(Rc::strong_count(&counted), 1);
}

/// Only what travels as its address is put right when the frames move.
#[test]
fn a_number_that_looks_like_an_address_in_the_frames_stays_what_it_is() {
    let stack = stack();
    let same = stack.clone();
    let mut host = on(&stack, move |_: &Yielder<(), ()>, ()| {
        let local = black_box(7u8);
        let mine = (&raw const local).addr();
        let mut guest = on(&same, |y: &Yielder<usize, usize>, first| {
            let local = black_box(7u8);
            let mine = (&raw const local).addr();
            y.suspend(first);
            assert_eq!(y.suspend(mine), mine);
        });
        assert_eq!(guest.resume(mine), Step::Yielded(mine));
        let Step::Yielded(of_guest) = guest.resume(0) else { panic!("it ended") };
        assert_eq!(guest.resume(of_guest), Step::Returned(()));
    });
    assert_eq!(host.resume(()), Step::Returned(()));
}
