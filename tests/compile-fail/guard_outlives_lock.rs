//! A guard borrows its lock, and its contents are not reached without it.

use fibra::sync::Mutex;

fn main() {
    let guard = {
        let mutex = Mutex::new(1);
        mutex.lock()
    };
    drop(guard);

    let mutex = Mutex::new(String::new());
    let guard = mutex.lock();
    let contents: &str = &guard;
    drop(guard);
    println!("{contents}");
}
