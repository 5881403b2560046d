//! What crosses to a goroutine must be `Send`, in whichever form it is written.
//!
//! Each form has an `Rc` of its own: the compiler says the same about one type only once.

use std::rc::Rc;

use fibra::go;

fn show<T>(_: Rc<T>) {}

fn each(_: impl Fn(u8)) {}

struct Holder(Rc<u8>);

impl Holder {
    fn show(&self) {}
}

fn main() {
    let call = Rc::new(1_i8);
    go!(show(call));

    let named = Rc::new(1_i16);
    go!(name = "named", show(named));

    let method = Holder(Rc::new(1_u8));
    go!(method.show());

    let block = Rc::new(1_i32);
    go!({ println!("{block}") });

    let closure = Rc::new(1_i64);
    go!(move || println!("{closure}"));

    let argument = Rc::new(1_i128);
    go!(each(|_| println!("{argument}")));
}
