//! Any other expression is a value to call, so it must be one.

use fibra::go;

fn main() {
    go!(5);
    go!(println!("evaluated now, and gives nothing to call"));
    go!(|x: u8| x);
}
