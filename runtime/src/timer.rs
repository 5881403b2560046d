//! Deadlines of parks. A passive list: it says what is due, and whoever asks makes it runnable.

use crate::ticket::{Cause, Claim, Runnable, Ticket};
use std::collections::BTreeMap;
use std::time::Instant;

/// The deadlines of one worker, earliest first.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    entries: BTreeMap<Key, Ticket>,
    inserted: u64,
}

/// Names one entry; the number keeps equal deadlines apart, in the order of insertion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key(Instant, u64);

impl Timers {
    pub(crate) fn insert(&mut self, deadline: Instant, ticket: Ticket) -> Key {
        self.inserted += 1;
        let key = Key(deadline, self.inserted);
        self.entries.insert(key, ticket);
        key
    }

    /// No effect when it has expired.
    pub(crate) fn cancel(&mut self, key: Key) {
        self.entries.remove(&key);
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.entries.first_key_value().map(|(key, _)| key.0)
    }

    /// Takes out what is due at `now`; parks that this ends go to `ready`.
    pub(crate) fn expire(&mut self, now: Instant, mut ready: impl FnMut(Runnable)) {
        while let Some(entry) = self.entries.first_entry() {
            if entry.key().0 > now {
                return;
            }
            if let Claim::Won(runnable) = entry.remove().claim(Cause::Timeout) {
                ready(runnable);
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
