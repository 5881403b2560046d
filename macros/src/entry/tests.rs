use proc_macro2::TokenStream;

use super::{Entry, expand};

const NO_OPTIONS: &str = "::fibra::__private::Options {
    workers: ::core::option::Option::None, stack: ::core::option::Option::None
}";

fn tokens(source: &str) -> TokenStream {
    source.parse().unwrap()
}

#[track_caller]
fn assert_expands(entry: Entry, options: &str, function: &str, expected: &str) {
    let expansion = expand(entry, tokens(options), tokens(function));
    assert_eq!(expansion.to_string(), tokens(expected).to_string());
}

/// The mistake is reported, and a stub of the same name stands in for the function.
#[track_caller]
fn assert_refused(options: &str, function: &str, expected: &str) {
    let expansion = expand(Entry::Main, tokens(options), tokens(function)).to_string();
    assert!(expansion.contains(&format!("{expected:?}")), "{expansion}");
    assert!(expansion.ends_with("fn main () { }"), "{expansion}");
}

#[test]
fn main_moves_into_a_function_of_its_own_name() {
    let expected = format!(
        "fn main() {{
            fn main() {{ body(); }}
            ::fibra::__private::main({NO_OPTIONS}, main)
        }}"
    );
    assert_expands(Entry::Main, "", "fn main() { body(); }", &expected);
}

#[test]
fn a_test_keeps_attributes_and_visibility() {
    assert_expands(
        Entry::Test,
        "stack = 2 * S, workers = 3,",
        "#[should_panic] pub(crate) fn t() -> () { #![allow(unused)] }",
        "#[::core::prelude::v1::test]
        #[should_panic]
        pub(crate) fn t() {
            fn t() -> () { # ![allow(unused)] }
            ::fibra::__private::test(
                ::fibra::__private::Options {
                    workers: ::core::option::Option::Some(3),
                    stack: ::core::option::Option::Some(2 * S)
                },
                t
            )
        }",
    );
}

#[test]
fn a_result_is_reported_in_the_goroutine() {
    let expected = format!(
        "fn main() -> ::std::process::ExitCode {{
            fn main() -> Result<(), E> {{}}
            #[allow(unreachable_code)]
            let report = || ::std::process::Termination::report(main());
            ::fibra::__private::main({NO_OPTIONS}, report)
        }}"
    );
    assert_expands(Entry::Main, "", "fn main() -> Result<(), E> {}", &expected);
}

#[test]
fn only_a_plain_signature_is_taken() {
    let cases = [
        ("async fn main() {}", "be `async`: a goroutine blocks where a future awaits"),
        ("const fn main() {}", "be `const`"),
        ("unsafe fn main() {}", "be `unsafe`"),
        ("extern \"C\" fn main() {}", "be `extern`"),
        ("fn main<T>() {}", "be generic"),
        ("fn main() where u8: Copy {}", "have a `where` clause"),
        ("fn main(x: u8) {}", "have parameters"),
    ];
    for (function, what) in cases {
        let message = format!("a function with `#[fibra::main]` cannot {what}");
        assert_refused("", function, &message);
    }
}

#[test]
fn mistaken_options_are_explained() {
    let cases = [
        ("worker = 1", "unknown option `worker`"),
        ("workers = 1, workers = 2", "option `workers` is given twice"),
        ("1", "expected an option"),
    ];
    for (options, mistake) in cases {
        let message = format!("{mistake}; the options are `workers`, `stack`, each at most once");
        assert_refused(options, "fn main() {}", &message);
    }
    assert_refused("workers = 1 stack = 2", "fn main() {}", "expected `,`");
}

#[test]
fn it_goes_on_a_function_only() {
    let expansion = expand(Entry::Test, tokens(""), tokens("struct S;")).to_string();
    assert!(expansion.contains("`#[fibra::test]` goes on a function"), "{expansion}");
    assert!(expansion.ends_with("struct S ;"), "{expansion}");
}
