//! What `go!` expands to: one call of the runtime, given a closure.
//!
//! A call `f(a, b)` is cut in two, at the moment when Go cuts it: callee and arguments are values
//! of the caller, the call is the goroutine's.
//!
//! ```text
//! {
//!     let mut callee = f;
//!     let arg0 = a;
//!     let arg1 = b;
//!     ::fibra::spawn(move || callee(arg0, arg1))
//! }
//! ```
//!
//! The `let`s keep source order, leave `?`, `return` and `break` in an argument to the caller, and
//! leave an argument its own type until the call coerces it: a `Box<Circle>` may cross threads on its
//! way to a `Box<dyn Shape>` that could not.
//!
//! A closure literal among the arguments stays in the call, and so does the name of its callee: only
//! from a callee named in the call does a literal learn the types of its parameters. What there is to
//! evaluate about a literal is its captures, and the spawned `move` closure takes those when it is
//! made, after the other arguments. (Rejected: handing the literal to an outer closure
//! `|arg0| spawn(move || f(arg0))`. An inferred parameter passed on to a generic one is a coercion
//! between two unknowns, which tells the literal nothing.)
//!
//! Every introduced token resolves at the macro's site, so user code cannot see the names and the
//! caller location is that of the invocation, but those that an error may point at are *located* at
//! the user's expression.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::parse::{ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Attribute, Expr, ExprCall, ExprMethodCall, Token};

use super::Go;
use crate::options::Opt;

pub(super) fn expand(go: Go) -> TokenStream {
    let here = Span::mixed_site();
    let mut now = Now::default();
    let builder = now.builder(&go.options);
    let task = task(&mut now, go.body);
    let spawn = match builder {
        None => quote_spanned!(here=> ::fibra::spawn(#task)),
        Some(builder) => quote_spanned!(here=> ::fibra::__private::go(#builder, #task)),
    };
    match now.lets.as_slice() {
        [] => spawn,
        lets => quote_spanned!(here=> { #(#lets)* #spawn }),
    }
}

/// The callable that the goroutine runs; what the caller evaluates for it goes to `now`.
fn task(now: &mut Now, body: Expr) -> TokenStream {
    match unwrapped(body) {
        Expr::Call(ExprCall { attrs, func, paren_token, args }) => {
            let span = located(func.span());
            let func = unwrapped(*func);
            let callee = if args.iter().any(is_closure) && matches!(func, Expr::Path(_)) {
                func.into_token_stream()
            } else {
                now.operand("callee", func)
            };
            let args = now.args(args);
            let args = quote_spanned!(located(paren_token.span.join())=> (#(#args),*));
            quote_spanned!(span=> #(#attrs)* move || #callee #args)
        }
        Expr::MethodCall(call) => {
            let ExprMethodCall { attrs, receiver, dot_token, method, turbofish, paren_token, args } =
                call;
            let span = located(receiver.span());
            let receiver = now.operand("receiver", unwrapped(*receiver));
            let args = now.args(args);
            let args = quote_spanned!(located(paren_token.span.join())=> (#(#args),*));
            quote_spanned!(span=>
                #(#attrs)* move || #receiver #dot_token #method #turbofish #args
            )
        }
        block @ (Expr::Block(_) | Expr::Unsafe(_)) => {
            quote_spanned!(located(block.span())=> move || #block)
        }
        value => value.into_token_stream(),
    }
}

/// What the caller evaluates before the goroutine is spawned, in source order.
#[derive(Default)]
struct Now {
    lets: Vec<TokenStream>,
}

impl Now {
    /// Binds the builder that the options describe, if there are any.
    fn builder(&mut self, options: &[Opt]) -> Option<Ident> {
        if options.is_empty() {
            return None;
        }
        let here = Span::mixed_site();
        let calls = options.iter().map(|Opt { name, value }| {
            let setter = match name.to_string().as_str() {
                "stack" => Ident::new("stack_size", name.span()),
                _ => name.clone(),
            };
            quote_spanned!(located(name.span())=> .#setter(#value))
        });
        let builder = Ident::new("builder", here);
        self.lets.push(quote_spanned!(here=>
            let #builder = ::fibra::Builder::new() #(#calls)*;
        ));
        Some(builder)
    }

    /// The callee or the receiver. An item is left in place, as there is nothing to evaluate and a
    /// `static` cannot be moved. Anything else is bound, `mut` for `FnMut` and `&mut self`.
    fn operand(&mut self, name: &str, expr: Expr) -> TokenStream {
        if is_item(&expr) {
            return expr.into_token_stream();
        }
        let name = Ident::new(name, located(expr.span()));
        self.lets.push(quote_spanned!(Span::mixed_site()=>
            #[allow(unused_mut)]
            let mut #name = #expr;
        ));
        name.into_token_stream()
    }

    /// The arguments, bound, as they stand in the call.
    fn args(&mut self, args: Punctuated<Expr, Token![,]>) -> Vec<TokenStream> {
        args.iter().enumerate().map(|(index, arg)| self.arg(index, arg)).collect()
    }

    fn arg(&mut self, index: usize, arg: &Expr) -> TokenStream {
        if is_closure(arg) {
            return arg.to_token_stream();
        }
        let name = format_ident!("arg{index}", span = located(arg.span()));
        let (attrs, value) = split_attributes(arg);
        // An argument under `#[cfg]` must be there in both places or in neither.
        let cfgs = attrs.iter().filter(|attr| attr.path().is_ident("cfg"));
        let use_in_call = quote!(#(#cfgs)* #name);
        self.lets.push(quote_spanned!(Span::mixed_site()=> #(#attrs)* let #name = #value;));
        use_in_call
    }
}

/// Hygiene and caller location of the macro, source position of `position`.
fn located(position: Span) -> Span {
    Span::mixed_site().located_at(position)
}

/// Looks through parentheses, and through the invisible groups around a `macro_rules!` variable.
fn unwrapped(expr: Expr) -> Expr {
    match expr {
        Expr::Paren(paren) => unwrapped(*paren.expr),
        Expr::Group(group) => unwrapped(*group.expr),
        other => other,
    }
}

/// Whether this names an item. A single lower-case name may be a local and counts as one.
fn is_item(expr: &Expr) -> bool {
    let Expr::Path(path) = expr else { return false };
    match path.path.get_ident() {
        Some(name) => name.to_string().starts_with(char::is_uppercase),
        None => true,
    }
}

fn is_closure(expr: &Expr) -> bool {
    match expr {
        Expr::Closure(_) => true,
        Expr::Paren(paren) => is_closure(&paren.expr),
        Expr::Group(group) => is_closure(&group.expr),
        _ => false,
    }
}

/// Attributes are allowed on an argument but not on an initializer: there they go on the `let`.
fn split_attributes(expr: &Expr) -> (Vec<Attribute>, TokenStream) {
    let split = |input: ParseStream| Ok((Attribute::parse_outer(input)?, input.parse()?));
    split.parse2(expr.to_token_stream()).expect("an expression is attributes and the rest")
}
