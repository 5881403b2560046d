//! What a suspended coroutine borrows mutably nobody else can use before the scope ends.

use fibra::coroutine::{self, Yielder};

fn main() {
    let mut data = vec![1, 2, 3];
    coroutine::scope(|s| {
        let mut numbers = s.coroutine(|y: &Yielder<(), u32>, ()| {
            for n in &mut data {
                y.suspend(*n);
            }
        });
        numbers.next();
        std::mem::forget(numbers);
        data.clear();
    });
}
