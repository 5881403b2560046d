//! One worker thread: its loop, and what only it touches.
//!
//! # What runs next
//!
//! Ready residents first, in order; then fresh goroutines of its own, newest first, which keeps
//! fork-join shallow and stacks warm; then the injector; then it searches. So that nothing waits for
//! ever behind that order, certain rounds of every [`FAIRNESS`] begin at another place: the oldest fresh
//! goroutine, the injector, the timers.
//!
//! # Placement
//!
//! A goroutine stays where it starts, so the start is the time to choose. A worker that is about to start
//! a fresh goroutine gives it to a sleeping worker that has fewer residents.
//!
//! # Where am I
//!
//! Everything here runs on the worker's own stack, except what a goroutine calls: [`Worker::spawn`],
//! [`Worker::suspend`], [`Worker::ready`], [`Worker::run_in_place`]. After `suspend` a migratable
//! goroutine may be on another worker, so it must not use `self` any more.

use super::idle::Searching;
use super::list::List;
use super::station::{Seat, Station};
use super::{Refusal, Shared, current, runner};
use crate::coroutine::{Active, Step};
use crate::goroutine::pool::{self, Cache};
use crate::goroutine::{Affinity, FreeSlot, GoroutineRef, Runner, Suspend, WaitReason};
use crate::primitive::atomic::Ordering;
use crate::ticket::{Request, Settled};
use std::cell::{Cell, RefCell};
use std::process;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

/// The bound of invariant 5. A prime, so that it does not beat with a program's own rhythm.
const FAIRNESS: u32 = 61;
/// In which of these rounds what comes first.
const TIMERS_ROUND: u32 = 0;
const OLDEST_ROUND: u32 = 20;
const INJECTOR_ROUND: u32 = 40;
/// How many goroutines to take from the injector at once.
const INJECTOR_BATCH: usize = 31;
/// How often a searching worker looks into all queues before it sleeps, and how long it waits between
/// two looks: 20 to 50 µs in all, about what a sleep and a wake-up cost.
const SEARCH_ROUNDS: usize = 100;
const SEARCH_PAUSE: usize = 16;
/// Runners kept for the next goroutines.
const MOST_RUNNERS: usize = 64;
/// Ids taken at once from the process-wide counter.
const ID_BLOCK: u64 = 1024;

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// A goroutine id for a thread that is no worker.
pub(crate) fn foreign_id() -> u64 {
    NEXT_ID.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}

pub(crate) struct Worker {
    shared: Arc<Shared>,
    /// `shared.stations[index]`.
    station: *const Station,
    index: usize,
    seat: Seat,
    /// Ready residents.
    ready: List<GoroutineRef>,
    pub(super) slots: Cache,
    /// Free runners on stacks of the default size, hottest last.
    runners: RefCell<Vec<Runner>>,
    current: Cell<Option<GoroutineRef>>,
    /// The coroutine that the current goroutine runs on.
    active: Cell<Option<Active>>,
    /// What a runner took that is not for it; comes first.
    put_aside: Cell<Option<GoroutineRef>>,
    round: Cell<u32>,
    random: Cell<u64>,
    ids: Cell<(u64, u64)>,
    /// It knows that the runtime shuts down, and unwinds its goroutines.
    stopping: Cell<bool>,
}

impl Worker {
    /// The thread's main function.
    pub(super) fn main(shared: Arc<Shared>, index: usize, seat: Seat) {
        let worker = Worker {
            station: ptr::from_ref::<Station>(&shared.stations[index]),
            shared,
            index,
            seat,
            ready: List::new(),
            slots: Cache::new(),
            runners: RefCell::new(Vec::new()),
            current: Cell::new(None),
            active: Cell::new(None),
            put_aside: Cell::new(None),
            round: Cell::new(0),
            random: Cell::new(0x9e37_79b9_7f4a_7c15 ^ (index as u64 + 1)),
            ids: Cell::new((0, 0)),
            stopping: Cell::new(false),
        };
        // The loop must not unwind: frames of goroutines would be lost.
        let bomb = AbortOnUnwind;
        current::enter(&worker);
        worker.station().note_cpu_clock();
        worker.run();
        current::leave();
        worker.clear_up();
        std::mem::forget(bomb);
    }

    fn run(&self) {
        loop {
            if let Some(goroutine) = self.put_aside.take().or_else(|| self.next()) {
                self.execute(goroutine);
            } else if self.may_end() {
                return;
            } else if let Some(goroutine) = self.search_or_sleep() {
                self.execute(goroutine);
            }
        }
    }

    fn clear_up(self) {
        // SAFETY: runners in this list have no goroutine.
        unsafe { runner::retire(self.runners.take()) };
        let Worker {
            shared,
            index,
            seat,
            slots,
            ..
        } = self;
        drop(slots);
        shared.stations[index].give_seat_back(seat);
    }

    // ---- what goroutines ask for -------------------------------------------------------------

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) fn station(&self) -> &Station {
        // SAFETY: it points into what `shared` keeps alive, and does not move.
        unsafe { &*self.station }
    }

    /// This station as the home of a goroutine.
    fn here(&self) -> *mut () {
        ptr::from_ref(self.station()).cast_mut().cast()
    }

    /// The goroutine that runs here now.
    pub(crate) fn current(&self) -> Option<GoroutineRef> {
        self.current.get()
    }

    pub(crate) fn take_slot(&self) -> FreeSlot {
        self.slots.take()
    }

    pub(crate) fn give_slot(&self, slot: FreeSlot) {
        self.slots.give(slot);
    }

    #[inline]
    pub(crate) fn next_id(&self) -> u64 {
        let (next, end) = self.ids.get();
        if next == end {
            return self.next_id_block();
        }
        self.ids.set((next + 1, end));
        next
    }

    #[cold]
    fn next_id_block(&self) -> u64 {
        let first = NEXT_ID.fetch_add(ID_BLOCK, std::sync::atomic::Ordering::Relaxed);
        self.ids.set((first + 1, first + ID_BLOCK));
        first
    }

    /// A fresh goroutine of this worker's. Does not switch.
    #[inline]
    pub(crate) fn spawn(&self, goroutine: GoroutineRef) -> Result<(), Refusal> {
        if self.shared.is_closed() {
            return Err(Refusal::ShuttingDown);
        }
        self.shared.check_stacks()?;
        goroutine.set_home(self.here());
        self.station().tally.count_spawned();
        self.seat.fresh.push(goroutine);
        self.shared.notify();
        Ok(())
    }

    /// A parked goroutine of this runtime, whose park has ended, goes on at its time.
    #[inline]
    pub(super) fn ready(&self, home: &Station, goroutine: GoroutineRef) {
        match goroutine.affinity() {
            Affinity::Worker if ptr::eq(home, self.station()) => {
                self.ready.push_back(goroutine);
            }
            Affinity::Worker => self.shared.hand_over(home, goroutine),
            Affinity::Any => self.push_migratable(goroutine),
        }
    }

    fn push_migratable(&self, goroutine: GoroutineRef) {
        self.seat.ready.push(goroutine);
        self.shared.notify();
    }

    /// Gives the worker back. Returns when the goroutine runs again, maybe on another worker.
    #[inline]
    pub(crate) fn suspend(&self, why: Suspend) {
        let Some(active) = self.active.get() else {
            unreachable!("only goroutines suspend")
        };
        // SAFETY: the current goroutine runs on this coroutine, which is a runner.
        unsafe { active.suspend::<GoroutineRef, Suspend>(why) };
    }

    /// Whether what runs has had its time slice.
    #[inline]
    pub(crate) fn is_overdue(&self) -> bool {
        self.station().overdue.load(Ordering::Relaxed)
    }

    /// Runs a fresh goroutine to its end on the caller's stack, if it is the newest one here, and if
    /// three quarters of a stack of its size are left. The caller waits for it anyway.
    pub(crate) fn run_in_place(&self, child: GoroutineRef) -> bool {
        let (Some(parent), Some(active)) = (self.current(), self.active.get()) else {
            return false;
        };
        let here: *mut () = self.here();
        if !child.is_fresh() || child.home() != here || child.affinity() != parent.affinity() {
            return false;
        }
        let wanted = child
            .stack_size()
            .unwrap_or(self.shared.config.stack_size)
            .bytes();
        // SAFETY: the current goroutine's coroutine.
        if unsafe { active.remaining_stack() } < wanted / 4 * 3 {
            return false;
        }
        match self.seat.fresh.pop() {
            None => return false,
            Some(newest) if newest == child => {}
            Some(newest) => {
                self.seat.fresh.push(newest);
                return false;
            }
        }
        child.set_started();
        self.switch_identity(child, active);
        runner::run_to_end(child);
        // The stack may have moved, if both are migratable.
        if let Some(worker) = current::worker() {
            worker.switch_identity(parent, active);
        }
        true
    }

    /// From here on the caller's stack, which is `active`, is that of `goroutine`.
    fn switch_identity(&self, goroutine: GoroutineRef, active: Active) {
        goroutine.set_home(self.here());
        // SAFETY: the coroutine is the one that runs; the header outlives the goroutine's run.
        unsafe { set_label(active, goroutine) };
        self.begin_turn(goroutine, active);
    }

    /// `goroutine` runs next, on `active`.
    #[inline]
    fn begin_turn(&self, goroutine: GoroutineRef, active: Active) {
        self.current.set(Some(goroutine));
        self.active.set(Some(active));
        let station = self.station();
        station.running.store(goroutine.as_ptr(), Ordering::Relaxed);
        let epoch = station.epoch.load(Ordering::Relaxed) + 1;
        station.epoch.store(epoch, Ordering::Release);
        if station.overdue.load(Ordering::Relaxed) {
            station.overdue.store(false, Ordering::Relaxed);
        }
    }

    /// A goroutine has ended, and its runner, on whose stack the caller is, takes the next one from here
    /// without a switch, if that is a fresh one of the same kind. Any other one is kept for the loop.
    pub(super) fn next_on(&self, active: Active, affinity: Affinity) -> Option<GoroutineRef> {
        let next = self.next()?;
        // SAFETY: the caller runs on this coroutine.
        let size = unsafe { active.stack_size() };
        let fits = next.is_fresh()
            && next.affinity() == affinity
            && next.stack_size().is_none()
            && size == self.shared.config.stack_size
            && !self.stopping.get()
            && !self.shared.idle.has_sleepers();
        if fits {
            next.set_started();
            self.switch_identity(next, active);
            Some(next)
        } else {
            self.put_aside.set(Some(next));
            None
        }
    }

    // ---- the loop ----------------------------------------------------------------------------

    /// What to run next, from this worker's own queues and the injector.
    fn next(&self) -> Option<GoroutineRef> {
        let station = self.station();
        if self.shared.is_closed() && !self.stopping.get() {
            self.begin_to_stop();
        }
        station.inbox.drain_to(&self.ready);
        let round = self.round.get();
        self.round
            .set(if round + 1 == FAIRNESS { 0 } else { round + 1 });
        if round.is_multiple_of(20)
            && let Some(goroutine) = self.next_in_turn(round)
        {
            return Some(goroutine);
        }
        if let Some(goroutine) = self.ready.pop_front() {
            return Some(goroutine);
        }
        if station.is_surplus() {
            self.give_away();
            return None;
        }
        self.seat
            .ready
            .pop()
            .or_else(|| self.seat.fresh.pop())
            .or_else(|| self.take_injected())
    }

    /// The rounds that begin elsewhere.
    #[cold]
    fn next_in_turn(&self, round: u32) -> Option<GoroutineRef> {
        match round {
            TIMERS_ROUND => self.expire_timers(),
            OLDEST_ROUND if !self.station().is_surplus() => return self.station().oldest_fresh(),
            INJECTOR_ROUND if !self.station().is_surplus() => return self.take_injected(),
            _ => {}
        }
        None
    }

    fn take_injected(&self) -> Option<GoroutineRef> {
        // A fair share, oldest to be run first: pushed newest last, popped in the reverse order.
        let rest: List<GoroutineRef> = List::new();
        let first = self
            .shared
            .injector
            .pop(INJECTOR_BATCH / self.shared.config.workers, |g| {
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
            self.seat.fresh.push(goroutine);
        } else {
            self.seat.ready.push(goroutine);
        }
    }

    /// A surplus worker keeps nothing that others can run.
    fn give_away(&self) {
        while let Some(goroutine) = self.seat.fresh.pop().or_else(|| self.seat.ready.pop()) {
            self.shared.injector.push(goroutine);
            self.shared.notify();
        }
    }

    fn expire_timers(&self) {
        let mut timers = self.station().timers.lock();
        if timers.next_deadline().is_none() {
            return;
        }
        let mut due = Vec::new();
        timers.expire(Instant::now(), |runnable| due.push(runnable));
        drop(timers);
        for runnable in due {
            super::ready(runnable);
        }
    }

    fn execute(&self, goroutine: GoroutineRef) {
        if goroutine.is_fresh() {
            self.start(goroutine);
        } else {
            match goroutine.coroutine().take() {
                Some(runner) => self.resume(goroutine, runner),
                None => unreachable!("a started goroutine has a stack"),
            }
        }
    }

    fn start(&self, goroutine: GoroutineRef) {
        if self.stopping.get() {
            // It will not run: `run_to_end` refuses a cancelled one.
            super::finish_claim(goroutine.parker().request(Request::Cancel));
        } else if self.forward(goroutine) {
            return;
        }
        let runner = match self.take_runner(goroutine) {
            Ok(runner) => runner,
            Err(_) => return self.shared.postpone(goroutine),
        };
        goroutine.set_started();
        goroutine.set_home(self.here());
        if goroutine.affinity() == Affinity::Worker {
            self.change_residents(1);
        }
        // SAFETY: the runner is ours, and the goroutine's header outlives its run.
        unsafe { set_label(runner.as_active(), goroutine) };
        self.resume(goroutine, runner);
    }

    /// See "Placement" at the head of this file.
    fn forward(&self, goroutine: GoroutineRef) -> bool {
        if !self.shared.idle.has_sleepers() {
            return false;
        }
        let residents = self.station().residents.load(Ordering::Relaxed);
        if residents == 0 {
            return false;
        }
        let stations = &self.shared.stations;
        // Pushed while the list of sleepers is locked: the worker that is picked finds it.
        let picked = self.shared.idle.pick(
            |index| stations[index].residents.load(Ordering::Relaxed) < residents,
            |index| stations[index].inbox.push(goroutine),
        );
        match picked {
            Some(index) => {
                stations[index].event.wake();
                true
            }
            None => false,
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

    /// Runs a goroutine until it gives the worker back.
    #[inline]
    fn resume(&self, goroutine: GoroutineRef, runner: Runner) {
        let mut runner = runner;
        if self.stopping.get() {
            // It is not parked, so this ends nothing: it takes effect at its next park.
            super::finish_claim(goroutine.parker().request(Request::Cancel));
        }
        self.begin_turn(goroutine, runner.as_active());
        let Step::Yielded(why) = runner.resume(goroutine);
        let station = self.station();
        station.running.store(ptr::null_mut(), Ordering::Relaxed);
        self.active.set(None);
        // Not `goroutine`: a join may have run another one in place on this stack.
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
                goroutine.coroutine().set(Some(runner));
                match affinity {
                    Affinity::Worker => self.ready.push_back(goroutine),
                    Affinity::Any => self.push_migratable(goroutine),
                }
            }
            Suspend::Park => {
                goroutine.coroutine().set(Some(runner));
                if goroutine.affinity() == Affinity::Any {
                    goroutine.set_home(self.here());
                }
                // From here on whoever claims the park may run it.
                if let Settled::Ended(_) = goroutine.parker().settle() {
                    goroutine.set_reason(WaitReason::None);
                    self.ready(station, goroutine);
                }
            }
        }
    }

    fn change_residents(&self, by: i32) {
        let residents = &self.station().residents;
        residents.store(
            residents.load(Ordering::Relaxed).wrapping_add_signed(by),
            Ordering::Relaxed,
        );
    }

    // ---- searching and sleeping --------------------------------------------------------------

    fn steal(&self) -> Option<GoroutineRef> {
        let stations = self.shared.stations();
        let start = self.next_random() as usize % stations.len().max(1);
        let (before, from) = stations.split_at(start);
        for victim in from.iter().chain(before) {
            if victim.index != self.index
                && victim.has_spare_work()
                && let Some(goroutine) = victim.steal(&self.seat)
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
    fn search_or_sleep(&self) -> Option<GoroutineRef> {
        let surplus = self.station().is_surplus();
        let mut searching = if surplus {
            None
        } else {
            self.shared.idle.try_search()
        };
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
        if self.shared.idle.stop_searching(token) {
            self.shared.notify();
        }
    }

    fn search(&self) -> Search {
        let alone = self.shared.stations().len() == 1;
        for _ in 0..if alone { 1 } else { SEARCH_ROUNDS } {
            if !self.station().inbox.is_empty() || self.must_stop() {
                return Search::Own;
            }
            if let Some(goroutine) = self.steal() {
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
        if self.has_work(surplus) || station.is_surplus() != surplus {
            station.event.finish();
        } else {
            let deadline = station.timers.lock().next_deadline();
            station.event.wait(deadline);
        }
        self.shared.monitor.wake();
        self.expire_timers();
        if surplus {
            None
        } else {
            self.shared.idle.leave(self.index)
        }
    }

    /// The last look before it sleeps.
    fn has_work(&self, surplus: bool) -> bool {
        if !self.station().inbox.is_empty() || self.must_stop() {
            return true;
        }
        !surplus
            && (!self.shared.injector.is_empty()
                || self
                    .shared
                    .stations()
                    .iter()
                    .any(|station| station.has_spare_work()))
    }

    // ---- the end -----------------------------------------------------------------------------

    /// There is something to do about the shutdown.
    fn must_stop(&self) -> bool {
        self.shared.is_closed() && (!self.stopping.get() || self.shared.live() == 0)
    }

    /// From now on this worker cancels whatever it runs, and at once what is parked here. The other
    /// workers do the same, so nobody is missed: what this worker started before, it sees; what it starts
    /// or resumes later, it cancels then. Migratable goroutines that parked at a spare worker which has
    /// ended since are cancelled by everybody (`Station::desert`).
    #[cold]
    fn begin_to_stop(&self) {
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
                super::finish_claim(goroutine.parker().request(Request::Cancel));
            }
            // SAFETY: the reference that `for_each_live` gave us.
            if let Some(slot) = unsafe { goroutine.release() } {
                self.slots.give(slot);
            }
        });
    }

    fn may_end(&self) -> bool {
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

/// Says who runs on a stack, for the overflow message.
///
/// # Safety
/// The coroutine is alive, and the goroutine for as long as the label stands.
unsafe fn set_label(active: Active, goroutine: GoroutineRef) {
    // SAFETY: by the contract above.
    unsafe {
        active.set_label(
            GoroutineRef::describe,
            goroutine.as_ptr().cast_const().cast(),
        )
    };
}

/// What a search came to.
enum Search {
    Stolen(GoroutineRef),
    /// There is something in the worker's own queues.
    Own,
    Nothing,
}

/// Ends the process when the scheduler itself panics.
struct AbortOnUnwind;

impl Drop for AbortOnUnwind {
    fn drop(&mut self) {
        eprintln!("fibra: the scheduler panicked; this is a bug in fibra");
        process::abort();
    }
}
