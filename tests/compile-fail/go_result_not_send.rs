//! What a goroutine returns must be `Send`: it goes to whoever joins.

use std::rc::Rc;

fn make(n: u8) -> Rc<u8> {
    Rc::new(n)
}

fn main() {
    fibra::go!(make(1));
}
