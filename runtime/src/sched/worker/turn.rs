//! One turn: what to run next, starting it, and what to do when it gives the worker back.

use super::super::list::List;
use super::super::runner;
use super::{AbortOnUnwind, Worker, cancel_here, set_label};
use crate::coroutine::{Active, Step};
use crate::goroutine::{Affinity, Cancelled, GoroutineRef, Runner, Suspend, WaitReason};
use crate::poll::Wait;
use crate::primitive;
use crate::primitive::atomic::Ordering;
use crate::sched;
use crate::ticket::Settled;
use std::io;
use std::ptr;

/// The bound of invariant 5: in so many rounds each [`Place`] has its turn. A prime, so that it does not beat with a
/// program's own rhythm.
const FAIRNESS: u32 = 61;

/// Where a round begins now and then, before the ready residents.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    /// Timers and sockets, then those that have used up a time slice.
    Events,
    /// The oldest fresh goroutine.
    Oldest,
    Injector,
    /// Ready migratable goroutines.
    Migratable,
}

impl Place {
    /// Whose turn is next, and after how many usual rounds.
    fn next(self) -> (Place, u32) {
        let most = FAIRNESS / 4 - 1;
        match self {
            Place::Events => (Place::Oldest, most + FAIRNESS % 4),
            Place::Oldest => (Place::Injector, most),
            Place::Injector => (Place::Migratable, most),
            Place::Migratable => (Place::Events, most),
        }
    }
}

/// How many goroutines to take from the injector at once.
const INJECTOR_BATCH: usize = 31;
/// With so many reports at once a worker counts on more of them.
const BUSY: usize = 4;
/// Each time that it has put off its search so often, it lets others have its processor before it polls.
const GIVE_WAY: u32 = 2;
/// Runners kept for the next goroutines.
const MOST_RUNNERS: usize = 64;

impl Worker {
    /// A round begins: where, if not with the ready residents.
    #[inline]
    fn begin_round(&self) -> Option<Place> {
        if self.begin_usual_round() || (self.settle() && self.begin_usual_round()) {
            None
        } else {
            Some(self.begin_elsewhere())
        }
    }

    /// False: the round is to begin elsewhere, and has not begun.
    #[inline]
    fn begin_usual_round(&self) -> bool {
        let left = self.usual_rounds.get().checked_sub(1);
        if let Some(left) = left {
            self.usual_rounds.set(left);
        }
        left.is_some()
    }

    #[cold]
    fn begin_elsewhere(&self) -> Place {
        let place = self.place.get();
        let (next, rounds) = place.next();
        self.place.set(next);
        self.usual_rounds.set(rounds);
        place
    }

    /// What to run next, from this worker's own queues and the injector.
    pub(super) fn next(&self) -> Option<GoroutineRef> {
        let station = self.station();
        if self.shared.is_closed() && !self.stopping.get() {
            self.begin_to_stop();
        }
        if !station.inbox.is_empty() {
            station.inbox.drain_to(&self.ready);
            self.spoken_to.set(true);
        }
        if let Some(place) = self.begin_round()
            && let Some(goroutine) = self.next_at(place)
        {
            return Some(goroutine);
        }
        let surplus = station.is_surplus();
        if surplus {
            // It keeps nothing that others can run.
            self.shared.give_away(station);
        }
        if let Some(goroutine) = self.ready.pop_front() {
            self.prefetch_next();
            return Some(goroutine);
        }
        if surplus {
            return self.hogs.pop_front();
        }
        station
            .ready
            .pop_oldest()
            .or_else(|| station.fresh.pop_newest())
            .or_else(|| self.take_injected())
            .or_else(|| self.next_hog())
    }

    /// The ready resident that [`next`](Self::next) would choose when the current goroutine gives way for that reason, if
    /// that is all that there is to do. It is no longer in the list.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn successor(&self, goroutine: GoroutineRef, why: Suspend) -> Option<GoroutineRef> {
        // Its own park may have ended already: then it is in the list itself, and there is nobody to switch to.
        let first = self.ready.first()?;
        let station = self.station();
        let is_usual = first != goroutine
            && matches!(why, Suspend::Yield | Suspend::Park)
            && goroutine.affinity() == Affinity::Worker
            && station.inbox.is_empty()
            && !station.is_surplus()
            && !self.shared.is_closed()
            && (self.begin_usual_round() || self.finds_nothing_elsewhere());
        if !is_usual {
            return None;
        }
        if why == Suspend::Yield {
            self.ready.push_back(goroutine);
        }
        self.ready.pop_front()
    }

    /// From here on `next` is the current goroutine instead, without a turn of the loop between them; the coroutine of
    /// that one.
    ///
    /// # Safety
    /// `active` passes to that coroutine at once.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) unsafe fn hand_on(
        &self,
        goroutine: GoroutineRef,
        active: Active,
        next: GoroutineRef,
    ) -> Active {
        self.prefetch_next_after(active);
        let Some(runner) = next.take_runner() else {
            let _not_the_goroutines_fault = AbortOnUnwind;
            unreachable!("a started goroutine has a stack")
        };
        // SAFETY: by the contract above. What the loop resumed stands for the other one from now on.
        let (stopped, active_next) = unsafe { runner.swap(active) };
        goroutine.keep_runner(stopped);
        self.begin_turn(next, active_next);
        active_next
    }

    fn next_hog(&self) -> Option<GoroutineRef> {
        self.hogs.pop_front().or_else(|| self.station().hogs.pop_oldest())
    }

    /// Whether the round, which is to begin elsewhere, has begun and found nothing there. What it has found comes next. The
    /// caller is on a goroutine's stack.
    #[cold]
    fn finds_nothing_elsewhere(&self) -> bool {
        if self.is_unsettled() {
            return false;
        }
        if let Place::Events = self.place.get() {
            // An event may wake a task, which is user code and needs more stack than a goroutine may have.
            let station = self.station();
            let nothing = self.hogs.is_empty()
                && station.hogs.is_empty()
                && !station.poller().is_used()
                && station.next_deadline().is_none();
            if nothing {
                self.begin_elsewhere();
            }
            return nothing;
        }
        let place = self.begin_elsewhere();
        let found = self.next_at(place);
        let nothing = found.is_none();
        self.put_aside.set(found);
        nothing
    }

    /// What a round that begins there finds.
    #[cold]
    fn next_at(&self, place: Place) -> Option<GoroutineRef> {
        let station = self.station();
        match place {
            Place::Events => {
                self.expire_timers();
                self.poll();
                self.next_hog()
            }
            _ if station.is_surplus() => None,
            Place::Oldest => station.fresh.pop_oldest().or_else(|| self.take_share()),
            Place::Injector => self.take_injected(),
            Place::Migratable => station.ready.pop_oldest(),
        }
    }

    #[inline]
    pub(super) fn take_injected(&self) -> Option<GoroutineRef> {
        if self.shared.injector.is_empty() { None } else { self.take_some_injected() }
    }

    #[inline(never)]
    fn take_some_injected(&self) -> Option<GoroutineRef> {
        // A fair share, oldest to be run first: pushed newest last, popped in the reverse order.
        let rest: List<GoroutineRef> = List::new();
        let first = self.shared.injector.pop(INJECTOR_BATCH / self.shared.config.workers, |g| {
            rest.push_front(g);
        })?;
        let mut more = false;
        while let Some(goroutine) = rest.pop_front() {
            self.push_to_own(goroutine);
            more = true;
        }
        if more {
            self.shared.notify();
        }
        Some(first)
    }

    fn push_to_own(&self, goroutine: GoroutineRef) {
        if goroutine.is_fresh() {
            goroutine.set_home(self.here());
            self.station().fresh.push(goroutine);
        } else {
            self.station().ready.push(goroutine);
        }
    }

    pub(super) fn expire_timers(&self) {
        self.station().expire_timers(sched::ready);
    }

    /// Looks for what has become ready meanwhile.
    pub(super) fn poll(&self) {
        if self.station().poller().is_used() {
            self.poll_for(Wait::No);
        }
    }

    /// The same, even if there are no sockets, and maybe after a wait.
    pub(super) fn poll_for(&self, wait: Wait) {
        let station = self.station();
        station.away.begin();
        let reports = station.poller().poll(wait, || station.away.end(), sched::ready);
        self.reports.set(reports);
        self.fetch_ready(reports);
    }

    /// Out of work: if many reports came together the last time, there are most likely more by now, and it is cheaper
    /// to ask for them than to prepare for sleep. True: there were. May doze before it does so (`courtesy.rs`).
    pub(super) fn poll_again(&self) -> bool {
        let reports = self.reports.replace(0);
        let has_stood_aside = self.stand_aside(reports);
        if reports < BUSY || !self.may_put_off_search() {
            return false;
        }
        // Another worker may wait for this processor, with its connections, until this one has used up a time slice.
        if !has_stood_aside && self.put_off.get().is_multiple_of(GIVE_WAY) {
            let away = &self.station().away;
            away.begin();
            primitive::yield_now();
            away.end();
        }
        self.poll();
        self.reports.get() != 0
    }

    /// Whether it may once more look for work of its own only. Not for ever: what others could start waits meanwhile.
    pub(super) fn may_put_off_search(&self) -> bool {
        let times = self.put_off.get();
        self.put_off.set(times + 1);
        times < FAIRNESS
    }

    pub(super) fn execute(&self, goroutine: GoroutineRef) {
        if goroutine.is_fresh() {
            self.start(goroutine);
        } else {
            match goroutine.take_runner() {
                Some(runner) => self.resume(goroutine, runner),
                None => unreachable!("a started goroutine has a stack"),
            }
        }
    }

    fn start(&self, goroutine: GoroutineRef) {
        if self.stopping.get() {
            // It will not run: `run_to_end` refuses a cancelled one.
            cancel_here(goroutine);
        } else if self.forward(goroutine) {
            return;
        }
        let runner = match self.take_runner(goroutine) {
            Ok(runner) => runner,
            Err(error) => return self.do_without_stack(goroutine, &error),
        };
        goroutine.set_home(self.here());
        goroutine.set_started();
        if goroutine.affinity() == Affinity::Worker {
            self.change_residents(1);
        }
        // SAFETY: the runner is ours, and the goroutine's header outlives its run.
        unsafe { set_label(runner.as_active(), goroutine) };
        self.resume(goroutine, runner);
    }

    #[cold]
    fn do_without_stack(&self, goroutine: GoroutineRef, error: &io::Error) {
        if self.stopping.get() {
            return runner::refuse(goroutine, Box::new(Cancelled(())));
        }
        let hopeless = self.shared.postpone(goroutine);
        if let Some(first) = hopeless.first() {
            let more = hopeless.len() - 1;
            sched::report(format_args!("{first} and {more} others cannot start: {error}"));
        }
        for goroutine in hopeless {
            runner::refuse(goroutine, Box::new(format!("the goroutine cannot start: {error}")));
        }
    }

    fn take_runner(&self, goroutine: GoroutineRef) -> std::io::Result<Runner> {
        let default = self.shared.config.stack_size;
        let size = goroutine.stack_size().unwrap_or(default);
        if size == default
            && let Some(runner) = self.runners.borrow_mut().pop()
        {
            return Ok(runner);
        }
        runner::new(size)
    }

    fn keep_runner(&self, runner: Runner) {
        if runner.stack_size() != self.shared.config.stack_size {
            // SAFETY: it has finished its goroutine.
            return unsafe { runner::retire([runner]) };
        }
        let mut runners = self.runners.borrow_mut();
        if runners.len() == MOST_RUNNERS {
            // The coldest half, at once: the pool's lock is taken once in 32 goroutines.
            // SAFETY: runners in this list have no goroutine.
            unsafe { runner::retire(runners.drain(..MOST_RUNNERS / 2)) };
        }
        runners.push(runner);
    }

    /// Runs a goroutine until it gives the worker back, or the last of those does that it and they have passed to.
    #[inline]
    fn resume(&self, goroutine: GoroutineRef, runner: Runner) {
        let mut runner = runner;
        if self.stopping.get() {
            // It is not parked, so this ends nothing: it takes effect at its next park.
            cancel_here(goroutine);
        }
        self.begin_turn(goroutine, runner.as_active());
        let Step::Yielded(why) = runner.resume(Some(goroutine));
        let station = self.station();
        station.running.store(ptr::null_mut(), Ordering::Relaxed);
        self.active.set(None);
        // Not `goroutine`: a join may have run another one in place on this stack, or it has passed to others; the runner
        // is then that of the last one.
        let Some(goroutine) = self.current.take() else {
            unreachable!("whoever suspends is the current goroutine")
        };
        match why {
            Suspend::Finished(affinity) => {
                if affinity == Affinity::Worker {
                    self.change_residents(-1);
                }
                self.keep_runner(runner);
            }
            Suspend::Yield => {
                let affinity = goroutine.affinity();
                goroutine.keep_runner(runner);
                match affinity {
                    Affinity::Worker => self.ready.push_back(goroutine),
                    Affinity::Any => self.push_migratable(goroutine),
                }
            }
            Suspend::Overdue => {
                let affinity = goroutine.affinity();
                goroutine.keep_runner(runner);
                // Who has waited meanwhile comes first.
                self.expire_timers();
                self.poll();
                match affinity {
                    Affinity::Worker => self.hogs.push_back(goroutine),
                    Affinity::Any => {
                        self.station().hogs.push(goroutine);
                        self.shared.notify();
                    }
                }
            }
            Suspend::Park => {
                self.depth.set(runner.depth());
                goroutine.keep_runner(runner);
                // Others are parked in advance.
                if goroutine.affinity() == Affinity::Any {
                    goroutine.set_home(self.here());
                    // From here on whoever claims the park may run it.
                    if let Settled::Ended(_) = goroutine.parker().settle() {
                        goroutine.set_reason(WaitReason::None);
                        self.push_migratable(goroutine);
                    }
                }
            }
        }
    }

    fn change_residents(&self, by: i32) {
        let residents = &self.station().residents;
        residents
            .store(residents.load(Ordering::Relaxed).wrapping_add_signed(by), Ordering::Relaxed);
    }
}
