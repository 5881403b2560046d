//! Channels that outlive their contexts, because somebody has kept a clone of the receiver.

use crate::chan::Sender;
use std::mem;

/// How many there may be before it is worth while to look who is gone.
const FEW: usize = 8;

/// A list that forgets those whose receivers are gone. It holds at most twice as many as are left, and a few.
pub(super) struct Orphans {
    closers: Vec<Sender<()>>,
    /// How many there may be before the next look.
    limit: usize,
}

impl Orphans {
    pub(super) const fn new() -> Orphans {
        Orphans { closers: Vec::new(), limit: FEW }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.closers.is_empty()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.closers.len()
    }

    pub(super) fn push(&mut self, closer: Sender<()>) {
        self.closers.push(closer);
    }

    /// Takes over all of the others. Gives all back, for a [sweep](Self::sweep), when there are too many.
    pub(super) fn append(&mut self, mut others: Orphans) -> Option<Orphans> {
        self.closers.append(&mut others.closers);
        self.limit = self.limit.max(others.limit);
        (self.closers.len() >= self.limit).then(|| mem::replace(self, Orphans::new()))
    }

    /// Forgets those whose receivers are gone. That looks at channels, so not under a lock.
    pub(super) fn sweep(&mut self) {
        // Without receivers a channel is closed; a closed one needs no closer.
        self.closers.retain(|closer| !closer.is_closed());
        self.limit = 2 * self.closers.len() + FEW;
    }

    pub(super) fn close(self) {
        self.closers.iter().for_each(Sender::close);
    }
}
