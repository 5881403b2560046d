//! The mistake is reported, and nothing that follows from it.

#[fibra::main]
fn main(args: Vec<String>) {}
