//! Slots for headers.
//!
//! Slots come from slabs (`slab.rs`). Each worker has a [`Cache`]: a list of free slots that it takes from and gives
//! to without synchronisation. Caches exchange lists of [`BATCH`] slots with the shared pool, so a worker that only
//! spawns and one that only finishes meet at the lock once in [`BATCH`] goroutines. Threads that are no workers use
//! the shared pool directly.
//!
//! The pool keeps the lists that were given last, which may still be in a cache. At the end of a burst there are many
//! more. Their slots go back to the slabs, under the same lock, which is then held for most of a microsecond; and from
//! the slabs they come in the order of their addresses. Otherwise each burst would leave them a little more mixed, until
//! what is spawned in a row lies anywhere: a spawn then takes half as long again.
//!
//! The lists are vectors and not linked through the slots. A slot that comes back from another worker lies in that
//! one's cache, and a link in it would be known only when it has arrived; from a vector the next few are fetched at
//! the same time.
//!
//! A slab after the first asks for huge pages: when a million goroutines are alive, the page faults
//! would cost more than everything else.

use super::slab::Slab;
use super::{FreeSlot, GoroutineRef};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

const BATCH: usize = 256;
/// So many lists are kept, about as much as a second cache holds. More go back to their slabs.
const MOST_LISTS: usize = 16;

/// How many takes before its turn a slot is fetched.
const AHEAD: usize = 8;

/// Free slots, hottest last.
type Slots = Vec<FreeSlot>;

struct Shared {
    /// Lists of at most [`BATCH`] slots, none of them empty; hottest last.
    full: VecDeque<Slots>,
    /// Lists without slots, for whoever needs the memory.
    empty: Vec<Slots>,
    /// What threads without a cache gave back.
    loose: Slots,
    slabs: Vec<Slab>,
    /// No slab before this one has a slot that was given back to it.
    first: usize,
}

static SHARED: Mutex<Shared> = Mutex::new(Shared::new());

fn shared() -> MutexGuard<'static, Shared> {
    SHARED.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    const fn new() -> Shared {
        Shared {
            full: VecDeque::new(),
            empty: Vec::new(),
            loose: Vec::new(),
            slabs: Vec::new(),
            first: 0,
        }
    }

    /// Slots, in exchange for a list without any.
    fn refill(&mut self, slots: &mut Slots) -> io::Result<()> {
        if let Some(full) = self.full.pop_back() {
            self.empty.push(mem::replace(slots, full));
            return Ok(());
        }
        slots.try_reserve_exact(BATCH).map_err(|_| io::ErrorKind::OutOfMemory)?;
        while let Some(slab) = self.slabs.get_mut(self.first) {
            slab.take(BATCH - slots.len(), slots);
            if slots.len() == BATCH {
                return Ok(());
            }
            self.first += 1;
        }
        if slots.is_empty() { self.carve(slots) } else { Ok(()) }
    }

    /// The reverse.
    fn put(&mut self, slots: &mut Slots) {
        let empty = self.empty.pop().unwrap_or_default();
        self.full.push_back(mem::replace(slots, empty));
        if self.full.len() > MOST_LISTS
            && let Some(coldest) = self.full.pop_front()
        {
            self.put_back(coldest);
        }
    }

    fn put_back(&mut self, mut slots: Slots) {
        for slot in slots.drain(..) {
            let number = Slab::number_of(&slot);
            self.first = self.first.min(number);
            self.slabs[number].give(slot);
        }
        self.empty.push(slots);
    }

    fn take_one(&mut self) -> io::Result<FreeSlot> {
        let mut loose = mem::take(&mut self.loose);
        let filled = if loose.is_empty() { self.refill(&mut loose) } else { Ok(()) };
        self.loose = loose;
        filled?;
        match self.loose.pop() {
            Some(slot) => Ok(slot),
            None => unreachable!("it was filled"),
        }
    }

    fn give_one(&mut self, slot: FreeSlot) {
        self.loose.push(slot);
        if self.loose.len() >= BATCH {
            let mut loose = mem::take(&mut self.loose);
            self.put(&mut loose);
            self.loose = loose;
        }
    }

    /// Slots that nobody had before: [`BATCH`], or what is left of a slab.
    fn carve(&mut self, slots: &mut Slots) -> io::Result<()> {
        if let Some(slab) = self.slabs.last_mut() {
            slab.carve(BATCH, slots);
        }
        if slots.is_empty() {
            let number = self.slabs.len();
            let slab = self.slabs.push_mut(Slab::map(number, number > 0)?);
            slab.carve(BATCH, slots);
        }
        Ok(())
    }
}

/// A worker's own free slots.
pub(crate) struct Cache {
    slots: RefCell<Slots>,
    /// [`BATCH`] more, or none: so a worker at the edge does not go to the lock every time.
    spare: RefCell<Slots>,
}

impl Cache {
    pub(crate) fn new() -> Cache {
        Cache { slots: RefCell::default(), spare: RefCell::default() }
    }

    #[inline]
    pub(crate) fn take(&self) -> io::Result<FreeSlot> {
        let slots = &mut *self.slots.borrow_mut();
        loop {
            if let Some(slot) = slots.pop() {
                if let Some(FreeSlot(soon)) = slots.get(slots.len().wrapping_sub(AHEAD)) {
                    soon.prefetch();
                }
                return Ok(slot);
            }
            self.refill(slots)?;
        }
    }

    #[cold]
    fn refill(&self, slots: &mut Slots) -> io::Result<()> {
        let spare = &mut *self.spare.borrow_mut();
        if spare.is_empty() {
            return shared().refill(slots);
        }
        mem::swap(slots, spare);
        Ok(())
    }

    #[inline]
    pub(crate) fn give(&self, slot: FreeSlot) {
        let slots = &mut *self.slots.borrow_mut();
        if slots.len() >= BATCH {
            self.make_room(slots);
        }
        slots.push(slot);
    }

    #[cold]
    fn make_room(&self, slots: &mut Slots) {
        let spare = &mut *self.spare.borrow_mut();
        if !spare.is_empty() {
            shared().put(spare);
        }
        mem::swap(slots, spare);
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        let mut shared = shared();
        for slots in [&self.slots, &self.spare] {
            slots.take().into_iter().for_each(|slot| shared.give_one(slot));
        }
    }
}

/// A slot for a thread that is no worker.
pub(crate) fn take() -> io::Result<FreeSlot> {
    shared().take_one()
}

/// Gives back a slot on a thread that is no worker.
pub(crate) fn give(slot: FreeSlot) {
    shared().give_one(slot);
}

/// Calls `visit` with every slot of the process that was ever handed out. What lives there, if anything,
/// a [`Visit`](super::Visit) tells. Slots that are handed out meanwhile may be missed.
pub(crate) fn for_each_slot(mut visit: impl FnMut(GoroutineRef)) {
    let mut index = 0;
    loop {
        // The lock is not held while `visit` runs.
        let (area, carved) = {
            let shared = shared();
            let Some(slab) = shared.slabs.get(index) else {
                return;
            };
            (slab.area, slab.carved)
        };
        (0..carved).map(|slot| area.slot(slot)).for_each(&mut visit);
        index += 1;
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
