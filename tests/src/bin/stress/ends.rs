//! Ends of channels that are counted in the ledger.

use std::sync::atomic::Ordering;

use fibra::chan::{self, IntoIter};

use crate::ledger::{LEDGER, Value, now};
use crate::program::{self, Side};

/// Counts in the ledger as one end.
pub(crate) struct Counted(usize, Side);

impl Counted {
    pub(crate) fn new(channel: usize, side: Side) -> Counted {
        let counted = Counted(channel, side);
        counted.count().fetch_add(1, Ordering::SeqCst);
        counted
    }

    fn count(&self) -> &std::sync::atomic::AtomicUsize {
        let book = &LEDGER.books[self.0];
        match self.1 {
            Side::Sender => &book.senders,
            Side::Receiver => &book.receivers,
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.count().fetch_sub(1, Ordering::SeqCst);
    }
}

// In all of these the count comes first, and so goes first.

pub(crate) struct Sender<const WORDS: usize> {
    counted: Counted,
    end: chan::Sender<Value<WORDS>>,
}

pub(crate) struct Receiver<const WORDS: usize> {
    counted: Counted,
    end: chan::Receiver<Value<WORDS>>,
}

pub(crate) struct Incoming<const WORDS: usize> {
    _counted: Counted,
    values: IntoIter<Value<WORDS>>,
}

/// A channel of a program.
pub(crate) fn channel<const WORDS: usize>(
    number: usize,
    channel: &program::Channel,
) -> (Sender<WORDS>, Receiver<WORDS>) {
    let (tx, rx) = match channel.capacity {
        Some(capacity) => chan::bounded(capacity),
        None => chan::unbounded(),
    };
    let sender = Sender { counted: Counted::new(number, Side::Sender), end: tx };
    (sender, Receiver { counted: Counted::new(number, Side::Receiver), end: rx })
}

/// Closes a channel by this.
pub(crate) fn close(number: usize, close: impl FnOnce()) {
    let book = &LEDGER.books[number];
    book.closing.store(true, Ordering::SeqCst);
    close();
    // Whichever of several was first, what follows it must be refused.
    let _later = book.closed.compare_exchange(0, now(), Ordering::SeqCst, Ordering::SeqCst);
}

impl<const WORDS: usize> Sender<WORDS> {
    pub(crate) fn end(&self) -> &chan::Sender<Value<WORDS>> {
        &self.end
    }

    pub(crate) fn close(&self) {
        close(self.counted.0, || self.end.close());
    }
}

impl<const WORDS: usize> Receiver<WORDS> {
    pub(crate) fn end(&self) -> &chan::Receiver<Value<WORDS>> {
        &self.end
    }

    pub(crate) fn close(&self) {
        close(self.counted.0, || self.end.close());
    }

    pub(crate) fn into_iter(self) -> Incoming<WORDS> {
        Incoming { _counted: self.counted, values: self.end.into_iter() }
    }
}

impl<const WORDS: usize> Incoming<WORDS> {
    pub(crate) fn next(&mut self) -> Option<Value<WORDS>> {
        self.values.next()
    }
}

impl<const WORDS: usize> Clone for Sender<WORDS> {
    fn clone(&self) -> Self {
        Sender { counted: Counted::new(self.counted.0, Side::Sender), end: self.end.clone() }
    }
}

impl<const WORDS: usize> Clone for Receiver<WORDS> {
    fn clone(&self) -> Self {
        Receiver { counted: Counted::new(self.counted.0, Side::Receiver), end: self.end.clone() }
    }
}
