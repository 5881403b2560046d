//! A worker that gets on stands aside for one that the system does not run.
//!
//! Where clients share the processors with the workers, a worker that was woken by its sockets may have to wait: behind
//! the client that sent the message and goes on for a time slice, or behind another worker. That one is served all the
//! faster meanwhile, and so is the client, so neither comes to give up its processor. What the first worker's connections
//! wait for is then the system's tick, up to four milliseconds. But if the other worker sleeps for a moment, nobody answers
//! the client any more, it has nothing to do, and the first worker runs.
//!
//! So each worker looks at another one now and then. If that one has resumed nobody for [`LONG`], and there are reports
//! that it does not fetch, this one sleeps until it does, or for [`MOST_NAPS`] times [`NAP`]. Only one worker stands
//! aside, and once for each wait of the other one.
//!
//! Who keeps the processors may also be something that computes, and does not wait for this worker at all. Then the
//! other one gets on no sooner, or this one comes back late from its nap. After that it does not stand aside for a while.

use super::Worker;
use crate::primitive::atomic::Ordering;
use crate::sched::Station;
use std::cell::Cell;
use std::thread;
use std::time::{Duration, Instant};

/// So many reports of its own lie between two looks of a worker at another one.
const ENOUGH: usize = 16;
/// With so many at once the clients have enough to do without this worker's answers.
const MANY: usize = 48;
/// A worker that has been woken is there sooner, if there is a processor for it.
const LONG: Duration = Duration::from_micros(150);
/// The system adds its timer slack of 50 µs.
const NAP: Duration = Duration::from_micros(100);
/// About as long as a client takes for 64 small answers.
const MOST_NAPS: usize = 4;
/// A nap that took as long says that somebody computes here.
const LATE: Duration = Duration::from_millis(1);
/// How long a worker does not stand aside after it was in vain, twice as long each time.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What a worker knows of another one, and of its own naps.
#[derive(Clone, Copy, Debug)]
struct Watched {
    station: usize,
    epoch: u64,
    /// The epoch was the same at this time already.
    since: Instant,
    pause: Duration,
    /// It does not stand aside before.
    not_before: Instant,
}

impl Watched {
    fn new(now: Instant) -> Watched {
        Watched { station: 0, epoch: 0, since: now, pause: Duration::ZERO, not_before: now }
    }

    /// It has stood aside until now; whether that was of use.
    fn learn(&mut self, useful: bool, now: Instant) {
        if useful {
            self.pause /= 2;
        } else {
            self.pause = (2 * self.pause).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
            self.not_before = now + self.pause;
        }
    }
}

#[derive(Debug)]
pub(super) struct Aside {
    /// Own reports since the last look.
    reports: Cell<usize>,
    watched: Cell<Watched>,
}

impl Aside {
    pub(super) fn new() -> Aside {
        Aside { reports: Cell::new(0), watched: Cell::new(Watched::new(Instant::now())) }
    }

    /// After so many more reports: whether to look at another worker.
    #[inline]
    fn is_due(&self, reports: usize) -> bool {
        let sum = if reports < MANY { self.reports.get() + reports } else { 0 };
        let is_due = sum >= ENOUGH;
        self.reports.set(if is_due { 0 } else { sum });
        is_due
    }
}

impl Worker {
    /// Out of work, after so many reports. See the head of this file.
    #[inline]
    pub(super) fn stand_aside(&self, reports: usize) {
        if self.aside.is_due(reports) {
            self.look_at_another();
        }
    }

    #[cold]
    fn look_at_another(&self) {
        let stations = self.shared.stations();
        let mut watched = self.aside.watched.get();
        let now = Instant::now();
        if stations.len() < 2 || now < watched.not_before {
            return;
        }
        let Watched { station, epoch, since, .. } = watched;
        if let Some(other) = stations.get(station)
            && !self.is_at(other)
            && other.has_run_nobody_since(epoch)
        {
            if now - since < LONG {
                return;
            }
            if other.waits_for_processor(epoch)
                && other.stood_aside_for.swap(epoch, Ordering::Relaxed) != epoch
            {
                let useful = self.nap_until(|| !other.has_run_nobody_since(epoch));
                watched.learn(useful, Instant::now());
            }
        }
        let next = (1..=stations.len())
            .map(|distance| (station + distance) % stations.len())
            .find(|&index| index != self.index);
        if let Some(station) = next {
            let epoch = stations[station].epoch.load(Ordering::Relaxed);
            watched = Watched { station, epoch, since: now, ..watched };
        }
        self.aside.watched.set(watched);
    }

    /// Whether it is over in time.
    fn nap_until(&self, is_over: impl Fn() -> bool) -> bool {
        for _ in 0..MOST_NAPS {
            let start = Instant::now();
            thread::sleep(NAP);
            if start.elapsed() >= LATE {
                return false;
            }
            if is_over() || !self.station().inbox.is_empty() || self.shared.is_closed() {
                return true;
            }
        }
        false
    }
}

impl Station {
    /// Whether its worker runs nobody, and has not since that epoch.
    fn has_run_nobody_since(&self, epoch: u64) -> bool {
        self.epoch.load(Ordering::Relaxed) == epoch
            && self.running.load(Ordering::Relaxed).is_null()
    }

    /// Whether there are reports besides that it does not fetch.
    fn waits_for_processor(&self, epoch: u64) -> bool {
        self.is_active()
            && self.poller().is_used()
            && self.poller().has_reports()
            // It may have fetched them while the system was asked for them.
            && self.has_run_nobody_since(epoch)
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
