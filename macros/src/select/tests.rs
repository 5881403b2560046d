use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use quote::quote;

use super::{Operation, Select, expand};

/// In `expected`, `$` stands for the paths that the expansion writes out.
#[track_caller]
fn assert_expands(input: TokenStream, expected: &str) {
    let expected = expected
        .replace("$select", "::fibra::__private::select")
        .replace("$Some", "::core::option::Option::Some")
        .replace("$Ok", "::core::result::Result::Ok")
        .replace("$Err", "::core::result::Result::Err");
    let expected: TokenStream = expected.parse().unwrap();
    assert_eq!(expand(input).to_string(), expected.to_string());
}

#[track_caller]
fn assert_refused(input: TokenStream, expected: &str) {
    let error = syn::parse2::<Select>(input).err().expect("an error");
    assert_eq!(error.to_string(), expected);
}

/// One line for each arm, without bodies.
#[track_caller]
fn arms(input: TokenStream) -> Vec<String> {
    let arms = syn::parse2::<Select>(input).unwrap().arms;
    let tokens = arms.into_iter().map(|arm| {
        let (keyword, result) = (&arm.keyword, arm.result.map(|pattern| quote!(-> #pattern)));
        match arm.operation {
            Operation::Recv { receiver } => quote!(#keyword #receiver #result),
            Operation::Send { sender, value } => quote!(#keyword #sender, #value #result),
            Operation::Default { timeout } => quote!(#keyword #timeout #result),
        }
    });
    tokens.map(|arm| arm.to_string()).collect()
}

#[test]
fn a_lone_arm_waits() {
    assert_expands(
        quote!(recv(rx) -> msg => body),
        "{
            let chosen;
            match ($select::recv(&(rx)), $select::Otherwise::Wait,) {
                (mut arm0, otherwise,) => {
                    chosen = match $select::run(&mut [&mut arm0], otherwise,) {
                        _ => arm0.finish(),
                    }
                }
            }
            match chosen {
                result => { let msg = { result }; (body) },
            }
        }",
    );
}

#[test]
fn everything_is_evaluated_in_source_order() {
    assert_expands(
        quote!(recv(a.rx) => x, default(d) => y, send(tx, v) -> Ok(_) | Err(_) => z),
        "{
            let chosen;
            match (
                $select::recv(&(a.rx)),
                $select::Otherwise::After(d),
                $select::send(&(tx), v),
            ) {
                (mut arm0, otherwise, mut arm1,) => {
                    chosen = match $select::run(&mut [&mut arm0, &mut arm1], otherwise,) {
                        $Some(0) => $Ok(arm0.finish()),
                        $Some(1) => $Err($Ok(arm1.finish())),
                        _ => $Err($Err(())),
                    }
                }
            }
            match chosen {
                $Ok(result) => { let _ = { result }; (x) },
                $Err($Ok(result)) => { let (Ok(_) | Err(_)) = { result }; (z) },
                $Err($Err(())) => (y),
            }
        }",
    );
}

#[test]
fn a_lone_default_still_calls_the_runtime() {
    assert_expands(
        quote!(default => body),
        "{
            let chosen;
            match ($select::Otherwise::Default,) {
                (otherwise,) => {
                    chosen = match $select::run(&mut [], otherwise,) { _ => (), }
                }
            }
            match chosen { () => (body), }
        }",
    );
}

#[test]
fn no_arms_wait_for_ever() {
    assert_expands(quote!(), "{ $select::forever() }");
}

#[test]
fn each_form_has_its_arguments() {
    let recv = quote!(recv(a + b,) -> mut m => 1, recv(c) => 2);
    assert_eq!(arms(recv), ["recv a + b -> mut m", "recv c"]);
    let send = quote!(send(a, b,) -> _ => 1, send(c, d) -> | Ok(()) | Err(_) => 2);
    assert_eq!(arms(send), ["send a , b -> _", "send c , d -> | Ok (()) | Err (_)"]);
    assert_eq!(arms(quote!(default(a,) => 1, recv(b) => 2)), ["default a", "recv b"]);
    assert_eq!(arms(quote!(default() => 1)), ["default"]);
    assert_eq!(arms(quote!(default => 1)), ["default"]);
}

#[test]
fn a_comma_may_be_left_out_after_a_block() {
    let block = TokenTree::from(Group::new(Delimiter::None, quote!({})));
    let bodies = [
        quote!({}),
        quote!('a: {}),
        quote!(unsafe {}),
        quote!(if a { b } else { c }),
        quote!(match a {}),
        quote!(loop {}),
        quote!(while a {}),
        quote!(for a in b {}),
        quote!(#block),
    ];
    for body in bodies {
        assert_eq!(arms(quote!(recv(a) => #body recv(b) => #body)).len(), 2, "{body}");
        assert_eq!(arms(quote!(recv(a) => #body, recv(b) => #body,)).len(), 2, "{body}");
    }
    for body in [quote!(a), quote!(a {}), quote!(f()), quote!(|| {}), quote!(({})), quote!(m! {})] {
        assert_refused(quote!(recv(a) => #body recv(b) => {}), "expected `,`");
        assert_eq!(arms(quote!(recv(a) => #body, recv(b) => #body)).len(), 2, "{body}");
    }
}

#[test]
fn only_the_three_forms_are_taken() {
    let forms = "expected `recv(receiver) -> result => …`, `send(sender, value) -> result => …` \
                 or `default => …`";
    for input in [
        quote!(msg = rx.recv() => {}),
        quote!(5 => {}),
        quote!(,),
        quote!(_ => {}),
        quote!(recv(a) => {}; default => {}),
        quote!(recv(a) => {},,),
        quote!(recv(a) => {} + 1),
    ] {
        assert_refused(input, forms);
    }
}

#[test]
fn arguments_are_counted() {
    let recv = "`recv` takes one receiver: `recv(receiver) -> result => …`";
    for input in [quote!(recv() => {}), quote!(recv(a, b) => {}), quote!(recv a => {})] {
        assert_refused(input, recv);
    }
    let send = "`send` takes a sender and a value: `send(sender, value) -> result => …`";
    for input in [quote!(send() => {}), quote!(send(a) => {}), quote!(send(a, b, c) => {})] {
        assert_refused(input, send);
    }
    let default = "`default` takes at most a timeout: `default(timeout) => …`";
    assert_refused(quote!(default(a, b) => {}), default);
    assert_refused(quote!(send(a b) => {}), "expected `,`");
}

#[test]
fn a_second_default_is_refused() {
    let message = "a select has at most one `default`";
    assert_refused(quote!(default => {} default => {}), message);
    assert_refused(quote!(default(a) => 1, recv(b) => 2, default => 3), message);
}

#[test]
fn what_a_match_arm_may_have_and_a_select_arm_not() {
    assert_refused(
        quote!(
            #[cfg(a)]
            recv(a) => {}
        ),
        "an arm of `select!` has no attributes",
    );
    let guard = "an arm of `select!` has no guard; to disable one, make its channel an `Option` \
                 that is `None`";
    assert_refused(quote!(recv(a) -> Ok(m) if m > 1 => {}), guard);
    assert_refused(quote!(recv(a) if b => {}), guard);
    assert_refused(quote!(default -> m => {}), "`default` has no result");
}

#[test]
fn an_unfinished_arm_is_refused() {
    assert_refused(quote!(recv(a) -> m: u8 => {}), "expected `=>`");
    assert_refused(quote!(recv(a) m => {}), "expected `=>`");
    assert_refused(quote!(default {}), "expected `=>`");
    assert_refused(quote!(recv(a) => , default => {}), "expected an expression");
    assert_refused(quote!(recv(a) =>), "unexpected end of input, expected an expression");
}

#[test]
fn a_mistake_expands_to_an_error() {
    assert!(expand(quote!(recv)).to_string().contains("compile_error"));
}
