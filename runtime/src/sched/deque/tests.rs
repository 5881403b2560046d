use super::*;
use crate::sched::inbox::tests::{ItemRef, Items};

#[cfg(not(loom))]
#[test]
fn the_owner_takes_the_newest_and_thieves_the_older_half() {
    let items = Items::new(5);
    let deque = Deque::new();
    assert!(deque.is_empty() && deque.is_surely_empty());
    deque.push_all((0..5).map(|number| items.get(number).numbered(number)));
    assert_eq!(deque.len(), 5);
    assert_eq!(deque.pop_newest().map(ItemRef::number), Some(4));
    let mut batch = Batch::new();
    deque.steal(&mut batch);
    let (first, rest) = batch.split_first().unwrap();
    assert_eq!(first.number(), 0);
    assert_eq!(rest.iter().map(|item| item.number()).collect::<Vec<_>>(), [1]);
    assert_eq!(deque.pop_oldest().map(ItemRef::number), Some(2));
    assert_eq!(deque.pop_newest().map(ItemRef::number), Some(3));
    assert!(deque.is_empty() && deque.is_surely_empty());
    assert!(deque.pop_newest().is_none() && deque.pop_oldest().is_none());
    batch.clear();
    deque.steal(&mut batch);
    assert!(batch.is_empty());
}

#[cfg(loom)]
mod models {
    use super::*;
    use crate::primitive::atomic::{AtomicBool, fence};
    use loom::sync::Arc;
    use loom::thread;

    /// The owner pushes and pops while a thief steals: each item is taken once, and its payload is seen.
    ///
    /// Fails when the lock is taken with a load and a store instead of a swap, and when it is given back
    /// with a relaxed store.
    #[test]
    fn loom_owner_against_thief() {
        loom::model(|| {
            let items = Arc::new(Items::new(3));
            let deque = Arc::new(Deque::new());
            deque.push(items.get(0).numbered(0));
            let thief = {
                let (deque, items) = (deque.clone(), items.clone());
                thread::spawn(move || {
                    let mut batch = Batch::new();
                    deque.steal(&mut batch);
                    let stolen: Vec<_> = batch.iter().map(|item| item.number()).collect();
                    drop(items);
                    stolen
                })
            };
            let mut taken = Vec::new();
            for number in 1..3 {
                deque.push(items.get(number).numbered(number));
            }
            taken.extend(deque.pop_newest().map(ItemRef::number));
            taken.extend(thief.join().unwrap());
            while let Some(item) = deque.pop_newest() {
                taken.push(item.number());
            }
            taken.sort_unstable();
            assert_eq!(taken, [0, 1, 2]);
        });
    }

    /// A push and a look in the order that is described at the head of `deque.rs`, with a lock of one word in the place
    /// of loom's: either the look finds what was pushed, or the pusher sees the sleeper. To loom what is sequentially
    /// consistent only acquires and releases, so fences stand in for that.
    ///
    /// Fails when the look is at the length only, when it is at the length first, and without one of the fences.
    #[test]
    fn loom_look_against_push() {
        loom::model(|| {
            let lock = Arc::new(AtomicBool::new(false));
            let length = Arc::new(AtomicUsize::new(0));
            let sleepers = Arc::new(AtomicUsize::new(0));
            let pusher = {
                let (lock, length, sleepers) = (lock.clone(), length.clone(), sleepers.clone());
                thread::spawn(move || {
                    assert!(!lock.swap(true, Ordering::SeqCst));
                    fence(Ordering::SeqCst);
                    length.store(1, Ordering::Relaxed);
                    lock.store(false, Ordering::Release);
                    sleepers.load(Ordering::SeqCst) != 0
                })
            };
            sleepers.fetch_add(1, Ordering::SeqCst);
            fence(Ordering::SeqCst);
            let is_free = !lock.load(Ordering::SeqCst);
            let found = !is_free || length.load(Ordering::Relaxed) != 0;
            assert!(pusher.join().unwrap() || found);
        });
    }
}
