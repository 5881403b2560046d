use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::Expr;

use super::{Go, expand};

/// Both sides go through the parser, which spaces `||` in its own way.
#[track_caller]
fn assert_expands(input: TokenStream, expected: TokenStream) {
    let [expansion, expected] = [expand(input), expected]
        .map(|tokens| syn::parse2::<Expr>(tokens).unwrap().to_token_stream().to_string());
    assert_eq!(expansion, expected);
}

#[track_caller]
fn assert_refused(input: TokenStream, expected: &str) {
    let error = syn::parse2::<Go>(input).err().expect("an error");
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_call_binds_callee_and_arguments_in_order() {
    assert_expands(
        quote!(work(a, b + 1)),
        quote!({
            #[allow(unused_mut)]
            let mut callee = work;
            let arg0 = a;
            let arg1 = b + 1;
            ::fibra::spawn(move || callee(arg0, arg1))
        }),
    );
}

#[test]
fn items_stay_in_the_call() {
    assert_expands(quote!(a::work()), quote!(::fibra::spawn(move || a::work())));
    assert_expands(quote!(Some()), quote!(::fibra::spawn(move || Some())));
    assert_expands(quote!(work::<u8>()), quote!(::fibra::spawn(move || work::<u8>())));
    assert_expands(quote!(<u8 as A>::f()), quote!(::fibra::spawn(move || <u8 as A>::f())));
    assert_expands(quote!(COUNT.get()), quote!(::fibra::spawn(move || COUNT.get())));
}

#[test]
fn a_method_call_binds_the_receiver_first() {
    assert_expands(
        quote!(a.b.run::<u8>(x)),
        quote!({
            #[allow(unused_mut)]
            let mut receiver = a.b;
            let arg0 = x;
            ::fibra::spawn(move || receiver.run::<u8>(arg0))
        }),
    );
}

#[test]
fn a_closure_literal_and_the_name_of_its_callee_stay_in_the_call() {
    assert_expands(
        quote!(each(a, |x| x, b)),
        quote!({
            let arg0 = a;
            let arg2 = b;
            ::fibra::spawn(move || each(arg0, |x| x, arg2))
        }),
    );
    assert_expands(
        quote!((make())((|x| x))),
        quote!({
            #[allow(unused_mut)]
            let mut callee = make();
            ::fibra::spawn(move || callee((|x| x)))
        }),
    );
}

#[test]
fn attributes_of_an_argument_go_on_its_let() {
    let argument = quote!(
        #[allow(deprecated)]
        #[cfg(x)]
        old()
    );
    let in_call = quote!(
        #[cfg(x)]
        arg0
    );
    assert_expands(
        quote!(A(#argument)),
        quote!({
            #[allow(deprecated)]
            #[cfg(x)]
            let arg0 = old();
            ::fibra::spawn(move || A(#in_call))
        }),
    );
}

#[test]
fn closures_pass_and_blocks_are_wrapped() {
    assert_expands(quote!(move || x), quote!(::fibra::spawn(move || x)));
    assert_expands(quote!(|| x), quote!(::fibra::spawn(|| x)));
    assert_expands(quote!({ x }), quote!(::fibra::spawn(move || { x })));
    assert_expands(quote!('a: { x }), quote!(::fibra::spawn(move || 'a: { x })));
    assert_expands(quote!(unsafe { x }), quote!(::fibra::spawn(move || unsafe { x })));
}

#[test]
fn other_expressions_are_values() {
    for value in
        [quote!(f), quote!(fs[1]), quote!(a.f), quote!(make()?), quote!(if a { f } else { g })]
    {
        assert_expands(value.clone(), quote!(::fibra::spawn(#value)));
    }
}

#[test]
fn parentheses_and_invisible_groups_are_looked_through() {
    assert_expands(quote!((A())), quote!(::fibra::spawn(move || A())));
    assert_expands(quote!((|| x)), quote!(::fibra::spawn(|| x)));
    let group = |tokens| TokenTree::from(Group::new(Delimiter::None, tokens));
    let path = group(quote!(A));
    let call = group(quote!(#path(|x| x)));
    assert_expands(quote!(#call), quote!(::fibra::spawn(move || A(|x| x))));
}

#[test]
fn options_make_a_builder_first() {
    assert_expands(
        quote!(name = n, stack = s, A(x),),
        quote!({
            let builder = ::fibra::Builder::new().name(n).stack_size(s);
            let arg0 = x;
            ::fibra::__private::go(builder, move || A(arg0))
        }),
    );
    assert_expands(
        quote!(stack = s, f),
        quote!({
            let builder = ::fibra::Builder::new().stack_size(s);
            ::fibra::__private::go(builder, f)
        }),
    );
}

#[test]
fn mistakes_are_explained() {
    let what = "a call, a closure, a block or a value to call";
    assert_refused(quote!(), &format!("`go!` needs something to run: {what}"));
    for input in [quote!(name = "x"), quote!(name = "x", stack = 1,)] {
        assert_refused(input, &format!("`go!` needs something to run after its options: {what}"));
    }
    let one = format!("`go!` runs one thing: {what}; for several, write a block");
    for input in [quote!(f, g), quote!(f; g), quote!(f g), quote!(f,,)] {
        assert_refused(input, &one);
    }
    assert_refused(quote!(f, name = "x"), "the options of `go!` come before what it runs");
    assert_refused(quote!(name = "x" f), "expected `,`");
}

#[test]
fn a_mistake_expands_to_an_error() {
    assert!(expand(quote!()).to_string().contains("compile_error"));
}
