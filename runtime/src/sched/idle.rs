//! Who sleeps, who searches, and why no goroutine is left waiting while a worker sleeps.
//!
//! A worker without work of its own first *searches* (looks into everybody's queues), then *sleeps* in
//! its poller. At most half of the workers search at once: more of them would
//! only fight for the same queues. A push wakes a sleeper only when nobody searches, because a searcher
//! will find what was pushed; and the last searcher that finds something wakes the next sleeper, so
//! that a burst of work wakes worker after worker without the pusher paying for it.
//!
//! # No wake-up is lost
//!
//! Claim: when a goroutine was pushed to a deque or to the injector, then some worker is going to take
//! it, as long as any worker is not inside user code.
//!
//! * *Push*: the pusher makes the goroutine visible under the lock of its queue, then reads the counts.
//! * *Sleep*: a worker enters the list of sleepers and gives up searching (one change of the counts), and
//!   then looks into all queues once more, in a way that is ordered with pushes (`deque.rs`, "Order").
//! * *Order*: either the look finds the goroutine; or the worker's change of the counts comes before the pusher reads
//!   them: then the pusher sees it as a sleeper and no longer as a searcher.
//! * *Seen a searcher*: then that worker has not entered yet, its look comes after the push, and it finds
//!   the goroutine, or another one. In that case it searches on ([`Idle::sleep`]). A searcher that finds
//!   something stops searching, and if it was the last one and there is more, it notifies in its turn.
//! * *Left to a searcher*: a worker that has entered, and then sees enough search, sleeps without a look. What was
//!   pushed before it entered, maybe by somebody who relied on it, was pushed before such a searcher gives up. That one
//!   finds it, or looks for what is left when it stops, or leaves it to a third one in the same way. Whoever pushes
//!   later sees the worker as a sleeper. If it was picked meanwhile it counts itself: then it wakes at once, and searches.
//! * *Seen only sleepers*: the pusher takes one off the list and wakes it. It starts as a searcher.
//! * *Seen neither*: all workers are busy. Each looks at its own queues when its goroutine gives way,
//!   and searches before it sleeps. One that dozes, out of work, so that another worker can run (`worker/courtesy.rs`),
//!   counts as busy; it had seen nothing to do before, looks again every 150 µs or so, and stops when there is.
//! * *Nap*: a searcher that sees only a little, whose owners go on, looks away for a while. It stays counted, apart from
//!   the others, and searches again before it does anything else. So for the claim it is a searcher, if a slow one: after
//!   [`MOST_NAPS`] naps in a row it searches to the end, for an owner that goes on need not come to its queue.
//!   Whoever places a goroutine at it picks it as a sleeper: it wakes at once, and is counted as a searcher until then,
//!   so that nobody else searches for what was placed.
//! * *Seen a napper*: so who pushes where there is only a little wakes nobody else, who would only nap as well. Where
//!   there is more, the pusher wakes a sleeper as if the napper were busy.
//!
//! * *Deferred*: who spawns only one, and is known to give way at once, wakes nobody until it does (`worker/deferral.rs`).
//!   Its own worker then takes what was pushed, or notifies as if it were pushed at that moment. While it does not give way
//!   the claim does not hold for that one goroutine, for at most a tick: the monitor notifies at each look if anything waits.
//!
//! A sleeper's inbox is not covered by this: whoever pushes there wakes that very worker.
//!
//! The steps of a worker stand here once, for all that is a [`Searcher`]: the runtime's workers
//! (`worker/rest.rs`), and those of the loom models, which have queues that only count.

use super::event::Sleeper;
use crate::primitive::atomic::{AtomicU64, Ordering, fence};
use crate::primitive::{Locked, MODELLED};
use std::hint;
use std::time::Duration;

const SEARCHING: u64 = 1 << 32;
const NAPPING: u64 = 1 << 16;
const SLEEPING: u64 = 1;
const BUSY: u64 = 0;
const NAPPERS: u64 = SEARCHING - NAPPING;
const SLEEPERS: u64 = NAPPING - SLEEPING;

/// How often a searching worker looks into all queues before it sleeps, and how long it waits between
/// two looks: 20 to 50 µs in all, about what a sleep and a wake-up cost.
const SEARCH_ROUNDS: usize = if MODELLED { 1 } else { 100 };
const SEARCH_PAUSE: usize = 16;
/// Until these rounds a searcher leaves some work where it is.
const LONG_PATIENCE: usize = SEARCH_ROUNDS / 2;
const SHORT_PATIENCE: usize = SEARCH_ROUNDS / 10;

/// A searcher that looks again and again into the queues of a worker that spawns and joins one goroutine at a time
/// makes it twice as slow, and is itself never done. So it looks in now and then. The system adds some 50 µs.
const SHORTEST_NAP: Duration = Duration::from_micros(20);
/// Each nap in a row is twice as long, up to this.
const LONGEST_NAP: Duration = Duration::from_micros(160);
/// After so many in a row it searches without a nap.
const MOST_NAPS: u32 = if MODELLED { 1 } else { 8 };

/// What a searcher leaves where it is, for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// What had better run elsewhere, and the little that others will have run at once.
    Long,
    /// What had better run elsewhere.
    Short,
    None,
}

/// What a worker without work can look at.
pub(super) trait Searcher {
    type Goroutine;

    /// Its place in the list of sleepers; no other worker has it.
    fn id(&self) -> usize;
    fn sleeper(&self) -> &Sleeper;
    /// Sleeps until somebody rouses it, until its next timer, or until something that it waits for is ready. Then
    /// it is awake again.
    fn sleep(&self);
    /// Whether it had better not search for long, nor be patient: nobody else has a queue, or the next work most
    /// likely comes from where it sleeps.
    fn is_in_haste(&self) -> bool;
    /// It leaves to others what they can run.
    fn is_surplus(&self) -> bool;
    /// There is something that it must do itself, or that was left to it.
    fn has_own_work(&self) -> bool;
    /// Takes something that others could run, too, as far as its patience is over.
    fn steal(&self, patience: Patience) -> Option<Self::Goroutine>;
    /// Whether there is something that any worker could run. Ordered with pushes to all queues, after a change of the
    /// counts.
    fn sees_spare_work(&self) -> bool;
    /// A search begins: it notes how far the others are.
    fn watch(&self);
    /// Whether it sees something that others could run, all of it little, and its owners have gone on since the search
    /// began: most likely each is gone soon.
    fn sees_others_getting_on(&self) -> bool;
    /// Sleeps for so long, unless there is something of its own to do.
    fn nap(&self, length: Duration);
    /// It has slept, or nearly.
    fn woken(&self);
    /// Wakes a sleeper, if one is needed.
    fn notify(&self);
}

/// What a search came to.
enum Search<G> {
    Stolen(G),
    /// There is something that only this worker can do.
    Own,
    /// There was something, which others had better do.
    Left,
    Nothing,
}

#[derive(Debug)]
pub(crate) struct Idle {
    /// Sleeping workers in the lowest 16 bits, napping ones in the next, searching ones above.
    counts: AtomicU64,
    /// Changed together with the counts.
    resting: Locked<Resting>,
    most_searching: u64,
}

/// Which workers sleep and nap, the one that began last at the end of each list.
#[derive(Debug)]
struct Resting {
    sleepers: Vec<u16>,
    nappers: Vec<u16>,
}

/// Evidence that its holder is counted as searching.
#[derive(Debug)]
#[must_use = "it stays counted as searching until it stops or sleeps"]
pub(crate) struct Searching(());

impl Idle {
    /// `most`: with those that may be added.
    pub(crate) fn new(workers: usize, most: usize) -> Idle {
        Idle {
            counts: AtomicU64::new(0),
            // No allocation under the lock.
            resting: Locked::new(Resting {
                sleepers: Vec::with_capacity(most),
                nappers: Vec::with_capacity(most),
            }),
            most_searching: (workers as u64).div_ceil(2),
        }
    }

    /// A worker that is being started is as good as one that was woken: it searches first of all.
    pub(crate) fn count_new_worker(&self) -> Searching {
        self.counts.fetch_add(SEARCHING, Ordering::SeqCst);
        Searching(())
    }

    /// The worker could not be started; its evidence was dropped with what it would have run.
    pub(crate) fn discount_worker(&self) {
        self.counts.fetch_sub(SEARCHING, Ordering::SeqCst);
    }

    /// Looks everywhere, then sleeps until something happens. May come back with nothing.
    pub(super) fn search_or_sleep<S: Searcher>(
        &self,
        worker: &S,
        searching: Option<Searching>,
    ) -> Option<S::Goroutine> {
        let surplus = worker.is_surplus();
        let mut searching = searching;
        if surplus && let Some(token) = searching.take() {
            self.stop_searching(worker, token);
        }
        // In haste the last look before the sleep is enough of a search.
        if searching.is_none() && !surplus && !worker.is_in_haste() {
            searching = self.try_search();
        }
        let mut naps = 0;
        loop {
            if let Some(token) = searching {
                match search(worker, naps < MOST_NAPS) {
                    Search::Stolen(goroutine) => {
                        self.stop_searching(worker, token);
                        return Some(goroutine);
                    }
                    Search::Own => {
                        self.stop_searching(worker, token);
                        return None;
                    }
                    Search::Left => {
                        let length = (SHORTEST_NAP * (1 << naps)).min(LONGEST_NAP);
                        let token = self.nap(worker, token, length);
                        if worker.is_surplus() {
                            self.stop_searching(worker, token);
                            return None;
                        }
                        naps += 1;
                        searching = Some(token);
                        continue;
                    }
                    Search::Nothing => searching = Some(token),
                }
            }
            // A worker that was picked wakes as a searcher, and must not sleep before it has searched.
            match self.sleep(worker, searching.take(), surplus) {
                Some(token) => searching = Some(token),
                None => return None,
            }
        }
    }

    /// The search has found something. Whoever was the last to search notifies for what else there may be.
    fn stop_searching(&self, worker: &impl Searcher, searching: Searching) {
        let Searching(()) = searching;
        let last = self.counts.fetch_sub(SEARCHING, Ordering::SeqCst) / SEARCHING == 1;
        Idle::fence_of_model();
        if last && self.has_sleepers() && worker.sees_spare_work() {
            worker.notify();
        }
    }

    /// Neither searches nor counts as a sleeper for a while, unless it is picked.
    fn nap(&self, worker: &impl Searcher, searching: Searching, length: Duration) -> Searching {
        let id = worker.id();
        {
            let mut resting = self.resting.lock();
            resting.nappers.push(id as u16);
            self.recount(&mut resting, SEARCHING, NAPPING);
        }
        worker.nap(length);
        worker.woken();
        let mut resting = self.resting.lock();
        if remove(&mut resting.nappers, id) {
            self.recount(&mut resting, NAPPING, SEARCHING);
        }
        searching
    }

    fn sleep(
        &self,
        worker: &impl Searcher,
        searching: Option<Searching>,
        surplus: bool,
    ) -> Option<Searching> {
        worker.sleeper().prepare();
        if !surplus {
            self.enter(worker.id(), searching);
        }
        // The last look before it sleeps.
        let work = worker.has_own_work()
            || (!surplus && !self.do_enough_search() && worker.sees_spare_work());
        // A surplus worker that was made a regular one again is woken for that; so is the reverse.
        if work || worker.is_surplus() != surplus {
            worker.sleeper().finish();
        } else {
            worker.sleep();
        }
        worker.woken();
        if surplus {
            return None;
        }
        let picked = self.leave(worker.id());
        // A pusher may have relied on this worker while it searched. Its look has found something, maybe
        // not that, so it goes on as a searcher: when it stops, it notifies for what is left.
        if work { picked.or_else(|| self.try_search()) } else { picked }
    }

    fn do_enough_search(&self) -> bool {
        self.counts.load(Ordering::Relaxed) / SEARCHING >= self.most_searching
    }

    /// Behind a change of the counts, before a look at what was pushed (`deque.rs`, "Order").
    fn fence_of_model() {
        if MODELLED {
            // To loom the change is no fence.
            fence(Ordering::SeqCst);
        }
    }

    /// Permission to search, unless enough others do.
    fn try_search(&self) -> Option<Searching> {
        if self.do_enough_search() {
            return None;
        }
        // A few too many do no harm.
        self.counts.fetch_add(SEARCHING, Ordering::SeqCst);
        Some(Searching(()))
    }

    /// Something was pushed, to where there is only a little. The sleeper that is returned must be woken.
    #[inline]
    pub(crate) fn notify(&self, is_little: impl FnOnce() -> bool) -> Option<usize> {
        // SeqCst: see `deque.rs`, "Order".
        let counts = self.counts.load(Ordering::SeqCst);
        if !needs_wake(counts) {
            return None;
        }
        if counts >= NAPPING && is_little() { None } else { self.pick_sleeper() }
    }

    /// Whether workers sleep and none searches, so that a push before it has to wake one.
    #[inline]
    pub(crate) fn needs_wake(&self) -> bool {
        needs_wake(self.counts.load(Ordering::SeqCst))
    }

    /// Whether nobody searches, naps or sleeps; may be outdated.
    #[inline]
    pub(crate) fn is_everyone_busy(&self) -> bool {
        self.counts.load(Ordering::Relaxed) == 0
    }

    /// Whether a worker searches or sleeps; may be outdated.
    #[inline]
    pub(crate) fn is_anyone_idle(&self) -> bool {
        self.counts.load(Ordering::Relaxed) & !NAPPERS != 0
    }

    /// Whether a worker sleeps; may be outdated.
    fn has_sleepers(&self) -> bool {
        self.counts.load(Ordering::Relaxed) & SLEEPERS != 0
    }

    /// Whether a worker sleeps or naps; may be outdated.
    pub(crate) fn is_anyone_resting(&self) -> bool {
        self.counts.load(Ordering::Relaxed) & (SLEEPERS | NAPPERS) != 0
    }

    /// Takes a sleeper off the list; it must be woken.
    #[cold]
    fn pick_sleeper(&self) -> Option<usize> {
        // The one that fell asleep last has the warmest cache.
        let mut resting = self.resting.lock();
        let id = resting.sleepers.pop()?;
        // It wakes as a searcher.
        self.recount(&mut resting, SLEEPING, SEARCHING);
        Some(usize::from(id))
    }

    /// Takes this worker off the lists. True: it was there, and must be woken.
    #[cold]
    #[must_use = "it must be woken"]
    pub(crate) fn pick(&self, id: usize) -> bool {
        let mut resting = self.resting.lock();
        let counted = if remove(&mut resting.sleepers, id) {
            SLEEPING
        } else if remove(&mut resting.nappers, id) {
            NAPPING
        } else {
            return false;
        };
        self.recount(&mut resting, counted, SEARCHING);
        true
    }

    /// Registers as a sleeper. The caller then looks into all queues once more.
    fn enter(&self, id: usize, searching: Option<Searching>) {
        let mut resting = self.resting.lock();
        resting.sleepers.push(id as u16);
        let counted = if let Some(Searching(())) = searching { SEARCHING } else { BUSY };
        self.recount(&mut resting, counted, SLEEPING);
    }

    /// Is awake again. Somebody who picked it left it counted as searching.
    fn leave(&self, id: usize) -> Option<Searching> {
        let mut resting = self.resting.lock();
        if !remove(&mut resting.sleepers, id) {
            return Some(Searching(()));
        }
        self.recount(&mut resting, SLEEPING, BUSY);
        None
    }

    /// A worker counts as something else from now on. The lists are evidence that their lock is held: who finds a worker
    /// gone from them must not find it counted as if it were there.
    fn recount(&self, _lists: &mut Resting, from: u64, to: u64) {
        self.counts.fetch_add(to.wrapping_sub(from), Ordering::SeqCst);
        Idle::fence_of_model();
    }
}

#[inline]
fn needs_wake(counts: u64) -> bool {
    counts < SEARCHING && counts & SLEEPERS != 0
}

/// Whether it was in the list; it no longer is.
fn remove(list: &mut Vec<u16>, id: usize) -> bool {
    // Most of the time whoever rested last gets up first.
    if list.pop_if(|last| usize::from(*last) == id).is_some() {
        return true;
    }
    let position = list.iter().position(|&listed| usize::from(listed) == id);
    position.is_some_and(|position| {
        list.remove(position);
        true
    })
}

fn search<S: Searcher>(worker: &S, may_nap: bool) -> Search<S::Goroutine> {
    let rounds = if worker.is_in_haste() { SHORT_PATIENCE } else { SEARCH_ROUNDS };
    worker.watch();
    for round in 0..rounds {
        if worker.has_own_work() {
            return Search::Own;
        }
        let patience = if worker.is_in_haste() {
            Patience::None
        } else if round < SHORT_PATIENCE {
            Patience::Long
        } else if round < LONG_PATIENCE {
            Patience::Short
        } else {
            Patience::None
        };
        if let Some(goroutine) = worker.steal(patience) {
            return Search::Stolen(goroutine);
        }
        if may_nap && patience != Patience::Long && worker.sees_others_getting_on() {
            return Search::Left;
        }
        for _ in 0..SEARCH_PAUSE {
            hint::spin_loop();
        }
    }
    Search::Nothing
}

#[cfg(loom)]
mod tests;
