//! Producer, filter and consumer as coroutines, driven from either end: the example of "Programming in Lua".
//!
//! `cargo run --release --example producer_consumer`
//!
//! A producer has lines, a filter numbers them, a consumer prints them. Who has the loop?
//!
//! * *Pull*: the consumer asks the filter for a line, which asks the producer. Those two are coroutines, and so
//!   iterators; the consumer is an ordinary function.
//! * *Push*: the producer gives each line to the filter, which gives it on to the consumer. Now these two are
//!   coroutines that are resumed with a line, and the producer is an ordinary function.
//!
//! Each of the three is written as if it had the loop for itself: the producer has two loops, the filter skips and
//! joins lines, the consumer has a head and a foot.

use fibra::coroutine::{self, Coroutine, Scope, ScopedCoroutine, Yielder};

const TEXT: &str = "a coroutine is\n\nsimilar to a \\\nthread";

fn main() {
    println!("pull");
    pull(TEXT);
    println!("push");
    push(TEXT);
}

// Driven by the consumer.

type Lines<'scope> = ScopedCoroutine<'scope, (), String, ()>;

fn pull(text: &str) {
    coroutine::scope(|s| consume(number(s, produce(s, text))));
}

fn produce<'scope>(s: &'scope Scope<'scope, '_>, text: &'scope str) -> Lines<'scope> {
    s.coroutine(|y: &Yielder<(), String>, ()| {
        for line in text.lines() {
            y.suspend(line.to_owned());
        }
        y.suspend("(end of text)".to_owned());
    })
}

fn number<'scope>(s: &'scope Scope<'scope, '_>, mut lines: Lines<'scope>) -> Lines<'scope> {
    s.coroutine(move |y: &Yielder<(), String>, ()| {
        let mut n = 1;
        while let Some(mut line) = lines.next() {
            while line.ends_with('\\') {
                line.pop();
                line += &lines.next().unwrap_or_default();
            }
            if !line.is_empty() {
                y.suspend(format!("{n} {line}"));
                n += 1;
            }
        }
    })
}

fn consume(lines: Lines<'_>) {
    println!("  begin");
    let mut count = 0;
    for line in lines {
        println!("  {line}");
        count += 1;
    }
    println!("  {count} lines");
}

// Driven by the producer. `None` is the end.

type Sink = Coroutine<Option<String>, (), ()>;

fn push(text: &str) {
    let mut sink = numbering(consuming());
    for line in text.lines() {
        sink.resume(Some(line.to_owned()));
    }
    sink.resume(Some("(end of text)".to_owned()));
    sink.resume(None);
}

fn numbering(mut sink: Sink) -> Sink {
    Coroutine::new(move |y: &Yielder<_, ()>, first| {
        let mut n = 1;
        let mut next: Option<String> = first;
        while let Some(mut line) = next {
            while line.ends_with('\\') {
                line.pop();
                line += &y.suspend(()).unwrap_or_default();
            }
            if !line.is_empty() {
                sink.resume(Some(format!("{n} {line}")));
                n += 1;
            }
            next = y.suspend(());
        }
        sink.resume(None);
    })
}

fn consuming() -> Sink {
    Coroutine::new(|y: &Yielder<_, ()>, first| {
        println!("  begin");
        let mut count = 0;
        let mut next: Option<String> = first;
        while let Some(line) = next {
            println!("  {line}");
            count += 1;
            next = y.suspend(());
        }
        println!("  {count} lines");
    })
}
