//! The lock itself, without what it protects.
//!
//! ```text
//!   bit 0  LOCKED  somebody has it
//!   bit 1  QUEUED  somebody stands in line
//!   bit 2  WOKEN   one who stood in line was told to try again, and has not done so yet
//! ```
//!
//! QUEUED changes only under the line's lock, and says the same as the queue whenever that is free. With LOCKED
//! and the line's lock nothing else can change, except that the one who was told clears WOKEN.
//!
//! # Who is next
//!
//! A lock that always goes to the one who has waited longest stands still while that one is being woken, and
//! under load there is such a pause at every change. So usually nobody is next: the lock is free for whoever
//! comes, and the first in line is told to try again. Only one is told at a time (WOKEN): a second would only
//! try in vain. If it comes too late it stands in line again, at the front.
//!
//! Alone that would be unfair: whoever runs beats whoever must be woken, again and again. So there is a limit:
//! if the first in line has waited for a millisecond, an unlock does not free the lock but *hands it over*. LOCKED
//! stays set, so nobody can come in between, and the one who was served has it when it wakes. Those behind it
//! have waited about as long, and get it in the same way, one after the other. That goes on until the line is
//! short enough again for nobody to wait that long. It is the rule of Go's `sync.Mutex`, with its numbers.
//!
//! # No wake-up is lost
//!
//! * *To stand in line* needs the line's lock, and a look at LOCKED under it, in the same step that sets QUEUED.
//!   So whoever unlocks later sees QUEUED, and finds the waiter in the queue once it has the line's lock.
//! * *An unlock that sees WOKEN* leaves it to the one who was told. That one takes the lock, and then its own
//!   unlock sees QUEUED without WOKEN; or it finds the lock taken and clears WOKEN in the very step that sees
//!   LOCKED, so that the unlock of whoever has it sees QUEUED without WOKEN.
//! * *Whoever was told does try*: a wait that was served does not end by a timeout or a cancel. It leaves, if at
//!   all, in its next wait, and so by the second way above.

use super::super::line::{How, Line, LineGuard, Place};
use super::super::spin::Spin;
use crate::primitive::atomic::{AtomicU32, Ordering};
use crate::primitive::{MODELLED, const_unless_loom};
use crate::ticket::Cause;
use std::cell::Cell;
use std::ptr;
use std::time::{Duration, Instant};

const LOCKED: u32 = 1;
const QUEUED: u32 = 2;
const WOKEN: u32 = 4;

/// How long somebody waits before the lock is handed over.
const PATIENCE: Duration = Duration::from_millis(1);

/// See the head of this file.
#[derive(Debug)]
pub(in crate::sync) struct RawMutex {
    state: AtomicU32,
    line: Line<()>,
}

/// What a waiter and the one who unlocks tell each other, under the line's lock.
struct Note {
    since: Instant,
    /// Whether it has tried in vain after it was told to.
    has_lost: bool,
    /// It has the lock.
    handed_over: Cell<bool>,
}

impl Note {
    /// Under loom no time passes; there it is whoever was told once before.
    fn is_impatient(&self, now: Instant) -> bool {
        if MODELLED { self.has_lost } else { now.saturating_duration_since(self.since) >= PATIENCE }
    }
}

impl RawMutex {
    const_unless_loom! {
        pub(in crate::sync) fn new() -> RawMutex {
            RawMutex { state: AtomicU32::new(0), line: Line::new(()) }
        }
    }

    #[inline]
    pub(in crate::sync) fn try_lock(&self) -> bool {
        let mut state = self.state.load(Ordering::Relaxed);
        while state & LOCKED == 0 {
            match self.take(state, 0) {
                Ok(()) => return true,
                Err(now) => state = now,
            }
        }
        false
    }

    /// Sets LOCKED, and clears `told`.
    #[inline]
    fn take(&self, state: u32, told: u32) -> Result<(), u32> {
        let taken = (state | LOCKED) & !told;
        self.state.compare_exchange(state, taken, Ordering::Acquire, Ordering::Relaxed).map(|_| ())
    }

    /// Takes the lock, if need be waiting for it. Without [`Cause::Notified`] it does not have it.
    #[inline]
    pub(in crate::sync) fn lock(&self, how: impl FnOnce() -> How) -> Cause {
        let state = self.state.load(Ordering::Relaxed);
        if state & LOCKED == 0 && self.take(state, 0).is_ok() {
            return Cause::Notified;
        }
        self.lock_slow(how())
    }

    #[cold]
    fn lock_slow(&self, how: How) -> Cause {
        // WOKEN: it has been told to try.
        let mut told = 0;
        let mut since = None;
        let mut spin = Spin::new();
        loop {
            let state = self.state.load(Ordering::Relaxed);
            if state & LOCKED == 0 {
                if self.take(state, told).is_ok() {
                    return Cause::Notified;
                }
                continue;
            }
            if spin.again() {
                continue;
            }
            // Before the line's lock: a system without a fast clock must not keep it for long.
            let since = *since.get_or_insert_with(Instant::now);
            let line = self.line.lock();
            if !self.announce(told) {
                continue;
            }
            let note = Note { since, has_lost: told != 0, handed_over: Cell::new(false) };
            let address = ptr::from_ref(&note).cast_mut().cast();
            let place = if told == 0 { Place::Back } else { Place::Front };
            let cause = line.wait(0, place, address, how, |line| self.left(line));
            if cause != Cause::Notified || note.handed_over.get() {
                return cause;
            }
            told = WOKEN;
            spin = Spin::new();
        }
    }

    /// Under the line's lock: says that somebody stands in line from now on. False: the lock is free.
    fn announce(&self, told: u32) -> bool {
        let mut state = self.state.load(Ordering::Relaxed);
        while state & LOCKED != 0 {
            let queued = (state | QUEUED) & !told;
            match self.state.compare_exchange(state, queued, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => state = now,
            }
        }
        false
    }

    /// Under the line's lock: somebody has left it.
    fn left(&self, line: &LineGuard<'_, ()>) {
        if line.is_empty(0) {
            self.state.fetch_and(!QUEUED, Ordering::Relaxed);
        }
    }

    /// Gives the lock back.
    ///
    /// # Safety
    /// The caller has it, and does not use what it protects any more.
    #[inline]
    pub(in crate::sync) unsafe fn unlock(&self) {
        let state = self.state.load(Ordering::Relaxed);
        if state & (QUEUED | WOKEN) == QUEUED
            || self
                .state
                .compare_exchange(state, state & !LOCKED, Ordering::Release, Ordering::Relaxed)
                .is_err()
        {
            self.unlock_slow();
        }
    }

    #[cold]
    fn unlock_slow(&self) {
        let mut state = self.state.load(Ordering::Relaxed);
        while state & (QUEUED | WOKEN) != QUEUED {
            match self.state.compare_exchange(
                state,
                state & !LOCKED,
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(now) => state = now,
            }
        }
        let now = Instant::now();
        let mut line = self.line.lock();
        let mut handed_over = false;
        let served = line.serve(0, |note| {
            // SAFETY: of a waiter in `lock_slow`, which reads it only when it has been served.
            let note = unsafe { &*note.cast::<Note>() };
            handed_over = note.is_impatient(now);
            note.handed_over.set(handed_over);
        });
        let queued = if line.is_empty(0) { 0 } else { QUEUED };
        match &served {
            // From the claim on it may be unlocking, so only this bit.
            Some(_) if handed_over && queued == 0 => {
                self.state.fetch_and(!QUEUED, Ordering::Relaxed);
            }
            Some(_) if handed_over => {}
            // Nobody else writes now. A swap, not a store: loom would let a read-modify-write of another thread that
            // came before the store be the later one, which no memory model allows.
            Some(_) => {
                self.state.swap(queued | WOKEN, Ordering::Release);
            }
            None => {
                self.state.swap(queued, Ordering::Release);
            }
        }
        drop(line);
        if let Some(wake) = served {
            wake.wake();
        }
    }
}
