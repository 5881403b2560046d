//! An owner comes back only when nobody holds it.

use super::*;

#[test]
#[cfg(not(loom))]
fn who_is_here_is_not_held() {
    let away = Away::new();
    assert_eq!(away.hold(|| ()), None);
    for _ in 0..3 {
        away.begin();
        assert_eq!(away.hold(|| 1), Some(1));
        assert_eq!(away.hold(|| 2), Some(2), "it is still away");
        away.end();
        assert_eq!(away.hold(|| ()), None);
    }
}

/// An owner that goes away twice, against two that hold it: to loom they all write to one place, without an atomic.
///
/// Fails when `end` does not wait for the lock; when `hold` does not take it; when `hold` looks at the state and stores
/// HELD, instead of the exchange; when `begin`, `end` or either exchange of `hold` is `Relaxed`.
#[test]
#[cfg(loom)]
fn loom_an_owner_that_is_held_stays_away() {
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;
    use loom::thread;

    #[derive(Default)]
    struct Place(UnsafeCell<usize>);
    // SAFETY: loom checks the accesses.
    unsafe impl Sync for Place {}
    impl Place {
        fn write(&self) {
            // SAFETY: the owner writes while it is here, and others while they hold it.
            self.0.with_mut(|place| unsafe { *place += 1 });
        }
    }

    loom::model(|| {
        let shared = Arc::new((Away::new(), Place::default()));
        let holders = [(); 2].map(|()| {
            let shared = shared.clone();
            thread::spawn(move || {
                let (away, place) = &*shared;
                away.hold(|| place.write())
            })
        });
        let (away, place) = &*shared;
        for _ in 0..2 {
            place.write();
            away.begin();
            away.end();
        }
        place.write();
        let held = holders.map(|holder| usize::from(holder.join().unwrap().is_some()));
        // SAFETY: everybody else has ended.
        assert_eq!(place.0.with(|place| unsafe { *place }), 3 + held[0] + held[1]);
    });
}
