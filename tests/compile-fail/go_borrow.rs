//! A goroutine may outlive its starter, so `go!` cannot borrow from it. `scope` can.

use fibra::go;

fn show(_: &str) {}

fn main() {
    let text = String::from("text");
    go!(show(&text));
    go!(text.as_str().len());
    go!(|| show(&text));
}
