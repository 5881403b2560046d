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

    /// Everything, in another chain.
    fn take(&self) -> Chain {
        Chain { head: Cell::new(self.head.take()), length: Cell::new(self.length.take()) }
    }

    /// Everything from `other`; this one is empty.
    fn fill_from(&self, other: Chain) {
        self.head.set(other.head.take());
        self.length.set(other.length.take());
    }
}

struct Shared {
    full: Vec<Chain>,
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
    fn take_chain(&mut self) -> io::Result<Chain> {
        if let Some(chain) = self.full.pop() {
            return Ok(chain);
        }
        if self.loose.length() > 0 {
            return Ok(self.loose.take());
        }
        self.carve(BATCH)
    }

    fn take_one(&mut self) -> io::Result<FreeSlot> {
        if let Some(slot) = self.loose.pop() {
            return Ok(slot);
        }
        let chain = self.take_chain()?;
        self.loose.fill_from(chain);
        match self.loose.pop() {
            Some(slot) => Ok(slot),
            None => unreachable!("a chain has at least one slot"),
        }
    }

    fn carve(&mut self, count: usize) -> io::Result<Chain> {
        if self.slabs.last().is_none_or(|slab| slab.carved == slab.slots) {
            let huge = !self.slabs.is_empty();
            self.slabs.push(Slab::map(huge)?);
        }
        let chain = Chain::new();
        if let Some(slab) = self.slabs.last_mut() {
            for _ in 0..count.min(slab.slots - slab.carved) {
                // Downwards, so that the chain goes upwards.
                chain.push(slab.carve());
            }
        }
        Ok(chain)
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
    spare: Cell<Option<Chain>>,
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
        self.chain.fill_from(match self.spare.take() {
            Some(chain) => chain,
            None => shared().take_chain()?,
        });
        match self.chain.pop() {
            Some(slot) => Ok(slot),
            None => unreachable!("a chain has at least one slot"),
        }
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
        if let Some(spare) = self.spare.replace(Some(self.chain.take())) {
            shared().full.push(spare);
        }
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        let shared = shared();
        for chain in [Some(self.chain.take()), self.spare.take()].into_iter().flatten() {
            while let Some(slot) = chain.pop() {
                shared.loose.push(slot);
            }
        }
    }
}

/// A slot for a thread that is no worker.
pub(crate) fn take() -> io::Result<FreeSlot> {
    shared().take_one()
}

/// Gives back a slot on a thread that is no worker.
pub(crate) fn give(slot: FreeSlot) {
    let mut shared = shared();
    shared.loose.push(slot);
    if shared.loose.length() >= BATCH {
        let full = shared.loose.take();
        shared.full.push(full);
    }
}

/// Calls `visit` with a reference to every live goroutine of the process; `visit` gives it back.
///
/// Goroutines that are spawned meanwhile may be missed.
pub(crate) fn for_each_live(mut visit: impl FnMut(GoroutineRef)) {
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
        for slot in 0..slab.carved {
            if let Some(goroutine) = slab.slot(slot).try_acquire() {
                visit(goroutine);
            }
        }
        index += 1;
    }
}
