//! The shared queue: fresh goroutines from threads that are no workers, and from workers that must not
//! keep theirs.
//!
//! A list under a lock, with its length beside it so that a worker that passes by reads one word. The
//! length is written under the lock and read without: a reader may miss a push that is under way. Before
//! a worker sleeps it looks at the lock, too (`idle.rs`). The lock is held for one batch at most.

use super::list::{List, Node};
use crate::primitive::Locked;
use crate::primitive::atomic::{AtomicUsize, Ordering};

#[derive(Debug)]
pub(crate) struct Injector<N: Node> {
    length: AtomicUsize,
    list: Locked<List<N>>,
}

impl<N: Node> Injector<N> {
    pub(crate) fn new() -> Injector<N> {
        Injector { length: AtomicUsize::new(0), list: Locked::new(List::new()) }
    }

    /// The caller then wakes an idle worker.
    pub(crate) fn push(&self, node: N) {
        let list = self.list.lock();
        list.push_back(node);
        self.length.store(self.length.load(Ordering::Relaxed) + 1, Ordering::Release);
    }

    /// Whether there is nothing. Ordered with pushes as `Deque::is_surely_empty`.
    pub(crate) fn is_surely_empty(&self) -> bool {
        if self.list.is_free() { self.is_empty() } else { self.list.lock().is_empty() }
    }

    /// Whether there is nothing, as far as the caller can see.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.length.load(Ordering::Acquire) == 0
    }

    /// Takes the oldest; up to `more` of those behind it go to `rest`, in order. Under the lock, so whoever comes by looks
    /// first whether it [is empty](Self::is_empty).
    pub(crate) fn pop(&self, more: usize, mut rest: impl FnMut(N)) -> Option<N> {
        let list = self.list.lock();
        let first = list.pop_front()?;
        let mut taken = 1;
        while taken <= more
            && let Some(node) = list.pop_front()
        {
            rest(node);
            taken += 1;
        }
        self.length.store(self.length.load(Ordering::Relaxed) - taken, Ordering::Release);
        Some(first)
    }
}

#[cfg(test)]
mod tests;
