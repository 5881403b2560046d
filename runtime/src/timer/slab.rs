//! Where a wheel keeps its entries: places with numbers, each taken or free.

use crate::ticket::Ticket;
use std::ops::{Index, IndexMut};

/// No place has this number.
pub(super) const NONE: u32 = u32::MAX;

/// So many places stay when the last entry goes.
const KEPT: usize = 1024;

#[derive(Debug)]
pub(super) struct Slab {
    places: Vec<Entry>,
    /// The first of the list of free places, linked by `next`.
    free: u32,
    taken: u32,
    insertions: u64,
}

#[derive(Debug)]
pub(super) struct Entry {
    ticket: Ticket,
    pub(super) tick: u64,
    /// Which insertion it was, from 1; 0 when the place is free.
    number: u64,
    pub(super) next: u32,
    pub(super) prev: u32,
}

/// Names one entry for ever: insertions are counted through, whichever place they take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    index: u32,
    number: u64,
}

impl Key {
    pub(super) fn index(self) -> u32 {
        self.index
    }
}

impl Slab {
    pub(super) fn new() -> Slab {
        Slab { places: Vec::new(), free: NONE, taken: 0, insertions: 0 }
    }

    /// The new entry is in no list.
    pub(super) fn insert(&mut self, tick: u64, ticket: Ticket) -> Key {
        self.insertions += 1;
        let entry = Entry { ticket, tick, number: self.insertions, next: NONE, prev: NONE };
        let number = entry.number;
        let index = self.free;
        self.taken += 1;
        if index == NONE {
            return Key { index: self.push(entry), number };
        }
        self.free = self[index].next;
        self[index] = entry;
        Key { index, number }
    }

    #[cold]
    fn push(&mut self, entry: Entry) -> u32 {
        let index = self.places.len();
        assert!(index < NONE as usize, "no more timers: they fill 160 GiB");
        self.places.push(entry);
        index as u32
    }

    /// Where its entry is, if it is there still.
    pub(super) fn find(&self, key: Key) -> Option<u32> {
        let entry = self.places.get(key.index as usize)?;
        (entry.number == key.number).then_some(key.index)
    }

    /// The entry must be in no list.
    pub(super) fn free(&mut self, index: u32) -> Ticket {
        let free = self.free;
        let entry = &mut self[index];
        entry.number = 0;
        entry.next = free;
        let ticket = entry.ticket;
        self.free = index;
        self.taken -= 1;
        if self.taken == 0 && self.places.capacity() > KEPT {
            self.give_back();
        }
        ticket
    }

    /// Nothing is taken.
    #[cold]
    fn give_back(&mut self) {
        self.places.clear();
        self.places.shrink_to(KEPT);
        self.free = NONE;
    }
}

impl Index<u32> for Slab {
    type Output = Entry;

    fn index(&self, index: u32) -> &Entry {
        &self.places[index as usize]
    }
}

impl IndexMut<u32> for Slab {
    fn index_mut(&mut self, index: u32) -> &mut Entry {
        &mut self.places[index as usize]
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
