//! `#[fibra::main]` and `#[fibra::test]`: the annotated function becomes a goroutine.
//!
//! The function moves, unchanged and under its own name, into a new one of the same name, which
//! hands it to the runtime. Its own name is the only one that cannot collide with an item that the
//! body uses: items are not hygienic.

use std::mem;

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::parse::{ParseStream, Parser};
use syn::spanned::Spanned;
use syn::{AttrStyle, Error, ItemFn, Result, ReturnType, Signature, Token, Type, Visibility};

use crate::options::{self, Opt};

#[cfg(test)]
mod tests;

const OPTIONS: [&str; 2] = ["workers", "stack"];

/// Which of the two attributes.
#[derive(Clone, Copy)]
pub(crate) enum Entry {
    Main,
    Test,
}

impl Entry {
    fn name(self) -> &'static str {
        match self {
            Entry::Main => "`#[fibra::main]`",
            Entry::Test => "`#[fibra::test]`",
        }
    }
}

pub(crate) fn expand(entry: Entry, options: TokenStream, function: TokenStream) -> TokenStream {
    let function: ItemFn = match syn::parse2(function.clone()) {
        Ok(function) => function,
        Err(error) => {
            let message = format!("{} goes on a function: {error}", entry.name());
            let error = Error::new(error.span(), message).into_compile_error();
            return quote!(#error #function);
        }
    };
    let name = function.sig.ident.clone();
    try_expand(entry, options, function).unwrap_or_else(|error| {
        // The stub keeps a missing or malformed `main` from being reported beside the mistake.
        let error = error.into_compile_error();
        quote!(#error fn #name() {})
    })
}

fn try_expand(entry: Entry, options: TokenStream, mut function: ItemFn) -> Result<TokenStream> {
    check(entry, &function.sig)?;
    let options = parse_options.parse2(options)?;
    let [workers, stack] = OPTIONS.map(|name| value(&options, name));

    let here = Span::mixed_site();
    let (run, test) = match entry {
        Entry::Main => (quote!(main), None),
        Entry::Test => (quote!(test), Some(quote!(#[::core::prelude::v1::test]))),
    };
    let run = quote_spanned!(here=> ::fibra::__private::#run);
    let options = quote_spanned!(here=>
        ::fibra::__private::Options { workers: #workers, stack: #stack }
    );
    let vis = mem::replace(&mut function.vis, Visibility::Inherited);
    let attrs = mem::take(&mut function.attrs).into_iter();
    let (outer_attrs, inner_attrs): (Vec<_>, _) =
        attrs.partition(|attr| matches!(attr.style, AttrStyle::Outer));
    function.attrs = inner_attrs;
    let name = &function.sig.ident;
    // A result such as `Result<(), Box<dyn Error>>` is not `Send`, so it is reported where it is
    // made. Without one, nothing is to be reported, and `#[should_panic]` wants a test to give `()`.
    // (Nothing reports a `!`, hence the `allow`.)
    let outer = if returns_unit(&function.sig.output) {
        quote_spanned!(here=> fn #name() { #function #run(#options, #name) })
    } else {
        quote_spanned!(here=>
            fn #name() -> ::std::process::ExitCode {
                #function
                #[allow(unreachable_code)]
                let report = || ::std::process::Termination::report(#name());
                #run(#options, report)
            }
        )
    };
    Ok(quote!(#test #(#outer_attrs)* #vis #outer))
}

/// Refuses every signature but `fn name() -> R`.
fn check(entry: Entry, sig: &Signature) -> Result<()> {
    let refuse = |span, what| {
        Err(Error::new(span, format!("a function with {} cannot {what}", entry.name())))
    };
    if let Some(keyword) = &sig.asyncness {
        return refuse(keyword.span(), "be `async`: a goroutine blocks where a future awaits");
    }
    if let Some(keyword) = &sig.constness {
        return refuse(keyword.span(), "be `const`");
    }
    if let Some(keyword) = &sig.unsafety {
        return refuse(keyword.span(), "be `unsafe`");
    }
    if let Some(abi) = &sig.abi {
        return refuse(abi.span(), "be `extern`");
    }
    if !sig.generics.params.is_empty() {
        return refuse(sig.generics.span(), "be generic");
    }
    if let Some(clause) = &sig.generics.where_clause {
        return refuse(clause.span(), "have a `where` clause");
    }
    if !sig.inputs.is_empty() {
        return refuse(sig.inputs.span(), "have parameters");
    }
    if let Some(variadic) = &sig.variadic {
        return refuse(variadic.span(), "have parameters");
    }
    Ok(())
}

fn parse_options(input: ParseStream) -> Result<Vec<Opt>> {
    let mut options = Vec::new();
    while !input.is_empty() {
        options.push(options::parse_option(input, &OPTIONS, &options)?);
        if !input.is_empty() {
            input.parse::<Token![,]>()?;
        }
    }
    Ok(options)
}

/// The value of an option as an `Option<usize>` expression.
fn value(options: &[Opt], name: &str) -> TokenStream {
    match options.iter().find(|option| option.name == name) {
        Some(Opt { value, .. }) => quote!(::core::option::Option::Some(#value)),
        None => quote!(::core::option::Option::None),
    }
}

fn returns_unit(output: &ReturnType) -> bool {
    match output {
        ReturnType::Default => true,
        ReturnType::Type(_, ty) => matches!(&**ty, Type::Tuple(tuple) if tuple.elems.is_empty()),
    }
}
