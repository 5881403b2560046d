//! The `ident = expr` lists of `go!`, `#[fibra::main]` and `#[fibra::test]`.

use syn::ext::IdentExt;
use syn::parse::ParseStream;
use syn::{Error, Expr, Ident, Result, Token};

#[cfg(test)]
mod tests;

/// One option, as written.
pub(crate) struct Opt {
    pub(crate) name: Ident,
    pub(crate) value: Expr,
}

/// Whether an option comes next, and not a body that happens to start with an identifier.
pub(crate) fn starts_option(input: ParseStream) -> bool {
    // syn takes the `=` of `==` and `=>` for a `=`.
    input.peek(Ident::peek_any)
        && input.peek2(Token![=])
        && !input.peek2(Token![==])
        && !input.peek2(Token![=>])
}

/// Reads one option, which must be one of `valid` and not be among `earlier`.
pub(crate) fn parse_option(input: ParseStream, valid: &[&str], earlier: &[Opt]) -> Result<Opt> {
    let refuse = |span, mistake| {
        let valid = valid.join("`, `");
        Err(Error::new(span, format!("{mistake}; the options are `{valid}`, each at most once")))
    };
    let Ok(name) = Ident::parse_any(input) else {
        return refuse(input.span(), "expected an option".to_string());
    };
    if !valid.iter().any(|option| name == option) {
        return refuse(name.span(), format!("unknown option `{name}`"));
    }
    if earlier.iter().any(|option| option.name == name) {
        return refuse(name.span(), format!("option `{name}` is given twice"));
    }
    input.parse::<Token![=]>()?;
    Ok(Opt { name, value: input.parse()? })
}
