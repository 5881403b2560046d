//! How many goroutines there are, and when there will be no more: the counts that shutdown relies on.
//!
//! Each worker counts what it spawned and what it finished, each in a word that only it writes. Threads
//! that are no workers count in the [`Gate`], whose top bit is "shutting down": they look at the
//! bit and add one in one step, so none of them gets in after the bit was set.
//!
//! # Zero means zero
//!
//! `live` reads all finished counts first, then all spawned counts. Counts only grow, and a goroutine is
//! counted as spawned before it can finish. So at the moment between the two passes: the finished counts
//! read are at most those of that moment, which are at most the spawned counts of that moment, which are
//! at most those read. If the first and the last are equal, all are, and at that moment nothing was
//! alive. With the gate closed only a live goroutine can spawn, so it stays like that.
//!
//! Release on the writes and acquire on the reads: a worker that saw a goroutine's end also sees its
//! beginning, whichever worker counted it.

use crate::primitive::atomic::{AtomicU64, Ordering};

/// One worker's counts. Written by that worker only.
#[derive(Debug)]
pub(crate) struct Tally {
    spawned: AtomicU64,
    finished: AtomicU64,
    /// How often it has stolen; of no concern to a shutdown.
    steals: AtomicU64,
}

impl Tally {
    pub(crate) fn new() -> Tally {
        Tally { spawned: AtomicU64::new(0), finished: AtomicU64::new(0), steals: AtomicU64::new(0) }
    }

    pub(crate) fn count_stolen(&self) {
        self.steals.store(self.steals.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    pub(crate) fn steals(&self) -> u64 {
        self.steals.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn count_spawned(&self) {
        self.spawned.store(self.spawned.load(Ordering::Relaxed) + 1, Ordering::Release);
    }

    #[inline]
    pub(crate) fn count_finished(&self) {
        self.finished.store(self.finished.load(Ordering::Relaxed) + 1, Ordering::Release);
    }
}

const CLOSED: u64 = 1 << 63;

/// Where spawns from outside are counted and, at last, refused.
#[derive(Debug)]
pub(crate) struct Gate(AtomicU64);

/// The runtime is shutting down.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Closed;

impl Gate {
    pub(crate) fn new() -> Gate {
        Gate(AtomicU64::new(0))
    }

    /// Counts one spawn from outside.
    pub(crate) fn enter(&self) -> Result<(), Closed> {
        let mut count = self.0.load(Ordering::Relaxed);
        loop {
            if count & CLOSED != 0 {
                return Err(Closed);
            }
            // Not an addition that is taken back when the gate is closed: a worker that counts in
            // between would see a goroutine that never comes, and sleep for ever.
            match self.0.compare_exchange_weak(
                count,
                count + 1,
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Ok(()),
                Err(now) => count = now,
            }
        }
    }

    /// No spawn from outside any more. True for the first to call it.
    pub(crate) fn close(&self) -> bool {
        self.0.fetch_or(CLOSED, Ordering::AcqRel) & CLOSED == 0
    }

    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        self.0.load(Ordering::Acquire) & CLOSED != 0
    }

    fn entered(&self) -> u64 {
        self.0.load(Ordering::Acquire) & !CLOSED
    }
}

/// Spawned and finished so far; equal only if at one moment nothing was alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Census {
    pub(crate) spawned: u64,
    pub(crate) finished: u64,
}

impl Census {
    pub(crate) fn take<'a>(
        gate: &Gate,
        tallies: impl Iterator<Item = &'a Tally> + Clone,
    ) -> Census {
        let finished = tallies.clone().map(|t| t.finished.load(Ordering::Acquire)).sum();
        let inside: u64 = tallies.map(|t| t.spawned.load(Ordering::Acquire)).sum();
        Census { finished, spawned: inside + gate.entered() }
    }

    pub(crate) fn live(self) -> u64 {
        self.spawned.saturating_sub(self.finished)
    }
}

#[cfg(loom)]
mod tests;
