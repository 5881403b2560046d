//! A scoped goroutine may run on another thread: what it borrows must be `Sync`.

use std::rc::Rc;

fn main() {
    let rc = Rc::new(1);
    fibra::scope(|s| {
        s.go(|| println!("{rc}"));
    });
}
