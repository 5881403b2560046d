//! Where those stand who wait for a primitive: its lock, what the lock protects, and one or more queues.
//!
//! This is the inside of a semaphore, and the semaphore is the simplest use of it: what the lock protects
//! is the number of permits. The other primitives are a word of state, for the fast path, and a line, where
//! those wait who found that word against them. So the wait itself, and the race between being served, a
//! timeout and a cancel, stands here once.
//!
//! * *Decide*: whoever has to wait finds that out under the lock, and stands in line before it lets go.
//! * *Serve*: whoever lets somebody go on decides that under the lock, too. What it hands over (a permit, the
//!   lock itself, or the news that it is worth another try) belongs to the waiter from then on: it comes back
//!   with [`Cause::Notified`] and with nothing else.
//! * *Leave*: a waiter whose wait ended otherwise takes the lock, and is out of the line before it lets go.
//!   Nobody gave it anything, and what the state says about who waits is put right under the same lock.
//!
//! So between two holders of the lock there is never a permit on its way to somebody who has left.

use crate::goroutine::WaitReason;
use crate::park::Parking;
use crate::primitive::lock::Guard;
use crate::primitive::{Locked, const_unless_loom};
use crate::ticket::Cause;
use crate::waitq::{Verdict, WaitQueue, Waiter, Wake};
use std::time::Instant;

/// See the head of this file.
#[derive(Debug)]
pub(super) struct Line<S, const QUEUES: usize = 1>(Locked<Inner<S, QUEUES>>);

struct Inner<S, const QUEUES: usize> {
    state: S,
    queues: [WaitQueue; QUEUES],
}

/// How to wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct How {
    pub(super) reason: WaitReason,
    /// One in the past does not wait.
    pub(super) deadline: Option<Instant>,
    /// Whether a cancel ends it.
    pub(super) cancellable: bool,
}

impl How {
    /// For as long as it takes, or until the goroutine is cancelled.
    pub(super) const fn patient(reason: WaitReason) -> How {
        How { reason, deadline: None, cancellable: true }
    }

    /// Up to a point in time.
    pub(super) const fn until(self, deadline: Option<Instant>) -> How {
        How { deadline, ..self }
    }

    /// Only being served ends it.
    pub(super) const fn determined(reason: WaitReason) -> How {
        How { reason, deadline: None, cancellable: false }
    }
}

/// Where in its queue somebody stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Behind those who came before.
    Back,
    /// Before all others: for somebody who has waited already.
    Front,
}

impl<S, const QUEUES: usize> Line<S, QUEUES> {
    const_unless_loom! {
        pub(super) fn new(state: S) -> Line<S, QUEUES> {
            Line(Locked::new(Inner { state, queues: [const { WaitQueue::new() }; QUEUES] }))
        }
    }

    #[inline]
    pub(super) fn lock(&self) -> LineGuard<'_, S, QUEUES> {
        LineGuard { line: self, inner: self.0.lock() }
    }
}

/// The line, with its lock held.
#[must_use]
pub(super) struct LineGuard<'a, S, const QUEUES: usize = 1> {
    line: &'a Line<S, QUEUES>,
    inner: Guard<'a, Inner<S, QUEUES>>,
}

impl<S, const QUEUES: usize> LineGuard<'_, S, QUEUES> {
    /// What the lock protects beside the queues.
    #[inline]
    pub(super) fn state(&mut self) -> &mut S {
        &mut self.inner.state
    }

    #[inline]
    pub(super) fn is_empty(&self, queue: usize) -> bool {
        self.inner.queues[queue].is_empty()
    }

    /// Lets the first of a queue go on. `hand_over` gets its note; it may be called for several waiters, and
    /// only the last call counts, and only if somebody was served.
    #[inline]
    pub(super) fn serve(&mut self, queue: usize, hand_over: impl FnMut(*mut ())) -> Option<Wake> {
        self.inner.queues[queue].serve(Verdict::Served, hand_over)
    }

    /// Stands in a queue, lets go of the lock, and waits. With [`Cause::Notified`] it was served; otherwise it
    /// has left the queue, and before the lock was free `left` was told.
    ///
    /// A cancelled goroutine has yet to unwind (`park::unwind_if_cancelled`).
    #[inline]
    pub(super) fn wait(
        self,
        queue: usize,
        place: Place,
        note: *mut (),
        how: How,
        left: impl FnOnce(&mut Self),
    ) -> Cause {
        self.wait_after(queue, place, note, how, || {}, left)
    }

    /// The same, with something to do before the wait. It does not panic, and may wake others.
    #[inline]
    pub(super) fn wait_after(
        mut self,
        queue: usize,
        place: Place,
        note: *mut (),
        how: How,
        before: impl FnOnce(),
        left: impl FnOnce(&mut Self),
    ) -> Cause {
        let parking = if how.cancellable { Parking::open() } else { Parking::open_uncancellable() };
        let waiter = Waiter::new();
        waiter.prepare(parking.ticket(), note);
        let line = self.line;
        let stands = &mut self.inner.queues[queue];
        // SAFETY: it stays on this frame, which is left only when it was served or removed below. Nothing in
        // between unwinds: neither `before` nor a wait.
        unsafe {
            match place {
                Place::Back => stands.push_back(&waiter),
                Place::Front => stands.push_front(&waiter),
            }
        }
        drop(self);
        before();
        let cause = parking.wait(how.reason, how.deadline);
        if cause != Cause::Notified {
            let mut guard = line.lock();
            // SAFETY: it was enlisted there.
            unsafe { guard.inner.queues[queue].remove(&waiter) };
            left(&mut guard);
        }
        cause
    }
}
