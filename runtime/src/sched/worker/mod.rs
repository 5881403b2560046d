//! One worker thread: its loop, and what only it touches.
//!
//! # What runs next
//!
//! Ready residents first, in order; then fresh goroutines of its own, newest first, which keeps
//! fork-join shallow and stacks warm; then the injector; then it searches. So that nothing waits for
//! ever behind that order, certain rounds of every 61 begin at another place: the oldest fresh
//! goroutine, those that have used up a time slice, ready migratable ones, the injector, timers and sockets.
//!
//! # Where am I
//!
//! `turn.rs` chooses, starts and resumes; `leave.rs` is how a goroutine gives the worker back; `placement.rs` says
//! where a goroutine starts, and so stays; `deferral.rs` when nobody is woken for it; `ahead.rs` has the memory of
//! those fetched that are next; `courtesy.rs` lets another worker run that the system keeps waiting; `rest.rs`
//! searches, sleeps and ends. Everything here runs on the worker's own stack, except what a goroutine calls, and
//! what that calls: [`Worker::spawn`], [`Worker::prepare`] and [`Worker::suspend`], [`Worker::ready`],
//! [`Worker::run_in_place`], [`Worker::next_on`]. After `suspend` a migratable goroutine may be on another worker,
//! so it must not use `self` any more.

mod ahead;
mod courtesy;
mod deferral;
mod leave;
mod placement;
mod rest;
mod turn;

use super::idle::Searching;
use super::list::List;
use super::policy::OwnPolicy;
use super::station::Station;
use super::{Refusal, Shared, current, runner};
use crate::coroutine::Active;
use crate::goroutine::pool::Cache;
use crate::goroutine::{Affinity, FreeSlot, GoroutineRef, Runner};
use crate::primitive::atomic::Ordering;
use crate::primitive::{MODELLED, Random};
use crate::sched;
use crate::stack;
use crate::ticket::Request;
use courtesy::Courtesy;
use deferral::{Trust, Unsettled};
pub(crate) use leave::Leave;
use placement::Pause;
use std::cell::{Cell, RefCell};
use std::io;
use std::mem::offset_of;
use std::process;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use turn::Place;

/// Ids taken at once from the process-wide counter.
const ID_BLOCK: u64 = 1024;

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// A goroutine id for a thread that is no worker.
pub(crate) fn foreign_id() -> u64 {
    NEXT_ID.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}

/// What a switch from one goroutine to the next needs comes first, in one cache line.
#[repr(C, align(64))]
pub(crate) struct Worker {
    shared: Arc<Shared>,
    /// `shared.stations[index]`.
    station: *const Station,
    current: Cell<Option<GoroutineRef>>,
    /// The coroutine that the current goroutine runs on.
    active: Cell<Option<Active>>,
    /// Ready residents.
    ready: List<GoroutineRef>,
    /// How deep one of the last goroutines was that gave way here.
    depth: Cell<usize>,
    /// How many of those that are ready may not be in the cache.
    cold: Cell<u32>,
    /// So many rounds begin with the ready residents, then one at `place`.
    usual_rounds: Cell<u32>,
    place: Cell<Place>,
    /// It knows that the runtime shuts down, and unwinds its goroutines.
    stopping: Cell<bool>,
    /// Another thread made something ready here since it was last out of work.
    spoken_to: Cell<bool>,
    /// Whether whoever spawns here gives way soon.
    trust: Cell<Trust>,
    unsettled: Cell<Option<Unsettled>>,
    /// What a runner took that is not for it; comes first.
    put_aside: Cell<Option<GoroutineRef>>,
    /// Residents that have used up a time slice: after everything else, but for a round in 61.
    hogs: List<GoroutineRef>,
    index: usize,
    /// How often in a row it has not searched when it was out of work.
    put_off: Cell<u32>,
    /// How many reports came from the last poll.
    reports: Cell<usize>,
    courtesy: Courtesy,
    pub(super) policy: OwnPolicy,
    /// When it looks for its share at another worker.
    sharing: Cell<Pause>,
    ids: Cell<(u64, u64)>,
    pub(super) slots: Cache,
    /// Free runners on stacks of the default size, hottest last.
    runners: RefCell<Vec<Runner>>,
    random: Random,
    /// How far the others were when its last search began, by their epochs.
    seen: RefCell<Vec<u64>>,
}

const _: () = assert!(offset_of!(Worker, place) <= 64 || MODELLED);

impl Worker {
    fn new(shared: Arc<Shared>, index: usize) -> Worker {
        Worker {
            station: ptr::from_ref::<Station>(&shared.stations[index]),
            shared,
            index,
            ready: List::new(),
            hogs: List::new(),
            slots: Cache::new(),
            runners: RefCell::new(Vec::new()),
            current: Cell::new(None),
            active: Cell::new(None),
            put_aside: Cell::new(None),
            usual_rounds: Cell::new(0),
            place: Cell::new(Place::Events),
            random: Random::new(),
            ids: Cell::new((0, 0)),
            spoken_to: Cell::new(false),
            put_off: Cell::new(0),
            seen: RefCell::new(Vec::new()),
            depth: Cell::new(0),
            cold: Cell::new(0),
            sharing: Cell::new(Pause::default()),
            trust: Cell::new(Trust::default()),
            unsettled: Cell::new(None),
            reports: Cell::new(0),
            courtesy: Courtesy::new(),
            policy: OwnPolicy::new(),
            stopping: Cell::new(false),
        }
    }

    /// The thread's main function.
    pub(super) fn main(shared: Arc<Shared>, index: usize, searching: Searching) {
        let worker = Worker::new(shared, index);
        // std makes one for its threads, but not in a process that did not start in Rust's `main`.
        stack::ensure_alternate_stack();
        // The loop must not unwind: frames of goroutines would be lost.
        let bomb = AbortOnUnwind;
        current::enter(&worker);
        worker.station().note_thread();
        worker.run(searching);
        current::leave();
        worker.clear_up();
        std::mem::forget(bomb);
    }

    fn run(&self, searching: Searching) {
        let mut found = self.search_or_sleep(Some(searching));
        loop {
            if let Some(goroutine) = found.or_else(|| self.put_aside.take()).or_else(|| self.next())
            {
                self.execute(goroutine);
                found = None;
            } else if self.may_end() {
                return;
            } else if self.poll_again() || self.linger() {
                found = None;
            } else {
                found = self.search_or_sleep(None);
            }
        }
    }

    fn clear_up(self) {
        // SAFETY: runners in this list have no goroutine.
        unsafe { runner::retire(self.runners.take()) };
        let Worker { shared, index, slots, .. } = self;
        drop(slots);
        // Others may wait for sockets that were first waited for here.
        shared.stations[index].poller().retire(sched::ready);
        shared.stations[index].vacate();
    }

    // ---- what goroutines ask for -------------------------------------------------------------

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) fn station(&self) -> &Station {
        // SAFETY: it points into what `shared` keeps alive, and does not move.
        unsafe { &*self.station }
    }

    /// Whether that is its station.
    #[inline]
    fn is_at(&self, station: &Station) -> bool {
        ptr::eq(self.station, station)
    }

    /// The stations of the others, from a random one on.
    fn others(&self) -> impl Iterator<Item = &Station> {
        let stations = self.shared.stations();
        let start = self.next_random() as usize % stations.len().max(1);
        let (before, from) = stations.split_at(start);
        from.iter().chain(before).map(|station| &**station).filter(|other| !self.is_at(other))
    }

    /// This station as the home of a goroutine.
    fn here(&self) -> *mut () {
        ptr::from_ref(self.station()).cast_mut().cast()
    }

    /// Whether that is the home of goroutines that started here.
    pub(super) fn is_here(&self, home: *mut ()) -> bool {
        home == self.here()
    }

    /// The goroutine that runs here now.
    pub(crate) fn current(&self) -> Option<GoroutineRef> {
        self.current.get()
    }

    pub(crate) fn take_slot(&self) -> io::Result<FreeSlot> {
        self.slots.take()
    }

    pub(crate) fn give_slot(&self, slot: FreeSlot) {
        self.slots.give(slot);
    }

    pub(crate) fn next_random(&self) -> u64 {
        self.random.next()
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
        let station = self.station();
        goroutine.set_home(self.here());
        station.tally.count_spawned();
        station.fresh.push(goroutine);
        if self.shared.idle.needs_wake() {
            self.wake_or_defer();
        }
        Ok(())
    }

    /// Whether the goroutine is a resident: it has started here, and stays.
    #[inline]
    pub(super) fn is_home_of(&self, goroutine: GoroutineRef) -> bool {
        goroutine.affinity() == Affinity::Worker && self.is_here(goroutine.home())
    }

    /// A resident, whose park has ended, goes on at its time.
    #[inline]
    pub(super) fn ready(&self, resident: GoroutineRef) {
        self.ready.push_back(resident);
    }

    /// A migratable goroutine that goes on: here, or where it is stolen to.
    pub(super) fn push_migratable(&self, goroutine: GoroutineRef) {
        self.station().ready.push(goroutine);
        self.shared.notify_of(self.station());
    }

    /// Whether what runs has had its time slice.
    #[inline]
    pub(crate) fn is_overdue(&self) -> bool {
        self.station().overdue.load(Ordering::Relaxed)
    }

    /// Runs a fresh goroutine to its end on the caller's stack, if it is the newest one here, and if enough is left: as
    /// much as was asked for it, or three quarters of a default stack. The caller waits for it anyway.
    pub(crate) fn run_in_place(&self, child: GoroutineRef) -> bool {
        let (Some(parent), Some(active)) = (self.current(), self.active.get()) else {
            return false;
        };
        let here: *mut () = self.here();
        if !child.is_fresh() || child.home() != here || child.affinity() != parent.affinity() {
            return false;
        }
        if self.stopping.get() {
            // It will not run at all.
            return false;
        }
        let wanted = match child.stack_size() {
            Some(size) => size.bytes(),
            None => self.shared.config.stack_size.bytes() / 4 * 3,
        };
        // SAFETY: the current goroutine's coroutine.
        if unsafe { active.remaining_stack() } < wanted {
            return false;
        }
        if !self.station().fresh.pop_if_newest(child) {
            return false;
        }
        if self.is_unsettled() {
            self.settle();
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
    #[inline]
    fn switch_identity(&self, goroutine: GoroutineRef, active: Active) {
        goroutine.set_home(self.here());
        if self.stopping.get() {
            // A migratable one that comes back from a child that ran in place, and moved with it.
            cancel_here(goroutine);
        }
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
            && !self.shared.idle.is_anyone_idle();
        if fits {
            self.switch_identity(next, active);
            next.set_started();
            Some(next)
        } else {
            self.put_aside.set(Some(next));
            None
        }
    }
}

/// Says who runs on a stack, for the overflow message.
///
/// # Safety
/// The coroutine is alive, and the goroutine for as long as the label stands.
unsafe fn set_label(active: Active, goroutine: GoroutineRef) {
    // SAFETY: by the contract above.
    unsafe { active.set_label(GoroutineRef::describe, goroutine.as_ptr().cast_const().cast()) };
}

/// A goroutine of this worker is to unwind: at its next park, or in the one that this ends.
#[cold]
fn cancel_here(goroutine: GoroutineRef) {
    sched::finish_claim(goroutine.parker().request_from_its_thread(Request::Cancel));
}

/// Ends the process when the scheduler itself panics.
struct AbortOnUnwind;

impl Drop for AbortOnUnwind {
    fn drop(&mut self) {
        sched::report(format_args!("the scheduler panicked; this is a bug in fibra"));
        process::abort();
    }
}
