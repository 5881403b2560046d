//! What must not compile, and what the compiler says about it.
//!
//! `TRYBUILD=overwrite cargo test -p fibra-tests --test compile_fail` writes the `.stderr` files
//! anew; read the difference before it is kept.

#[test]
fn compile_fail() {
    trybuild::TestCases::new().compile_fail("compile-fail/*.rs");
}
