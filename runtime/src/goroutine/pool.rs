//! Slots for headers.
//!
//! Slots come from slabs of 2 MiB that are never unmapped. Each worker has a [`Cache`]: a list of free
//! slots that it takes from and gives to without synchronisation. Caches exchange lists of [`BATCH`]
//! slots with the shared pool, so a worker that only spawns and one that only finishes meet at the lock
//! once in [`BATCH`] goroutines. Threads that are no workers use the shared pool directly.
//!
//! The lists are vectors and not linked through the slots. A slot that comes back from another worker lies in that
//! one's cache, and a link in it would be known only when it has arrived; from a vector the next few are fetched at
//! the same time.
//!
//! A slab after the first asks for huge pages: when a million goroutines are alive, the page faults
//! would cost more than everything else.

use super::{FreeSlot, GoroutineRef, Header, job};
use std::cell::RefCell;
use std::io;
use std::mem;
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes for a header with its closure and result: two cache lines.
pub(crate) const SLOT: usize = 128;
const SLAB: usize = 2 << 20;
const BATCH: usize = 256;

const _: () = assert!(
    crate::primitive::MODELLED || size_of::<Header>() + 32 <= SLOT,
    "a closure of four words fits the slot"
);

/// How many takes before its turn a slot is fetched.
const AHEAD: usize = 8;

/// Free slots, hottest last.
type Slots = Vec<FreeSlot>;

struct Shared {
    /// Lists of at most [`BATCH`] slots, none of them empty.
    full: Vec<Slots>,
    /// Lists without slots, for whoever needs the memory.
    empty: Vec<Slots>,
    /// What threads without a cache gave back.
    loose: Slots,
    slabs: Vec<Slab>,
}

struct Slab {
    base: NonNull<u8>,
    /// Slots that were handed out at least once.
    carved: usize,
    slots: usize,
}

// SAFETY: the base of a mapping that is never unmapped.
unsafe impl Send for Slab {}

static SHARED: Mutex<Shared> = Mutex::new(Shared {
    full: Vec::new(),
    empty: Vec::new(),
    loose: Vec::new(),
    slabs: Vec::new(),
});

fn shared() -> MutexGuard<'static, Shared> {
    SHARED.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// Slots, in exchange for a list without any.
    fn refill(&mut self, slots: &mut Slots) -> io::Result<()> {
        if let Some(full) = self.full.pop() {
            self.empty.push(mem::replace(slots, full));
            return Ok(());
        }
        self.carve(slots)
    }

    /// The reverse.
    fn put(&mut self, slots: &mut Slots) {
        let empty = self.empty.pop().unwrap_or_default();
        self.full.push(mem::replace(slots, empty));
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
        let huge = !self.slabs.is_empty();
        let slab = match self.slabs.last_mut() {
            Some(slab) if slab.carved < slab.slots => slab,
            _ => self.slabs.push_mut(Slab::map(huge)?),
        };
        let count = BATCH.min(slab.slots - slab.carved);
        slots.try_reserve_exact(count).map_err(|_| io::ErrorKind::OutOfMemory)?;
        slots.extend((0..count).map(|_| slab.carve()));
        Ok(())
    }
}

impl Slab {
    fn map(huge: bool) -> io::Result<Slab> {
        // Twice the size, so that an aligned slab lies inside: huge pages need the alignment.
        // SAFETY: a new private mapping at an address of the kernel's choice.
        let mapping = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                2 * SLAB,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if mapping == libc::MAP_FAILED {
            return Err(io::Error::new(
                io::ErrorKind::OutOfMemory,
                format!("no memory for more goroutines: {}", io::Error::last_os_error()),
            ));
        }
        let start = mapping.cast::<u8>();
        let base = start.map_addr(|a| a.next_multiple_of(SLAB));
        let before = base.addr() - start.addr();
        // SAFETY: all three ranges lie in the mapping just made, which nobody uses yet; failure of
        // any of them changes nothing that is relied upon.
        unsafe {
            if before > 0 {
                libc::munmap(start.cast(), before);
            }
            if before < SLAB {
                libc::munmap(base.add(SLAB).cast(), SLAB - before);
            }
            let advice = if huge { libc::MADV_HUGEPAGE } else { libc::MADV_NOHUGEPAGE };
            libc::madvise(base.cast(), SLAB, advice);
        }
        let Some(base) = NonNull::new(base) else {
            unreachable!("a mapping is never at address 0")
        };
        Ok(Slab { base, carved: 0, slots: SLAB / SLOT })
    }

    fn slot(&self, index: usize) -> GoroutineRef {
        // SAFETY: `index` is below `slots`, so the slot lies inside the slab.
        GoroutineRef(unsafe { self.base.add(index * SLOT) }.cast())
    }

    fn carve(&mut self) -> FreeSlot {
        let slot = self.slot(self.carved);
        // SAFETY: the slot lies in the slab, is aligned to its size, and was never handed out.
        unsafe { slot.as_ptr().write(job::vacant()) };
        self.carved += 1;
        FreeSlot(slot)
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
        let slab = {
            let shared = shared();
            let Some(slab) = shared.slabs.get(index) else {
                return;
            };
            Slab { base: slab.base, carved: slab.carved, slots: slab.slots }
        };
        (0..slab.carved).map(|slot| slab.slot(slot)).for_each(&mut visit);
        index += 1;
    }
}
