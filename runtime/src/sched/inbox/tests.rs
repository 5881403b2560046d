use super::*;
use std::cell::Cell;
use std::ptr::NonNull;

#[cfg(loom)]
use loom::cell::UnsafeCell;
#[cfg(not(loom))]
use std::cell::UnsafeCell;

/// A goroutine in miniature: a link, and something that its pusher writes and its taker reads without an
/// atomic, so that loom sees when the hand-over does not order the two.
pub(in crate::sched) struct Item {
    next: Cell<Option<ItemRef>>,
    payload: UnsafeCell<usize>,
}

/// Names an [`Item`] of an [`Items`] that is still there.
#[derive(Clone, Copy, Debug)]
pub(in crate::sched) struct ItemRef(NonNull<Item>);

// SAFETY: the queues under test hand it from one thread to the next; whether they do is what is tested.
unsafe impl Send for ItemRef {}

/// Owns items for the length of a test. Outlives all use, because the tests join their threads.
pub(in crate::sched) struct Items(Vec<ItemRef>);

impl Items {
    pub(in crate::sched) fn new(count: usize) -> Items {
        let item = |_| {
            let item = Item { next: Cell::new(None), payload: UnsafeCell::new(0) };
            ItemRef(NonNull::from(Box::leak(Box::new(item))))
        };
        Items((0..count).map(item).collect())
    }

    pub(in crate::sched) fn get(&self, index: usize) -> ItemRef {
        self.0[index]
    }
}

impl Drop for Items {
    fn drop(&mut self) {
        for item in &self.0 {
            // SAFETY: from a box, dropped once; nobody uses it any more.
            drop(unsafe { Box::from_raw(item.0.as_ptr()) });
        }
    }
}

impl ItemRef {
    /// The item with its payload written, by the one who is going to push it.
    pub(in crate::sched) fn numbered(self, number: usize) -> ItemRef {
        self.write(number);
        self
    }

    #[cfg(loom)]
    fn write(self, number: usize) {
        // SAFETY: not pushed yet.
        unsafe { self.0.as_ref().payload.with_mut(|place| *place = number) };
    }

    #[cfg(not(loom))]
    fn write(self, number: usize) {
        // SAFETY: not pushed yet.
        unsafe { *self.0.as_ref().payload.get() = number };
    }

    #[cfg(loom)]
    pub(in crate::sched) fn number(self) -> usize {
        // SAFETY: taken out of a queue by the caller.
        unsafe { self.0.as_ref().payload.with(|place| *place) }
    }

    #[cfg(not(loom))]
    pub(in crate::sched) fn number(self) -> usize {
        // SAFETY: taken out of a queue by the caller.
        unsafe { *self.0.as_ref().payload.get() }
    }
}

impl Node for ItemRef {
    fn next(&self) -> &Cell<Option<ItemRef>> {
        // SAFETY: its `Items` is still there.
        &unsafe { self.0.as_ref() }.next
    }

    fn into_raw(self) -> *mut () {
        self.0.as_ptr().cast()
    }

    fn from_raw(raw: *mut ()) -> Option<ItemRef> {
        NonNull::new(raw.cast()).map(ItemRef)
    }
}

/// The numbers in a list, which is empty afterwards.
pub(in crate::sched) fn numbers(list: &List<ItemRef>) -> Vec<usize> {
    std::iter::from_fn(|| list.pop_front()).map(ItemRef::number).collect()
}

#[cfg(not(loom))]
#[test]
fn what_is_drained_goes_behind_what_is_there_oldest_first() {
    let items = Items::new(4);
    let inbox = Inbox::new();
    let list = List::new();
    list.push_back(items.get(0).numbered(0));
    inbox.drain_to(&list);
    for number in 1..4 {
        inbox.push(items.get(number).numbered(number));
    }
    assert!(!inbox.is_empty());
    inbox.drain_to(&list);
    assert!(inbox.is_empty());
    assert_eq!(numbers(&list), [0, 1, 2, 3]);
}

/// Two pushers against an owner that drains: nothing is lost, nothing comes twice, and what one pusher
/// pushed comes in its order.
///
/// Fails when the CAS of `push` is `Relaxed` or the swap of `take_all` is (the payload is read without
/// its write), when `take_all` is a load and a store (a push in between is lost), and when it leaves the
/// list as it is, newest first.
#[cfg(loom)]
#[test]
fn loom_two_pushers_against_a_draining_owner() {
    use loom::sync::Arc;
    use loom::thread;

    loom::model(|| {
        let items = Items::new(4);
        let inbox = Arc::new(Inbox::new());
        let pushers = [0, 2].map(|first| {
            let inbox = inbox.clone();
            let (one, two) = (items.get(first), items.get(first + 1));
            thread::spawn(move || {
                inbox.push(one.numbered(first));
                inbox.push(two.numbered(first + 1));
            })
        });
        let list = List::new();
        let mut seen = Vec::new();
        while seen.len() < 4 {
            inbox.drain_to(&list);
            seen.extend(numbers(&list));
            // loom does not try a mere look at the head at all places; with this it tries what follows.
            thread::yield_now();
        }
        for first in [0, 2] {
            let of_one: Vec<_> = seen.iter().filter(|&n| n & 2 == first).collect();
            assert_eq!(of_one, [&first, &(first + 1)], "of {seen:?}");
        }
        for pusher in pushers {
            pusher.join().unwrap();
        }
        assert!(inbox.is_empty());
    });
}
