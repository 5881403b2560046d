//! What the types of `fibra::sync` are: statics, bounds, conversions, text.

use std::cell::Cell;
use std::fmt::{Debug, Display};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;

use fibra::go;
use fibra::sync::{
    Barrier, BarrierWaitResult, Condvar, Mutex, MutexGuard, Once, OnceLock, RwLock,
    RwLockReadGuard, RwLockWriteGuard, Semaphore, SemaphoreGuard, WaitTimeoutResult,
};
use fibra_tests::alone;

static MUTEX: Mutex<Vec<u8>> = Mutex::new(Vec::new());
static RWLOCK: RwLock<Option<String>> = RwLock::new(None);
static CONDVAR: Condvar = Condvar::new();
static SEMAPHORE: Semaphore = Semaphore::new(1);
static BARRIER: Barrier = Barrier::new(2);
static ONCE: Once = Once::new();
static ONCE_LOCK: OnceLock<String> = OnceLock::new();

#[test]
fn statics_are_shared_by_goroutines_and_threads() {
    fn work() {
        ONCE.call_once(|| *RWLOCK.write() = Some("once".to_owned()));
        assert_eq!(RWLOCK.read().as_deref(), Some("once"));
        let _permit = SEMAPHORE.acquire();
        let mut items = MUTEX.lock();
        items.push(1);
        CONDVAR.notify_all();
        if items.len() == 1 {
            CONDVAR.wait_while(&mut items, |items| items.len() < 3);
        }
        assert_eq!(ONCE_LOCK.get_or_init(|| "made".to_owned()), "made");
    }
    alone(|| {
        SEMAPHORE.add_permits(2);
        let goroutines = [(); 2].map(|()| {
            go!({
                work();
                BARRIER.wait().is_leader()
            })
        });
        work();
        let led = goroutines.map(|goroutine| goroutine.join().unwrap());
        assert!(led[0] != led[1]);
        assert_eq!(*MUTEX.lock(), [1, 1, 1]);
        assert_eq!(SEMAPHORE.available_permits(), 3);
    });
}

#[test]
fn bounds() {
    fn shared<T: Send + Sync + UnwindSafe + RefUnwindSafe + Debug>() {}
    fn sync<T: Sync>() {}
    shared::<Mutex<Cell<u8>>>();
    shared::<RwLock<Vec<u8>>>();
    shared::<Condvar>();
    shared::<Semaphore>();
    shared::<Barrier>();
    shared::<BarrierWaitResult>();
    shared::<WaitTimeoutResult>();
    shared::<Once>();
    shared::<OnceLock<String>>();
    sync::<MutexGuard<'_, u8>>();
    sync::<RwLockReadGuard<'_, u8>>();
    sync::<RwLockWriteGuard<'_, u8>>();
    sync::<SemaphoreGuard<'_>>();
}

#[test]
fn unsized_values() {
    let mutex: Arc<Mutex<[u8]>> = Arc::new(Mutex::new([1, 2, 3]));
    mutex.lock()[0] = 5;
    assert_eq!(mutex.lock().iter().sum::<u8>(), 10);
    let lock: Box<RwLock<dyn Display>> = Box::new(RwLock::new(7));
    assert_eq!(lock.read().to_string(), "7");
    assert_eq!(lock.write().to_string(), "7");
}

#[test]
fn values_go_in_and_out() {
    let mut mutex = Mutex::from(1);
    *mutex.get_mut() += 1;
    assert_eq!(mutex.into_inner(), 2);
    assert_eq!(Mutex::<u8>::default().into_inner(), 0);
    let mut lock = RwLock::from(1);
    *lock.get_mut() += 1;
    assert_eq!(lock.into_inner(), 2);
    assert_eq!(RwLock::<u8>::default().into_inner(), 0);
    let once = OnceLock::from(1);
    assert_eq!(once.clone(), once);
    assert_ne!(once, OnceLock::default());
    assert!(!Once::default().is_completed());
    assert!(!Condvar::default().notify_one());
}

#[test]
fn texts() {
    let mutex = Mutex::new("x");
    assert_eq!(format!("{mutex:?}"), r#"Mutex { data: "x" }"#);
    let guard = mutex.lock();
    assert_eq!(format!("{guard:?} {guard}"), r#""x" x"#);
    assert_eq!(format!("{mutex:?}"), "Mutex { data: <locked> }");

    let lock = RwLock::new("x");
    let reader = lock.read();
    assert_eq!(format!("{reader:?} {reader}"), r#""x" x"#);
    assert_eq!(format!("{lock:?}"), r#"RwLock { data: "x" }"#);
    drop(reader);
    let writer = lock.write();
    assert_eq!(format!("{writer:?} {writer}"), r#""x" x"#);
    assert_eq!(format!("{lock:?}"), "RwLock { data: <locked> }");

    let semaphore = Semaphore::new(2);
    assert_eq!(format!("{:?}", semaphore.acquire()), "SemaphoreGuard");
    assert_eq!(format!("{semaphore:?}"), "Semaphore { permits: 2 }");
    assert_eq!(format!("{:?}", Once::new()), "Once { completed: false }");
    assert_eq!(format!("{:?}", OnceLock::<u8>::new()), "OnceLock(<no value>)");
    assert_eq!(format!("{:?}", OnceLock::from(1)), "OnceLock(1)");
    assert_eq!(format!("{:?}", Condvar::new()), "Condvar { .. }");
    assert_eq!(format!("{:?}", Barrier::new(1)), "Barrier { .. }");
    assert_eq!(format!("{:?}", Barrier::new(1).wait()), "BarrierWaitResult { is_leader: true }");
}
