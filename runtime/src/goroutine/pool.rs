//! Slots for headers.
//!
//! Slots come from slabs of 2 MiB that are never unmapped. Each worker has a [`Cache`]: a list of free
//! slots that it takes from and gives to without synchronisation. Caches exchange chains of [`BATCH`]
//! slots with the shared pool, so a worker that only spawns and one that only finishes meet at the lock
//! once in [`BATCH`] goroutines. Threads that are no workers use the shared pool directly.
//!
//! A slab after the first asks for huge pages: when a million goroutines are alive, the page faults
//! would cost more than everything else.

use super::{FreeSlot, GoroutineRef, Header, job};
use std::cell::Cell;
use std::io;
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

/// Free slots, linked through the headers' `next`.
struct Chain {
    head: Cell<Option<GoroutineRef>>,
    length: Cell<usize>,
}

impl Chain {
    const fn new() -> Chain {
        Chain { head: Cell::new(None), length: Cell::new(0) }
    }

    fn length(&self) -> usize {
        self.length.get()
    }

    #[inline]
    fn push(&self, slot: FreeSlot) {
        slot.0.next().set(self.head.replace(Some(slot.0)));
        self.length.set(self.length.get() + 1);
    }

    #[inline]
    fn pop(&self) -> Option<FreeSlot> {
        let slot = self.head.get()?;
        let next = slot.next().get();
        self.head.set(next);
        // It may come from another worker, and the next spawn should not wait for its memory.
        if let Some(next) = next {
            next.prefetch();
        }
        self.length.set(self.length.get() - 1);
        Some(FreeSlot(slot))
    }

    /// Everything.
    fn take(&self) -> Option<NonEmpty> {
        let first = self.pop()?;
        let rest = Chain::new();
        rest.fill_from(self);
        Some(NonEmpty { first, rest })
    }

    /// Everything from `other`; this one is empty.
    fn fill_from(&self, other: &Chain) {
        self.head.set(other.head.take());
        self.length.set(other.length.take());
    }

    /// Everything from `other`, one by one.
    fn append(&self, other: &Chain) {
        while let Some(slot) = other.pop() {
            self.push(slot);
        }
    }
}

/// A chain with at least one slot: what changes hands.
struct NonEmpty {
    first: FreeSlot,
    rest: Chain,
}

struct Shared {
    full: Vec<NonEmpty>,
    /// What threads without a cache gave back.
    loose: Chain,
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

static SHARED: Mutex<Shared> =
    Mutex::new(Shared { full: Vec::new(), loose: Chain::new(), slabs: Vec::new() });

// SAFETY: free slots belong to whoever holds the chain.
unsafe impl Send for Chain {}

fn shared() -> MutexGuard<'static, Shared> {
    SHARED.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn take_chain(&mut self) -> io::Result<NonEmpty> {
        match self.full.pop().or_else(|| self.loose.take()) {
            Some(chain) => Ok(chain),
            None => self.carve(),
        }
    }

    fn take_one(&mut self) -> io::Result<FreeSlot> {
        if let Some(slot) = self.loose.pop() {
            return Ok(slot);
        }
        let NonEmpty { first, rest } = self.take_chain()?;
        self.loose = rest;
        Ok(first)
    }

    /// Slots that nobody had before: [`BATCH`], or what is left of a slab.
    fn carve(&mut self) -> io::Result<NonEmpty> {
        let huge = !self.slabs.is_empty();
        let slab = match self.slabs.last_mut() {
            Some(slab) if slab.carved < slab.slots => slab,
            _ => self.slabs.push_mut(Slab::map(huge)?),
        };
        let first = slab.carve();
        let rest = Chain::new();
        for _ in 0..(BATCH - 1).min(slab.slots - slab.carved) {
            rest.push(slab.carve());
        }
        Ok(NonEmpty { first, rest })
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
    chain: Chain,
    /// A second chain, so that a worker at the edge does not go to the lock every time.
    spare: Cell<Option<NonEmpty>>,
}

impl Cache {
    pub(crate) fn new() -> Cache {
        Cache { chain: Chain::new(), spare: Cell::new(None) }
    }

    #[inline]
    pub(crate) fn take(&self) -> io::Result<FreeSlot> {
        match self.chain.pop() {
            Some(slot) => Ok(slot),
            None => self.refill(),
        }
    }

    #[cold]
    fn refill(&self) -> io::Result<FreeSlot> {
        let NonEmpty { first, rest } = match self.spare.take() {
            Some(chain) => chain,
            None => shared().take_chain()?,
        };
        self.chain.fill_from(&rest);
        Ok(first)
    }

    #[inline]
    pub(crate) fn give(&self, slot: FreeSlot) {
        if self.chain.length() >= BATCH {
            self.overflow();
        }
        self.chain.push(slot);
    }

    #[cold]
    fn overflow(&self) {
        if let Some(spare) = self.spare.replace(self.chain.take()) {
            shared().full.push(spare);
        }
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        let shared = shared();
        shared.loose.append(&self.chain);
        if let Some(NonEmpty { first, rest }) = self.spare.take() {
            shared.loose.push(first);
            shared.loose.append(&rest);
        }
    }
}

/// A slot for a thread that is no worker.
pub(crate) fn take() -> io::Result<FreeSlot> {
    shared().take_one()
}

/// Gives back a slot on a thread that is no worker.
pub(crate) fn give(slot: FreeSlot) {
    let shared = &mut *shared();
    shared.loose.push(slot);
    if shared.loose.length() >= BATCH {
        shared.full.extend(shared.loose.take());
    }
}

/// Calls `visit` with every slot of the process that was ever handed out. What lives there, if anything,
/// [`GoroutineRef::try_acquire`] tells. Slots that are handed out meanwhile may be missed.
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
