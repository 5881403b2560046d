//! A channel's lock, which a thread that is alone with it has for next to nothing.
//!
//! Most channels are used on one worker for most of their life, because goroutines that talk to one another live on
//! one worker. A lock costs them a locked instruction for each message, for nobody's sake. So when the lock was taken
//! often enough by the same thread, it is *biased* towards that one, which from then on only says in a word of its
//! own that it is `inside`. The first other thread that comes takes the bias back, once for all.
//!
//! # One at a time
//!
//! The thread with the bias sets `inside`, has a light fence, and looks whether it still has the bias. Any
//! other thread takes the ordinary lock, writes that there is no bias, has the heavy fence (`primitive/membarrier.rs`),
//! and waits while somebody is inside. So either the one sees that its bias is gone, and leaves, or the other sees it
//! inside, and waits for it. The bias is given by a thread that has the ordinary lock, to itself: then nobody
//! else has the lock, and whoever takes it next sees the bias.
//!
//! A thread is known by its thread pointer. The thread that gets the same one after its end is, for the lock, the
//! same thread: two never run at a time, and the end of the first one is visible to the second.

use crate::arch;
use crate::primitive::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::primitive::{Lock, MODELLED, RawLock, membarrier, yield_now};
#[cfg(loom)]
use loom::cell::Cell;
#[cfg(not(loom))]
use std::cell::Cell;
use std::mem::MaybeUninit;

/// Nobody has taken the lock yet.
const FRESH: usize = 0;
/// Several threads use it.
const SHARED: usize = 2;
/// With a thread's pointer: it was the last one, and may get the bias.
const CANDIDATE: usize = 1;

/// So often in a row a thread takes the lock before it gets the bias. To take that back costs about as much as some
/// dozen locks.
const ENOUGH: u16 = if MODELLED { 1 } else { 1000 };
/// After so many changes of the thread before, nobody gets it.
const MOST_CHANGES: u8 = if MODELLED { 1 } else { 8 };

/// What a channel has. Models of channels have the ordinary one: this one has models of its own.
#[cfg(not(loom))]
pub(super) type ChanLock = BiasedLock;
#[cfg(loom)]
pub(super) type ChanLock = Lock;

#[repr(C)]
#[cfg_attr(loom, allow(unreachable_pub))] // Elsewhere a trait that is `pub` in name names it.
pub struct BiasedLock {
    /// The pointer of the thread with the bias, or one of the above.
    bias: AtomicUsize,
    /// Threads that share a channel only read the bias. So it is kept away from what they write most.
    _apart: MaybeUninit<[u8; 56]>,
    lock: Lock,
    /// The thread with the bias has the lock by it, or is about to see that the bias is gone.
    inside: AtomicBool,
    /// How whoever has the lock has got it. This and the rest is behind the lock.
    by_bias: Cell<bool>,
    in_a_row: Cell<u16>,
    changes: Cell<u8>,
}

// SAFETY: the cells are only touched by whoever has the lock.
unsafe impl Sync for BiasedLock {}

impl BiasedLock {
    pub(super) fn new() -> BiasedLock {
        BiasedLock {
            bias: AtomicUsize::new(FRESH),
            _apart: MaybeUninit::uninit(),
            lock: Lock::new(),
            inside: AtomicBool::new(false),
            by_bias: Cell::new(false),
            in_a_row: Cell::new(0),
            changes: Cell::new(0),
        }
    }

    #[inline(always)]
    fn lock_as(&self, thread: usize, lock: impl FnOnce(&Lock)) {
        // The thread is inside already only if an allocator or a panic hook uses the channel that calls it. Then it
        // waits for itself, as with any lock.
        if self.bias.load(Ordering::Relaxed) == thread
            && !self.inside.load(Ordering::Relaxed)
            && self.enter(thread)
        {
            return;
        }
        lock(&self.lock);
        if self.bias.load(Ordering::Relaxed) != SHARED {
            self.consider(thread);
        }
        // Not before: somebody may have been inside.
        self.by_bias.set(false);
    }

    #[inline(always)]
    fn enter(&self, thread: usize) -> bool {
        self.inside.store(true, Ordering::Relaxed);
        membarrier::light_as_registered();
        let enters = self.bias.load(Ordering::Relaxed) == thread;
        if enters {
            self.by_bias.set(true);
        } else {
            self.inside.store(false, Ordering::Release);
        }
        enters
    }

    /// Whether `thread`, which has the ordinary lock, is to have the bias, or has to take it from somebody.
    #[cold]
    fn consider(&self, thread: usize) {
        let bias = self.bias.load(Ordering::Relaxed);
        if bias == thread | CANDIDATE {
            self.in_a_row.set(self.in_a_row.get().saturating_add(1));
            // Without a fence that costs nothing a bias would be no better than the lock.
            if self.in_a_row.get() >= ENOUGH && membarrier::is_registered() {
                self.bias.store(thread, Ordering::Relaxed);
            }
        } else if bias == FRESH || bias & CANDIDATE != 0 {
            let changes = self.changes.get() + 1;
            self.changes.set(changes);
            self.in_a_row.set(0);
            let next = if changes > MOST_CHANGES { SHARED } else { thread | CANDIDATE };
            self.bias.store(next, Ordering::Relaxed);
        } else {
            self.bias.store(SHARED, Ordering::Relaxed);
            membarrier::heavy();
            while self.inside.load(Ordering::Acquire) {
                yield_now();
            }
        }
    }

    #[cfg(all(test, not(loom)))]
    fn is_biased(&self) -> bool {
        self.bias.load(Ordering::Relaxed) == arch::thread_pointer()
    }
}

impl RawLock for BiasedLock {
    #[inline]
    fn lock(&self) {
        self.lock_as(arch::thread_pointer(), Lock::lock);
    }

    #[inline]
    fn lock_eagerly(&self) {
        self.lock_as(arch::thread_pointer(), Lock::lock_eagerly);
    }

    #[inline]
    unsafe fn unlock(&self) {
        if self.by_bias.get() {
            self.inside.store(false, Ordering::Release);
        } else {
            // SAFETY: by the contract, and it was got in this way.
            unsafe { self.lock.unlock() };
        }
    }
}

#[cfg(test)]
mod tests;
