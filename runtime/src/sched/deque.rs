//! A worker's queue of goroutines that others may steal.
//!
//! The owner pushes and pops at the new end; thieves take a batch from the old end. Other workers may push,
//! too, to place a goroutine here. Everything happens under a lock of one word that is held for a few instructions.
//!
//! # Why not the lock-free deque of crossbeam
//!
//! It was the first choice, and costs the owner as much: its newest-first pop needs a full fence, and a
//! push needs one more before the pusher may look for sleepers, where this has one locked instruction
//! each. But its thieves must take newest-first queues one by one, with a fence and a compare-exchange
//! for each, on cache lines that the owner is writing to. Spawning a million goroutines over two workers
//! took 120 to 160 ns each with it, and 84 ns with its oldest-first queue; that one cannot pop the child
//! that is about to be joined. Here a thief crosses over once for up to [`BATCH`] goroutines.
//!
//! # The lock
//!
//! The owner waits for it, and so does whoever takes a single goroutine; thieves of a batch try the next queue instead.
//!
//! # Order
//!
//! A worker changes the counts of `idle.rs`, then looks whether there is something; a pusher pushes, then reads the
//! counts. One of the two must see the other. To change and read the counts, to take the lock and to look whether it
//! is free, all of these are sequentially consistent, so there is one order of them. If the pusher does not see the
//! change, it has read the counts before it, and has taken the lock before that. So the look, which comes after the
//! change, finds the lock taken, and waits for it; or free again, and then it sees the length that the pusher, or who came
//! after it, has left. Of a look in this way the owner notices no more than that it has to get its cache line back for
//! its next write.

use super::list::Node;
use crate::primitive::atomic::{AtomicUsize, Ordering};
use crate::primitive::{Locked, MODELLED, lock};
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::fmt;

/// The most that a thief takes at once. With an eighth of it, it comes to the owner's cache lines eight times as often,
/// and spawning over two workers takes a third longer.
pub(super) const BATCH: usize = if MODELLED { 2 } else { 512 };
/// How many pops before its turn a node is fetched into the cache: it may come from another worker's.
const AHEAD: usize = 12;
/// Room for so many is kept when the queue runs empty.
const KEEP: usize = 1 << 14;

/// What a thief took, oldest first; on its frame, so that it never holds two locks.
pub(super) type Batch<N> = SmallVec<[N; BATCH]>;

pub(super) struct Deque<N: Node> {
    /// Oldest first.
    nodes: Locked<VecDeque<N>>,
    /// Written under the lock.
    length: AtomicUsize,
}

/// The nodes, with the lock held.
struct Guard<'a, N: Node> {
    nodes: lock::Guard<'a, VecDeque<N>>,
    length: &'a AtomicUsize,
}

impl<N: Node> Drop for Guard<'_, N> {
    fn drop(&mut self) {
        self.length.store(self.nodes.len(), Ordering::Relaxed);
    }
}

impl<N: Node> Deque<N> {
    pub(super) fn new() -> Deque<N> {
        Deque { nodes: Locked::new(VecDeque::new()), length: AtomicUsize::new(0) }
    }

    #[inline]
    fn lock(&self) -> Guard<'_, N> {
        Guard { nodes: self.nodes.lock_eagerly(), length: &self.length }
    }

    /// Whether there is nothing, as far as the caller can see.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.length.load(Ordering::Relaxed) == 0
    }

    /// How many there are, as far as the caller can see.
    pub(super) fn len(&self) -> usize {
        self.length.load(Ordering::Relaxed)
    }

    /// Whether there is nothing; see "Order" at the head of this file. What the caller has done before, it has done by a
    /// sequentially consistent change or with such a fence behind it.
    #[inline]
    pub(super) fn is_surely_empty(&self) -> bool {
        if self.nodes.is_free() { self.is_empty() } else { self.lock().nodes.is_empty() }
    }

    /// The owner pushes what it spawns; others what they place here.
    #[inline]
    pub(super) fn push(&self, node: N) {
        self.lock().nodes.push_back(node);
    }

    /// Owner only. The last one is the newest.
    pub(super) fn push_all(&self, nodes: impl IntoIterator<Item = N>) {
        self.lock().nodes.extend(nodes);
    }

    /// Takes the newest. Owner only.
    #[inline]
    pub(super) fn pop_newest(&self) -> Option<N> {
        if self.is_empty() {
            return None;
        }
        let mut guard = self.lock();
        let node = guard.nodes.pop_back();
        let length = guard.nodes.len();
        if length == 0 {
            shrink(&mut guard.nodes);
        } else if let Some(soon) = guard.nodes.get(length.wrapping_sub(AHEAD)) {
            soon.prefetch();
        }
        node
    }

    /// Takes the newest if it is this one. Owner only.
    #[inline]
    pub(super) fn pop_if_newest(&self, node: N) -> bool
    where
        N: PartialEq,
    {
        if self.is_empty() {
            return false;
        }
        let mut guard = self.lock();
        let found = guard.nodes.back() == Some(&node);
        if found {
            guard.nodes.pop_back();
        }
        found
    }

    /// Takes the oldest.
    pub(super) fn pop_oldest(&self) -> Option<N> {
        if self.is_empty() {
            return None;
        }
        self.lock().nodes.pop_front()
    }

    /// Takes up to half of the nodes, oldest first; nothing if somebody else has the lock. They go into an empty `batch`
    /// of the caller: some processors take microseconds to move 4 KiB from one place of a stack to the next.
    pub(super) fn steal(&self, batch: &mut Batch<N>) {
        debug_assert!(batch.is_empty());
        if self.is_empty() {
            return;
        }
        if let Some(nodes) = self.nodes.try_lock() {
            let mut guard = Guard { nodes, length: &self.length };
            let half = guard.nodes.len().div_ceil(2).min(BATCH);
            // In two pieces at most, so that the owner waits as short as can be.
            let (front, back) = guard.nodes.as_slices();
            let first = half.min(front.len());
            batch.extend_from_slice(&front[..first]);
            batch.extend_from_slice(&back[..half - first]);
            guard.nodes.drain(..half);
        }
    }
}

#[cold]
fn shrink<N>(nodes: &mut VecDeque<N>) {
    if nodes.capacity() > KEEP {
        nodes.shrink_to(KEEP);
    }
}

impl<N: Node> fmt::Debug for Deque<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = self.length.load(Ordering::Relaxed);
        f.debug_struct("Deque").field("length", &length).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
