//! The stack that each thread keeps: whoever makes one coroutine after another gets the same hot one again, without the
//! pool's lock and without a look at the clock.

use super::region::Slot;
use super::{POOL, Stack, StackSize, lock};
use std::cell::{Cell, OnceCell};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

struct Kept {
    slot: Cell<Option<Slot>>,
    /// For the census: whether there is one.
    noted: OnceCell<Arc<AtomicBool>>,
}

thread_local! {
    static KEPT: Kept = const { Kept { slot: Cell::new(None), noted: OnceCell::new() } };
}

/// The notes of all threads.
static NOTES: Mutex<Vec<Arc<AtomicBool>>> = Mutex::new(Vec::new());

impl Kept {
    #[inline]
    fn put(&self, slot: Option<Slot>) -> Option<Slot> {
        let note = self.noted.get().unwrap_or_else(|| self.make_note());
        note.store(slot.is_some(), Ordering::Relaxed);
        self.slot.replace(slot)
    }

    /// For the first stack of this thread.
    #[cold]
    #[inline(never)]
    fn make_note(&self) -> &Arc<AtomicBool> {
        self.noted.get_or_init(|| {
            let note = Arc::new(AtomicBool::new(false));
            lock(&NOTES).push(note.clone());
            note
        })
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(note) = self.noted.take() {
            lock(&NOTES).retain(|other| !Arc::ptr_eq(other, &note));
        }
        if let Some(slot) = self.slot.take() {
            POOL.release(Stack(slot));
        }
    }
}

/// The calling thread's, if it has this size.
#[inline]
pub(super) fn take(size: StackSize) -> Option<Stack> {
    // A thread that ends has none any more.
    let take = |kept: &Kept| match kept.slot.get() {
        Some(slot) if slot.size() == size => kept.put(None),
        _ => None,
    };
    KEPT.try_with(take).ok().flatten().map(Stack)
}

/// Keeps this one. The one that was kept before comes back, or this one if the thread ends.
#[inline]
pub(super) fn keep(stack: Stack) -> Option<Stack> {
    stack.clear_label();
    let slot = stack.0;
    KEPT.try_with(|kept| kept.put(Some(slot))).unwrap_or(Some(slot)).map(Stack)
}

/// How many threads keep one.
pub(super) fn count() -> usize {
    lock(&NOTES).iter().filter(|note| note.load(Ordering::Relaxed)).count()
}
