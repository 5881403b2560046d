//! The procedural macros of fibra: `go!`, `#[fibra::main]` and `#[fibra::test]`.
//!
//! Use them through the `fibra` crate, which re-exports them: what they expand to names `::fibra`.
//! They expand to one call into the runtime, so that everything worth debugging is an ordinary
//! function over there. Here is only syntax: `options` reads the `ident = expr` lists that all
//! three share, `go` and `entry` each turn parsed syntax into that call.

mod entry;
mod go;
mod options;

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
/// Parentheses around the body make no difference.
#[proc_macro]
pub fn go(input: TokenStream) -> TokenStream {
    go::expand(input.into()).into()
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
