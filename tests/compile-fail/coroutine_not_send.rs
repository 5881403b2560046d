//! A coroutine's frames may hold anything, so it stays on its thread.

use fibra::coroutine::{Coroutine, Yielder};

fn main() {
    let mut numbers = Coroutine::new(|y: &Yielder<(), u32>, ()| y.suspend(1));
    fibra::go!(move || numbers.next());
}
