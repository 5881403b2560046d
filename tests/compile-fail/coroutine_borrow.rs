//! A coroutine without a scope may be forgotten, so it cannot borrow.

use fibra::coroutine::{Coroutine, Yielder};

fn main() {
    let data = [1, 2, 3];
    let numbers = Coroutine::new(|y: &Yielder<(), u32>, ()| {
        data.iter().for_each(|n| y.suspend(*n));
    });
    numbers.for_each(|n| println!("{n}"));
}
