//! A worker without work: it searches, sleeps, and at last ends.

use super::super::idle::Searching;
use super::Worker;
use crate::goroutine::{GoroutineRef, pool};
use crate::primitive::atomic::Ordering;
use crate::sched::{self, Station};
use crate::ticket::Request;
use std::ptr;

/// How often a searching worker looks into all queues before it sleeps, and how long it waits between
/// two looks: 20 to 50 µs in all, about what a sleep and a wake-up cost.
const SEARCH_ROUNDS: usize = 100;
const SEARCH_PAUSE: usize = 16;

/// What a search came to.
enum Search {
    Stolen(GoroutineRef),
    /// There is something in the worker's own queues.
    Own,
    Nothing,
}

impl Worker {
    /// Takes work from another worker or the injector. If it is `patient`, it leaves workers alone that
    /// have fewer residents than this one: what starts, stays, so better there than here.
    fn steal(&self, patient: bool) -> Option<GoroutineRef> {
        let residents = |station: &Station| station.residents.load(Ordering::Relaxed);
        let here = residents(self.station());
        let stations = self.shared.stations();
        let start = self.next_random() as usize % stations.len().max(1);
        let (before, from) = stations.split_at(start);
        for victim in from.iter().chain(before) {
            if victim.index != self.index
                && victim.has_spare_work()
                && !(patient && residents(victim) < here)
                && let Some(goroutine) = victim.steal_for(self.station())
            {
                self.shared.steals.fetch_add(1, Ordering::Relaxed);
                return Some(goroutine);
            }
        }
        self.take_injected()
    }

    fn next_random(&self) -> u64 {
        // xorshift64 (Marsaglia): good enough to spread thieves.
        let mut x = self.random.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.random.set(x);
        x
    }

    /// Looks everywhere, then sleeps until something happens. May come back with nothing.
    pub(super) fn search_or_sleep(&self, searching: Option<Searching>) -> Option<GoroutineRef> {
        let surplus = self.station().is_surplus();
        let mut searching = searching;
        if surplus && let Some(token) = searching.take() {
            self.stop_searching(token);
        }
        if searching.is_none() && !surplus {
            searching = self.shared.idle.try_search();
        }
        loop {
            if let Some(token) = searching {
                match self.search() {
                    Search::Stolen(goroutine) => {
                        self.stop_searching(token);
                        return Some(goroutine);
                    }
                    Search::Own => {
                        self.stop_searching(token);
                        return None;
                    }
                    Search::Nothing => searching = Some(token),
                }
            }
            // A worker that was picked wakes as a searcher, and must not sleep before it has searched.
            match self.sleep(searching.take(), surplus) {
                Some(token) => searching = Some(token),
                None => return None,
            }
        }
    }

    fn stop_searching(&self, token: Searching) {
        let last = self.shared.idle.stop_searching(token);
        if last && self.shared.idle.has_sleepers() && self.sees_spare_work() {
            self.shared.notify();
        }
    }

    fn search(&self) -> Search {
        let alone = self.shared.stations().len() == 1;
        for round in 0..if alone { 1 } else { SEARCH_ROUNDS } {
            if self.has_own_work() {
                return Search::Own;
            }
            if let Some(goroutine) = self.steal(round < SEARCH_ROUNDS / 2) {
                return Search::Stolen(goroutine);
            }
            for _ in 0..SEARCH_PAUSE {
                std::hint::spin_loop();
            }
        }
        Search::Nothing
    }

    fn sleep(&self, searching: Option<Searching>, surplus: bool) -> Option<Searching> {
        let station = self.station();
        station.event.prepare();
        if !surplus {
            self.shared.idle.enter(self.index, searching);
        }
        // A surplus worker that was made a regular one again is woken for that; so is the reverse.
        let work = self.has_work(surplus);
        if work || station.is_surplus() != surplus {
            station.event.finish();
        } else {
            let deadline = station.timers.lock().next_deadline();
            station.event.wait(deadline);
        }
        self.shared.monitor.wake();
        self.expire_timers();
        if surplus {
            return None;
        }
        let picked = self.shared.idle.leave(self.index);
        // A pusher may have relied on this worker while it searched. Its look has found something, maybe
        // not that, so it goes on as a searcher: when it stops, it notifies for what is left.
        if work { picked.or_else(|| self.shared.idle.try_search()) } else { picked }
    }

    /// Something that only this worker can do. A timer that was due when it woke up may have left
    /// something in its ready list.
    fn has_own_work(&self) -> bool {
        let station = self.station();
        !self.ready.is_empty()
            || !station.inbox.is_empty()
            // Placed here by another worker.
            || station.has_spare_work()
            || self.must_stop()
    }

    /// The last look before it sleeps.
    fn has_work(&self, surplus: bool) -> bool {
        if self.has_own_work() {
            return true;
        }
        !surplus && self.sees_spare_work()
    }

    /// Whether there is something that any worker could run. Ordered with pushes, see `idle.rs`.
    fn sees_spare_work(&self) -> bool {
        !self.shared.injector.is_surely_empty()
            || self.shared.stations().iter().any(|station| station.surely_has_spare_work())
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
        pool::for_each_live(|goroutine| {
            let home = goroutine.home();
            if (home == here || deserted.contains(&home)) && goroutine.is_started() {
                sched::finish_claim(goroutine.parker().request(Request::Cancel));
            }
            // SAFETY: the reference that `for_each_live` gave us.
            if let Some(slot) = unsafe { goroutine.release() } {
                self.slots.give(slot);
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
        station.is_surplus()
            && station.residents.load(Ordering::Relaxed) == 0
            && station.inbox.is_empty()
            && station.timers.lock().next_deadline().is_none()
            && station.desert(|| !self.shared.is_closed())
    }
}
