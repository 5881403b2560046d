//! A scoped goroutine outlives the closure given to `scope`, so it cannot borrow from that.

fn main() {
    fibra::scope(|s| {
        let inner = String::from("inner");
        s.go(|| println!("{inner}"));
    });
}
