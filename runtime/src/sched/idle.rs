//! Who sleeps, who searches, and why no goroutine is left waiting while a worker sleeps.
//!
//! A worker without work of its own first *searches* (looks into everybody's queues), then *sleeps* in
//! its [`Event`](super::event::Event). At most half of the workers search at once: more of them would
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
//!   then looks into all queues once more, under their locks.
//! * *Order*: of the push and the look at that queue one has the lock first. If it is the pusher, the look
//!   finds the goroutine. If it is the worker, its change of the counts happened before the pusher reads
//!   them: the pusher sees it as a sleeper and no longer as a searcher.
//! * *Seen a searcher*: then that worker has not entered yet, its look comes after the push, and it finds
//!   the goroutine, or another one. In that case it searches on (`worker/rest.rs`). A searcher that finds
//!   something stops searching, and if it was the last one and there is more, it notifies in its turn.
//! * *Seen only sleepers*: the pusher takes one off the list and wakes it. It starts as a searcher.
//! * *Seen neither*: all workers are busy. Each looks at its own queues when its goroutine gives way,
//!   and searches before it sleeps.
//!
//! A sleeper's inbox is not covered by this: whoever pushes there wakes that very worker through its
//! event.

use crate::primitive::Mutex;
use crate::primitive::atomic::{AtomicU32, Ordering};

const SEARCHING: u32 = 1 << 16;
const SLEEPING: u32 = 1;

#[derive(Debug)]
pub(crate) struct Idle {
    /// Searching workers in the high half, sleeping ones in the low half.
    counts: AtomicU32,
    /// The sleepers, longest asleep first. Changed together with the counts.
    sleepers: Mutex<Vec<u16>>,
    most_searching: u32,
}

/// Evidence that its holder is counted as searching.
#[derive(Debug)]
#[must_use = "it stays counted as searching until it stops or sleeps"]
pub(crate) struct Searching(());

impl Idle {
    pub(crate) fn new(workers: usize) -> Idle {
        Idle {
            counts: AtomicU32::new(0),
            sleepers: Mutex::new(Vec::new()),
            most_searching: (workers as u32).div_ceil(2),
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

    /// Permission to search, unless enough others do.
    pub(crate) fn try_search(&self) -> Option<Searching> {
        if self.counts.load(Ordering::Relaxed) / SEARCHING >= self.most_searching {
            return None;
        }
        // A few too many do no harm.
        self.counts.fetch_add(SEARCHING, Ordering::SeqCst);
        Some(Searching(()))
    }

    /// The search has found something. True: it was the last, and the caller must
    /// [`notify`](Self::notify) for what else there may be.
    pub(crate) fn stop_searching(&self, searching: Searching) -> bool {
        let Searching(()) = searching;
        self.counts.fetch_sub(SEARCHING, Ordering::SeqCst) / SEARCHING == 1
    }

    /// Something was pushed. The sleeper that is returned must be woken.
    #[inline]
    pub(crate) fn notify(&self) -> Option<usize> {
        let counts = self.counts.load(Ordering::Relaxed);
        if counts >= SEARCHING || counts == 0 { None } else { self.pick(|_| true) }
    }

    /// Whether a worker searches or sleeps; may be outdated.
    #[inline]
    pub(crate) fn is_anyone_idle(&self) -> bool {
        self.counts.load(Ordering::Relaxed) != 0
    }

    /// Whether a worker sleeps; may be outdated.
    #[inline]
    pub(crate) fn has_sleepers(&self) -> bool {
        !self.counts.load(Ordering::Relaxed).is_multiple_of(SEARCHING)
    }

    /// Takes a sleeper that suits off the list; it must be woken.
    #[cold]
    pub(crate) fn pick(&self, suits: impl Fn(usize) -> bool) -> Option<usize> {
        let mut sleepers = self.sleepers.lock();
        // The one that fell asleep last has the warmest cache.
        let position = sleepers.iter().rposition(|&id| suits(usize::from(id)))?;
        let id = usize::from(sleepers.remove(position));
        // It wakes as a searcher.
        self.counts.fetch_add(SEARCHING - SLEEPING, Ordering::SeqCst);
        Some(id)
    }

    /// Registers as a sleeper. The caller then looks into all queues once more.
    pub(crate) fn enter(&self, id: usize, searching: Option<Searching>) {
        let mut sleepers = self.sleepers.lock();
        sleepers.push(id as u16);
        match searching {
            Some(Searching(())) => self.counts.fetch_sub(SEARCHING - SLEEPING, Ordering::SeqCst),
            None => self.counts.fetch_add(SLEEPING, Ordering::SeqCst),
        };
    }

    /// Is awake again. Somebody who picked it left it counted as searching.
    pub(crate) fn leave(&self, id: usize) -> Option<Searching> {
        let mut sleepers = self.sleepers.lock();
        match sleepers.iter().position(|&sleeper| usize::from(sleeper) == id) {
            Some(position) => {
                sleepers.remove(position);
                self.counts.fetch_sub(SLEEPING, Ordering::SeqCst);
                None
            }
            None => Some(Searching(())),
        }
    }
}

#[cfg(loom)]
mod tests;
