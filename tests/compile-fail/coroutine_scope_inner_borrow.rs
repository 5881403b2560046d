//! A scoped coroutine may outlive the closure given to `scope`, so it cannot borrow from that.

use fibra::coroutine::{self, Yielder};

fn main() {
    coroutine::scope(|s| {
        let inner = [1, 2, 3];
        let numbers = s.coroutine(|y: &Yielder<(), u32>, ()| inner.iter().for_each(|n| y.suspend(*n)));
        numbers.for_each(|n| println!("{n}"));
    });
}
