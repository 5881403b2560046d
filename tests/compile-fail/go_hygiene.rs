//! The names that `go!` introduces are not for its user.

use fibra::go;

fn add(a: u8, b: u8) -> u8 {
    a + b
}

fn main() {
    go!(add(1, arg0));
    go!(add(callee, builder));
    go!(u8::MAX.min(receiver));
}
