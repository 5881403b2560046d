//! Lua's coroutines, function by function, with Fibra's.
//!
//! `cargo run --release --example lua`
//!
//! The first part is the example in the Lua reference manual (§2.6), line by line; its output is the manual's, but for
//! the words of the error at its end. The rest shows what else Lua's library has: `status`, `wrap`, `isyieldable`, `running`, `close`, and the errors.
//! Lua's functions take and give any number of values of any type; here they are tuples and enums.

use std::panic::{self, AssertUnwindSafe};

use fibra::coroutine::{self, Coroutine, RcCoroutine, ResumeError, Step, Yielder};

fn main() {
    the_manual();
    statuses();
    wrapped();
    who_runs();
    errors();
    closed();
}

/// What the manual's coroutine takes and gives.
#[derive(Debug)]
enum Values {
    Text(&'static str),
    Two(i32, i32),
}

/// ```lua
/// function foo (a)
///   print("foo", a)
///   return coroutine.yield(2*a)
/// end
///
/// co = coroutine.create(function (a,b)
///   print("co-body", a, b)
///   local r = foo(a+1)
///   print("co-body", r)
///   local r, s = coroutine.yield(a+b, a-b)
///   print("co-body", r, s)
///   return b, "end"
/// end)
///
/// print("main", coroutine.resume(co, 1, 10))
/// print("main", coroutine.resume(co, "r"))
/// print("main", coroutine.resume(co, "x", "y"))
/// print("main", coroutine.resume(co, "x", "y"))
/// ```
fn the_manual() {
    type Co = Yielder<(Values, &'static str), (i32, Option<i32>)>;

    fn foo(co: &Co, a: i32) -> Values {
        println!("foo\t{a}");
        co.suspend((2 * a, None)).0
    }

    let mut co = Coroutine::new(|co: &Co, (first, _)| {
        let Values::Two(a, b) = first else { panic!("two numbers first") };
        println!("co-body\t{a}\t{b}");
        let Values::Text(r) = foo(co, a + 1) else { panic!("then a word") };
        println!("co-body\t{r}");
        let (Values::Text(r), s) = co.suspend((a + b, Some(a - b))) else { panic!("then two") };
        println!("co-body\t{r}\t{s}");
        (b, "end")
    });

    let inputs = [
        (Values::Two(1, 10), ""),
        (Values::Text("r"), ""),
        (Values::Text("x"), "y"),
        (Values::Text("x"), "y"),
    ];
    for input in inputs {
        match co.try_resume(input) {
            Ok(Step::Yielded((a, None))) => println!("main\ttrue\t{a}"),
            Ok(Step::Yielded((a, Some(b)))) => println!("main\ttrue\t{a}\t{b}"),
            Ok(Step::Returned((b, end))) => println!("main\ttrue\t{b}\t{end}"),
            Err(error) => println!("main\tfalse\t{error}"),
        }
    }
}

/// `coroutine.status`, all four of them.
fn statuses() {
    let mut outer = Coroutine::new(|y: &Yielder<(), ()>, ()| {
        let me = y.handle();
        println!("status\t{}", me.status());
        let mut inner = Coroutine::new(move |_: &Yielder<(), ()>, ()| {
            println!("status\t{}", me.status());
        });
        inner.resume(());
        y.suspend(());
    });
    println!("status\t{}", outer.status());
    outer.resume(());
    outer.resume(());
    println!("status\t{}", outer.status());
}

/// `coroutine.wrap`: a generator as a function, and as the iterator that Lua's `for` makes of it.
fn wrapped() {
    let mut next = Coroutine::new(|y: &Yielder<u32, u32>, step| {
        let mut n = 0;
        for _ in 0..3 {
            n += y.suspend(n + step);
        }
        n
    })
    .wrap();
    for step in [1, 10, 100, 1000, 0] {
        match next(step) {
            Ok(step) => println!("wrap\t{}", step.into_value()),
            Err(error) => println!("wrap\t{error}"),
        }
    }
    let letters =
        Coroutine::new(|y: &Yielder<(), char>, ()| "lua".chars().for_each(|c| y.suspend(c)));
    println!("for\t{}", letters.map(String::from).collect::<Vec<_>>().join(" "));
}

/// `coroutine.isyieldable` and `coroutine.running`.
fn who_runs() {
    println!("isyieldable\t{}", coroutine::is_yieldable());
    println!("running\t{}", if coroutine::running().is_none() { "main" } else { "a coroutine" });
    let named = Coroutine::builder().name("co").build(|_: &Yielder<(), ()>, ()| {
        println!("isyieldable\t{}", coroutine::is_yieldable());
        let me = coroutine::running().expect("this is one");
        println!("running\t{}", me.name().unwrap_or_default());
    });
    named.expect("a stack").resume(());
}

/// What cannot be resumed is an error value; an error inside goes to the resumer, and the coroutine is dead.
fn errors() {
    let (tx, rx) = std::sync::mpsc::channel::<RcCoroutine<(), (), ()>>();
    let itself = RcCoroutine::from(Coroutine::new(move |y: &Yielder<(), ()>, ()| {
        let me = rx.recv().expect("it was sent before");
        println!("error\t{}", describe(me.resume(())));
        let mut inner = Coroutine::new(move |_: &Yielder<(), ()>, ()| {
            println!("error\t{}", describe(me.resume(())));
        });
        inner.resume(());
        y.suspend(());
    }));
    tx.send(itself.clone()).expect("it listens");
    println!("error\t{}", describe(itself.resume(())));
    println!("error\t{}", describe(itself.resume(())));
    println!("error\t{}", describe(itself.resume(())));

    let mut fails =
        Coroutine::new(|_: &Yielder<(), ()>, ()| panic::resume_unwind(Box::new("oops")));
    let error = panic::catch_unwind(AssertUnwindSafe(|| -> Step<(), ()> { fails.resume(()) }));
    let message = error.err().and_then(|payload| payload.downcast::<&str>().ok());
    println!("error\t{} and {}", message.as_deref().unwrap_or(&"nothing"), fails.status());
}

fn describe(result: Result<Step<(), ()>, ResumeError<()>>) -> String {
    match result {
        Ok(Step::Yielded(())) => "none, it yielded".into(),
        Ok(Step::Returned(())) => "none, it returned".into(),
        Err(error) => error.to_string(),
    }
}

/// `coroutine.close` runs what is to be closed; an error on the way is its result.
fn closed() {
    /// Lua's to-be-closed variable.
    struct ToBeClosed(&'static str);
    impl Drop for ToBeClosed {
        fn drop(&mut self) {
            println!("close\t{}", self.0);
        }
    }
    let mut co = Coroutine::new(|y: &Yielder<(), ()>, ()| {
        let _outer = ToBeClosed("outer variable");
        let _inner = ToBeClosed("inner variable");
        y.suspend(());
        println!("never here");
    });
    co.resume(());
    println!("close\t{} {}", co.close().is_ok(), co.status());

    let mut fails = Coroutine::new(|y: &Yielder<(), ()>, ()| {
        if panic::catch_unwind(AssertUnwindSafe(|| y.suspend(()))).is_err() {
            panic::resume_unwind(Box::new("cannot close"));
        }
    });
    fails.resume(());
    let error = fails.close().err().and_then(|payload| payload.downcast::<&str>().ok());
    println!("close\tfalse {}", error.as_deref().unwrap_or(&"nothing"));
}
