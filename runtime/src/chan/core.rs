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
use crate::goroutine::{Suspend, WaitReason};
use crate::park::{self, Parking, Waiting};
use crate::primitive::atomic::{AtomicUsize, Ordering};
use crate::primitive::{Guard, Locked};
use crate::sched::Leave;
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

/// Those who wait, by what they wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Party {
    Senders,
    Receivers,
}

/// How a send or receive begins.
enum Begun {
    /// It is done, or was refused.
    Over(Option<Refused>),
    /// The goroutine has to leave. When it is back, the end follows.
    Leave(Leave),
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
    /// The usual case of [`send`](Self::send): there is room, and nobody waits. Then the value at `slot` has moved.
    ///
    /// # Safety
    /// As for that.
    #[inline(always)]
    unsafe fn buffer_from(&mut self, slot: *mut T, capacity: usize) -> bool {
        let usual = !self.closed && self.receivers.is_empty() && self.buffer.len() < capacity;
        if usual {
            // SAFETY: by the contract above; the caller takes it as moved.
            self.buffer.push_back(unsafe { slot.read() });
        }
        usual
    }

    /// The usual case of [`receive`](Self::receive): there is a value, and nobody waits. Then it was moved to `slot`.
    ///
    /// # Safety
    /// As for that.
    #[inline(always)]
    unsafe fn unbuffer_to(&mut self, slot: *mut T) -> bool {
        if !self.senders.is_empty() {
            return false;
        }
        let value = self.buffer.pop_front();
        let usual = value.is_some();
        if let Some(value) = value {
            // SAFETY: by the contract above.
            unsafe { slot.write(value) };
        }
        usual
    }

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

    /// Lets somebody wait among that party.
    ///
    /// # Safety
    /// As for [`WaitQueue::push_back`]; the slot of a sender is a value, that of a receiver room for one.
    #[inline]
    pub(super) unsafe fn enlist(&mut self, party: Party, waiter: &Waiter) {
        // SAFETY: by the contract above.
        unsafe { self.line(party).push_back(waiter) };
    }

    /// # Safety
    /// If it is queued, then among that party of this channel.
    #[inline]
    pub(super) unsafe fn delist(&mut self, party: Party, waiter: &Waiter) {
        // SAFETY: by the contract above.
        unsafe { self.line(party).remove(waiter) };
    }

    fn line(&mut self, party: Party) -> &mut WaitQueue {
        match party {
            Party::Senders => &mut self.senders,
            Party::Receivers => &mut self.receivers,
        }
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
    // With the switch in it, see `sched/worker/leave.rs`.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn send(&self, value: T, wait: Wait) -> Result<(), (Refused, T)> {
        // Never moved again: servers get its address. And once it is theirs this is only memory: a `Box` must
        // not even be forgotten here, when its new owner may have freed what it points to.
        let mut value = MaybeUninit::new(value);
        let slot = value.as_mut_ptr();
        let mut state = self.state.lock();
        // SAFETY: the value is there.
        if unsafe { state.buffer_from(slot, self.capacity) } {
            return Ok(());
        }
        let mut waiter = MaybeUninit::uninit();
        // From here on known by this pointer only: others come to it behind the lock.
        let waiter = waiter.as_mut_ptr();
        // SAFETY: the value is there, and stays on this frame, as does the waiter. It goes at once.
        let refused = unsafe {
            let begun = self.begin_send(state, slot, waiter, wait);
            self.end(Party::Senders, begun, waiter)
        };
        match refused {
            // It has moved.
            None => Ok(()),
            // SAFETY: it has not moved, and nobody knows its address any more.
            Some(why) => Err((why, unsafe { value.assume_init() })),
        }
    }

    /// Sends the value at `slot`, waits until that is done, or prepares to wait. If it was refused, it has not moved.
    ///
    /// # Safety
    /// * `slot` holds a value, and `waiter` is room for one. Both stay where they are until this is over, which it is if it
    ///   says so, and else after [`end`](Self::end).
    /// * If it is told to leave, the goroutine [goes](Leave::go) to park before it does anything else.
    // Not inlined, so that the usual case can be, and the switch.
    #[inline(never)]
    unsafe fn begin_send(
        &self,
        state: Guard<'_, State<T>, ChanLock>,
        slot: *mut T,
        waiter: *mut Waiter,
        wait: Wait,
    ) -> Begun {
        let mut state = state;
        // SAFETY: the value is there.
        let attempt = unsafe { state.send(slot, self.capacity) };
        // SAFETY: by the contract above.
        unsafe { self.begin(Party::Senders, attempt, state, slot, waiter, wait) }
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn receive(&self, wait: Wait) -> Result<T, Refused> {
        let mut room = MaybeUninit::<T>::uninit();
        let slot = room.as_mut_ptr();
        let mut state = self.state.lock();
        // SAFETY: there is room.
        if unsafe { state.unbuffer_to(slot) } {
            // SAFETY: a value was moved here.
            return Ok(unsafe { room.assume_init() });
        }
        let mut waiter = MaybeUninit::uninit();
        // From here on known by this pointer only: others come to it behind the lock.
        let waiter = waiter.as_mut_ptr();
        // SAFETY: there is room, on this frame, where it stays, as does the waiter. It goes at once.
        let refused = unsafe {
            let begun = self.begin_receive(state, slot, waiter, wait);
            self.end(Party::Receivers, begun, waiter)
        };
        match refused {
            // SAFETY: a value was moved here.
            None => Ok(unsafe { room.assume_init() }),
            Some(why) => Err(why),
        }
    }

    /// Receives a value to `slot`, waits until that is done, or prepares to wait.
    ///
    /// # Safety
    /// As for [`begin_send`](Self::begin_send), but `slot` is room for a value.
    #[inline(never)]
    unsafe fn begin_receive(
        &self,
        state: Guard<'_, State<T>, ChanLock>,
        slot: *mut T,
        waiter: *mut Waiter,
        wait: Wait,
    ) -> Begun {
        let mut state = state;
        // SAFETY: there is room.
        let attempt = unsafe { state.receive(slot, self.capacity) };
        // SAFETY: by the contract above.
        unsafe { self.begin(Party::Receivers, attempt, state, slot, waiter, wait) }
    }

    /// After the attempt: it is over, or that party waits, or prepares to.
    ///
    /// # Safety
    /// As for [`begin_send`](Self::begin_send) and [`begin_receive`](Self::begin_receive).
    #[inline(always)]
    unsafe fn begin(
        &self,
        party: Party,
        attempt: Attempt,
        state: Guard<'_, State<T>, ChanLock>,
        slot: *mut T,
        waiter: *mut Waiter,
        wait: Wait,
    ) -> Begun {
        match attempt.in_time(self) {
            Attempt::Done(wake) => {
                drop(state);
                wake.wake();
                return Begun::Over(None);
            }
            Attempt::Closed => return Begun::Over(Some(Refused::Closed)),
            Attempt::MustWait => {}
        }
        let Wait::Until(deadline) = wait else {
            return Begun::Over(Some(Refused::NotNow));
        };
        let mut state = state;
        let parking = Parking::open();
        // SAFETY: there is room for one, and nobody knows it yet.
        let waiter = unsafe {
            waiter.write(Waiter::new());
            &*waiter
        };
        waiter.prepare(parking.ticket(), slot.cast());
        // SAFETY: it stays there, by the contract above, until it was served or delisted (`give_up`).
        unsafe { state.enlist(party, waiter) };
        drop(state);
        let reason = match party {
            Party::Senders => WaitReason::Send,
            Party::Receivers => WaitReason::Receive,
        };
        // SAFETY: by the contract above.
        match unsafe { parking.begin_wait(reason, self.sooner(deadline)) } {
            Waiting::Leave(leave) => Begun::Leave(leave),
            // SAFETY: it was enlisted there.
            Waiting::Over(cause) => Begun::Over(unsafe { self.outcome(party, cause, waiter) }),
        }
    }

    /// Goes if it has to: whether the value was refused, or there is none.
    ///
    /// # Safety
    /// This has just begun for the caller, with this waiter, and nothing has happened since.
    #[cfg_attr(not(debug_assertions), inline(always))]
    unsafe fn end(&self, party: Party, begun: Begun, waiter: *const Waiter) -> Option<Refused> {
        let leave = match begun {
            Begun::Over(refused) => return refused,
            Begun::Leave(leave) => leave,
        };
        // SAFETY: by the contract above; the waiter was enlisted with the park that it leaves for.
        unsafe {
            leave.go(Suspend::Park);
            let waiter = &*waiter;
            let Some(ticket) = waiter.ticket() else { unreachable!("it was enlisted with one") };
            self.outcome(party, park::end_wait(ticket), waiter)
        }
    }

    /// The same, when the wait has ended for that cause.
    ///
    /// # Safety
    /// The waiter was enlisted among that party.
    #[inline]
    unsafe fn outcome(&self, party: Party, cause: Cause, waiter: &Waiter) -> Option<Refused> {
        if cause == Cause::Notified {
            return (waiter.verdict() == Verdict::Closed).then_some(Refused::Closed);
        }
        // SAFETY: by the contract above.
        Some(unsafe { self.give_up(party, cause, waiter) })
    }

    /// # Safety
    /// As for [`outcome`](Self::outcome).
    #[cold]
    unsafe fn give_up(&self, party: Party, cause: Cause, waiter: &Waiter) -> Refused {
        // SAFETY: by the contract above.
        unsafe { self.state.lock().delist(party, waiter) };
        if cause == Cause::Cancelled {
            // SAFETY: it has not moved, and the sender does not come back to it.
            let _lost =
                (party == Party::Senders).then(|| unsafe { waiter.slot().cast::<T>().read() });
            park::unwind_if_cancelled(cause);
        }
        self.timed_out()
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
