//! The procedural macros of fibra: `go!`, `select!`, `#[fibra::main]` and `#[fibra::test]`.
//!
//! Use them through the `fibra` crate, which re-exports them: what they expand to names `::fibra`.
//! Each expands to one call into the runtime that does the work, so that everything worth debugging
//! is an ordinary function over there. Here is only syntax: `go`, `select` and `entry` turn what they
//! parsed into that call; `options` reads the `ident = expr` lists of `go!` and the attributes.

mod entry;
mod go;
mod options;
mod select;

use entry::Entry;
use proc_macro::TokenStream;

/// Starts a goroutine and gives its `JoinHandle`.
///
/// ```text
/// go!([name = <Into<String>>,] [stack = <usize, bytes>,] body)
///
/// body: callee(args…)             callee and arguments are evaluated now, in the caller,
///                                 the call happens in the goroutine
///       receiver.method(args…)    receiver and arguments likewise
///       { … }   unsafe { … }      runs in the goroutine, captures by move
///       || …    move || …         a closure, as it is
///       any other expression      evaluated now, its value is called in the goroutine
/// ```
///
/// An argument is bound as by `let`, and coerces to the parameter's type in the call. One that is a
/// closure literal stays in the call, and what it captures is moved (or copied) into the goroutine
/// after the other arguments are evaluated. A callee or receiver that is a path of several segments,
/// or whose name starts with a capital, is an item: it is named in the goroutine and not moved there.
///
/// So `go!(child.wait().unwrap())` waits in the caller and calls `unwrap` in the goroutine. Where the receiver
/// itself blocks, write a block: `go!({ child.wait().unwrap() })`.
///
/// Parentheses around the body make no difference.
#[proc_macro]
pub fn go(input: TokenStream) -> TokenStream {
    go::expand(input.into()).into()
}

/// Waits until one of several channel operations can go ahead, performs it, and runs the body of its
/// arm.
///
/// ```text
/// select! {
///     recv(receiver) -> result => body,       result: Result<T, RecvError>
///     send(sender, value) -> result => body,  result: Result<(), SendError<T>>
///     default => body,                        when no arm is ready at once
///     default(timeout) => body,               when no arm was ready for a Duration
/// }
/// ```
///
/// There may be any number of `recv` and `send` arms and at most one `default`, in any order. A comma
/// may be left out after a body that is a block, and at the end.
///
/// **Waiting.** Without a `default`, `select!` parks the goroutine, or blocks the thread, until an arm
/// is ready; `default(timeout)` limits that, and `default` does not wait at all. An arm is ready when
/// its operation would return at once. A closed channel is ready: its `recv` arm gives what is still
/// buffered, then an error, its `send` arm gives the value back in the error. Among arms that are ready
/// together the choice is even. `select! {}` waits for ever; its type is `!`.
///
/// **Evaluation.** Channels, values and the timeout are evaluated once, in source order, on entry,
/// whichever arm will be chosen. A channel may be a place, which is borrowed until the selection is
/// over, or an `Option`: a `None` is never ready. A value is moved, and coerces to the channel's type; if
/// its arm is not chosen it is dropped.
///
/// **Bodies.** The bodies are like those of a `match`: `select!` is an expression with their common type,
/// and `?`, `return`, `break` and `continue` in a body are those of the function around it. All
/// temporaries of the entry, and the values that were not sent, are dropped before a body runs, so the
/// body may use or move the channels.
///
/// **Results.** The result is bound as by `let`: its pattern can be `_` or `mut msg`, but must not be
/// refutable. `-> result` can be left out, which is the same as `-> _`: the result is dropped before the
/// body runs.
///
/// An arm has no guard and no attributes. To disable an arm, make its channel an `Option` that is `None`.
#[proc_macro]
pub fn select(input: TokenStream) -> TokenStream {
    select::expand(input.into()).into()
}

/// Runs `main` as the main goroutine of a runtime.
///
/// ```text
/// #[fibra::main]
/// #[fibra::main(workers = <usize>, stack = <usize, bytes>)]
/// fn main() -> R
/// ```
///
/// `R` is anything that `main` may return. It need not be `Send`: it is turned into an exit code,
/// and an error is reported, in the goroutine. The function cannot be `async` and has no parameters.
#[proc_macro_attribute]
pub fn main(options: TokenStream, function: TokenStream) -> TokenStream {
    entry::expand(Entry::Main, options.into(), function.into()).into()
}

/// Runs a test as the main goroutine of a runtime of its own.
///
/// ```text
/// #[fibra::test]
/// #[fibra::test(workers = <usize>, stack = <usize, bytes>)]
/// fn name() -> R
/// ```
///
/// It stands in place of `#[test]`; `#[should_panic]`, `#[ignore]` and other attributes keep their
/// meaning. The return type is as for `#[fibra::main]`.
#[proc_macro_attribute]
pub fn test(options: TokenStream, function: TokenStream) -> TokenStream {
    entry::expand(Entry::Test, options.into(), function.into()).into()
}
