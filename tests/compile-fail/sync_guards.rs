//! Guards stay where they were made, and locks do not make what they protect `Sync` or `Send`.

use std::cell::Cell;
use std::rc::Rc;

use fibra::sync::{
    Mutex, MutexGuard, OnceLock, RwLock, RwLockReadGuard, RwLockWriteGuard, SemaphoreGuard,
};

fn send<T: Send>() {}
fn sync<T: Sync>() {}

fn main() {
    send::<MutexGuard<'static, i8>>();
    send::<RwLockReadGuard<'static, i8>>();
    send::<RwLockWriteGuard<'static, i8>>();
    send::<SemaphoreGuard<'static>>();

    sync::<MutexGuard<'static, Cell<u8>>>();
    sync::<RwLockReadGuard<'static, Cell<u16>>>();
    sync::<RwLockWriteGuard<'static, Cell<u32>>>();

    sync::<Mutex<Rc<i16>>>();
    send::<Mutex<Rc<i32>>>();
    sync::<RwLock<Cell<i64>>>();
    sync::<OnceLock<Cell<i128>>>();
}
