//! `go!`, `#[fibra::main]` and `#[fibra::test]`: every form, and what is evaluated where and when.

use std::error::Error;
use std::process::{Command, ExitCode, Termination};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::thread::{self, ThreadId};

use fibra::{JoinHandle, Runtime, go};
use fibra_tests::child::poll;

fn join<T>(handle: JoinHandle<T>) -> T {
    handle.join().unwrap()
}

// Each form of the body, each kind of callee and receiver, each option.

fn add(a: u64, b: u64) -> u64 {
    a + b
}

mod nested {
    use super::*;

    pub(super) static HITS: AtomicUsize = AtomicUsize::new(0);

    pub(super) fn double<T: std::ops::Add<Output = T> + Copy>(x: T) -> T {
        x + x
    }
}

#[test]
fn a_call() {
    assert_eq!(join(go!(add(1, 2))), 3);
    assert_eq!(join(go!(add(1, 2),)), 3);
    assert_eq!(join(go!((add(1, 2)))), 3);
}

#[test]
fn a_callee_that_is_generic_or_a_path() {
    assert_eq!(join(go!(nested::double(4_u8))), 8);
    assert_eq!(join(go!(nested::double::<i64>(4))), 8);
    assert_eq!(join(go!(<u32 as From<u8>>::from(9))), 9);
    assert_eq!(join(go!(Vec::<u8>::new())), [0; 0]);
    assert_eq!(join(go!(String::new())), "");

    use nested::double;
    assert_eq!(join(go!(double(4))), 8);
}

#[test]
fn a_callee_that_is_a_constructor() {
    enum Shape {
        Circle(f32),
    }
    assert_eq!(join(go!(Some(1_u8))), Some(1));
    assert!(matches!(join(go!(Shape::Circle(1.0))), Shape::Circle(1.0)));
}

#[test]
fn a_callee_that_is_a_local() {
    let base = 10;
    let add_base = move |x| base + x;
    assert_eq!(join(go!(add_base(5))), 15);

    let boxed: Box<dyn FnOnce(&'static str) -> usize + Send> = Box::new(str::len);
    assert_eq!(join(go!(boxed("four"))), 4);

    let shared: Arc<dyn Fn(i32) -> i32 + Send + Sync> = Arc::new(|x| -x);
    assert_eq!(join(go!(shared(3))), -3);
}

#[test]
fn a_callee_that_is_fn_mut_need_not_be_mut() {
    fn run(f: impl FnMut(i32) -> i32 + Send + 'static) -> i32 {
        join(go!(f(2)))
    }
    let mut sum = 40;
    let accumulate = move |x| {
        sum += x;
        sum
    };
    assert_eq!(run(accumulate), 42);
}

#[test]
fn a_callee_that_is_an_expression() {
    let pair = (|x| x * 2, "");
    assert_eq!(join(go!((pair.0)(4))), 8);

    let table: [fn(i32) -> i32; 2] = [|x| x + 1, |x| x - 1];
    assert_eq!(join(go!(table[1](4))), 3);

    let make = |n| move |x| x + n;
    assert_eq!(join(go!(make(1)(2))), 3);

    assert_eq!(join(go!((|x| x + 1)(5))), 6);
    let offset = 7;
    assert_eq!(join(go!((move |x: i32| x + offset)(5))), 12);
}

#[test]
fn a_callee_or_receiver_that_is_a_static_stays_where_it_is() {
    static NEGATE: LazyLock<Box<dyn Fn(i32) -> i32 + Send + Sync>> =
        LazyLock::new(|| Box::new(|x| -x));
    static HITS: AtomicUsize = AtomicUsize::new(0);

    assert_eq!(join(go!(NEGATE(3))), -3);
    join(go!(HITS.fetch_add(2, Ordering::Relaxed)));
    join(go!(nested::HITS.fetch_add(3, Ordering::Relaxed)));
    assert_eq!(HITS.load(Ordering::Relaxed), 2);
    assert_eq!(nested::HITS.load(Ordering::Relaxed), 3);
}

#[test]
fn an_unsafe_callee() {
    /// # Safety
    /// None needed.
    unsafe fn careful(x: u8) -> u8 {
        x
    }
    // SAFETY: `careful` asks for nothing.
    assert_eq!(unsafe { go!(careful(3)) }.join().unwrap(), 3);
}

#[test]
fn a_method_call() {
    struct Counter(u32);
    impl Counter {
        fn get(&self) -> u32 {
            self.0
        }
        fn add(&mut self, n: u32) -> u32 {
            self.0 += n;
            self.0
        }
        fn into<T: From<u32>>(self) -> T {
            T::from(self.0)
        }
        fn run(self: Arc<Self>) -> u32 {
            join(go!(self.get()))
        }
    }
    assert_eq!(join(go!(Counter(1).get())), 1);
    let counter = Counter(1);
    assert_eq!(join(go!(counter.add(2))), 3);
    assert_eq!(join(go!(Counter(1).into::<u64>())), 1);
    assert_eq!(Arc::new(Counter(6)).run(), 6);
    let shared = Arc::new(Counter(5));
    assert_eq!(join(go!(shared.clone().get())), shared.get());
}

#[test]
fn a_closure() {
    let text = String::from("moved");
    assert_eq!(join(go!(move || text.len())), 5);
    assert_eq!(join(go!(|| 5)), 5);
    assert_eq!(join(go!((|| -> u8 { 5 }))), 5);
}

#[test]
fn a_block() {
    let text = String::from("moved");
    assert_eq!(join(go!({ text.len() + 1 })), 6);

    let bytes = *b"ab";
    // SAFETY: two ASCII letters are UTF-8.
    let handle = go!(unsafe { String::from_utf8_unchecked(bytes.to_vec()) });
    assert_eq!(join(handle), "ab");

    let labelled = go!('done: {
        if bytes.is_ascii() {
            break 'done "ASCII";
        }
        "not ASCII"
    });
    assert_eq!(join(labelled), "ASCII");

    let parsed = go!({ Some("7x".strip_suffix('x')?.len()) });
    assert_eq!(join(parsed), Some(1));
    join(go!({}));
}

#[test]
fn a_value_to_call() {
    fn three() -> i32 {
        3
    }
    assert_eq!(join(go!(three)), 3);
    let boxed: Box<dyn FnOnce() -> i32 + Send> = Box::new(|| 4);
    assert_eq!(join(go!(boxed)), 4);
    let tasks: [fn() -> i32; 2] = [three, || 5];
    assert_eq!(join(go!(tasks[1])), 5);
}

#[test]
fn a_macro_rules_variable_is_looked_through() {
    macro_rules! start {
        ($body:expr) => {
            go!($body)
        };
    }
    assert_eq!(start!(add(1, 2)).join().unwrap(), 3);
    let arg0 = 1;
    let callee = 5;
    assert_eq!(start!(add(callee, arg0)).join().unwrap(), 6);
    assert_eq!(start!({ callee + arg0 }).join().unwrap(), 6);
}

#[test]
fn options() {
    fn name() -> Option<String> {
        fibra::current()?.name().map(str::to_owned)
    }
    let handle = go!(name = "reader", name());
    assert_eq!(handle.name(), Some("reader"));
    assert_eq!(join(handle).as_deref(), Some("reader"));

    let n = 7;
    let handle = go!(stack = 65536, name = format!("worker-{n}"), || name().unwrap());
    assert_eq!(join(handle), "worker-7");

    assert_eq!(join(go!(stack = 128 << 10, add(1, 2),)), 3);
    assert_eq!(join(go!(name = "block", { 5 })), 5);
    assert_eq!(join(go!(name = "value", name)).as_deref(), Some("value"));
    assert_eq!(join(go!(name = "method", String::from("four").len())), 4);
}

/// More than the default stack.
const BIG: usize = 1 << 20;

fn use_big_frame() -> usize {
    let frame = std::hint::black_box([1_u8; BIG]);
    frame.iter().map(|&x| usize::from(x)).sum()
}

#[test]
fn a_big_stack_is_given() {
    assert_eq!(join(go!(stack = 8 * BIG, use_big_frame())), BIG);
}

// Callee, receiver, options and arguments are evaluated in the caller, in source order; the call is
// not. And an argument may be anything that it may be in a plain call.

/// What happened, on which thread, and whether in a goroutine.
type Entry = (&'static str, ThreadId, bool);

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<Entry>>>);

impl Log {
    /// Notes `what`, and gives `value`.
    fn note<T>(&self, what: &'static str, value: T) -> T {
        let entry = (what, thread::current().id(), fibra::current().is_some());
        self.0.lock().unwrap().push(entry);
        value
    }

    /// Everything but the last entry was noted in this thread, outside of any goroutine.
    fn assert_only_last_in_goroutine(&self, order: &[&str]) {
        let entries = self.0.lock().unwrap();
        let names: Vec<_> = entries.iter().map(|entry| entry.0).collect();
        assert_eq!(names, order);
        let ((_, thread, in_goroutine), in_caller) = entries.split_last().unwrap();
        assert!(in_goroutine);
        assert_ne!(*thread, thread::current().id());
        for (name, thread, in_goroutine) in in_caller {
            assert!(!in_goroutine, "{name}");
            assert_eq!(*thread, thread::current().id(), "{name}");
        }
    }
}

#[test]
fn a_call_is_evaluated_in_the_caller_in_source_order() {
    let log = Log::default();
    let last = log.clone();
    let run = move |a: i32, b: i32| last.note("call", a - b);
    let handle = go!(
        name = log.note("name", "ordered"),
        stack = log.note("stack", 256 * 1024),
        (log.note("callee", run))(log.note("first", 5), log.note("second", 3))
    );
    assert_eq!(join(handle), 2);
    log.assert_only_last_in_goroutine(&["name", "stack", "callee", "first", "second", "call"]);
}

#[test]
fn a_method_call_is_evaluated_in_the_caller_in_source_order() {
    struct Receiver(Log);
    impl Receiver {
        fn run(&mut self, a: i32, b: i32) -> i32 {
            self.0.note("call", a - b)
        }
    }
    let log = Log::default();
    let receiver = Receiver(log.clone());
    let handle =
        go!(log.note("receiver", receiver).run(log.note("first", 5), log.note("second", 3)));
    assert_eq!(join(handle), 2);
    log.assert_only_last_in_goroutine(&["receiver", "first", "second", "call"]);
}

#[test]
fn other_arguments_are_evaluated_before_a_closure_literal_captures() {
    fn run(a: i32, f: impl Fn(i32) -> i32, b: i32, log: Log) -> i32 {
        log.note("call", f(a) - b)
    }
    let log = Log::default();
    let n = 1;
    let handle = go!(run(log.note("first", 5), |x| x + n, log.note("third", n + 1), log.clone()));
    assert_eq!(join(handle), 4);
    log.assert_only_last_in_goroutine(&["first", "third", "call"]);
}

#[test]
fn a_value_to_call_is_evaluated_in_the_caller() {
    let log = Log::default();
    let last = log.clone();
    join(go!((log.note("value", move || last.note("call", ())),).0));
    log.assert_only_last_in_goroutine(&["value", "call"]);
}

#[test]
fn an_argument_changed_after_go_keeps_its_value() {
    let mut n = 1;
    let handle = go!(std::convert::identity(n));
    n += 1;
    assert_eq!((join(handle), n), (1, 2));
}

#[test]
fn a_temporary_guard_is_gone_before_the_goroutine_is_waited_for() {
    let total = Arc::new(Mutex::new(1));
    let shared = total.clone();
    let add = move |n: i32, m: i32| *shared.lock().unwrap() += n + m;
    join(go!(add(*total.lock().unwrap(), *total.lock().unwrap())));
    assert_eq!(*total.lock().unwrap(), 3);
}

#[test]
fn question_mark_return_and_break_act_in_the_caller() {
    fn half(x: u32) -> Option<u32> {
        x.is_multiple_of(2).then_some(x / 2)
    }
    fn quarter(x: u32) -> Option<u32> {
        join(go!(name = "quarter", half(half(x)?)))
    }
    assert_eq!((quarter(12), quarter(6), quarter(7)), (Some(3), None, None));

    let handle = loop {
        let limit = 3;
        break go!(u32::pow(2, if limit > 5 { continue } else { limit }));
    };
    assert_eq!(join(handle), 8);
}

#[test]
fn arguments_coerce() {
    trait Shape {
        fn area(&self) -> u32;
    }
    struct Square(u32);
    impl Shape for Square {
        fn area(&self) -> u32 {
            self.0 * self.0
        }
    }
    fn boxed(shape: Box<dyn Shape>, scale: u64) -> u64 {
        u64::from(shape.area()) * scale
    }
    fn sum(numbers: &'static [u16], text: &str) -> usize {
        numbers.iter().map(|&n| usize::from(n)).sum::<usize>() + text.len()
    }
    fn apply(f: fn(u8) -> u8, x: u8) -> u8 {
        f(x)
    }
    static TEXT: String = String::new();

    assert_eq!(join(go!(boxed(Box::new(Square(2)), 3))), 12);
    assert_eq!(join(go!(sum(&[1, 2, 3], &TEXT))), 6);
    assert_eq!(join(go!(apply(u8::reverse_bits, 1))), 128);
    assert_eq!(join(go!(apply(|x| x + 1, 1))), 2);
}

#[test]
fn argument_types_are_inferred_from_the_callee() {
    fn take(number: u16, list: Vec<u16>, nothing: Option<String>, parsed: i64) -> String {
        format!("{number} {list:?} {nothing:?} {parsed}")
    }
    let handle = go!(take(
        1_u8.into(),
        [1_u8, 2].into_iter().map(u16::from).collect(),
        None,
        "7".parse().unwrap()
    ));
    assert_eq!(join(handle), "1 [1, 2] None 7");
}

#[test]
fn a_closure_literal_knows_its_parameter_types() {
    fn longest(words: &'static [&'static str], key: impl Fn(&str) -> usize) -> usize {
        words.iter().map(|word| key(word)).max().unwrap()
    }
    fn pick<T: Copy>(pick: impl for<'a> Fn(&'a (T, T)) -> &'a T, pair: (T, T)) -> T {
        *pick(&pair)
    }
    fn both(f: impl Fn(String) -> usize, g: fn(&str) -> usize) -> usize {
        f(String::from("abc")) + g("ab")
    }
    struct Words(&'static [&'static str]);
    impl Words {
        fn count(&mut self, test: impl Fn(&str) -> bool) -> usize {
            self.0.iter().filter(|word| test(word)).count()
        }
    }
    static WORDS: &[&str] = &["a", "bcd"];

    assert_eq!(join(go!(longest(WORDS, |word| word.len()))), 3);
    assert_eq!(join(go!(pick(|pair| &pair.1, (1, 2)))), 2);
    assert_eq!(join(go!(both(|s| s.len(), |s| s.len()))), 5);
    let matching = go!(Words(WORDS).count(|word| word.starts_with('b')));
    assert_eq!(join(matching), 1);
    let limit = 1;
    let longest = go!(name = "longest", longest(WORDS, move |word| word.len() + limit));
    assert_eq!(join(longest), 4);
}

#[test]
fn attributes_on_arguments_act() {
    #[deprecated]
    fn old() -> i32 {
        1
    }
    fn sum(a: i32, b: i32) -> i32 {
        a + b
    }
    #[rustfmt::skip]
    let handle = go!(sum(#[allow(deprecated)] old(), #[cfg(any())] nonsense, #[cfg(all())] 2));
    assert_eq!(join(handle), 3);

    fn apply(f: impl Fn(i32) -> i32, x: i32) -> i32 {
        f(x)
    }
    #[rustfmt::skip]
    let handle = go!(apply(|x| x + 1, #[cfg(any())] nonsense, #[cfg(all())] 2));
    assert_eq!(join(handle), 3);
}

// `#[fibra::test]` and `#[fibra::main]`.

/// In a goroutine, and on no thread that the test harness made.
fn assert_in_goroutine() {
    assert!(fibra::current().is_some());
}

#[fibra::test()]
fn a_test_is_a_goroutine() {
    assert_in_goroutine();
    assert_eq!(join(go!(|| 5)), 5);
}

#[fibra::test(workers = 1 + 1, stack = 8 * BIG,)]
fn stack() {
    assert_eq!(use_big_frame(), BIG);
}

#[fibra::test]
#[should_panic(expected = "it panics as it should")]
fn should_panic() {
    panic!("it panics {}", "as it should");
}

/// The error type is not `Send`, as is usual.
#[fibra::test]
fn a_result() -> Result<(), Box<dyn Error>> {
    let number: u8 = "7".parse()?;
    assert_eq!(number, 7);
    Ok(())
}

#[fibra::test]
fn an_opaque_result() -> impl Termination {
    ExitCode::SUCCESS
}

/// A body may use an item of any name, and itself.
#[fibra::test]
fn recursion() {
    static DEPTH: AtomicU32 = AtomicU32::new(0);
    assert_in_goroutine();
    if DEPTH.fetch_add(1, Ordering::Relaxed) < 3 {
        recursion();
    }
}

/// `#[fibra::main]` goes on any function; called from a test, it runs as it would as `main`.
mod main {
    use super::*;

    #[fibra::main]
    fn main() {
        assert_in_goroutine();
    }

    /// The attribute keeps visibility and documentation.
    #[fibra::main(workers = 2, stack = 1 << 20)]
    #[must_use]
    pub(super) fn failing() -> Result<(), Box<dyn Error>> {
        assert_in_goroutine();
        Err("reported by the main goroutine")?
    }

    #[fibra::main]
    fn code() -> ExitCode {
        ExitCode::from(3)
    }

    #[fibra::main]
    fn never() -> ! {
        panic!("never returns")
    }

    #[test]
    fn runs_as_a_goroutine() {
        main();
    }

    #[test]
    fn its_result_becomes_an_exit_code() {
        assert_eq!(failing(), ExitCode::FAILURE);
        assert_eq!(code(), ExitCode::from(3));
    }

    #[test]
    #[should_panic(expected = "never returns")]
    fn its_panic_goes_on_in_the_caller() {
        never();
    }
}

// A goroutine's spawn site is its `go!`. It shows in the report of a panic that nobody joins.

fn fail(_: u8) {
    panic!("on purpose");
}

fn call(f: impl Fn(u8)) {
    f(1);
}

/// What starts a goroutine that panics, each with its line.
fn failing() -> [(u32, fn()); 5] {
    [
        (line!(), || drop(go!(fail(1)))),
        (line!(), || drop(go!(|| fail(1)))),
        (line!(), || drop(go!({ fail(1) }))),
        (line!(), || drop(go!(call(|_| fail(1))))),
        (line!(), || drop(go!(name = "failing", fail(1)))),
    ]
}

const CHILD: &str = "FIBRA_TEST_SPAWN_SITE";

#[test]
#[ignore = "only for spawn_site_is_the_invocation, which reads its stderr"]
fn child() {
    if std::env::var_os(CHILD).is_some() {
        for (_, start) in failing() {
            // It reports by the time its runtime has ended, so that the reports do not mix.
            let runtime = Runtime::builder().workers(1).build().unwrap();
            runtime.run(start);
            poll("it ends", || runtime.metrics().live == 0);
        }
    }
}

#[test]
fn spawn_site_is_the_invocation() {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--ignored", "--nocapture"])
        // A backtrace has the same lines for other reasons.
        .envs([(CHILD, "1"), ("RUST_BACKTRACE", "0")])
        .output()
        .unwrap();
    let report = String::from_utf8_lossy(&child.stderr);
    for (line, _) in failing() {
        let site = format!("{}:{line}:", file!());
        assert!(report.contains(&site), "no spawn site {site} in\n{report}");
    }
}
