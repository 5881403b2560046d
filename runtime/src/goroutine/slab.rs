//! A slab: 2 MiB of slots that are never unmapped, and which of them are free.

use super::{FreeSlot, GoroutineRef, Header, job};
use std::io;
use std::ptr::{self, NonNull};

/// Bytes for a header with its closure and result: two cache lines.
pub(crate) const SLOT: usize = 128;
const SLAB: usize = 2 << 20;
/// The place of the first one has the slab's number.
const SLOTS: usize = SLAB / SLOT - 1;
const WORD: usize = u64::BITS as usize;

const _: () = assert!(
    crate::primitive::MODELLED || size_of::<Header>() + 32 <= SLOT,
    "a closure of four words fits the slot"
);

/// The memory of a slab, aligned to its size.
#[derive(Clone, Copy)]
pub(super) struct Area(NonNull<u8>);

// SAFETY: the base of a mapping that is never unmapped.
unsafe impl Send for Area {}

impl Area {
    fn map(number: usize, huge: bool) -> io::Result<Area> {
        // Twice the size, so that an aligned slab lies inside: huge pages need the alignment.
        // SAFETY: a new private mapping at an address of the kernel's choice.
        let mapping = unsafe {
            libc::mmap(
                ptr::null_mut(),
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
        // any of them changes nothing that is relied upon. The number lies in what is left of it.
        unsafe {
            if before > 0 {
                libc::munmap(start.cast(), before);
            }
            if before < SLAB {
                libc::munmap(base.add(SLAB).cast(), SLAB - before);
            }
            let advice = if huge { libc::MADV_HUGEPAGE } else { libc::MADV_NOHUGEPAGE };
            libc::madvise(base.cast(), SLAB, advice);
            base.cast::<usize>().write(number);
        }
        base.expose_provenance();
        let Some(base) = NonNull::new(base) else {
            unreachable!("a mapping is never at address 0")
        };
        Ok(Area(base))
    }

    /// One that was carved holds a header.
    pub(super) fn slot(self, index: usize) -> GoroutineRef {
        assert!(index < SLOTS);
        // SAFETY: by the assertion the slot lies inside the slab, behind the place of the number.
        GoroutineRef(unsafe { self.0.add((1 + index) * SLOT) }.cast())
    }

    fn index(self, slot: &FreeSlot) -> usize {
        (slot.0.as_ptr().addr() - self.0.addr().get()) / SLOT - 1
    }
}

pub(super) struct Slab {
    pub(super) area: Area,
    /// So many slots were handed out at least once, the first ones.
    pub(super) carved: usize,
    /// A bit for each slot that was given back.
    free: Vec<u64>,
    /// How many these are.
    count: usize,
    /// No word before this one has any.
    first: usize,
}

impl Slab {
    /// The slab with that number, all of it to be carved.
    pub(super) fn map(number: usize, huge: bool) -> io::Result<Slab> {
        let mut free = Vec::new();
        let words = SLOTS.div_ceil(WORD);
        free.try_reserve_exact(words).map_err(|_| io::ErrorKind::OutOfMemory)?;
        free.resize(words, 0);
        Ok(Slab { area: Area::map(number, huge)?, carved: 0, free, count: 0, first: 0 })
    }

    /// The number of the slab from which a slot is.
    pub(super) fn number_of(slot: &FreeSlot) -> usize {
        let base = ptr::with_exposed_provenance::<usize>(slot.0.as_ptr().addr() & !(SLAB - 1));
        // SAFETY: each slot lies in a slab, whose address was exposed, which is aligned to its size, is never unmapped,
        // and begins with its number, which was written before there were any slots.
        unsafe { base.read() }
    }

    /// Adds up to `most` slots that nobody had before; none if there are no more.
    pub(super) fn carve(&mut self, most: usize, slots: &mut Vec<FreeSlot>) {
        let end = SLOTS.min(self.carved + most);
        for index in self.carved..end {
            let slot = self.area.slot(index);
            // SAFETY: the slot lies in the slab, is aligned to its size, and was never handed out.
            unsafe { slot.as_ptr().write(job::vacant()) };
            slots.push(FreeSlot(slot));
        }
        self.carved = end;
    }

    /// One of its own.
    pub(super) fn give(&mut self, slot: FreeSlot) {
        let index = self.area.index(&slot);
        let (word, bit) = (index / WORD, 1 << (index % WORD));
        debug_assert!(index < self.carved && self.free[word] & bit == 0);
        self.free[word] |= bit;
        self.count += 1;
        self.first = self.first.min(word);
    }

    /// Adds up to `most` slots that were given back, in the order of their addresses.
    pub(super) fn take(&mut self, most: usize, slots: &mut Vec<FreeSlot>) {
        let count = most.min(self.count);
        for _ in 0..count {
            while self.free[self.first] == 0 {
                self.first += 1;
            }
            let word = &mut self.free[self.first];
            let bit = word.trailing_zeros() as usize;
            *word &= *word - 1;
            slots.push(FreeSlot(self.area.slot(self.first * WORD + bit)));
        }
        self.count -= count;
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
