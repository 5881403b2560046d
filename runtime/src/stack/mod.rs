//! Goroutine stacks: where their memory comes from, and what happens when one is too small.
//!
//! A stack lives in a *slot* of a *region*. Addresses grow to the right:
//!
//! ```text
//! region  |  slot 0                                |  slot 1               | ...
//!         |  guard  |  usable             | label  |  guard  |  usable ... |
//!         |  20 KiB |  limit() ...  top() | 16 B   |
//!                      ^ StackSize::bytes(), label included ^
//! ```
//!
//! The life of a slot, and who may touch its memory:
//!
//! | state   | where it is noted              | its memory belongs to                               |
//! |---------|--------------------------------|-----------------------------------------------------|
//! | fresh   | above the region's carve mark  | nobody; it has no guard yet                         |
//! | bare    | `Class::bare`                  | nobody; its guard could not be made, try again      |
//! | in use  | a [`Stack`] value              | the owner of that value                             |
//! | warm    | `Class::warm`                  | the pool; holds pages with stale bytes              |
//! | resting | a batch that `trim` took out   | the thread that trims                               |
//! | cold    | `Class::cold`                  | the pool; its pages went back to the system         |
//!
//! A slot that was once guarded stays guarded for the life of the process, and a region is never
//! unmapped. That is what lets the fault handler look slots up without a lock (`overflow.rs`).
//!
//! Files: `size.rs` (checked sizes), `region.rs` (address space), `guard.rs` (guards, their
//! budget, the environment), `pool.rs` (reuse), `kept.rs` (the same within a thread), `overflow.rs` (the fault handler),
//! `signal_writer.rs` (text without allocation), `alternate.rs` (the stack the handler runs on).

use crate::arch;
use std::io;
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

mod alternate;
mod guard;
mod kept;
mod overflow;
mod pool;
mod region;
mod signal_writer;
mod size;
#[cfg(test)]
mod tests;

pub(crate) use alternate::ensure_alternate_stack;
pub(crate) use guard::{GuardKind, check_environment};
pub(crate) use overflow::Describe;
pub(crate) use pool::Census;
pub(crate) use signal_writer::SignalWriter;
pub(crate) use size::StackSize;

use pool::Pool;
use region::{Region, Slot};

/// The pool of the whole process; runtimes share it.
static POOL: Pool = Pool::new();

/// A guarded stack, and the right to use its memory.
///
/// It has no destructor, so that it stays two plain words: give it to [`release`]. One that is
/// forgotten is lost to the pool, and harms nothing.
#[must_use = "a stack that is not released is lost to the pool"]
#[derive(Debug)]
pub(crate) struct Stack(Slot);

impl Stack {
    /// The stack in memory that is none of the pool's, from `limit` to `top`. It is not to be given to
    /// [`release`], and an overflow of it is not reported.
    ///
    /// # Safety
    /// The memory can be read and written, nobody else uses it, and it is larger than a label.
    pub(crate) unsafe fn from_memory(limit: *mut u8, top: *mut u8) -> Stack {
        // SAFETY: by the contract above.
        Stack(unsafe { Slot::in_memory(limit, top) })
    }

    /// The same stack once more, for those who take turns on it.
    ///
    /// # Safety
    /// One of the two is released, the other one is not used after that. In between, whoever uses the memory
    /// through one of them owns it as if there were no other.
    pub(crate) unsafe fn share(&self) -> Stack {
        Stack(self.0)
    }

    /// Where the first frame goes: 16-aligned, exclusive end of the usable bytes.
    #[inline]
    pub(crate) fn top(&self) -> *mut u8 {
        self.0.label().cast()
    }

    /// The lowest usable byte; the guard ends here.
    #[inline]
    pub(crate) fn limit(&self) -> *mut u8 {
        self.0.limit()
    }

    /// Whether a stack pointer is one of this stack.
    #[inline(always)]
    pub(crate) fn holds(&self, stack_pointer: usize) -> bool {
        self.reaches(self.0.end().addr().wrapping_sub(stack_pointer))
    }

    /// Whether the caller runs on it.
    #[inline(always)]
    pub(crate) fn is_here(&self) -> bool {
        self.reaches(arch::depth_below(self.0.end()))
    }

    #[inline(always)]
    fn reaches(&self, depth: usize) -> bool {
        depth <= self.0.size().bytes()
    }

    /// The size this stack was acquired with. The label takes 16 bytes of it.
    #[inline]
    pub(crate) fn size(&self) -> StackSize {
        self.0.size()
    }

    /// Says who runs here, for the message of an overflow. Costs two plain stores.
    ///
    /// By giving `describe` away with `subject`, the caller vouches for the pair: until the label
    /// is replaced, cleared, or the stack is released, the thread that runs on this stack may
    /// call `describe(subject, _)` from a signal handler, at any instruction that touches the
    /// guard. The crate keeps that promise in the two or three places that label stacks.
    #[inline]
    pub(crate) fn set_label(&self, describe: Describe, subject: *const ()) {
        // SAFETY: `self` owns the slot; the caller vouches for `describe`, as said above.
        unsafe { overflow::set_label(self.0, describe as *const (), subject) }
    }

    /// Takes the label away: an overflow is then one of "a coroutine". `release` does it too.
    #[inline]
    pub(crate) fn clear_label(&self) {
        // SAFETY: `self` owns the slot; a null `describe` is never called.
        unsafe { overflow::set_label(self.0, ptr::null(), ptr::null()) }
    }
}

/// Takes the stack that the thread released last, or one from the shared pool, else makes a new one.
///
/// # Errors
///
/// [`OutOfMemory`](io::ErrorKind::OutOfMemory) when address space or memory maps run out, with a
/// text that says which limit to raise; what [`check_environment`] reports; `Unsupported` when
/// [`GuardKind::Install`] was demanded of a kernel that lacks it. Nothing is lost by an error.
#[inline]
pub(crate) fn acquire(size: StackSize) -> io::Result<Stack> {
    match kept::take(size) {
        Some(stack) => Ok(stack),
        None => POOL.acquire(size),
    }
}

/// The label of the pool's stack that `stack_pointer` lies in, which is that of the caller.
pub(crate) fn label_at(stack_pointer: usize) -> Option<(Describe, *const ())> {
    overflow::label(Region::slot_at(stack_pointer)?)
}

/// Gives a stack back. It is the next to be acquired by this thread, which keeps one until it ends; what it kept before
/// goes to the shared pool.
#[inline]
pub(crate) fn release(stack: Stack) {
    if let Some(other) = kept::keep(stack) {
        POOL.release(other);
    }
}

/// Gives several stacks back, the hottest last; takes the lock once for each run of one size.
///
/// The iterator runs under the pool's lock and must not come back here: pass a `drain`.
pub(crate) fn release_batch(stacks: impl IntoIterator<Item = Stack>) {
    POOL.release_batch(stacks);
}

/// Returns the memory of stacks that lay in the pool for at least `keep_idle_for` to the system.
///
/// True when pooled stacks still hold memory: come back later. Makes one system call per idle
/// stack, outside the lock. Stacks that a worker or a thread keeps for itself are out of its reach.
pub(crate) fn trim(keep_idle_for: Duration) -> bool {
    POOL.trim(keep_idle_for)
}

/// Demands one kind of guard for every stack made from now on, whatever the environment says.
pub(crate) fn force_guard(kind: GuardKind) {
    POOL.guards().force(kind);
}

/// How many stacks there are, and in which state; not one atomic snapshot over all sizes.
pub(crate) fn census() -> Census {
    let kept = kept::count();
    let census = POOL.census();
    let (in_use, pooled) = (census.in_use.saturating_sub(kept), census.pooled + kept);
    Census { in_use, pooled, warm: census.warm + kept, ..census }
}

/// Locks, and ignores poison: no lock of this module is held across code that can leave its data
/// half-changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
