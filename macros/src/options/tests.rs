use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::{ParseStream, Parser};

use super::{Opt, parse_option, starts_option};

fn starts(input: TokenStream) -> bool {
    let parser = |input: ParseStream| {
        let starts = starts_option(input);
        input.parse::<TokenStream>()?;
        Ok(starts)
    };
    parser.parse2(input).unwrap()
}

fn parse(input: TokenStream, earlier: &[Opt]) -> syn::Result<Opt> {
    let parser = |input: ParseStream| parse_option(input, &["name", "stack"], earlier);
    parser.parse2(input)
}

#[test]
fn an_option_is_an_identifier_and_an_equals_sign() {
    assert!(starts(quote!(anything = 1)) && starts(quote!(type = 1)));
    for body in [quote!(), quote!(f(x)), quote!(a == b), quote!(a.b = c), quote!(|| x = 1)] {
        assert!(!starts(body.clone()), "{body}");
    }
}

#[test]
fn mistakes_name_the_valid_options() {
    let earlier = [parse(quote!(name = "x"), &[]).unwrap()];
    let cases = [
        (quote!(nmae = "y"), "unknown option `nmae`"),
        (quote!(name = "y"), "option `name` is given twice"),
        (quote!(5), "expected an option"),
    ];
    for (input, mistake) in cases {
        let error = parse(input, &earlier).err().unwrap().to_string();
        assert_eq!(error, format!("{mistake}; the options are `name`, `stack`, each at most once"));
    }
    assert!(parse(quote!(stack = 1), &earlier).is_ok());
}
