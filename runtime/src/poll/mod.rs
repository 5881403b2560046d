//! Which descriptors have become ready. A passive structure: it says whose park that ends, and whoever asks makes
//! them runnable.
//!
//! * [`Source`] is a descriptor as the pollers see it: who waits for it, and what was noticed about it.
//! * [`Poller`] asks the system, by a [`Backend`]. Each worker has one and sleeps in it.
//!
//! # How a wait goes
//!
//! A call tries the system call first; the descriptor is non-blocking. Only when there is nothing to be had does it
//! wait, and tries again afterwards. Readiness is reported once, when something changes (edge-triggered), so the
//! change that comes between the try and the wait must not be lost. Each direction of a source counts the changes
//! that were noticed, in a *tick*:
//!
//! * the caller reads the tick, then tries;
//! * *enlist*: under the source's lock it leaves its ticket in the line of that direction, unless the tick has
//!   changed since: then it tries again;
//! * *notice*: whoever polls increments the tick under the same lock, and takes the first waiter off the line.
//!
//! If the change was noticed before the caller enlisted, the caller sees another tick. If after, the notice
//! finds its ticket.
//!
//! # In turn
//!
//! One change wakes one waiter, though it may be enough for several: two connections came, or the first reader took only
//! a part. So whoever was woken wakes the next one when it has finished ([`Source::pass_on`]), whatever came of its
//! try. Who finds nothing takes its old place in the line again. When a change was noticed, there is always one who
//! was woken and has not tried yet, until somebody has found nothing left. That one's tick is the newest, or it does
//! not get to wait.
//!
//! # What a backend promises
//!
//! * A source that was added is reported when it is or becomes ready, and once more after each further change:
//!   more data, more room, the end. Reports may come too often, and for nothing.
//! * A report for a direction says nothing about the other one, except that an error or the end of everything is
//!   reported for both.
//! * A wake-up ends the current or the next wait of *one* caller, exactly once. Several threads may wait in turn; one
//!   that does so in the place of the owner passes a wake-up on.
//! * A report carries the token that came with the source. A token may be reported after its source was removed: it
//!   names the lease of the source as well, and an old one is recognised.
//!
//! A completion-based backend (io_uring) fits by submitting a poll request for each direction that has waiters.

mod epoll;
mod source;

pub(crate) use source::{Enlisted, Source, Turn};

use crate::ticket::Runnable;
use epoll::Epoll;
use std::fmt;
use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Read = 0,
    Write = 1,
}

impl Direction {
    const BOTH: [Direction; 2] = [Direction::Read, Direction::Write];
}

/// What was reported about a source.
#[derive(Clone, Copy, Debug)]
struct Readiness {
    readable: bool,
    writable: bool,
    /// From now on a read that gives less than was asked for does not mean that nothing is left: the other side has
    /// finished, or sends urgent data.
    restless: bool,
}

/// How long to wait for a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    No,
    For(Duration),
    Forever,
}

/// What one wait has brought.
#[derive(Clone, Copy, Debug)]
struct Reports {
    /// So many were reported.
    sources: usize,
    /// And a wake-up.
    woken: bool,
    /// There may be more of them.
    full: bool,
}

/// See the head of this file.
trait Backend: Sized {
    fn new() -> io::Result<Self>;
    /// `token` is reported from now on, at once if the descriptor is ready.
    fn add(&self, fd: RawFd, token: u64) -> io::Result<()>;
    fn remove(&self, fd: RawFd);
    /// Waits, calls `over` once, and then reports what there is. What is reported soon, is announced by its token.
    fn wait(
        &self,
        wait: Wait,
        over: impl FnOnce(),
        announce: impl Fn(u64),
        report: impl FnMut(u64, Readiness),
    ) -> Reports;
    /// Whether a wait would end at once. Takes nothing.
    fn is_ready(&self) -> bool;
    fn wake(&self);
}

/// How often somebody who polls for another one asks for more.
const MOST_BATCHES: usize = 64;

/// Where sources are registered, and where their worker sleeps.
pub(crate) struct Poller {
    backend: Epoll,
    /// How many sources are registered.
    sources: AtomicUsize,
}

impl Poller {
    /// # Errors
    /// When there are no descriptors left.
    pub(crate) fn new() -> io::Result<Arc<Poller>> {
        Ok(Arc::new(Poller { backend: Epoll::new()?, sources: AtomicUsize::new(0) }))
    }

    /// Whether anything can become ready here; may be outdated.
    #[inline]
    pub(crate) fn is_used(&self) -> bool {
        self.sources.load(Ordering::Relaxed) != 0
    }

    /// For its owner: waits until a source becomes ready, for a wake-up, or for as long as it may. Says how many
    /// reports came. As soon as the wait is `over`, that is called; then who is to run goes to `ready`, without a lock
    /// held.
    pub(crate) fn poll(
        &self,
        wait: Wait,
        over: impl FnOnce(),
        mut ready: impl FnMut(Runnable),
    ) -> usize {
        let report = |token, readiness| Source::notice(token, readiness, &mut ready);
        self.backend.wait(wait, over, Source::prefetch, report).sources
    }

    /// The same for somebody else, because the owner does not come to it. Does not wait. As it is done once in a while
    /// only, it takes whatever there is, within reason.
    pub(crate) fn poll_for_owner(&self, mut ready: impl FnMut(Runnable)) {
        let mut woken = false;
        for _ in 0..MOST_BATCHES {
            let report = |token, readiness| Source::notice(token, readiness, &mut ready);
            let reports = self.backend.wait(Wait::No, || (), Source::prefetch, report);
            woken |= reports.woken;
            if !reports.full {
                break;
            }
        }
        if woken {
            // It was meant for the owner.
            self.backend.wake();
        }
    }

    /// Whether a poll would bring something. Takes nothing; waits for who is just polling.
    pub(crate) fn has_reports(&self) -> bool {
        self.backend.is_ready()
    }

    /// The owner comes back from its wait, or will not wait the next time.
    pub(crate) fn wake(&self) {
        self.backend.wake();
    }

    /// Nobody will poll here any more, or not for a while: whoever waits for a source registered here is to
    /// try again, and so to register it elsewhere.
    pub(crate) fn retire(&self, ready: impl FnMut(Runnable)) {
        if self.is_used() {
            Source::leave_all(self, ready);
        }
    }

    fn add(&self, fd: RawFd, token: u64) -> io::Result<()> {
        self.backend.add(fd, token)?;
        self.sources.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// `still_open`: the descriptor will not be closed at once, or has copies.
    fn remove(&self, fd: RawFd, still_open: bool) {
        if still_open {
            self.backend.remove(fd);
        }
        self.sources.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Poller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poller").field("sources", &self.sources).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
