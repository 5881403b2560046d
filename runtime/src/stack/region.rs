//! Regions: large reservations of address space that slots are carved from (picture in `mod.rs`).
//!
//! Invariants: a region is never unmapped and its description never changes or moves, so a
//! reference to one is `'static`. The list of regions only grows at its head, so that a signal
//! handler walks it with plain loads.

use std::io;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, Ordering};

use super::overflow;
use super::size::StackSize;

#[cfg(test)]
mod tests;

/// Bytes below each stack that must not be touched. Several pages, because C code compiled without
/// stack probes moves down by a whole frame at once; Rust touches every page on its way. An odd number of them: then
/// stacks do not lie at a distance by which their addresses compete for the same few places in the TLB.
pub(super) const GUARD: usize = 20 << 10;

/// Bytes above `top()` that say who runs on the stack (`overflow.rs`).
const LABEL: usize = 16;

/// The name of one slot: where it is, no claim to its memory.
///
/// Made by [`Region::slot`], so the whole slot is mapped for the life of the process; or by
/// [`Slot::in_memory`] of a memory that lies in no region and is kept as long as the stack in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Slot {
    /// The exclusive end of the label, and of the slot.
    end: NonNull<u8>,
    size: StackSize,
}

// SAFETY: a slot is an address; the memory behind it belongs to no thread in particular, and who
// may touch it is decided by the state table in `mod.rs`.
unsafe impl Send for Slot {}

impl Slot {
    /// # Safety
    ///
    /// * The memory from `limit` to `top` is mapped as long as the slot is used, and larger than a
    ///   label.
    pub(super) unsafe fn in_memory(limit: *mut u8, top: *mut u8) -> Slot {
        let end = top.map_addr(|top| top & !(LABEL - 1));
        let size = StackSize::exact(end.addr() - limit.addr());
        // SAFETY: it lies above other mapped memory.
        Slot { end: unsafe { NonNull::new_unchecked(end) }, size }
    }

    #[inline]
    pub(super) fn size(self) -> StackSize {
        self.size
    }

    /// The label: two pointer-sized words, 16-aligned.
    #[inline]
    pub(super) fn label(self) -> *mut AtomicPtr<()> {
        // SAFETY: `end` is the end of a mapped slot that is larger than its label.
        unsafe { self.end.as_ptr().sub(LABEL).cast() }
    }

    /// The exclusive end of the slot.
    #[inline]
    pub(super) fn end(self) -> *mut u8 {
        self.end.as_ptr()
    }

    /// The lowest usable byte.
    #[inline]
    pub(super) fn limit(self) -> *mut u8 {
        // SAFETY: the slot is mapped, and reaches `size` bytes down from `end` to its guard.
        unsafe { self.end.as_ptr().sub(self.size.bytes()) }
    }

    /// The lowest byte of the guard, and of the slot.
    #[inline]
    pub(super) fn guard(self) -> *mut u8 {
        // SAFETY: the slot is mapped, and reaches one guard further down from `limit`.
        unsafe { self.limit().sub(GUARD) }
    }

    pub(super) fn contains(self, address: usize) -> bool {
        (self.guard().addr()..self.end.as_ptr().addr()).contains(&address)
    }

    pub(super) fn guard_contains(self, address: usize) -> bool {
        (self.guard().addr()..self.limit().addr()).contains(&address)
    }
}

/// A reservation of `slots` slots of one size.
#[derive(Debug)]
pub(super) struct Region {
    base: NonNull<u8>,
    size: StackSize,
    slots: usize,
    /// The region that was the newest before this one, or null.
    older: *const Region,
}

// SAFETY: nothing in a region changes once it is shared; its pointers are addresses.
unsafe impl Sync for Region {}

/// The newest region.
static NEWEST: AtomicPtr<Region> = AtomicPtr::new(ptr::null_mut());

impl Region {
    /// Bytes from one slot to the next.
    pub(super) const fn stride(size: StackSize) -> usize {
        size.bytes() + GUARD
    }

    /// Reserves address space for exactly `slots` stacks, and makes it known to the fault
    /// handler. It costs one memory map and no memory.
    pub(super) fn reserve(size: StackSize, slots: usize) -> io::Result<&'static Region> {
        let bytes = Self::stride(size)
            .checked_mul(slots)
            .ok_or_else(|| io::Error::from_raw_os_error(libc::ENOMEM))?;
        // SAFETY: a new anonymous mapping at an address of the kernel's choice replaces nothing.
        let base = unsafe {
            libc::mmap(
                ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                // No swap is set aside: what counts is pages touched, not address space.
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_STACK,
                -1,
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // One touched byte must cost one page, not two megabytes. It fails only on a kernel
        // without huge pages, which is as good.
        // SAFETY: the range is the mapping just made; the advice changes no contents.
        unsafe { libc::madvise(base, bytes, libc::MADV_NOHUGEPAGE) };

        // Before the first stack exists, so that no overflow goes unnamed.
        overflow::install_handler();
        let base = NonNull::new(base.cast()).expect("mmap never returns null");
        Ok(Self::publish(Region { base, size, slots, older: ptr::null() }))
    }

    fn publish(region: Region) -> &'static Region {
        let region = Box::leak(Box::new(region));
        let mut newest = NEWEST.load(Ordering::Relaxed);
        loop {
            region.older = newest;
            // Release: whoever sees the pointer sees the fields.
            match NEWEST.compare_exchange_weak(newest, region, Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) => return region,
                Err(now) => newest = now,
            }
        }
    }

    pub(super) fn slots(&self) -> usize {
        self.slots
    }

    /// The slot number `index`, counted from the lowest address.
    pub(super) fn slot(&self, index: usize) -> Slot {
        assert!(index < self.slots, "slot {index} of {}", self.slots);
        // SAFETY: `index + 1 <= slots`, and the mapping is `slots` strides long.
        let end = unsafe { self.base.add((index + 1) * Self::stride(self.size)) };
        Slot { end, size: self.size }
    }

    /// The slot that `address` lies in, of whatever region. Async-signal-safe.
    pub(super) fn slot_at(address: usize) -> Option<Slot> {
        let mut next: *const Region = NEWEST.load(Ordering::Acquire);
        // SAFETY: a non-null link points to a region that was leaked before it was published.
        while let Some(region) = unsafe { next.as_ref() } {
            // An address below `base` wraps to a huge index.
            let offset = address.wrapping_sub(region.base.as_ptr().addr());
            let index = offset / Self::stride(region.size);
            if index < region.slots {
                return Some(region.slot(index));
            }
            next = region.older;
        }
        None
    }
}
