//! The levels and slots of a wheel; see the head of `timer/mod.rs`.

use super::slab::{Key, NONE, Slab};
use crate::ticket::Ticket;

/// Bits of a digit.
const DIGIT: u32 = 6;
const SLOTS: usize = 1 << DIGIT;
const LEVELS: usize = 9;

/// The last tick; the clock never shows it.
pub(super) const NEVER: u64 = (1 << (DIGIT * LEVELS as u32)) - 1;

#[derive(Debug)]
pub(super) struct Wheel {
    cursor: u64,
    /// Of each level, from the lowest; none before the first insertion.
    slots: Vec<Slot>,
    /// A bit for each slot.
    occupied: [u64; LEVELS],
    /// A bit for each level.
    levels: u32,
    slab: Slab,
}

/// A list of entries.
#[derive(Clone, Debug)]
struct Slot {
    first: u32,
    last: u32,
    /// No entry is due before this tick.
    earliest: u64,
}

const EMPTY: Slot = Slot { first: NONE, last: NONE, earliest: u64::MAX };

/// The number of a slot among those of all levels.
#[derive(Clone, Copy)]
struct Place(usize);

impl Place {
    /// Where a tick that is not before the cursor belongs.
    fn of(tick: u64, cursor: u64) -> Place {
        let level = ((tick ^ cursor) | 1).ilog2() / DIGIT;
        let digit = (tick >> (level * DIGIT)) as usize % SLOTS;
        Place(level as usize * SLOTS + digit)
    }

    fn level(self) -> usize {
        self.0 / SLOTS
    }

    fn bit(self) -> u64 {
        1 << (self.0 % SLOTS)
    }

    /// The first tick of an occupied slot.
    fn start(self, cursor: u64) -> u64 {
        let shift = self.level() as u32 * DIGIT;
        let above = cursor >> shift & !(SLOTS as u64 - 1);
        (above | (self.0 % SLOTS) as u64) << shift
    }
}

impl Wheel {
    pub(super) fn new() -> Wheel {
        Wheel { cursor: 0, slots: Vec::new(), occupied: [0; LEVELS], levels: 0, slab: Slab::new() }
    }

    pub(super) fn insert(&mut self, tick: u64, ticket: Ticket) -> Key {
        if self.slots.is_empty() {
            self.slots = vec![EMPTY; LEVELS * SLOTS];
        }
        let key = self.slab.insert(tick.max(self.cursor), ticket);
        self.link(key.index());
        key
    }

    pub(super) fn remove(&mut self, key: Key) {
        if let Some(index) = self.slab.find(key) {
            self.unlink(index);
            self.slab.free(index);
        }
    }

    /// No entry is due before this tick; one is at it, unless one that was has been removed.
    pub(super) fn earliest(&self) -> Option<u64> {
        self.next().map(|place| self.slots[place.0].earliest)
    }

    /// Moves on to the tick `now`, unless it is past, and takes out all that is due.
    pub(super) fn advance(&mut self, now: u64, mut due: impl FnMut(Ticket)) {
        while let Some(place) = self.next() {
            let start = place.start(self.cursor);
            if start > now {
                break;
            }
            self.cursor = start;
            let mut index = self.take(place);
            while index != NONE {
                let next = self.slab[index].next;
                if place.level() == 0 {
                    due(self.slab.free(index));
                } else {
                    self.link(index);
                }
                index = next;
            }
        }
        self.cursor = self.cursor.max(now);
    }

    /// The first occupied slot.
    fn next(&self) -> Option<Place> {
        if self.levels == 0 {
            return None;
        }
        let level = self.levels.trailing_zeros() as usize;
        Some(Place(level * SLOTS + self.occupied[level].trailing_zeros() as usize))
    }

    /// Puts an entry last into the list where it belongs.
    fn link(&mut self, index: u32) {
        let entry = &mut self.slab[index];
        let place = Place::of(entry.tick, self.cursor);
        let slot = &mut self.slots[place.0];
        entry.prev = slot.last;
        entry.next = NONE;
        slot.earliest = slot.earliest.min(entry.tick);
        let last = std::mem::replace(&mut slot.last, index);
        if last == NONE {
            slot.first = index;
            self.occupied[place.level()] |= place.bit();
            self.levels |= 1 << place.level();
        } else {
            self.slab[last].next = index;
        }
    }

    fn unlink(&mut self, index: u32) {
        let entry = &self.slab[index];
        let place = Place::of(entry.tick, self.cursor);
        let (prev, next) = (entry.prev, entry.next);
        if prev == NONE && next == NONE {
            self.take(place);
            return;
        }
        match prev {
            NONE => self.slots[place.0].first = next,
            _ => self.slab[prev].next = next,
        }
        match next {
            NONE => self.slots[place.0].last = prev,
            _ => self.slab[next].prev = prev,
        }
    }

    /// Empties a slot, and returns the first of its list.
    fn take(&mut self, place: Place) -> u32 {
        let slot = std::mem::replace(&mut self.slots[place.0], EMPTY);
        let level = place.level();
        self.occupied[level] &= !place.bit();
        if self.occupied[level] == 0 {
            self.levels &= !(1 << level);
        }
        slot.first
    }
}
