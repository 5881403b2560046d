//! First-in-first-out lists through the nodes' own links: queueing allocates nothing.

use std::cell::Cell;

/// Something with room for a link. A copy is another name for the same node.
pub(crate) trait Node: Copy {
    /// The link; it belongs to the list that the node is in.
    fn next(&self) -> &Cell<Option<Self>>;
    /// For an atomic pointer.
    fn into_raw(self) -> *mut ();
    /// The inverse.
    fn from_raw(raw: *mut ()) -> Option<Self>;
}

/// Nodes in the order they were pushed in. Each node is in at most one list.
#[derive(Debug)]
pub(crate) struct List<N: Node> {
    head: Option<N>,
    tail: Option<N>,
}

impl<N: Node> List<N> {
    pub(crate) const fn new() -> List<N> {
        List {
            head: None,
            tail: None,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.head.is_none()
    }

    #[inline]
    pub(crate) fn push_back(&mut self, node: N) {
        node.next().set(None);
        match self.tail.replace(node) {
            Some(tail) => tail.next().set(Some(node)),
            None => self.head = Some(node),
        }
    }

    pub(crate) fn push_front(&mut self, node: N) {
        node.next().set(self.head);
        self.head = Some(node);
        if self.tail.is_none() {
            self.tail = Some(node);
        }
    }

    #[inline]
    pub(crate) fn pop_front(&mut self) -> Option<N> {
        let node = self.head?;
        self.head = node.next().take();
        if self.head.is_none() {
            self.tail = None;
        }
        Some(node)
    }
}
