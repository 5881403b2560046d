//! The one wait queue: who waits for a thing, first come first served.
//!
//! A [`Waiter`] is a node on the frame of whoever waits, and carries the ticket of that park. The queue is
//! embedded in the primitive that it belongs to, and is only touched under that primitive's lock. A wait
//! goes like this.
//!
//! * *Enlist*: under the lock the waiter finds that it has to wait, and pushes its node.
//! * *Wait*: it unlocks, and parks.
//! * *Serve*: under the lock somebody takes the first node off the queue, leaves a [`Verdict`] and what it
//!   hands over, and then claims the ticket. From the claim on the node may be gone. If the claim is lost,
//!   because a timeout, a cancel or another arm of a select came first, then the verdict is taken back
//!   and the next waiter is tried. After it has unlocked, the server makes the waiter runnable ([`Wake`]).
//! * *Leave*: a waiter that wakes for another reason takes the lock and removes its node, if it is still
//!   there. So whoever holds the lock and sees a node in the queue may use it.
//!
//! A waiter that was notified and stands in one queue need not take the lock again: its verdict was
//! written before the claim. In a select several servers may have left verdicts, all but one of them to
//! be taken back, so there a verdict counts only when it is read under the lock.

use crate::sched;
use crate::ticket::{Cause, Claim, Runnable, Ticket};
use std::cell::Cell;
use std::ptr;

/// How many waiters are looked at to find one that can run at once.
const LOOK_AT: usize = 8;
/// How often in a row the first one may be passed over for such a one.
const PASS_OVER: u32 = 16;

/// What a server left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing yet.
    None,
    /// What it waited for has happened.
    Served,
    /// It never will.
    Closed,
}

/// The node of one who waits. Touched under the queue's lock once it is enlisted, but for what its owner may look at.
#[derive(Debug)]
pub(crate) struct Waiter {
    ticket: Cell<Option<Ticket>>,
    /// Where a value is left or taken; what it is, the primitive knows.
    slot: Cell<*mut ()>,
    verdict: Cell<Verdict>,
    queued: Cell<bool>,
    next: Cell<*const Waiter>,
    previous: Cell<*const Waiter>,
}

impl Waiter {
    /// One that waits in no queue yet.
    #[inline]
    pub(crate) const fn new() -> Waiter {
        Waiter {
            ticket: Cell::new(None),
            slot: Cell::new(ptr::null_mut()),
            verdict: Cell::new(Verdict::None),
            queued: Cell::new(false),
            next: Cell::new(ptr::null()),
            previous: Cell::new(ptr::null()),
        }
    }

    /// Before it is enlisted: whose park ends, and where the server finds or leaves a value.
    #[inline]
    pub(crate) fn prepare(&self, ticket: Ticket, slot: *mut ()) {
        self.ticket.set(Some(ticket));
        self.slot.set(slot);
        self.verdict.set(Verdict::None);
    }

    /// Whose park it waits with. That one may ask without the lock: nobody changes it after [`prepare`](Self::prepare).
    #[inline]
    pub(crate) fn ticket(&self) -> Option<Ticket> {
        self.ticket.get()
    }

    /// What it was prepared with.
    pub(crate) fn slot(&self) -> *mut () {
        self.slot.get()
    }

    /// What the server left. See the head of this file for when it counts.
    #[inline]
    pub(crate) fn verdict(&self) -> Verdict {
        self.verdict.get()
    }
}

/// A waiter whose park this server has ended: it must be made runnable, without any lock held.
#[derive(Debug)]
#[must_use = "the waiter would never run again"]
pub struct Wake(Option<Runnable>);

impl Wake {
    /// There was nobody to wake.
    pub(crate) const NOBODY: Wake = Wake(None);

    #[inline]
    pub(crate) fn wake(self) {
        if let Some(runnable) = self.0 {
            sched::ready(runnable);
        }
    }
}

/// First come, first served. See the head of this file.
#[derive(Debug)]
pub(crate) struct WaitQueue {
    first: *const Waiter,
    last: *const Waiter,
    /// How often in a row somebody else was served before the first.
    passed_over: u32,
}

// SAFETY: the nodes are only touched under the lock of the primitive, see `push_back`.
unsafe impl Send for WaitQueue {}

impl WaitQueue {
    pub(crate) const fn new() -> WaitQueue {
        WaitQueue { first: ptr::null(), last: ptr::null(), passed_over: 0 }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_null()
    }

    /// Enlists a waiter that was [prepared](Waiter::prepare), behind the others.
    ///
    /// # Safety
    /// Until it is no longer queued the waiter stays where it is, and is touched by nobody without the lock
    /// under which this queue is used.
    #[inline]
    pub(crate) unsafe fn push_back(&mut self, waiter: *const Waiter) {
        // SAFETY: by the contract above; those in the queue are there by the same.
        unsafe { self.link(self.last, waiter, ptr::null()) };
    }

    /// The same, before the others.
    ///
    /// # Safety
    /// As for [`push_back`](Self::push_back).
    pub(crate) unsafe fn push_front(&mut self, waiter: *const Waiter) {
        // SAFETY: by the contract above; those in the queue are there by the same.
        unsafe { self.link(ptr::null(), waiter, self.first) };
    }

    /// # Safety
    /// As for [`push_back`](Self::push_back); `previous` and `next` are neighbours or ends of this queue.
    #[inline]
    unsafe fn link(&mut self, previous: *const Waiter, waiter: *const Waiter, next: *const Waiter) {
        // SAFETY: by the contract above all three are null or alive, and ours by the lock.
        let (before, node, after) = unsafe { (previous.as_ref(), &*waiter, next.as_ref()) };
        debug_assert!(!node.queued.get());
        node.queued.set(true);
        node.previous.set(previous);
        node.next.set(next);
        match before {
            Some(before) => before.next.set(waiter),
            None => self.first = waiter,
        }
        match after {
            Some(after) => after.previous.set(waiter),
            None => self.last = waiter,
        }
    }

    /// Takes a waiter off the queue; false when it is not in it (any more).
    ///
    /// # Safety
    /// If it is queued, then in this queue.
    #[inline]
    pub(crate) unsafe fn remove(&mut self, waiter: &Waiter) -> bool {
        let queued = waiter.queued.get();
        if queued {
            // SAFETY: by the contract above.
            unsafe { self.unlink(waiter) };
        }
        queued
    }

    /// # Safety
    /// It is in this queue.
    #[inline]
    unsafe fn unlink(&mut self, waiter: &Waiter) {
        waiter.queued.set(false);
        let (previous, next) = (waiter.previous.get(), waiter.next.get());
        // SAFETY: null, or in the queue and so alive and ours by the lock (`push_back`).
        let (before, after) = unsafe { (previous.as_ref(), next.as_ref()) };
        match before {
            Some(before) => before.next.set(next),
            None => {
                self.first = next;
                self.passed_over = 0;
            }
        }
        match after {
            Some(after) => after.previous.set(previous),
            None => self.last = previous,
        }
    }

    /// Ends the wait of the first waiter that still waits. `hand_over` gets its slot; it may be called for
    /// several waiters, and only the last call counts.
    #[inline]
    pub(crate) fn serve(
        &mut self,
        verdict: Verdict,
        mut hand_over: impl FnMut(*mut ()),
    ) -> Option<Wake> {
        while !self.first.is_null() {
            if let Some(wake) = self.try_serve(self.first, verdict, &mut hand_over) {
                return Some(wake);
            }
        }
        None
    }

    /// The same, but one of the next few waiters may come first, if it can run at once and the first
    /// cannot. Nobody is passed over for long.
    #[inline]
    pub(crate) fn serve_idle(
        &mut self,
        verdict: Verdict,
        mut hand_over: impl FnMut(*mut ()),
    ) -> Option<Wake> {
        while !self.first.is_null() {
            let waiter = self.choose();
            if let Some(wake) = self.try_serve(waiter, verdict, &mut hand_over) {
                return Some(wake);
            }
        }
        None
    }

    #[inline]
    fn try_serve(
        &mut self,
        waiter: *const Waiter,
        verdict: Verdict,
        hand_over: &mut impl FnMut(*mut ()),
    ) -> Option<Wake> {
        // SAFETY: it is in the queue, and so alive and ours by the lock (`push_back`).
        let waiter = unsafe { &*waiter };
        // SAFETY: it is in this queue.
        unsafe { self.unlink(waiter) };
        let ticket = waiter.ticket.get()?;
        hand_over(waiter.slot.get());
        waiter.verdict.set(verdict);
        match ticket.claim(Cause::Notified) {
            Claim::Lost => {
                // It still stands at its lock, or will.
                waiter.verdict.set(Verdict::None);
                None
            }
            // From here on the waiter may be gone.
            Claim::Early => Some(Wake::NOBODY),
            Claim::Won(runnable) => Some(Wake(Some(runnable))),
        }
    }

    /// The first, or a better one of the next few.
    #[inline]
    fn choose(&mut self) -> *const Waiter {
        // SAFETY: the queue is not empty, and its nodes are alive and ours by the lock (`push_back`).
        let first = unsafe { &*self.first };
        if first.next.get().is_null() || !sched::is_anyone_idle() {
            return first;
        }
        self.choose_idle()
    }

    #[cold]
    fn choose_idle(&mut self) -> *const Waiter {
        if self.passed_over >= PASS_OVER {
            return self.first;
        }
        let mut waiter = self.first;
        for _ in 0..LOOK_AT {
            // SAFETY: null, or in the queue and so alive and ours by the lock (`push_back`).
            let Some(node) = (unsafe { waiter.as_ref() }) else { break };
            if node.ticket.get().is_some_and(sched::can_run_at_once) {
                if !ptr::eq(waiter, self.first) {
                    self.passed_over += 1;
                }
                return waiter;
            }
            waiter = node.next.get();
        }
        self.first
    }
}

#[cfg(test)]
mod tests;
