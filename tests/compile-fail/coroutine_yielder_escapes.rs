//! The yielder stays inside its coroutine.

use std::cell::Cell;

use fibra::coroutine::{self, Yielder};

fn main() {
    let escaped = Cell::new(None);
    coroutine::scope(|s| {
        s.coroutine(|y: &Yielder<(), ()>, ()| escaped.set(Some(y))).resume(());
    });
    escaped.get().unwrap().suspend(());
}
