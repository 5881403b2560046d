//! One channel: a lock, a buffer, and two wait queues.
//!
//! # Invariants, whenever the lock is free
//!
//! * Receivers wait only if the buffer is empty; senders only if it is full (a value that was given back may
//!   fill it over its capacity). So never both, except that a select may wait on both sides (it does not meet
//!   itself).
//! * Once closed it stays closed, nobody waits for long (`close` serves all), and the buffer only shrinks.
//!
//! Waiters whose park has ended otherwise may still stand in a queue, until they take the lock: they count
//! as nobody, and serving them has no effect.
//!
//! # Hand-off
//!
//! A sender that finds a receiver writes the value to the receiver's frame; a receiver that finds a sender
//! reads it from the sender's frame. The bytes move first, then the claim decides whether that was in
//! vain; ownership moves with the claim. Nobody who was served has to take the lock again.
//!
//! Large values are never moved by value on the way: only between the caller's frame, the buffer and the
//! other one's frame.

use super::lock::ChanLock;
use crate::goroutine::WaitReason;
use crate::park::{self, Parking};
use crate::primitive::Locked;
use crate::primitive::atomic::{AtomicUsize, Ordering};
use crate::ticket::Cause;
use crate::waitq::{Verdict, WaitQueue, Waiter, Wake};
use std::collections::VecDeque;
use std::fmt;
use std::mem::{self, MaybeUninit};
use std::process;
use std::time::Instant;

/// What to do if it cannot go ahead at once.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wait {
    /// Give up.
    No,
    /// Wait, maybe not for ever.
    Until(Option<Instant>),
}

/// Why it did not go ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Closed,
    /// Without waiting it cannot.
    NotNow,
    Timeout,
}

/// What an attempt under the lock came to.
#[must_use]
pub(super) enum Attempt {
    /// The value has moved; then somebody is to be woken.
    Done(Wake),
    Closed,
    MustWait,
}

impl Attempt {
    /// Nobody waits for a channel that is over.
    #[inline]
    pub(super) fn in_time<T>(self, chan: &Chan<T>) -> Attempt {
        match self {
            Attempt::MustWait if chan.is_over() => Attempt::Closed,
            other => other,
        }
    }
}

pub(super) struct Chan<T> {
    state: Locked<State<T>, ChanLock>,
    /// How many values the buffer takes; `usize::MAX`: any number.
    capacity: usize,
    senders: AtomicUsize,
    receivers: AtomicUsize,
    /// From this time on it counts as closed.
    closes_at: Option<Instant>,
}

// SAFETY: values move between threads, and so do the nodes of those who wait for them; everything else is
// behind the lock or atomic.
unsafe impl<T: Send> Send for Chan<T> {}
// SAFETY: as above. Nobody gets a reference to a value that is in the channel.
unsafe impl<T: Send> Sync for Chan<T> {}

/// What the lock protects.
pub(super) struct State<T> {
    /// Oldest first.
    buffer: VecDeque<T>,
    closed: bool,
    senders: WaitQueue,
    receivers: WaitQueue,
}

impl<T> State<T> {
    /// Sends the value at `slot`. When that is done, it has moved away.
    ///
    /// # Safety
    /// `slot` holds a value.
    #[inline]
    pub(super) unsafe fn send(&mut self, slot: *mut T, capacity: usize) -> Attempt {
        if self.closed {
            return Attempt::Closed;
        }
        let handed = self.receivers.serve_idle(Verdict::Served, |to| {
            // SAFETY: a receiver left room for a value there (`receive`, `RecvArm`), and a value is here.
            unsafe { to.cast::<T>().copy_from_nonoverlapping(slot, 1) };
        });
        if let Some(wake) = handed {
            return Attempt::Done(wake);
        }
        if self.buffer.len() < capacity {
            // SAFETY: by the contract above; the caller takes it as moved.
            self.buffer.push_back(unsafe { slot.read() });
            return Attempt::Done(Wake::NOBODY);
        }
        Attempt::MustWait
    }

    /// Receives a value to `slot`.
    ///
    /// # Safety
    /// `slot` has room for a value.
    #[inline(always)]
    pub(super) unsafe fn receive(&mut self, slot: *mut T, capacity: usize) -> Attempt {
        if let Some(value) = self.buffer.pop_front() {
            // SAFETY: by the contract above.
            unsafe { slot.write(value) };
            return Attempt::Done(self.refill(capacity));
        }
        let handed = self.senders.serve(Verdict::Served, |from| {
            // SAFETY: a sender left its value there (`send`, `SendArm`), and there is room here.
            unsafe { slot.copy_from_nonoverlapping(from.cast::<T>(), 1) };
        });
        match handed {
            Some(wake) => Attempt::Done(wake),
            None if self.closed => Attempt::Closed,
            None => Attempt::MustWait,
        }
    }

    /// There may be room in the buffer: then the next sender need not wait any more.
    #[inline]
    fn refill(&mut self, capacity: usize) -> Wake {
        // Full still if something was given back.
        if self.senders.is_empty() || self.buffer.len() >= capacity {
            return Wake::NOBODY;
        }
        let mut bytes = MaybeUninit::<T>::uninit();
        let served = self.senders.serve(Verdict::Served, |from| {
            // SAFETY: as in `receive`. Until the claim is won these are only bytes.
            unsafe { bytes.as_mut_ptr().copy_from_nonoverlapping(from.cast::<T>(), 1) };
        });
        match served {
            Some(wake) => {
                // SAFETY: the claim was won, so the value that was copied last is ours.
                self.buffer.push_back(unsafe { bytes.assume_init() });
                wake
            }
            None => Wake::NOBODY,
        }
    }

    /// Lets a sender wait.
    ///
    /// # Safety
    /// As for [`WaitQueue::push_back`]; its slot is a value.
    pub(super) unsafe fn enlist_sender(&mut self, waiter: &Waiter) {
        // SAFETY: by the contract above.
        unsafe { self.senders.push_back(waiter) };
    }

    /// Lets a receiver wait.
    ///
    /// # Safety
    /// As for [`WaitQueue::push_back`]; its slot is room for a value.
    pub(super) unsafe fn enlist_receiver(&mut self, waiter: &Waiter) {
        // SAFETY: by the contract above.
        unsafe { self.receivers.push_back(waiter) };
    }

    /// # Safety
    /// If it is queued, then among this channel's senders.
    pub(super) unsafe fn delist_sender(&mut self, waiter: &Waiter) {
        // SAFETY: by the contract above.
        unsafe { self.senders.remove(waiter) };
    }

    /// # Safety
    /// If it is queued, then among this channel's receivers.
    pub(super) unsafe fn delist_receiver(&mut self, waiter: &Waiter) {
        // SAFETY: by the contract above.
        unsafe { self.receivers.remove(waiter) };
    }
}

impl<T> Chan<T> {
    /// With one sender and one receiver.
    pub(super) fn new(capacity: usize, closes_at: Option<Instant>) -> Chan<T> {
        Chan {
            state: Locked::behind(
                ChanLock::new(),
                State {
                    buffer: VecDeque::new(),
                    closed: false,
                    senders: WaitQueue::new(),
                    receivers: WaitQueue::new(),
                },
            ),
            capacity,
            senders: AtomicUsize::new(1),
            receivers: AtomicUsize::new(1),
            closes_at,
        }
    }

    pub(super) fn state(&self) -> &Locked<State<T>, ChanLock> {
        &self.state
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    pub(super) fn closes_at(&self) -> Option<Instant> {
        self.closes_at
    }

    /// Whether its time is over.
    #[inline]
    fn is_over(&self) -> bool {
        self.closes_at.is_some_and(|time| time <= Instant::now())
    }

    /// Sends, and gives the value back if that was refused.
    #[inline]
    pub(super) fn send(&self, value: T, wait: Wait) -> Result<(), (Refused, T)> {
        // Never moved again: servers get its address. And once it is theirs this is only memory: a `Box` must
        // not even be forgotten here, when its new owner may have freed what it points to.
        let mut value = MaybeUninit::new(value);
        let slot = value.as_mut_ptr();
        let mut state = self.state.lock();
        // SAFETY: the value is there.
        match unsafe { state.send(slot, self.capacity) }.in_time(self) {
            Attempt::Done(wake) => {
                drop(state);
                wake.wake();
                Ok(())
            }
            Attempt::Closed => {
                drop(state);
                // SAFETY: it has not moved.
                Err((Refused::Closed, unsafe { value.assume_init() }))
            }
            Attempt::MustWait => {
                let Wait::Until(deadline) = wait else {
                    drop(state);
                    // SAFETY: it has not moved.
                    return Err((Refused::NotNow, unsafe { value.assume_init() }));
                };
                let parking = Parking::open();
                let waiter = Waiter::new();
                waiter.prepare(parking.ticket(), slot.cast());
                // SAFETY: it stays on this frame, which is left only when it was served or delisted below.
                unsafe { state.enlist_sender(&waiter) };
                drop(state);
                let cause = parking.wait(WaitReason::Send, self.sooner(deadline));
                if cause == Cause::Notified {
                    if waiter.verdict() == Verdict::Closed {
                        // SAFETY: it has not moved.
                        return Err((Refused::Closed, unsafe { value.assume_init() }));
                    }
                    // It went with the claim.
                    return Ok(());
                }
                // SAFETY: it was enlisted there.
                unsafe { self.state.lock().delist_sender(&waiter) };
                // SAFETY: it has not moved, and nobody knows its address any more.
                let value = unsafe { value.assume_init() };
                park::unwind_if_cancelled(cause);
                Err((self.timed_out(), value))
            }
        }
    }

    #[inline]
    pub(super) fn receive(&self, wait: Wait) -> Result<T, Refused> {
        let mut room = MaybeUninit::<T>::uninit();
        let slot = room.as_mut_ptr();
        let mut state = self.state.lock();
        // SAFETY: there is room.
        match unsafe { state.receive(slot, self.capacity) }.in_time(self) {
            Attempt::Done(wake) => {
                drop(state);
                wake.wake();
            }
            Attempt::Closed => return Err(Refused::Closed),
            Attempt::MustWait => {
                let Wait::Until(deadline) = wait else { return Err(Refused::NotNow) };
                let parking = Parking::open();
                let waiter = Waiter::new();
                waiter.prepare(parking.ticket(), slot.cast());
                // SAFETY: as in `send`.
                unsafe { state.enlist_receiver(&waiter) };
                drop(state);
                let cause = parking.wait(WaitReason::Receive, self.sooner(deadline));
                if cause != Cause::Notified {
                    // SAFETY: it was enlisted there.
                    unsafe { self.state.lock().delist_receiver(&waiter) };
                    park::unwind_if_cancelled(cause);
                    return Err(self.timed_out());
                }
                if waiter.verdict() == Verdict::Closed {
                    return Err(Refused::Closed);
                }
            }
        }
        // SAFETY: done, or served: a value was moved here.
        Ok(unsafe { room.assume_init() })
    }

    /// A value was received by a future that did not live to see it: the next one gets it. For that the
    /// buffer may exceed the capacity. If several are given back, they may change places.
    #[cold]
    pub(super) fn give_back(&self, value: T) {
        let mut value = MaybeUninit::new(value);
        let slot = value.as_mut_ptr();
        let mut state = self.state.lock();
        let handed = state.receivers.serve_idle(Verdict::Served, |to| {
            // SAFETY: as in `State::send`.
            unsafe { to.cast::<T>().copy_from_nonoverlapping(slot, 1) };
        });
        match handed {
            Some(wake) => {
                drop(state);
                wake.wake();
            }
            // SAFETY: it has not moved.
            None => state.buffer.push_front(unsafe { value.assume_init() }),
        }
    }

    /// A wait ends no later than the channel does.
    fn sooner(&self, deadline: Option<Instant>) -> Option<Instant> {
        sooner(deadline, self.closes_at)
    }

    /// Why the time of a wait was over.
    fn timed_out(&self) -> Refused {
        if self.is_over() { Refused::Closed } else { Refused::Timeout }
    }

    /// Nothing can be sent any more; who waits, learns it.
    #[cold]
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        loop {
            // Both queues only shrink from now on.
            let State { senders, receivers, .. } = &mut *state;
            let served = senders
                .serve(Verdict::Closed, |_| {})
                .or_else(|| receivers.serve(Verdict::Closed, |_| {}));
            drop(state);
            let Some(wake) = served else { return };
            wake.wake();
            state = self.state.lock();
        }
    }

    /// The last receiver is gone, and with it what it could have received.
    #[cold]
    fn abandon(&self) {
        self.close();
        let buffer = mem::take(&mut self.state.lock().buffer);
        // Destructors are user code, so not under the lock.
        drop(buffer);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state.lock().closed || self.is_over()
    }

    pub(super) fn len(&self) -> usize {
        self.state.lock().buffer.len()
    }

    pub(super) fn add_sender(&self) {
        count_up(&self.senders);
    }

    pub(super) fn add_receiver(&self) {
        count_up(&self.receivers);
    }

    pub(super) fn remove_sender(&self) {
        if self.senders.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.close();
        }
    }

    pub(super) fn remove_receiver(&self) {
        if self.receivers.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.abandon();
        }
    }
}

/// The earlier one of two deadlines that there may be.
#[inline]
pub(super) fn sooner(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

fn count_up(count: &AtomicUsize) {
    if count.fetch_add(1, Ordering::Relaxed) > usize::MAX / 2 {
        // A leak in a loop; going on would close a channel that is in use.
        process::abort();
    }
}

impl<T> fmt::Debug for Chan<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Chan")
    }
}
