//! `go!`: what it accepts. `go/expand.rs` says what becomes of it.

use proc_macro2::{Span, TokenStream};
use syn::parse::{Parse, ParseStream};
use syn::{Error, Expr, Result, Token};

use crate::options::{self, Opt};

mod expand;
#[cfg(test)]
mod tests;

const OPTIONS: [&str; 2] = ["name", "stack"];

const WHAT: &str = "a call, a closure, a block or a value to call";

/// The parsed input: options first, then what is to run.
struct Go {
    options: Vec<Opt>,
    body: Expr,
}

pub(crate) fn expand(input: TokenStream) -> TokenStream {
    match syn::parse2(input) {
        Ok(go) => expand::expand(go),
        Err(error) => error.into_compile_error(),
    }
}

impl Parse for Go {
    fn parse(input: ParseStream) -> Result<Go> {
        let mut options = Vec::new();
        while options::starts_option(input) {
            options.push(options::parse_option(input, &OPTIONS, &options)?);
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        if input.is_empty() {
            let after = if options.is_empty() { "" } else { " after its options" };
            return Err(Error::new(
                input.span(),
                format!("`go!` needs something to run{after}: {WHAT}"),
            ));
        }
        let body = input.parse()?;
        if !input.is_empty() {
            input.parse::<Token![,]>().map_err(|error| one_body(error.span()))?;
        }
        if options::starts_option(input) {
            return Err(Error::new(input.span(), "the options of `go!` come before what it runs"));
        }
        if !input.is_empty() {
            return Err(one_body(input.span()));
        }
        Ok(Go { options, body })
    }
}

fn one_body(unexpected: Span) -> Error {
    Error::new(unexpected, format!("`go!` runs one thing: {WHAT}; for several, write a block"))
}
