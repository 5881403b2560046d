//! Deadlines of parks. A passive structure: it says what is due, and whoever asks makes it runnable.
//!
//! A hierarchical timing wheel (G. Varghese and T. Lauck, "Hashed and Hierarchical Timing Wheels", SOSP
//! 1987, scheme 7), one for each worker.
//!
//! # Time
//!
//! The wheel counts *ticks* of 1024 ns since it was made. A deadline is rounded up to the next tick, the
//! clock is rounded down, so an entry never expires early, and the wheel makes it at most a tick late.
//! Ticks end after 584 years. A deadline beyond that never comes, nor does the clock get there.
//!
//! # Levels
//!
//! A tick is a number of nine digits with base 64. The *cursor* is the tick up to which everything has
//! expired. An entry lies on the level of the highest digit in which its tick differs from the cursor,
//! in the slot that this digit of its tick names; an entry at the cursor itself lies on level 0. So a
//! slot of level n holds 64ⁿ ticks. For the cursor …·3·10·20·40, `x` where entries may lie:
//!
//! ```text
//!            slot   0         10        20        30        40        50        60
//!   level 3 268 ms  ....xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
//!   level 2 4.2 ms  ...........xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
//!   level 1  66 µs  .....................xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
//!   level 0 1.0 µs  ........................................xxxxxxxxxxxxxxxxxxxxxxxx
//! ```
//!
//! A word of bits for each level says which of its slots are occupied, and one more word, which levels.
//!
//! # Invariants
//!
//! * No entry's tick is less than the cursor: one that was overdue when it came counts as due at the
//!   cursor.
//! * The place of an entry follows from its tick and the cursor, and from nothing else: equal ticks are
//!   in one list, and leave it in the order in which they came.
//! * All that is on a level comes before all that is on a higher one, and slots of a level are in the
//!   order of time. So the first occupied slot of the lowest occupied level is the next one: two
//!   searches for a bit.
//! * A slot's `earliest` is no later than any of its ticks. It is exact unless an entry was cancelled.
//!
//! # Expiry
//!
//! While the next slot starts no later than the clock, the cursor moves to its start and its list is
//! taken out. On level 0 that is what is due now. From a higher level each entry finds its place again,
//! which is lower, because its digit is the cursor's now. At last the cursor moves to the clock. No
//! place changes by that: what is left comes after the clock, and differs from it where it differed from
//! the cursor. An entry moves at most eight times in its life, however seldom the clock is read, and
//! what expires at once does so in the order of ticks.
//!
//! Whoever sleeps until `next_deadline` and then calls `expire` finds something due: one wake-up for a
//! deadline, however far it is. Only if the earliest entry of a slot was cancelled that may be too early,
//! once: the slot is taken apart then, and the slots that its entries get are exact.
//!
//! # Cost
//!
//! Insertion and cancellation write to the entry and its neighbours: 30 ns for a pair of them among a
//! million entries. An expiry costs a cache miss for each move, 0.1 µs if there are so many. All entries
//! of a slot move at once, so a hundred thousand in one of them keep their worker for 10 ms.
//!
//! Entries live in a slab (`slab.rs`), 40 bytes each, and lists are made of their numbers. It grows to
//! the largest number of entries that there were at a time, and shrinks when none is left.
//!
//! # Rejected
//!
//! * A sorted map: 900 ns for an insertion and a cancellation among a million entries, though expiry
//!   costs a third. Most deadlines are cancelled.
//! * Slots that never move, as coarse as the deadline is far: late by a part of the whole wait.
//! * Coarser ticks, with the exact deadlines compared within one: slots that are due in part, to save one
//!   move in an entry's life.
//! * Waking at the start of each slot on the way down, without `earliest`: up to eight wake-ups for
//!   nothing before a far deadline.
//! * Digits of 8 bits: a fifth less for the expiry of deadlines an hour away, nothing for those within
//!   seconds, and several words of bits for a level.

mod slab;
mod wheel;

pub(crate) use self::slab::Key;

use self::wheel::Wheel;
use crate::ticket::{Cause, Claim, Runnable, Ticket};
use std::time::{Duration, Instant};

/// Nanoseconds. A power of two, for conversions without a division, such that nine digits of ticks fill
/// a word of nanoseconds.
const TICK: u64 = 1 << 10;

/// The deadlines of one worker.
#[derive(Debug)]
pub(crate) struct Timers {
    origin: Instant,
    wheel: Wheel,
}

impl Default for Timers {
    fn default() -> Timers {
        Timers::starting_at(Instant::now())
    }
}

impl Timers {
    fn starting_at(origin: Instant) -> Timers {
        Timers { origin, wheel: Wheel::new() }
    }

    pub(crate) fn insert(&mut self, deadline: Instant, ticket: Ticket) -> Key {
        let nanos = deadline.saturating_duration_since(self.origin).as_nanos();
        let tick = nanos.div_ceil(TICK.into()).min(wheel::NEVER.into()) as u64;
        self.wheel.insert(tick, ticket)
    }

    /// No effect when it has expired or was cancelled.
    pub(crate) fn cancel(&mut self, key: Key) {
        self.wheel.remove(key);
    }

    /// When to call [`expire`](Self::expire) next; `None` when there is no entry. It is up to a tick
    /// after the earliest deadline, or too early if that one was cancelled.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let tick = self.wheel.earliest()?;
        Some(self.origin + Duration::from_nanos(tick * TICK))
    }

    /// Takes out what is due at `now`; parks that this ends go to `ready`.
    pub(crate) fn expire(&mut self, now: Instant, mut ready: impl FnMut(Runnable)) {
        let Some(elapsed) = now.checked_duration_since(self.origin) else {
            return;
        };
        let tick = (elapsed.as_nanos() / u128::from(TICK)).min((wheel::NEVER - 1).into()) as u64;
        self.wheel.advance(tick, |ticket| {
            if let Claim::Won(runnable) = ticket.claim(Cause::Timeout) {
                ready(runnable);
            }
        });
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
