//! First-in-first-out lists through the nodes' own links: queueing allocates nothing.

use std::cell::Cell;

/// Something with room for a link. A copy is another name for the same node.
pub(crate) trait Node: Copy {
    /// The link; it belongs to the list that the node is in.
    fn next(&self) -> &Cell<Option<Self>>;
    /// For an atomic pointer.
    fn into_raw(self) -> *mut ();
    /// The caller is about to use the node: a hint to the processor.
    fn prefetch(self) {}
    /// The inverse.
    fn from_raw(raw: *mut ()) -> Option<Self>;
}

/// Nodes in the order they were pushed in. Each node is in at most one list.
#[derive(Debug)]
pub(crate) struct List<N: Node> {
    head: Cell<Option<N>>,
    tail: Cell<Option<N>>,
}

impl<N: Node> List<N> {
    pub(crate) const fn new() -> List<N> {
        List { head: Cell::new(None), tail: Cell::new(None) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.head.get().is_none()
    }

    #[inline]
    pub(crate) fn first(&self) -> Option<N> {
        self.head.get()
    }

    #[inline]
    pub(crate) fn push_back(&self, node: N) {
        node.next().set(None);
        match self.tail.replace(Some(node)) {
            Some(tail) => tail.next().set(Some(node)),
            None => self.head.set(Some(node)),
        }
    }

    pub(crate) fn push_front(&self, node: N) {
        node.next().set(self.head.replace(Some(node)));
        if self.tail.get().is_none() {
            self.tail.set(Some(node));
        }
    }

    #[inline]
    pub(crate) fn pop_front(&self) -> Option<N> {
        let node = self.head.get()?;
        let next = node.next().get();
        self.head.set(next);
        if next.is_none() {
            self.tail.set(None);
        }
        Some(node)
    }
}
