//! What `#[fibra::main]` and `#[fibra::test]` refuse.

#[fibra::main]
async fn asynchronous() {}

#[fibra::main]
fn parameters(args: Vec<String>) {}

#[fibra::main]
fn generic<T>() {}

#[fibra::test]
fn bounded() where u8: Copy {}

#[fibra::test]
unsafe fn dangerous() {}

#[fibra::test]
const fn constant() {}

#[fibra::main]
extern "C" fn foreign() {}

#[fibra::main(worker = 2)]
fn unknown_option() {}

#[fibra::main(workers = 2, workers = 3)]
fn repeated_option() {}

#[fibra::main(2)]
fn no_option() {}

#[fibra::main]
struct NotAFunction;

fn main() {}
