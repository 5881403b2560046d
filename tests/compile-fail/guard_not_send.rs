//! A lock is released where it was taken: its guard does not go to another goroutine.

use fibra::go;
use fibra::sync::{Mutex, RwLock};

static MUTEX: Mutex<u8> = Mutex::new(1);
static LOCK: RwLock<u8> = RwLock::new(1);

fn main() {
    let guard = MUTEX.lock();
    go!(drop(guard));
    let guard = LOCK.read();
    go!(drop(guard));
    let guard = LOCK.write();
    go!(drop(guard));
}
