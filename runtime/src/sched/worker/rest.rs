//! A worker without work: it searches, sleeps, and at last ends.

use super::super::event::Sleeper;
use super::super::idle::{Patience, Searcher, Searching};
use super::placement::Pause;
use super::{Worker, cancel_here};
use crate::goroutine::GoroutineRef;
use crate::poll::Wait;
use crate::primitive::atomic::{Ordering, fence};
use crate::sched::{Reference, Station};
use std::hint;
use std::ptr;
use std::time::{Duration, Instant};

/// How often a worker looks for an answer: 5 to 15 µs.
const LINGER: usize = 500;
/// What a worker can start itself in the few microseconds for which a thief is patient.
const BACKLOG: usize = 64;

impl Searcher for Worker {
    type Goroutine = GoroutineRef;

    fn id(&self) -> usize {
        self.index
    }

    fn sleeper(&self) -> &Sleeper {
        &self.station().sleeper
    }

    fn sleep(&self) {
        self.sleep_for_at_most(None);
    }

    fn nap(&self, length: Duration) {
        self.station().sleeper.prepare();
        if self.has_own_work() {
            self.station().sleeper.finish();
        } else {
            self.sleep_for_at_most(Some(length));
        }
    }

    fn is_in_haste(&self) -> bool {
        let stations = self.shared.stations();
        stations.len() == 1 || stations.iter().any(|station| station.poller().is_used())
    }

    fn is_surplus(&self) -> bool {
        self.station().is_surplus()
    }

    /// A timer that was due when it woke up may have left something in its ready list.
    fn has_own_work(&self) -> bool {
        let station = self.station();
        !self.ready.is_empty()
            || !self.hogs.is_empty()
            || !station.inbox.is_empty()
            // Placed here by another worker.
            || station.has_spare_work()
            || self.must_stop()
    }

    /// From another worker or the injector. What starts here, stays here. So with patience left it leaves
    /// workers alone that have fewer residents than this one, unless more waits there than they will come to soon; and
    /// first of all those that have only a few goroutines to start, and so most likely have spawned somebody to talk to.
    fn steal(&self, patience: Patience) -> Option<GoroutineRef> {
        let residents = |station: &Station| station.residents.load(Ordering::Relaxed);
        let here = residents(self.station());
        let is_best_there =
            |victim: &Station| residents(victim) < here && victim.spare_work() <= BACKLOG;
        let leaves = |victim: &Station| match patience {
            Patience::Long => victim.has_little() || is_best_there(victim),
            Patience::Short => is_best_there(victim),
            Patience::None => false,
        };
        for victim in self.others() {
            if victim.has_spare_work()
                && !leaves(victim)
                && let Some(goroutine) = victim.steal_for(self.station())
            {
                self.station().tally.count_stolen();
                return Some(goroutine);
            }
        }
        self.take_injected()
    }

    fn sees_spare_work(&self) -> bool {
        !self.shared.injector.is_surely_empty()
            || self.shared.stations().iter().any(|station| station.surely_has_spare_work())
    }

    fn watch(&self) {
        let stations = self.shared.stations();
        let mut seen = self.seen.borrow_mut();
        seen.clear();
        seen.extend(stations.iter().map(|station| station.epoch.load(Ordering::Relaxed)));
    }

    fn sees_others_getting_on(&self) -> bool {
        let seen = self.seen.borrow();
        let mut little = false;
        for (index, station) in self.shared.stations().iter().enumerate() {
            if !station.has_spare_work() {
                continue;
            }
            let epoch = station.epoch.load(Ordering::Relaxed);
            if !station.has_little() || seen.get(index) == Some(&epoch) {
                return false;
            }
            little = true;
        }
        little
    }

    fn woken(&self) {
        self.shared.monitor.note_awake();
        self.expire_timers();
    }

    fn notify(&self) {
        self.shared.notify();
    }
}

impl Worker {
    /// Ends what the sleeper's `prepare` began, after a sleep.
    fn sleep_for_at_most(&self, limit: Option<Duration>) {
        let station = self.station();
        let timer = station
            .next_deadline()
            .map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let wait = match [limit, timer].into_iter().flatten().min() {
            Some(length) => Wait::For(length),
            None => Wait::Forever,
        };
        self.policy.follow(&self.shared.policy);
        self.poll_for(wait);
        station.sleeper.finish();
    }

    /// Looks everywhere, then sleeps until something happens. May come back with nothing.
    pub(super) fn search_or_sleep(&self, searching: Option<Searching>) -> Option<GoroutineRef> {
        self.rouse_who_stands_aside();
        self.put_off.set(0);
        // What comes now may be the beginning of a burst.
        self.sharing.set(Pause::default());
        self.shared.idle.search_or_sleep(self, searching)
    }

    /// Out of work: if the last of it came from another worker, then somebody here talks with somebody there, and
    /// the answer is worth a moment's wait, which costs far less than a sleep and a wake-up. True: it has come.
    pub(super) fn linger(&self) -> bool {
        self.spoken_to.replace(false)
            && self.may_put_off_search()
            && (0..LINGER).any(|_| {
                hint::spin_loop();
                !self.station().inbox.is_empty()
            })
    }

    /// There is something to do about the shutdown.
    fn must_stop(&self) -> bool {
        self.shared.is_closed() && (!self.stopping.get() || self.shared.live() == 0)
    }

    /// From now on this worker cancels whatever it runs, and at once what is parked here. The other
    /// workers do the same, so nobody is missed: what this worker started before, it sees; what it starts
    /// or resumes later, it cancels then. Migratable goroutines that parked at a spare worker which has
    /// ended since are cancelled by everybody (`Station::desert`).
    #[cold]
    pub(super) fn begin_to_stop(&self) {
        self.stopping.set(true);
        let here: *mut () = self.here();
        let deserted: Vec<*mut ()> = self
            .shared
            .stations()
            .iter()
            .filter(|station| station.is_deserted())
            .map(|station| ptr::from_ref::<Station>(station).cast_mut().cast())
            .collect();
        Reference::for_each_live(|&Reference(goroutine)| {
            let is_ours = || {
                let home = goroutine.home();
                home == here || deserted.contains(&home)
            };
            if goroutine.is_started() && is_ours() {
                // A deserted station may have got a worker since, with residents; that worker cancels them itself.
                cancel_here(goroutine);
            }
        });
    }

    pub(super) fn may_end(&self) -> bool {
        let station = self.station();
        if self.stopping.get() && self.shared.live() == 0 {
            // Those who saw the last goroutine alive and went to sleep.
            self.shared.wake_all();
            return true;
        }
        let ends = station.is_surplus()
            && station.residents.load(Ordering::Relaxed) == 0
            && station.inbox.is_empty()
            && station.next_deadline().is_none()
            && station.desert(|| !self.shared.is_closed());
        if ends {
            // Whoever places something here has such a fence, too (`Station::wake`), and looks then whether there is
            // still a worker: one of the two sees the other.
            fence(Ordering::SeqCst);
            if station.surely_has_spare_work() {
                self.shared.give_away(station);
            }
        }
        ends
    }
}
