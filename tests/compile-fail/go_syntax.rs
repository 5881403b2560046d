//! Mistakes in the syntax of `go!`.

use fibra::go;

fn run() {}

fn main() {
    go!();
    go!(nmae = "reader", run());
    go!(name = "a", stack = 4096, name = "b", run());
    go!(name = "reader");
    go!(name = "reader", stack = 4096,);
    go!(run(), name = "reader");
    go!(run(); run());
    go!(run(), run());
}
