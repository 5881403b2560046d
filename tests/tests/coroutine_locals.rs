//! Values that each coroutine has one of.

use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe};

use fibra::coroutine::{Coroutine, Yielder};
use fibra::{coroutine_local, goroutine_local};
use fibra_tests::{OnDrop, anywhere, text};

coroutine_local! {
    static NUMBER: Cell<u32> = Cell::new(1);
    static NAME: RefCell<String> = RefCell::new(String::from("new"));
}

fn add(n: u32) -> u32 {
    NUMBER.with(|number| {
        number.set(number.get() + n);
        number.get()
    })
}

#[test]
fn each_coroutine_has_its_own() {
    anywhere(|| {
        NUMBER.with(|number| number.set(1));
        let adder = |n| {
            Coroutine::new(move |y: &Yielder<(), u32>, ()| {
                for _ in 0..3 {
                    let nested = Coroutine::new(|_: &Yielder<(), ()>, ()| add(1000)).resume(());
                    assert_eq!(nested.returned(), Some(1001));
                    y.suspend(add(n));
                }
            })
        };
        let (tens, hundreds) = (adder(10), adder(100));
        let all: Vec<_> = tens.zip(hundreds).collect();
        assert_eq!(all, [(11, 101), (21, 201), (31, 301)]);
        assert_eq!(add(1), 2);
        NAME.with(|name| name.borrow_mut().push('!'));
        let inside = Coroutine::new(|_: &Yielder<(), ()>, ()| NAME.with(|it| it.borrow().clone()));
        assert_eq!({ inside }.resume(()).returned().as_deref(), Some("new"));
        NAME.with(|name| name.borrow_mut().truncate(3));
    });
}

/// Outside coroutines, goroutines have their own.
#[test]
fn each_goroutine_has_its_own() {
    fibra_tests::everywhere(|setup| {
        setup.run(|| {
            assert_eq!(add(1), 2);
            assert_eq!(fibra_tests::join(fibra::go!(add(5))), 6);
            assert_eq!(add(1), 3);
        });
    });
}

thread_local! {
    static ENDED: RefCell<Vec<&'static str>> = const { RefCell::new(Vec::new()) };
}

fn end(what: &'static str) -> OnDrop<impl FnMut()> {
    OnDrop(move || ENDED.with(|ended| ended.borrow_mut().push(what)))
}

type Noted = OnDrop<Box<dyn FnMut()>>;

fn noted(what: &'static str) -> Noted {
    let mut end = Some(end(what));
    OnDrop(Box::new(move || drop(end.take())))
}

coroutine_local! {
    static FIRST: Noted = noted("first");
    static SECOND: Noted = noted("second");
    static MADE_LATE: Noted = noted("made late");
    static MAKES_ANOTHER: OnDrop<fn()> = OnDrop(|| MADE_LATE.with(|_| ()));
}

fn ended() -> Vec<&'static str> {
    ENDED.with(RefCell::take)
}

/// Newest first, after the frames, whichever way it ends.
#[test]
fn they_are_dropped_when_it_ends() {
    // The list is the thread's.
    fibra_tests::alone(|| {
        let make = || {
            Coroutine::new(|y: &Yielder<(), ()>, ()| {
                FIRST.with(|_| ());
                MAKES_ANOTHER.with(|_| ());
                SECOND.with(|_| ());
                let _frame = end("frame");
                y.suspend(());
            })
        };
        let want = ["frame", "second", "made late", "first"];
        let mut returns = make();
        returns.next();
        assert!(ended().is_empty());
        assert_eq!(returns.next(), None);
        assert_eq!(ended(), want, "before it was dropped");
        let mut dropped = make();
        dropped.next();
        drop(dropped);
        assert_eq!(ended(), want);
        drop(make());
        assert!(ended().is_empty(), "it never ran");
        let mut panics = Coroutine::new(|_: &Yielder<(), ()>, ()| {
            FIRST.with(|_| panic::resume_unwind(Box::new("in with")));
        });
        let payload = panic::catch_unwind(AssertUnwindSafe(|| panics.next())).unwrap_err();
        assert_eq!(text(payload.as_ref()), "in with");
        assert_eq!(ended(), ["first"]);
    });
}

coroutine_local! {
    static SULKY: OnDrop<fn()> = OnDrop(|| panic::resume_unwind(Box::new("sulky")));
}

#[test]
fn a_destructor_that_panics() {
    fibra_tests::alone(|| {
        let make = |also: Option<&'static str>| {
            Coroutine::new(move |y: &Yielder<(), ()>, ()| {
                FIRST.with(|_| ());
                SULKY.with(|_| ());
                SECOND.with(|_| ());
                y.suspend(());
                if let Some(payload) = also {
                    panic::resume_unwind(Box::new(payload));
                }
                end("what it returned")
            })
        };
        let mut returns = make(None);
        returns.next();
        let payload = panic::catch_unwind(AssertUnwindSafe(|| returns.next())).unwrap_err();
        assert_eq!(text(payload.as_ref()), "sulky");
        assert_eq!(ended(), ["second", "first", "what it returned"]);
        let mut panics = make(Some("first of all"));
        panics.next();
        let payload = panic::catch_unwind(AssertUnwindSafe(|| panics.next())).unwrap_err();
        assert_eq!(text(payload.as_ref()), "first of all");
        let mut closed = make(None);
        closed.next();
        assert_eq!(text(closed.close().unwrap_err().as_ref()), "sulky");
        ended();
    });
}

goroutine_local! {
    static OF_GOROUTINE: Cell<u32> = Cell::new(0);
}

/// Those of the goroutine are shared by all its coroutines.
#[test]
fn goroutine_locals_are_not_the_coroutines() {
    anywhere(|| {
        OF_GOROUTINE.with(|n| n.set(1));
        let mut c = Coroutine::new(|_: &Yielder<(), ()>, ()| OF_GOROUTINE.with(|n| n.replace(2)));
        assert_eq!(c.resume(()).returned(), Some(1));
        assert_eq!(OF_GOROUTINE.with(Cell::get), 2);
    });
}
