//! What `select!` expands to: the arms, one call of the runtime that selects among them, and a
//! `match` over the bodies.
//!
//! ```text
//! {
//!     let chosen;
//!     match (
//!         ::fibra::__private::select::recv(&(rx)),
//!         ::fibra::__private::select::send(&(tx), v),
//!         ::fibra::__private::select::Otherwise::Default,
//!     ) {
//!         (mut arm0, mut arm1, otherwise) => {
//!             chosen = match ::fibra::__private::select::run(
//!                 &mut [&mut arm0, &mut arm1],
//!                 otherwise,
//!             ) {
//!                 Some(0) => Ok(arm0.finish()),
//!                 Some(1) => Err(Ok(arm1.finish())),
//!                 _ => Err(Err(())),
//!             }
//!         }
//!     }
//!     match chosen {
//!         Ok(result) => { let msg = { result }; (body0) }
//!         Err(Ok(result)) => { let res = { result }; (body1) }
//!         Err(Err(())) => (body2),
//!     }
//! }
//! ```
//!
//! The tuple evaluates the user's expressions in source order. Being the scrutinee, it keeps their
//! temporaries alive until the first `match` is over; by then the arms that lost are gone, too, with
//! what they would have sent. So a body runs with nothing of the selection around it but the result.
//! It stands in no closure: `?`, `return`, `break` and `continue` are the function's.
//!
//! What goes then may panic, as it is the user's. `chosen` is declared before it so that the result is
//! dropped while that unwinds. The value of a block would be leaked: the compiler drops the variables
//! of a block after it has written the value, which is nobody's yet.
//!
//! The arms are made in the tuple, and not of values bound in it, so that a value meets the type of
//! its channel where it is written: it coerces, and a closure in it learns the types of its
//! parameters, as in `tx.send(v)`.
//!
//! Which arm was chosen, and its result, is one value: a chain of `Result`s in which `Ok` is this
//! alternative and `Err` one of those behind it. (Rejected: an enum of the expansion's own. Items
//! are not hygienic, so its name would stand in the way of the user's names.)
//!
//! Every introduced token resolves at the macro's site, so user code cannot see the names, but
//! those that an error may point at are *located* at the user's code.

use proc_macro2::{Ident, Literal, Span, TokenStream};
use quote::{ToTokens, format_ident, quote_spanned};
use syn::spanned::Spanned;
use syn::{Expr, Pat};

use super::{Arm, Operation, Select};

pub(super) fn expand(Select { arms }: Select) -> TokenStream {
    let here = Span::mixed_site();
    if arms.is_empty() {
        return quote_spanned!(here=> { ::fibra::__private::select::forever() });
    }
    let mut entry = Entry::default();
    let mut ends = Vec::new();
    let mut default = None;
    for arm in &arms {
        match entry.push(arm) {
            Some(name) => ends.push(End {
                outcome: quote_spanned!(here=> #name.finish()),
                pattern: quote_spanned!(here=> result),
                body: bound_body(arm),
            }),
            None => {
                let unit = quote_spanned!(here=> ());
                default = Some(End { outcome: unit.clone(), pattern: unit, body: body(arm) });
            }
        }
    }
    if default.is_none() {
        entry.otherwise(quote_spanned!(here=> ::fibra::__private::select::Otherwise::Wait));
    }
    // Behind the arms, as it is what is left when none of them was chosen.
    ends.extend(default);
    let select = entry.select(&ends);
    let bodies = ends.iter().enumerate().map(|(index, end)| {
        let pattern = in_chain(index, ends.len(), &end.pattern);
        let body = &end.body;
        quote_spanned!(here=> #pattern => #body,)
    });
    quote_spanned!(here=> {
        let chosen;
        #select
        match chosen { #(#bodies)* }
    })
}

/// One way a selection may end.
struct End {
    /// The result, taken from the arm while that is still there.
    outcome: TokenStream,
    /// What the result is called on its way to the body.
    pattern: TokenStream,
    body: TokenStream,
}

/// What is evaluated on entry, in source order.
#[derive(Default)]
struct Entry {
    values: Vec<TokenStream>,
    patterns: Vec<TokenStream>,
    arms: Vec<Ident>,
}

impl Entry {
    /// Adds what `arm` evaluates, and gives its name unless it is a `default`.
    fn push(&mut self, arm: &Arm) -> Option<Ident> {
        let at = located(arm.keyword.span());
        let select = quote_spanned!(at=> ::fibra::__private::select);
        let value = match &arm.operation {
            Operation::Recv { receiver } => {
                let receiver = borrowed(receiver);
                quote_spanned!(at=> #select::recv(#receiver))
            }
            Operation::Send { sender, value } => {
                let sender = borrowed(sender);
                quote_spanned!(at=> #select::send(#sender, #value))
            }
            Operation::Default { timeout } => {
                self.otherwise(match timeout {
                    None => quote_spanned!(at=> #select::Otherwise::Default),
                    Some(timeout) => quote_spanned!(at=> #select::Otherwise::After(#timeout)),
                });
                return None;
            }
        };
        let name = format_ident!("arm{}", self.arms.len(), span = Span::mixed_site());
        self.values.push(value);
        self.patterns.push(quote_spanned!(Span::mixed_site()=> mut #name));
        self.arms.push(name.clone());
        Some(name)
    }

    /// Adds what is to happen when no arm is ready.
    fn otherwise(&mut self, value: TokenStream) {
        self.values.push(value);
        self.patterns.push(quote_spanned!(Span::mixed_site()=> otherwise));
    }

    /// Evaluates everything, waits, and assigns the outcome of one of `ends` to `chosen`.
    fn select(&self, ends: &[End]) -> TokenStream {
        let here = Span::mixed_site();
        let Entry { values, patterns, arms } = self;
        let outcomes = ends.iter().enumerate().map(|(index, end)| {
            let outcome = in_chain(index, ends.len(), &end.outcome);
            // The last takes the rest, as `run` gives an index in range, or `None` for `default`.
            if index + 1 == ends.len() {
                return quote_spanned!(here=> _ => #outcome,);
            }
            let index = Literal::usize_unsuffixed(index);
            quote_spanned!(here=> ::core::option::Option::Some(#index) => #outcome,)
        });
        quote_spanned!(here=>
            match (#(#values,)*) {
                (#(#patterns,)*) => {
                    chosen = match ::fibra::__private::select::run(
                        &mut [#(&mut #arms),*],
                        otherwise,
                    ) {
                        #(#outcomes)*
                    }
                }
            }
        )
    }
}

/// A reference to what `channel` denotes, so that a place is not moved from.
fn borrowed(channel: &Expr) -> TokenStream {
    // A span of several tokens cannot be had on stable Rust, but the compiler makes one, from that
    // of the `&` to that of the parentheses.
    let first = located(channel.span());
    let last = channel.to_token_stream().into_iter().last().map_or(first, |token| token.span());
    let place = quote_spanned!(located(last)=> (#channel));
    quote_spanned!(first=> &#place)
}

/// The body, behind a `let` of the result. The braces make a value of `result`, so that what the
/// pattern does not bind is dropped here and not after the body, as in `let _ = rx.recv();`.
fn bound_body(arm: &Arm) -> TokenStream {
    let here = Span::mixed_site();
    let body = body(arm);
    let pattern = match &arm.result {
        None => quote_spanned!(here=> _),
        // A `let` wants parentheses around alternatives.
        Some(pattern @ Pat::Or(_)) => quote_spanned!(here=> (#pattern)),
        Some(pattern) => pattern.to_token_stream(),
    };
    quote_spanned!(here=> { let #pattern = { result }; #body })
}

/// The body, in parentheses. Without them, one that comes from a `macro_rules!` variable, such as
/// `if a { 1 } else { 2 } - 3`, would come apart where a statement may start, and the braces of a block
/// would count as unused.
fn body(arm: &Arm) -> TokenStream {
    let body = &arm.body;
    quote_spanned!(located(body.span())=> (#body))
}

/// `inner` at place `index` of a chain of `length` alternatives.
fn in_chain(index: usize, length: usize, inner: &TokenStream) -> TokenStream {
    let here = Span::mixed_site();
    let innermost = if index + 1 == length {
        inner.clone()
    } else {
        quote_spanned!(here=> ::core::result::Result::Ok(#inner))
    };
    (0..index)
        .fold(innermost, |chain, _| quote_spanned!(here=> ::core::result::Result::Err(#chain)))
}

/// Hygiene and caller location of the macro, source position of `position`.
fn located(position: Span) -> Span {
    Span::mixed_site().located_at(position)
}
