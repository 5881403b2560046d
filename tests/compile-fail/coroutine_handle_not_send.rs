//! A handle looks into its coroutine, so it stays on the thread, too.

use fibra::coroutine::{Coroutine, Yielder};

fn main() {
    let numbers = Coroutine::new(|y: &Yielder<(), u32>, ()| y.suspend(1));
    let handle = numbers.handle();
    std::thread::spawn(move || handle.status());
}
