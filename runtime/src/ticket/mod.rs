//! The park word: how a park begins, and how it ends exactly once.
//!
//! A [`Parker`] belongs to one goroutine, one plain thread or one async task. Its word says everything about the
//! current park:
//!
//! ```text
//!   63                               8 7   6 5     4 3     1 0
//!  +----------------------------------+-----+-------+-------+--------+
//!  |            generation            |     |listen | cause | PARKED |
//!  +----------------------------------+-----+-------+-------+--------+
//! ```
//!
//! * `open` (owner): next generation, no cause, and not PARKED, except in advance (below). From here on tickets of this generation can
//!   be claimed.
//! * `claim` (anyone with a ticket): generation matches and there is no cause yet → sets the cause. One
//!   CAS, so one claim wins; a ticket of an older park loses. What the winner hands over it writes
//!   before the claim; the owner reads it after it has seen the cause.
//! * `settle` (the worker, after it has switched away from the goroutine; a thread, before it sleeps):
//!   sets PARKED. Whichever of `claim` and `settle` comes second makes the owner runnable: the claim if
//!   it finds PARKED, else `settle`, which finds the cause. So nobody resumes a goroutine whose
//!   registers are not saved yet, and no lock is held across the switch.
//!
//! # Parked in advance
//!
//! A goroutine that stays on its worker is made runnable by being put into a list of that worker, which takes it out
//! after the goroutine has switched away, however early it was put there. (A goroutine that takes the next one out
//! itself when it switches away leaves it to the worker if that is itself.) So nobody needs to know which came first,
//! and `open_parked` sets PARKED at once: every claim makes the owner runnable, and a park costs no `settle`. In
//! return the owner must not go on by itself while it is in that list. Having opened a park it switches away,
//! unless it has ended the park itself (`expire`, `look_at_requests`); if somebody else was faster with that,
//! the owner switches away all the same (`park::Parking` sees to it).
//!
//! # Requests
//!
//! Some wishes outlive a park: "unwind when you next park" (cancel) and the token of `unpark`. They are
//! bits of `requests`, apart from the word, and a park says which it listens to. The requester sets its
//! bit, then looks at the word; the owner marks the word, then looks at the bits. Between its two steps each has a
//! full fence. So if the owner does not see the bit, the requester sees the mark, and with it an open, listening park,
//! which it claims. If both see the other's, the owner ends its own park, or finds it claimed.
//!
//! The owner's mark is the PARKED of `settle`, whose locked instruction is its fence. So `open` may be a plain
//! store. An owner that is parked in advance has no `settle`: its mark is that plain store. Such parks are
//! frequent and cancels are rare, so its fence is a light one, and a cancel makes the heavy one that belongs to it
//! (`primitive/membarrier.rs`), unless the canceller is on the owner's worker. An unpark is as frequent as the park
//! that listens to it: there both fences are ordinary ones.
//!
//! # Lifetime
//!
//! Parkers live in memory that is never unmapped and never becomes anything else than a parker
//! (goroutine slots, the pools of thread and task parkers), and the generation survives the reuse of a slot. So a
//! ticket is a plain copyable value that is safe to claim at any time: a stale one just loses.
//!
//! A parker lies at the beginning of what it belongs to (a goroutine's header, a thread's or task's parker), and that
//! is found by its address. The aliasing model that allows this for a pointer made from `&Parker` is Tree Borrows;
//! Stacked Borrows would confine it to the parker's own bytes.

pub(crate) mod task;
pub(crate) mod thread;

use crate::primitive::atomic::{AtomicU8, AtomicU64, Ordering, fence};
use crate::primitive::membarrier;
use std::ptr::NonNull;

const PARKED: u64 = 1;
const CAUSE_SHIFT: u32 = 1;
const CAUSE: u64 = 0b111 << CAUSE_SHIFT;
const LISTEN_SHIFT: u32 = 4;
const LISTEN: u64 = 0b11 << LISTEN_SHIFT;
const GENERATION_SHIFT: u32 = 8;

/// Why a park ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// What it waited for has happened.
    Notified = 1,
    /// Its deadline came first.
    Timeout = 2,
    /// The goroutine is to unwind.
    Cancelled = 3,
}

/// No park is open: a value of the cause field that no claim writes.
const CLOSED: u64 = 7 << CAUSE_SHIFT;

impl Cause {
    fn of(word: u64) -> Option<Cause> {
        match (word & CAUSE) >> CAUSE_SHIFT {
            1 => Some(Cause::Notified),
            2 => Some(Cause::Timeout),
            3 => Some(Cause::Cancelled),
            _ => None,
        }
    }
}

/// A wish that outlives a park.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Ends a listening park with [`Cause::Cancelled`]; stays set.
    Cancel = 1,
    /// Ends a listening park with [`Cause::Notified`]; taken by [`Parker::take`].
    Unpark = 2,
}

impl Request {
    fn cause(self) -> Cause {
        match self {
            Request::Cancel => Cause::Cancelled,
            Request::Unpark => Cause::Notified,
        }
    }
}

/// Which requests end a park.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listen(u8);

impl Listen {
    pub(crate) const NONE: Listen = Listen(0);
    pub(crate) const CANCEL: Listen = Listen(Request::Cancel as u8);
    pub(crate) const UNPARK: Listen = Listen(Request::Unpark as u8);

    /// The same without cancellation.
    pub(crate) const fn deaf(self) -> Listen {
        Listen(self.0 & !(Request::Cancel as u8))
    }

    pub(crate) const fn and(self, other: Listen) -> Listen {
        Listen(self.0 | other.0)
    }
}

/// Whose parker it is: how its owner is made runnable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Goroutine,
    Thread,
    /// An async task (`task.rs`).
    Task,
}

/// See the head of this file.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Parker {
    word: AtomicU64,
    requests: AtomicU8,
    kind: Kind,
}

// SAFETY: atomics and a constant.
unsafe impl Sync for Parker {}

/// Names one park of one goroutine, thread or task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    parker: NonNull<Parker>,
    generation: u64,
}

// SAFETY: parkers are never freed (head of this file) and are `Sync`.
unsafe impl Send for Ticket {}
// SAFETY: as above.
unsafe impl Sync for Ticket {}

/// An owner whose park has ended and who must be made runnable, by whoever holds this.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "the goroutine, thread or task behind it would never run again"]
pub(crate) struct Runnable(Ticket);

impl Runnable {
    pub(crate) fn parker(&self) -> NonNull<Parker> {
        self.0.parker
    }

    /// Of the park that has ended.
    pub(crate) fn generation(&self) -> u64 {
        self.0.generation
    }

    pub(crate) fn kind(&self) -> Kind {
        // SAFETY: parkers are never freed.
        unsafe { self.parker().as_ref() }.kind
    }
}

/// What became of an attempt to end a park.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Claim {
    /// The park had ended already, or never listened.
    Lost,
    /// Won; the owner has not settled yet and will notice by itself.
    Early,
    /// Won; the owner is parked, maybe in advance.
    Won(Runnable),
}

/// What [`Parker::settle`] found.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Settled {
    /// A claim will make the owner runnable, or has done so to one that is parked in advance.
    Parked,
    /// The park has ended; the owner is to go on at once.
    Ended(Cause),
}

impl Parker {
    pub(crate) fn new(kind: Kind) -> Parker {
        Parker { word: AtomicU64::new(CLOSED), requests: AtomicU8::new(0), kind }
    }

    pub(crate) fn is_goroutine(&self) -> bool {
        self.kind == Kind::Goroutine
    }

    /// Begins the next park. Owner only.
    #[inline]
    pub(crate) fn open(&self, listen: Listen) -> Ticket {
        self.open_with(listen, 0)
    }

    /// Begins the next park of an owner that is parked in advance. Owner only.
    #[inline]
    pub(crate) fn open_parked(&self, listen: Listen) -> Ticket {
        self.open_with(listen, PARKED)
    }

    #[inline(always)]
    fn open_with(&self, listen: Listen, parked: u64) -> Ticket {
        let generation = (self.word.load(Ordering::Relaxed) >> GENERATION_SHIFT) + 1;
        let word = generation << GENERATION_SHIFT | u64::from(listen.0) << LISTEN_SHIFT | parked;
        // Release: a claim that reads this word acquires what the owner did before it parked.
        self.word.store(word, Ordering::Release);
        Ticket { parker: NonNull::from(self), generation }
    }

    /// Marks the owner as parked, after its registers are saved.
    #[inline]
    pub(crate) fn settle(&self) -> Settled {
        let word = self.word.fetch_or(PARKED, Ordering::SeqCst);
        if let Some(cause) = Cause::of(word) {
            return Settled::Ended(cause);
        }
        if crate::primitive::MODELLED {
            // To loom the locked instruction is no fence.
            fence(Ordering::SeqCst);
        }
        let requests = self.requests.load(Ordering::SeqCst);
        let pending = u64::from(requests) & ((word & LISTEN) >> LISTEN_SHIFT);
        if pending == 0 { Settled::Parked } else { self.end_by_request(pending, word | PARKED) }
    }

    /// The second half of [`open_parked`](Self::open_parked), before the owner switches away: whether it need not,
    /// because of a request. Owner only.
    #[inline]
    pub(crate) fn look_at_requests(&self) -> Settled {
        let word = self.word.load(Ordering::Relaxed);
        if word & (Request::Unpark as u64) << LISTEN_SHIFT != 0 {
            fence(Ordering::SeqCst);
        } else {
            membarrier::light();
        }
        let requests = self.requests.load(Ordering::Acquire);
        if requests == 0 { Settled::Parked } else { self.look_at(requests, word) }
    }

    #[cold]
    fn look_at(&self, requests: u8, word: u64) -> Settled {
        let pending = u64::from(requests) & ((word & LISTEN) >> LISTEN_SHIFT);
        if pending == 0 || word & CAUSE != 0 {
            Settled::Parked
        } else {
            self.end_by_request(pending, word)
        }
    }

    #[cold]
    fn end_by_request(&self, pending: u64, word: u64) -> Settled {
        let request =
            if pending & Request::Cancel as u64 != 0 { Request::Cancel } else { Request::Unpark };
        let ended = word | (request.cause() as u64) << CAUSE_SHIFT;
        match self.word.compare_exchange(word, ended, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(_) => Settled::Ended(request.cause()),
            // Somebody claimed meanwhile, found PARKED and makes the owner runnable.
            Err(_) => Settled::Parked,
        }
    }

    /// Why the last park ended; `None` while it is open.
    #[inline]
    pub(crate) fn cause(&self) -> Option<Cause> {
        Cause::of(self.word.load(Ordering::Acquire))
    }

    /// Sets a request, and ends the current park if it listens to it.
    pub(crate) fn request(&self, request: Request) -> Claim {
        self.set_request(request);
        match request {
            Request::Cancel => membarrier::heavy(),
            Request::Unpark => fence(Ordering::SeqCst),
        }
        self.end_for(request)
    }

    /// The same for a caller on the thread to which an owner that is parked in advance belongs.
    pub(crate) fn request_from_its_thread(&self, request: Request) -> Claim {
        self.set_request(request);
        fence(Ordering::SeqCst);
        self.end_for(request)
    }

    /// The first step of [`request`](Self::request), for those who make one fence for many.
    pub(crate) fn set_request(&self, request: Request) {
        self.requests.fetch_or(request as u8, Ordering::SeqCst);
    }

    /// The step after the fence: ends the current park if it listens to the request, which is set.
    pub(crate) fn end_for(&self, request: Request) -> Claim {
        let mut word = self.word.load(Ordering::Acquire);
        loop {
            let listens = (word & LISTEN) >> LISTEN_SHIFT & request as u64 != 0;
            if word & CAUSE != 0 || !listens {
                return Claim::Lost;
            }
            match self.try_claim(word, request.cause()) {
                Ok(claim) => return claim,
                Err(now) => word = now,
            }
        }
    }

    /// Whether a request is set.
    #[inline]
    pub(crate) fn requested(&self, request: Request) -> bool {
        self.requests.load(Ordering::Acquire) & request as u8 != 0
    }

    /// Clears a request; true when it was set. Acquires what the requester did before.
    pub(crate) fn take(&self, request: Request) -> bool {
        self.requests.fetch_and(!(request as u8), Ordering::SeqCst) & request as u8 != 0
    }

    /// A new owner moves in. The generation goes on, so that tickets of the former owner stay stale.
    ///
    /// A cancel or unpark meant for the former owner can come no later than this: whoever sends one
    /// holds a reference to that owner's header.
    pub(crate) fn reuse(&self) {
        self.requests.store(0, Ordering::Relaxed);
    }

    /// The owner itself gives up waiting, for that reason.
    ///
    /// # Errors
    /// How the park had ended before.
    pub(crate) fn expire(&self, reason: Cause) -> Result<(), Cause> {
        let mut word = self.word.load(Ordering::Acquire);
        loop {
            if let Some(cause) = Cause::of(word) {
                return Err(cause);
            }
            match self.try_claim(word, reason) {
                Ok(_) => return Ok(()),
                Err(now) => word = now,
            }
        }
    }

    fn try_claim(&self, word: u64, cause: Cause) -> Result<Claim, u64> {
        let claimed = word | (cause as u64) << CAUSE_SHIFT;
        self.word.compare_exchange(word, claimed, Ordering::SeqCst, Ordering::SeqCst)?;
        Ok(if word & PARKED == 0 {
            Claim::Early
        } else {
            let generation = word >> GENERATION_SHIFT;
            Claim::Won(Runnable(Ticket { parker: NonNull::from(self), generation }))
        })
    }
}

impl Ticket {
    /// Ends the park that this names, if it is still open.
    #[inline]
    pub(crate) fn claim(self, cause: Cause) -> Claim {
        // SAFETY: parkers are never freed.
        let parker = unsafe { self.parker.as_ref() };
        let mut word = parker.word.load(Ordering::Relaxed);
        loop {
            if word >> GENERATION_SHIFT != self.generation || word & CAUSE != 0 {
                return Claim::Lost;
            }
            match parker.try_claim(word, cause) {
                Ok(claim) => return claim,
                // PARKED came in between, or another claim.
                Err(now) => word = now,
            }
        }
    }

    /// Whether its owner has not opened another park since. For the owner.
    pub(crate) fn is_latest(self) -> bool {
        // SAFETY: parkers are never freed.
        let parker = unsafe { self.parker.as_ref() };
        parker.word.load(Ordering::Relaxed) >> GENERATION_SHIFT == self.generation
    }

    pub(crate) fn parker(self) -> NonNull<Parker> {
        self.parker
    }

    pub(crate) fn generation(self) -> u64 {
        self.generation
    }

    /// Puts a ticket together again that was kept in two words.
    pub(crate) fn from_parts(parker: NonNull<Parker>, generation: u64) -> Ticket {
        Ticket { parker, generation }
    }
}

#[cfg(test)]
mod tests;
