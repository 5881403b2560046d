//! Inputs may stay in the coroutine's frames, so they must live as long.

use fibra::coroutine::{self, Yielder};

fn main() {
    coroutine::scope(|s| {
        let mut keeps = s.coroutine(|y: &Yielder<&str, ()>, first: &str| {
            y.suspend(());
            println!("{first}");
        });
        let short = String::from("short");
        keeps.resume(&short);
    });
}
