use super::pool::{self, Cache};
use super::*;
use std::sync::Arc;

fn spawn<T>(cache: &Cache, closure: impl FnOnce() -> T) -> GoroutineRef {
    new(cache.take().unwrap(), closure, 1, Affinity::Worker, None, Location::caller())
}

fn free(cache: &Cache, goroutine: GoroutineRef) {
    // SAFETY: the test holds both references.
    unsafe {
        assert!(goroutine.release().is_none());
        match goroutine.release() {
            Some(slot) => cache.give(slot),
            None => panic!("both references were given back"),
        }
    }
}

#[test]
fn closure_then_result_dropped_once() {
    let cache = Cache::new();
    for size_matters in [false, true] {
        let counted = Arc::new(());
        let large = [7u8; 500];
        let captured = counted.clone();
        let goroutine = if size_matters {
            spawn(&cache, move || (captured, large[499]))
        } else {
            spawn(&cache, move || (captured, 7))
        };
        assert_eq!(Arc::strong_count(&counted), 2);
        // SAFETY: fresh, in no queue; then finished, with a result of this type.
        let result = unsafe {
            assert_eq!(goroutine.run(), Rest::Result);
            assert!(matches!(goroutine.complete(), Completion::Kept));
            goroutine.take_result::<(Arc<()>, u8)>()
        };
        assert_eq!(result.unwrap().1, 7);
        assert_eq!(Arc::strong_count(&counted), 1);
        free(&cache, goroutine);
    }
}

#[test]
fn refused_closure_is_dropped_and_join_gets_the_payload() {
    let cache = Cache::new();
    let counted = Arc::new(());
    let captured = counted.clone();
    let goroutine = spawn(&cache, move || drop(captured));
    // SAFETY: fresh, in no queue; then finished.
    let payload = unsafe {
        goroutine.refuse(Box::new(5));
        assert!(goroutine.detach());
        assert!(matches!(goroutine.complete(), Completion::Detached));
        goroutine.drop_result()
    };
    assert_eq!(*payload.unwrap().downcast::<i32>().unwrap(), 5);
    assert_eq!(Arc::strong_count(&counted), 1);
    free(&cache, goroutine);
}

#[test]
fn slots_go_round_between_threads() {
    let (give, take) = std::sync::mpsc::channel::<GoroutineRef>();
    let finisher = std::thread::spawn(move || {
        let cache = Cache::new();
        let mut sum = 0;
        for goroutine in take {
            // SAFETY: handed over fresh; then finished, with a result of this type.
            sum += unsafe {
                assert_eq!(goroutine.run(), Rest::Nothing);
                goroutine.take_result::<usize>().unwrap()
            };
            free(&cache, goroutine);
        }
        sum
    });
    let cache = Cache::new();
    for i in 0..10_000usize {
        give.send(spawn(&cache, move || i)).unwrap();
    }
    drop(give);
    assert_eq!(finisher.join().unwrap(), (0..10_000).sum());
    let slot = pool::take().unwrap();
    pool::give(slot);
}
