//! What is given to a goroutine is gone.

use fibra::go;

fn each(f: impl Fn(u8)) {
    f(1);
}

fn main() {
    let text = String::from("text");
    go!(text.len());
    println!("{text}");

    let text = String::from("text");
    go!({ println!("{text}") });
    println!("{text}");

    let text = String::from("text");
    go!(each(|_| println!("{text}")));
    println!("{text}");
}
