//! Two goroutines of a scope run at once, so only one may borrow mutably.

fn main() {
    let mut count = 0;
    fibra::scope(|s| {
        s.go(|| count += 1);
        s.go(|| count += 1);
    });
}
