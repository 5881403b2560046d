//! Coroutines that borrow: whatever becomes of their owners, their frames are gone when the scope ends.

use std::cell::{Cell, RefCell};
use std::mem;
use std::panic::{self, AssertUnwindSafe};
use std::rc::Rc;

use fibra::coroutine::{self, Coroutine, ResumeError, ScopedCoroutine, Status, Step, Yielder};
use fibra_tests::{OnDrop, anywhere, text};

#[test]
fn a_generator_over_borrowed_data() {
    anywhere(|| {
        let words = [String::from("a"), String::from("bc"), String::from("def")];
        let mut letters = 0;
        let longest = coroutine::scope(|s| {
            let mut c = s.coroutine(|y, ()| {
                let mut longest = "";
                for word in &words {
                    letters += word.len();
                    longest = word;
                    y.suspend(word.as_str());
                }
                longest
            });
            assert_eq!(c.by_ref().collect::<String>(), "abcdef");
            assert_eq!(c.status(), Status::Dead);
            let mut again = s.coroutine(|y: &Yielder<&str, usize>, first| {
                let second = y.suspend(first.len());
                if second.len() > first.len() { second } else { first }
            });
            assert_eq!(again.resume(&words[2]), Step::Yielded(3));
            again.resume(&words[0]).returned().unwrap()
        });
        assert_eq!((longest, letters), ("def", 6));
    });
}

/// Owners can be forgotten, in several ways; what the frames borrow must not end before them.
#[test]
fn forgotten_ones_are_unwound_at_the_end() {
    anywhere(|| {
        let ended = RefCell::new(Vec::new());
        let mut data = [0; 4];
        let [a, b, c, d] = &mut data;
        let handle = coroutine::scope(|s| {
            let one = |place: &'static str, number, slot| {
                let ended = &ended;
                let mut one = s.coroutine(move |y: &Yielder<(), ()>, ()| {
                    let _at_end = OnDrop(|| ended.borrow_mut().push(place));
                    let slot: &mut i32 = slot;
                    *slot = number;
                    y.suspend(());
                    *slot = -1;
                });
                one.resume(());
                one
            };
            let forgotten = one("forgotten", 1, a);
            let handle = forgotten.handle();
            mem::forget(forgotten);
            mem::forget(Rc::new(one("leaked", 2, b)));
            drop(one("dropped", 3, c));
            let _kept = one("kept", 4, d);
            assert_eq!(*ended.borrow(), ["dropped"]);
            assert_eq!(handle.status(), Status::Suspended);
            handle
        });
        assert_eq!(*ended.borrow(), ["dropped", "kept", "leaked", "forgotten"]);
        assert_eq!(handle.status(), Status::Dead);
        assert_eq!(data, [1, 2, 3, 4]);
    });
}

/// It holds its own owner, which is dropped while it is unwound.
#[test]
fn one_that_owns_itself() {
    type Owner<'scope> = Rc<RefCell<Option<ScopedCoroutine<'scope, (), (), ()>>>>;
    anywhere(|| {
        let ended = Cell::new(0);
        coroutine::scope(|s| {
            let owner: Owner<'_> = Rc::default();
            let inside = owner.clone();
            let ended = &ended;
            let c = s.coroutine(move |y, ()| {
                let _at_end = OnDrop(|| ended.set(ended.get() + 1));
                let _itself = inside;
                y.suspend(());
            });
            owner.borrow_mut().insert(c).resume(());
            drop(owner);
            assert_eq!(ended.get(), 0);
        });
        assert_eq!(ended.get(), 1);
    });
}

/// Two that hold each other's owner.
#[test]
fn two_that_own_each_other() {
    type Owner<'scope> = Rc<RefCell<Option<ScopedCoroutine<'scope, (), (), ()>>>>;
    anywhere(|| {
        let ended = Cell::new(0);
        coroutine::scope(|s| {
            let owners: [Owner<'_>; 2] = Default::default();
            for i in [0, 1] {
                let (other, ended) = (owners[1 - i].clone(), &ended);
                let c = s.coroutine(move |y, ()| {
                    let _at_end = OnDrop(|| ended.set(ended.get() + 1));
                    let _other = other;
                    y.suspend(());
                });
                owners[i].borrow_mut().insert(c).resume(());
            }
            drop(owners);
            assert_eq!(ended.get(), 0);
        });
        assert_eq!(ended.get(), 2);
    });
}

/// Destructors that run at the end of the scope can make more coroutines there, and resume others.
#[test]
fn what_is_made_at_the_end_is_unwound_too() {
    anywhere(|| {
        let log = RefCell::new(Vec::new());
        coroutine::scope(|s| {
            let log = &log;
            let mut other = s.coroutine(move |y: &Yielder<(), ()>, ()| {
                y.suspend(());
                log.borrow_mut().push("other went on");
                let _at_end = OnDrop(|| log.borrow_mut().push("other was unwound"));
                y.suspend(());
            });
            other.resume(());
            let mut first = s.coroutine(move |y: &Yielder<(), ()>, ()| {
                let _at_end = OnDrop(move || {
                    other.resume(());
                    let mut late = s.coroutine(move |y: &Yielder<(), ()>, ()| {
                        let _at_end = OnDrop(|| log.borrow_mut().push("late was unwound"));
                        y.suspend(());
                    });
                    late.resume(());
                    mem::forget(late);
                    log.borrow_mut().push("first was unwound");
                });
                y.suspend(());
            });
            first.resume(());
            mem::forget(first);
        });
        let want = ["other went on", "first was unwound", "other was unwound", "late was unwound"];
        assert_eq!(*log.borrow(), want);
    });
}

#[test]
fn panics_of_the_body_and_of_the_end() {
    anywhere(|| {
        let ended = Cell::new(0);
        let run = |body_panics: bool, end_panics: bool| {
            let result = panic::catch_unwind(AssertUnwindSafe(|| {
                coroutine::scope(|s| {
                    for panics in [false, end_panics] {
                        let ended = &ended;
                        let mut c = s.coroutine(move |y: &Yielder<(), ()>, ()| {
                            let _at_end = OnDrop(|| ended.set(ended.get() + 1));
                            let unwound = panic::catch_unwind(AssertUnwindSafe(|| y.suspend(())));
                            if panics && unwound.is_err() {
                                panic::resume_unwind(Box::new("end"));
                            }
                        });
                        c.resume(());
                        mem::forget(c);
                    }
                    if body_panics {
                        panic::resume_unwind(Box::new("body"));
                    }
                });
            }));
            result.map_err(|payload| text(payload.as_ref()).to_owned())
        };
        assert_eq!(run(false, false), Ok(()));
        assert_eq!(run(false, true), Err("end".into()));
        assert_eq!(run(true, false), Err("body".into()));
        assert_eq!(run(true, true), Err("body".into()));
        assert_eq!(ended.get(), 8);
    });
}

#[test]
fn numbers_are_used_again_and_owners_end_early() {
    anywhere(|| {
        coroutine::scope(|s| {
            let mut kept = Vec::new();
            for round in 0..50 {
                let mut c = s.coroutine(move |y: &Yielder<(), u32>, ()| {
                    y.suspend(round);
                });
                assert_eq!(c.next(), Some(round));
                kept.push(c);
                if round % 3 == 2 {
                    kept.remove(usize::try_from(round / 3).unwrap());
                }
            }
            let mut last = kept.pop().unwrap();
            last.close().unwrap();
            assert_eq!(last.try_resume(()), Err(ResumeError::Dead(())));
        });
    });
}

/// A scope inside a coroutine, which is dropped while its scope is open.
#[test]
fn a_scope_in_a_coroutine() {
    anywhere(|| {
        let ended = Rc::new(Cell::new(0));
        let inside = ended.clone();
        let mut outer = Coroutine::new(move |y: &Yielder<(), u32>, ()| {
            let local = [10, 20, 30];
            coroutine::scope(|s| {
                let c = s.coroutine(|y: &Yielder<(), u32>, ()| {
                    let _at_end = OnDrop(|| inside.set(inside.get() + 1));
                    local.iter().for_each(|n| y.suspend(*n));
                });
                c.for_each(|n| y.suspend(n + 1));
            });
        });
        assert_eq!((outer.next(), outer.next()), (Some(11), Some(21)));
        drop(outer);
        assert_eq!(ended.get(), 1);
    });
}

#[test]
fn scoped_ones_have_settings_and_are_functions_too() {
    anywhere(|| {
        let base = 10;
        coroutine::scope(|s| {
            let builder = Coroutine::builder().name("scoped").stack_size(64 << 10);
            let c = s.build(builder, |y, n: u32| y.suspend(base + n) * 2).unwrap();
            assert_eq!(c.handle().name(), Some("scoped"));
            let mut c = c.wrap();
            assert_eq!(c(1), Ok(Step::Yielded(11)));
            assert_eq!(c(4), Ok(Step::Returned(8)));
            assert_eq!(c(0), Err(ResumeError::Dead(0)));
            let too_small = Coroutine::builder().stack_size(0);
            assert!(s.build(too_small, |_: &Yielder<(), ()>, ()| ()).is_err());
        });
    });
}

/// A guard on the frame of a coroutine that the scope unwinds gets hold of its owner.
#[test]
fn what_the_scope_unwinds_cannot_be_used() {
    type Slot<'scope> = Rc<RefCell<Option<ScopedCoroutine<'scope, (), (), ()>>>>;
    struct Uses<'scope, 'a>(Slot<'scope>, &'a Cell<bool>);
    impl Drop for Uses<'_, '_> {
        fn drop(&mut self) {
            let Some(mut owner) = self.0.borrow_mut().take() else { return };
            assert_eq!(owner.try_resume(()), Err(ResumeError::Running(())));
            assert_eq!(owner.next(), None);
            let refused = [
                panic::catch_unwind(AssertUnwindSafe(|| {
                    owner.resume(());
                })),
                panic::catch_unwind(AssertUnwindSafe(|| drop(owner.close()))),
            ];
            assert!(refused.iter().all(Result::is_err));
            self.1.set(true);
        }
    }
    anywhere(|| {
        let used = Cell::new(false);
        coroutine::scope(|s| {
            let slot: Slot<'_> = Rc::default();
            let uses = Uses(slot.clone(), &used);
            let mut c = s.coroutine(move |y: &Yielder<(), ()>, ()| {
                let _uses = uses;
                y.suspend(());
            });
            c.next();
            *slot.borrow_mut() = Some(c);
        });
        assert!(used.get());
    });
}
