//! The tree of contexts that can end.
//!
//! Those inside keep those outside alive, and each knows the ones that are directly inside it, weakly: one that
//! is dropped takes itself out. A cancel goes from node to node with a list of its own, and only ever holds one
//! lock, which it gives back before it wakes or drops anything. So neither the depth of the tree nor what an
//! error's destructor does matters.
//!
//! # Ends
//!
//! * A node is *cancelled* when its state says so: written once, under its lock, and only while the deadline has
//!   not come. After that its channel is closed.
//! * Otherwise it ends when the clock comes to its deadline. Nothing is written then: its channel closes by itself
//!   at that time, and a deadline inside is never later than one outside, so there is nobody to tell.
//!
//! Both looks at the clock, the one before the cancel is written and the one that finds that it was not, happen
//! under the lock, so what was seen once stays so. Whoever sees the cancel before the channel is closed closes it.
//!
//! # Orphans
//!
//! Somebody may have cloned the receiver of a context that is dropped. The channel must then stay open, and be
//! closed with what was outside: so its sender goes there (`orphans.rs`).

use super::orphans::Orphans;
use super::{Cause, ContextError};
use crate::chan::{self, Receiver, Sender};
use crate::primitive::Locked;
use crate::primitive::atomic::{AtomicU64, Ordering};
use std::collections::BTreeMap;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

/// How a context has ended.
#[derive(Clone)]
pub(super) struct End {
    pub(super) error: ContextError,
    /// The error that was given, if any.
    pub(super) cause: Option<Cause>,
}

/// See the head of this file.
pub(super) struct Node {
    outside: Option<Arc<Node>>,
    /// By this `outside` knows it.
    number: u64,
    deadline: Option<Instant>,
    closer: Sender<()>,
    done: Receiver<()>,
    next_number: AtomicU64,
    state: Locked<State>,
}

struct State {
    /// Once it is cancelled. Then there is nothing inside any more.
    cancelled: Option<End>,
    inside: BTreeMap<u64, Weak<Node>>,
    orphans: Orphans,
}

/// Those whose contexts are all gone: only their deadlines end them.
static UNRELATED: Mutex<Orphans> = Mutex::new(Orphans::new());

impl Node {
    pub(super) fn new(outside: Option<&Arc<Node>>, deadline: Option<Instant>) -> Arc<Node> {
        let deadline = match (deadline, outside.and_then(|outside| outside.deadline)) {
            (Some(own), Some(other)) => Some(own.min(other)),
            (own, other) => own.or(other),
        };
        let (closer, done) = chan::closing_at(deadline);
        let number =
            outside.map_or(0, |outside| outside.next_number.fetch_add(1, Ordering::Relaxed));
        let node = Arc::new(Node {
            outside: outside.cloned(),
            number,
            deadline,
            closer,
            done,
            next_number: AtomicU64::new(0),
            state: Locked::new(State {
                cancelled: None,
                inside: BTreeMap::new(),
                orphans: Orphans::new(),
            }),
        });
        if let Some(end) = outside.and_then(|outside| outside.take_in(&node)) {
            node.state.lock().cancelled = Some(end);
            node.closer.close();
        }
        node
    }

    /// Knows the node from now on; not if it has been cancelled: then it says how.
    fn take_in(&self, node: &Arc<Node>) -> Option<End> {
        let mut state = self.state.lock();
        if state.cancelled.is_none() {
            state.inside.insert(node.number, Arc::downgrade(node));
        }
        state.cancelled.clone()
    }

    pub(super) fn done(&self) -> &Receiver<()> {
        &self.done
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    fn is_over(&self) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= Instant::now())
    }

    /// How it has ended.
    pub(super) fn end(&self) -> Option<End> {
        let cancelled = {
            let state = self.state.lock();
            match &state.cancelled {
                Some(end) => end.clone(),
                None if self.is_over() => {
                    return Some(End { error: ContextError::DeadlineExceeded, cause: None });
                }
                None => return None,
            }
        };
        // Whoever cancels may not have come to this yet.
        self.closer.close();
        Some(cancelled)
    }

    /// Ends this one and all inside, as far as they have not ended before.
    pub(super) fn cancel(self: &Arc<Node>, end: &End) {
        let mut pending = vec![self.clone()];
        while let Some(node) = pending.pop() {
            let inside = node.cancel_alone(end);
            pending.extend(inside.into_values().filter_map(|node| node.upgrade()));
        }
    }

    /// Ends this one; what is inside it is left to the caller.
    fn cancel_alone(&self, end: &End) -> BTreeMap<u64, Weak<Node>> {
        let (inside, orphans) = {
            let mut state = self.state.lock();
            if state.cancelled.is_some() || self.is_over() {
                return BTreeMap::new();
            }
            state.cancelled = Some(end.clone());
            (mem::take(&mut state.inside), mem::replace(&mut state.orphans, Orphans::new()))
        };
        self.closer.close();
        orphans.close();
        inside
    }

    /// Takes leave of what is outside, and gives that to the caller. A second time this does nothing.
    fn leave(&mut self) -> Option<Arc<Node>> {
        let mut orphans = mem::replace(&mut self.state.lock().orphans, Orphans::new());
        drop(mem::replace(&mut self.done, chan::never()));
        if !self.closer.is_closed() {
            // Somebody has a clone of the receiver. What takes the closer's place is closed.
            orphans.push(mem::replace(&mut self.closer, chan::bounded(0).0));
        }
        let outside = self.outside.take();
        match &outside {
            Some(outside) => outside.let_go(self.number, orphans),
            None => leave_alone(orphans),
        }
        outside
    }

    /// One inside is gone, and leaves these behind.
    fn let_go(&self, number: u64, orphans: Orphans) {
        let mut orphans = Some(orphans);
        while let Some(left) = orphans.take() {
            let mut state = self.state.lock();
            if state.cancelled.is_some() {
                drop(state);
                return left.close();
            }
            let gone = state.inside.remove(&number);
            orphans = state.orphans.append(left);
            drop(state);
            drop(gone);
            // Until they are back they are missed by a cancel, which is then noticed here.
            orphans.iter_mut().for_each(Orphans::sweep);
        }
    }
}

#[cfg(test)]
impl Node {
    /// How many nodes are directly inside, and how many orphans.
    pub(super) fn known(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.inside.len(), state.orphans.len())
    }
}

/// Nothing is outside of those.
fn leave_alone(orphans: Orphans) {
    let mut orphans = (!orphans.is_empty()).then_some(orphans);
    while let Some(left) = orphans.take() {
        orphans = UNRELATED.lock().unwrap_or_else(PoisonError::into_inner).append(left);
        orphans.iter_mut().for_each(Orphans::sweep);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // One after the other: there may be more of them than fit the stack.
        let mut outside = self.leave();
        while let Some(mut node) = outside.and_then(Arc::into_inner) {
            outside = node.leave();
        }
    }
}
