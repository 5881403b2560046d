//! What other threads have for one worker: goroutines that live there and are runnable again.
//!
//! A stack of nodes behind one atomic pointer. Many push with a CAS; the owner takes all at once with a
//! swap, and reverses the order. Nothing is ever taken out singly, so there is no ABA problem: a CAS
//! that finds the head it has read may safely link to it, even if the list was emptied and refilled
//! with the same node first in between.

use super::list::{List, Node};
use crate::primitive::atomic::{AtomicPtr, Ordering};
use std::marker::PhantomData;
use std::ptr;

#[derive(Debug)]
pub(crate) struct Inbox<N: Node> {
    newest: AtomicPtr<()>,
    nodes: PhantomData<fn(N)>,
}

impl<N: Node> Inbox<N> {
    pub(crate) fn new() -> Inbox<N> {
        Inbox { newest: AtomicPtr::new(ptr::null_mut()), nodes: PhantomData }
    }

    /// Hands the node over. The caller then wakes the owner if it sleeps.
    pub(crate) fn push(&self, node: N) {
        let mut newest = self.newest.load(Ordering::Relaxed);
        loop {
            node.next().set(N::from_raw(newest));
            // Release: the owner sees the link and whatever else was written to the node.
            match self.newest.compare_exchange_weak(
                newest,
                node.into_raw(),
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(now) => newest = now,
            }
        }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.newest.load(Ordering::Relaxed).is_null()
    }

    /// Moves everything to the end of `list`, oldest first. Owner only.
    #[inline]
    pub(crate) fn drain_to(&self, list: &List<N>) {
        if !self.is_empty() {
            self.take_all(list);
        }
    }

    #[cold]
    fn take_all(&self, list: &List<N>) {
        // Acquire: pairs with the pushes.
        let mut newest = N::from_raw(self.newest.swap(ptr::null_mut(), Ordering::Acquire));
        let mut oldest_first: Option<N> = None;
        while let Some(node) = newest {
            newest = node.next().replace(oldest_first);
            oldest_first = Some(node);
        }
        while let Some(node) = oldest_first {
            oldest_first = node.next().take();
            list.push_back(node);
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
