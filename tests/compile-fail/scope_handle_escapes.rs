//! A handle cannot leave its scope.

fn main() {
    let mut escaped = None;
    fibra::scope(|s| {
        escaped = Some(s.go(|| 1));
    });
    drop(escaped);
}
