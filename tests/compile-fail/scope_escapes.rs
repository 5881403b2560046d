//! The scope itself cannot leave, to be spawned on later.

fn main() {
    let mut escaped = None;
    fibra::scope(|s| escaped = Some(s));
    drop(escaped);
}
