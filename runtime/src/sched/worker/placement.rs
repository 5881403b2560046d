//! Where a goroutine starts. It stays there, so the start is the time to choose.
//!
//! * A worker that is about to start a fresh goroutine leaves it to an idle worker that has fewer residents, and
//!   wakes that one ([`Worker::forward`]).
//! * A thief that has more residents than its victim waits for a few microseconds first, unless the victim has more to
//!   start than it could in that time (`steal` in `rest.rs`).
//! * A worker whose residents always have something to do never becomes a thief. So in the round in which it would
//!   start its oldest fresh goroutine, and has none, it takes one from another worker that has more to do
//!   ([`Worker::take_share`]). Not several: here they would wait for their rounds, too, and there they may start sooner.

use super::super::Station;
use super::Worker;
use crate::goroutine::GoroutineRef;
use crate::primitive::atomic::Ordering;
use crossbeam_utils::CachePadded;

/// By how many residents more than another worker this one may have. Two goroutines that talk to each other
/// are best off on one worker; if they compute instead, the second one is stolen before it starts.
const SLACK: usize = 1;
/// So many rounds in which it could look for its share a worker lets pass at most between two looks.
const LONGEST_PAUSE: u32 = 63;

/// How often a worker looks for its share at others: each look takes cache lines away from them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pause {
    /// So many more chances are let pass.
    left: u32,
    /// So many were let pass, or will be, from the last look to the next one.
    length: u32,
}

impl Worker {
    /// Leaves a fresh goroutine that would start now to an idle worker that has fewer residents, if there is one.
    pub(super) fn forward(&self, goroutine: GoroutineRef) -> bool {
        // A napper is idle, too: for it there is nothing to start, and here there is.
        if self.shared.idle.is_everyone_busy() {
            return false;
        }
        let here = self.station().residents.load(Ordering::Relaxed) as usize;
        if here <= SLACK {
            // Nobody has fewer by more than that.
            return false;
        }
        let idle = |station: &&CachePadded<Station>| {
            station.is_regular() && station.running.load(Ordering::Relaxed).is_null()
        };
        let there = self.shared.stations().iter().filter(idle).min_by_key(|s| s.load());
        let Some(station) = there.filter(|station| station.load() + SLACK < here) else {
            return false;
        };
        // Not its inbox: if it turns out to be busy, others may still steal it.
        station.fresh.push(goroutine);
        let picked = self.shared.idle.pick(station.index);
        // One that was not asleep may have become surplus meanwhile, and sleep now: it is to give away what came.
        station.wake();
        if !picked {
            self.shared.notify();
        }
        if !station.is_active() {
            self.shared.give_away(station);
        }
        true
    }

    /// See the head of this file. After a look that finds nothing the next one comes twice as late.
    pub(super) fn take_share(&self) -> Option<GoroutineRef> {
        let Pause { left, length } = self.sharing.get();
        if left > 0 {
            self.sharing.set(Pause { left: left - 1, length });
            return None;
        }
        let taken = self.take_from_larger();
        let length = if taken.is_some() { 0 } else { (2 * length + 1).min(LONGEST_PAUSE) };
        self.sharing.set(Pause { left: length, length });
        taken
    }

    /// Looks at one of the others only, at random, so that it costs the same with many workers.
    fn take_from_larger(&self) -> Option<GoroutineRef> {
        let other = self.others().find(|other| other.is_regular())?;
        // Less of a difference would be the reverse of it afterwards. And the little that one has to start it will start
        // at once: most likely that is somebody to talk to.
        let is_larger = other.load() > self.station().load() + 2 * SLACK;
        if !is_larger || other.has_little() {
            return None;
        }
        let taken = other.fresh.pop_oldest()?;
        self.station().tally.count_stolen();
        Some(taken)
    }
}
