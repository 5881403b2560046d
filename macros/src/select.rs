//! `select!`: what it accepts. `select/expand.rs` says what becomes of it.

use proc_macro2::{Ident, Span, TokenStream};
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Error, Expr, Pat, Result, Token, parenthesized, token};

mod expand;
#[cfg(test)]
mod tests;

/// The parsed input: the arms in source order, at most one of them a `default`.
struct Select {
    arms: Vec<Arm>,
}

struct Arm {
    /// `recv`, `send` or `default`, as it stands in the source.
    keyword: Ident,
    operation: Operation,
    /// What the result is bound to; nothing is as good as `_`.
    result: Option<Pat>,
    body: Expr,
}

enum Operation {
    Recv { receiver: Expr },
    Send { sender: Expr, value: Expr },
    Default { timeout: Option<Expr> },
}

pub(crate) fn expand(input: TokenStream) -> TokenStream {
    match syn::parse2(input) {
        Ok(select) => expand::expand(select),
        Err(error) => error.into_compile_error(),
    }
}

impl Parse for Select {
    fn parse(input: ParseStream) -> Result<Select> {
        let mut arms: Vec<Arm> = Vec::new();
        while !input.is_empty() {
            let arm: Arm = input.parse()?;
            if arm.is_default() && arms.iter().any(Arm::is_default) {
                let message = "a select has at most one `default`";
                return Err(Error::new(arm.keyword.span(), message));
            }
            if input.peek(Token![,]) || !(input.is_empty() || is_block_like(&arm.body)) {
                input.parse::<Token![,]>()?;
            }
            arms.push(arm);
        }
        Ok(Select { arms })
    }
}

impl Parse for Arm {
    fn parse(input: ParseStream) -> Result<Arm> {
        if input.peek(Token![#]) {
            return Err(input.error("an arm of `select!` has no attributes"));
        }
        let keyword: Ident = input.parse().map_err(|error| unknown_form(error.span()))?;
        let operation = Operation::parse(&keyword, input)?;
        let result = parse_result(&operation, input)?;
        if input.peek(Token![if]) {
            let message = "an arm of `select!` has no guard; to disable one, make its channel an \
                           `Option` that is `None`";
            return Err(input.error(message));
        }
        input.parse::<Token![=>]>()?;
        let body = Expr::parse_with_earlier_boundary_rule(input)?;
        Ok(Arm { keyword, operation, result, body })
    }
}

impl Arm {
    fn is_default(&self) -> bool {
        matches!(self.operation, Operation::Default { .. })
    }
}

impl Operation {
    /// Reads what follows `keyword`, in parentheses.
    fn parse(keyword: &Ident, input: ParseStream) -> Result<Operation> {
        let name = keyword.to_string();
        let usage = match name.as_str() {
            "recv" => "`recv` takes one receiver: `recv(receiver) -> result => …`",
            "send" => "`send` takes a sender and a value: `send(sender, value) -> result => …`",
            "default" => "`default` takes at most a timeout: `default(timeout) => …`",
            _ => return Err(unknown_form(keyword.span())),
        };
        let mut span = keyword.span();
        let mut arguments = Punctuated::<Expr, Token![,]>::new();
        if input.peek(token::Paren) {
            let content;
            span = parenthesized!(content in input).span.join();
            arguments = Punctuated::parse_terminated(&content)?;
        }
        let mut arguments = arguments.into_iter();
        match (name.as_str(), arguments.next(), arguments.next(), arguments.next()) {
            ("recv", Some(receiver), None, _) => Ok(Operation::Recv { receiver }),
            ("send", Some(sender), Some(value), None) => Ok(Operation::Send { sender, value }),
            ("default", timeout, None, _) => Ok(Operation::Default { timeout }),
            _ => Err(Error::new(span, usage)),
        }
    }
}

fn parse_result(operation: &Operation, input: ParseStream) -> Result<Option<Pat>> {
    if !input.peek(Token![->]) {
        return Ok(None);
    }
    if let Operation::Default { .. } = operation {
        return Err(input.error("`default` has no result"));
    }
    input.parse::<Token![->]>()?;
    Pat::parse_multi_with_leading_vert(input).map(Some)
}

/// Whether an arm with this body needs no comma, as in `match`.
fn is_block_like(body: &Expr) -> bool {
    match body {
        // A `$body:block` of `macro_rules!`.
        Expr::Group(group) => is_block_like(&group.expr),
        Expr::Block(_) | Expr::Unsafe(_) | Expr::Const(_) | Expr::If(_) | Expr::Match(_) => true,
        Expr::Loop(_) | Expr::While(_) | Expr::ForLoop(_) => true,
        _ => false,
    }
}

fn unknown_form(span: Span) -> Error {
    let message = "expected `recv(receiver) -> result => …`, `send(sender, value) -> result => …` \
                   or `default => …`";
    Error::new(span, message)
}
