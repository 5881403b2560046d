//! A scoped coroutine cannot leave its scope.

use fibra::coroutine::{self, Yielder};

fn main() {
    let data = [1, 2, 3];
    let numbers = coroutine::scope(|s| {
        s.coroutine(|y: &Yielder<(), u32>, ()| data.iter().for_each(|n| y.suspend(*n)))
    });
    numbers.for_each(|n| println!("{n}"));
}
