//! A worker that gets on stands aside for one that the system does not run.
//!
//! Where clients share the processors with the workers, a worker that was woken by its sockets may have to wait: behind
//! the client that sent the message and goes on for a time slice, or behind another worker. Client and other worker
//! answer one another all the faster meanwhile, so neither comes to give up its processor. What the first worker's
//! connections wait for is then the system's tick, up to four milliseconds. But if the other worker pulls it over to its
//! own processor (`sched/pull.rs`) and sleeps for a moment, it runs at once. Where it cannot be pulled it runs soon:
//! nobody answers the client any more, so that one has nothing to do.
//!
//! So each worker looks at another one now and then. If that one has resumed nobody from one look to the next, and then
//! does not fetch its reports for [`LONG`], this one pulls it, and dozes until somebody is out of work, as the other one
//! is when it has got on; or for [`MOST_DOZES`] times [`DOZE`]. That is the price: what comes for this worker waits for
//! so long. So it does not if a timer of its own is due soon, or if there is something to start; and of all workers only
//! one dozes at a time. A worker that has lost its processor within a goroutine is not helped, since it looks like one
//! that computes.
//!
//! Who keeps the processors may also be something that computes, and does not wait for this worker at all. Then the
//! other one gets on no sooner, or this one comes back late. After that it does not stand aside for a while.

use super::Worker;
use crate::primitive::atomic::Ordering;
use crate::sched::Station;
use crate::sched::idle::Searcher;
use std::cell::Cell;
use std::hint;
use std::time::{Duration, Instant};

/// After so many reports of its own a worker looks at another one; of those it counts that came just before it was out
/// of work.
const ENOUGH: usize = 8;
/// With so many at once the clients have enough to do without this worker's answers.
const MANY: usize = 48;
/// A worker that has been woken is there sooner, if there is a processor for it.
const LONG: Duration = Duration::from_micros(100);
/// The system adds its timer slack of 50 µs.
const DOZE: Duration = Duration::from_micros(100);
/// About as long as a client takes for 64 small answers.
const MOST_DOZES: usize = 4;
/// A doze that took as long says that somebody computes here; and a timer that is due within it is not kept waiting.
const LATE: Duration = Duration::from_millis(1);
/// How long a worker does not stand aside after it was in vain, twice as long each time.
const SHORTEST_DOUBT: Duration = Duration::from_millis(10);
const LONGEST_DOUBT: Duration = Duration::from_secs(1);

/// A worker that is looked at again: if it has resumed nobody by then, it may wait for a processor.
#[derive(Clone, Copy, Debug)]
struct Suspect {
    station: usize,
    epoch: u64,
    /// It had reports to fetch at this time already. Most never get so far: to ask the system costs more than the rest.
    since: Option<Instant>,
}

/// What came of standing aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    GotOn,
    InVain,
    /// Something came up for this worker, or somebody else is out of work.
    Interrupted,
}

impl Outcome {
    /// `None`: it is to go on.
    fn of_nap(
        length: Duration,
        gets_on: impl FnOnce() -> bool,
        has_something_to_do: impl FnOnce() -> bool,
    ) -> Option<Outcome> {
        if length >= LATE {
            Some(Outcome::InVain)
        } else if gets_on() {
            Some(Outcome::GotOn)
        } else if length < DOZE || has_something_to_do() {
            // If it was roused, a processor is free for the other one.
            Some(Outcome::Interrupted)
        } else {
            None
        }
    }
}

/// Whether it was of use lately.
#[derive(Clone, Copy, Debug)]
struct Doubt {
    length: Duration,
    until: Instant,
}

impl Doubt {
    fn after(self, outcome: Outcome, now: Instant) -> Doubt {
        match outcome {
            Outcome::GotOn => Doubt { length: self.length / 2, ..self },
            Outcome::Interrupted => self,
            Outcome::InVain => {
                let length = (2 * self.length).clamp(SHORTEST_DOUBT, LONGEST_DOUBT);
                Doubt { length, until: now + length }
            }
        }
    }
}

/// When a worker stands aside.
#[derive(Debug)]
pub(super) struct Courtesy {
    /// Own reports since the last look at another worker.
    reports: Cell<usize>,
    suspect: Cell<Option<Suspect>>,
    doubt: Cell<Doubt>,
}

impl Courtesy {
    pub(super) fn new() -> Courtesy {
        let doubt = Doubt { length: Duration::ZERO, until: Instant::now() };
        Courtesy { reports: Cell::new(0), suspect: Cell::new(None), doubt: Cell::new(doubt) }
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
    /// Out of work, after so many reports: sleeps for a moment if another worker is to run first. Whether it has.
    #[inline]
    pub(super) fn stand_aside(&self, reports: usize) -> bool {
        self.courtesy.is_due(reports) && self.look_at_another()
    }

    #[cold]
    fn look_at_another(&self) -> bool {
        if self.shared.stations().len() == 1 || self.station().is_surplus() {
            return false;
        }
        let suspect = self.courtesy.suspect.take();
        let Some(suspect) = suspect.filter(|s| self.station_of(s).has_run_nobody_since(s.epoch))
        else {
            self.courtesy.suspect.set(self.suspect());
            return false;
        };
        let now = Instant::now();
        if now < self.courtesy.doubt.get().until
            || !self.station_of(&suspect).waits_for_processor(suspect.epoch)
        {
            return false;
        }
        let since = suspect.since.unwrap_or(now);
        if now - since < LONG {
            self.courtesy.suspect.set(Some(Suspect { since: Some(since), ..suspect }));
            return false;
        }
        self.is_free_until(now + LATE) && self.doze_for(suspect)
    }

    fn station_of(&self, suspect: &Suspect) -> &Station {
        &self.shared.stations[suspect.station]
    }

    /// One of the others, whatever it does.
    fn suspect(&self) -> Option<Suspect> {
        let other = self.others().next()?;
        let epoch = other.epoch.load(Ordering::Relaxed);
        Some(Suspect { station: other.index, epoch, since: None })
    }

    /// Whether there is nothing for it to do until then, as far as one can know.
    fn is_free_until(&self, then: Instant) -> bool {
        // An answer from another worker is a matter of microseconds.
        !self.spoken_to.get()
            && !self.has_something_to_do()
            && self.station().next_deadline().is_none_or(|deadline| deadline > then)
    }

    fn has_something_to_do(&self) -> bool {
        self.has_own_work() || self.sees_spare_work()
    }

    /// Or until somebody is out of work.
    fn nap_until(&self, deadline: Instant) {
        self.shared.doze.sleeper().prepare();
        self.shared.doze.wait(Some(deadline));
    }

    /// Out of work: whoever stands aside, most likely for this worker, is to go on. It is missed while it looks around
    /// between two naps, and has another one then.
    #[inline]
    pub(super) fn rouse_who_stands_aside(&self) {
        if self.shared.dozing.load(Ordering::Relaxed) {
            hint::cold_path();
            self.shared.doze.wake();
        }
    }

    /// False: somebody else stands aside already.
    fn doze_for(&self, suspect: Suspect) -> bool {
        // Acquire and release: the event passes from one to the next.
        if self.shared.dozing.swap(true, Ordering::Acquire) {
            return false;
        }
        let start = Instant::now();
        // This processor is the next to be free.
        self.station_of(&suspect).pull_thread();
        // It takes long if a hypervisor keeps the processor that runs it.
        let outcome = if start.elapsed() >= LATE {
            Outcome::InVain
        } else {
            self.doze(|| !self.station_of(&suspect).waits_for_processor(suspect.epoch))
        };
        self.shared.dozing.store(false, Ordering::Release);
        self.learn_from(outcome);
        true
    }

    fn learn_from(&self, outcome: Outcome) {
        match outcome {
            Outcome::GotOn => self.shared.policy.note_help(),
            Outcome::InVain => self.shared.policy.note_in_vain(),
            Outcome::Interrupted => {}
        }
        let doubt = self.courtesy.doubt.get().after(outcome, Instant::now());
        self.courtesy.doubt.set(doubt);
    }

    fn doze(&self, gets_on: impl Fn() -> bool) -> Outcome {
        for _ in 0..MOST_DOZES {
            let start = Instant::now();
            self.nap_until(start + DOZE);
            let outcome = Outcome::of_nap(start.elapsed(), &gets_on, || self.has_something_to_do());
            if let Some(outcome) = outcome {
                return outcome;
            }
        }
        Outcome::InVain
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
