//! Nor can it be put where it lives longer.

use fibra::coroutine::{self, ScopedCoroutine, Yielder};

fn main() {
    let data = [1, 2, 3];
    let mut kept: Option<ScopedCoroutine<'_, (), u32, ()>> = None;
    coroutine::scope(|s| {
        kept = Some(s.coroutine(|y: &Yielder<(), u32>, ()| data.iter().for_each(|n| y.suspend(*n))));
    });
    drop(kept);
}
