//! A descriptor as the pollers see it. The protocol is at the head of `mod.rs`.

use super::{Direction, Poller, Readiness};
use crate::arch;
use crate::primitive::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};
use crate::primitive::pool::Pool;
use crate::primitive::{Locked, MODELLED};
use crate::ticket::{Cause, Claim, Runnable, Ticket};
use std::collections::VecDeque;
use std::hint;
use std::io;
use std::os::fd::RawFd;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr;
use std::sync::Arc;

/// On loan to one descriptor at a time, and never freed: reports may come late.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Source {
    /// Changes noticed in each direction.
    ticks: [AtomicU32; 2],
    /// At this tick a reader has found that nothing is left.
    drained: AtomicU32,
    /// See [`Readiness::restless`].
    restless: AtomicBool,
    /// When the last one was woken, there were more in line. Whoever comes to the line later has tried later, too,
    /// and waits for another change.
    crowded: [AtomicBool; 2],
    /// What those who wait touch first when they go on, to be fetched in time.
    user: AtomicPtr<u8>,
    state: Locked<State>,
}

/// With many connections it is out of the cache when a report comes, and two lines of it are fetched in time.
const _: () = assert!(size_of::<Source>() == 128 || MODELLED);

struct State {
    /// Counts the leases.
    lease: u16,
    closed: bool,
    /// Where it is registered, as which descriptor.
    registered: Option<(Arc<Poller>, RawFd)>,
    lines: [Line; 2],
    /// The turn of whoever came last.
    last_turn: u64,
}

struct Waiter {
    ticket: Ticket,
    turn: Turn,
}

/// When whoever waits came to the line for the first time. Zero: not yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Turn(u64);

impl Turn {
    #[inline]
    pub(crate) fn was_taken(self) -> bool {
        self.0 != 0
    }
}

/// Who waits, in the order of turns.
struct Line {
    /// Most of the time there is one at most.
    first: Option<Waiter>,
    /// Once there were more.
    rest: Option<Box<Rest>>,
}

/// Those behind the first.
#[derive(Default)]
struct Rest(VecDeque<Waiter>);

impl Line {
    const fn new() -> Line {
        Line { first: None, rest: None }
    }

    fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    #[inline]
    fn insert(&mut self, ticket: Ticket, turn: Turn) {
        match &self.first {
            None => self.first = Some(Waiter { ticket, turn }),
            Some(_) => self.insert_slow(ticket, turn),
        }
    }

    // The parts fit registers; a waiter would have to lie on the frame of whoever inlines the rest.
    #[cold]
    #[inline(never)]
    fn insert_slow(&mut self, ticket: Ticket, turn: Turn) {
        let mut waiter = Waiter { ticket, turn };
        if let Some(first) = &mut self.first
            && waiter.turn < first.turn
        {
            std::mem::swap(first, &mut waiter);
        }
        let Rest(rest) = &mut **self.rest.get_or_insert_default();
        // Whoever comes again was the first or nearly; whoever comes for the first time is the last.
        let place = match rest.back() {
            Some(last) if last.turn > waiter.turn => {
                rest.partition_point(|other| other.turn < waiter.turn)
            }
            _ => rest.len(),
        };
        rest.insert(place, waiter);
    }

    #[inline]
    fn pop(&mut self) -> Option<Waiter> {
        let first = self.first.take()?;
        if self.rest.is_some() {
            hint::cold_path();
            self.advance();
        }
        Some(first)
    }

    #[inline(never)]
    fn advance(&mut self) {
        self.first = self.rest.as_mut().and_then(|rest| rest.0.pop_front());
    }

    fn remove(&mut self, ticket: Ticket) {
        if self.first.as_ref().is_some_and(|waiter| waiter.ticket == ticket) {
            self.pop();
        } else if let Some(rest) = &mut self.rest {
            rest.0.retain(|waiter| waiter.ticket != ticket);
        }
    }
}

/// What became of an attempt to wait.
#[derive(Debug)]
#[must_use]
pub(crate) enum Enlisted {
    /// The park will end. Whoever leaves for another reason than that tells so ([`Source::forget`]).
    Waiting,
    /// Something has changed: try again.
    Changed,
    /// It has to be registered first.
    Unregistered,
    Closed,
}

// What they protect is never left half done.
impl UnwindSafe for Source {}
impl RefUnwindSafe for Source {}

static FREE: Pool<Source> = Pool::new();

/// Of a token, for the address of the source. User space has 47 bits.
const ADDRESS_BITS: u32 = 48;

impl Source {
    pub(super) fn new() -> Source {
        Source {
            ticks: [AtomicU32::new(1), AtomicU32::new(1)],
            drained: AtomicU32::new(0),
            restless: AtomicBool::new(false),
            crowded: [AtomicBool::new(false), AtomicBool::new(false)],
            user: AtomicPtr::new(ptr::null_mut()),
            state: Locked::new(State {
                lease: 0,
                closed: false,
                registered: None,
                lines: [Line::new(), Line::new()],
                last_turn: 0,
            }),
        }
    }

    /// One for a new descriptor.
    pub(crate) fn lease() -> &'static Source {
        FREE.lease(Source::new)
    }

    /// The descriptor is about to be closed. Nobody waits.
    ///
    /// `copied`: there may be other descriptors of the same file, so that closing this one is not its end.
    pub(crate) fn give_back(&'static self, copied: bool) {
        let mut state = self.state.lock();
        let registered = state.registered.take();
        debug_assert!(state.lines.iter().all(Line::is_empty));
        state.lease = state.lease.wrapping_add(1);
        state.closed = false;
        // With the memory of a long line.
        state.lines = [Line::new(), Line::new()];
        drop(state);
        self.restless.store(false, Ordering::Relaxed);
        self.drained.store(0, Ordering::Relaxed);
        if let Some((poller, fd)) = registered {
            poller.remove(fd, copied);
        }
        FREE.give_back(self);
    }

    /// Whoever waits next touches that first when it goes on: a hint.
    #[inline]
    pub(crate) fn set_user<T>(&self, user: &T) {
        self.user.store(ptr::from_ref(user).cast_mut().cast(), Ordering::Relaxed);
    }

    /// To be read before a try.
    #[inline]
    pub(crate) fn tick(&self, direction: Direction) -> u32 {
        self.ticks[direction as usize].load(Ordering::Acquire)
    }

    /// After a tick of `seen` a stream gave less than was asked for, so there is nothing left in it.
    #[inline]
    pub(crate) fn set_drained(&self, seen: u32) {
        self.drained.store(seen, Ordering::Relaxed);
    }

    /// Whether a read would find nothing: since it was last seen drained nothing was noticed.
    #[inline]
    pub(crate) fn is_drained(&self, seen: u32) -> bool {
        self.drained.load(Ordering::Relaxed) == seen && !self.restless.load(Ordering::Relaxed)
    }

    /// The caller has tried after a tick of `seen`, and found nothing. Its place in the line is that of its
    /// `turn`, if it has had one.
    pub(crate) fn enlist(
        &self,
        direction: Direction,
        seen: u32,
        turn: &mut Turn,
        ticket: Ticket,
    ) -> Enlisted {
        let mut state = self.state.lock();
        if state.closed {
            hint::cold_path();
            return Enlisted::Closed;
        }
        if self.ticks[direction as usize].load(Ordering::Relaxed) != seen {
            hint::cold_path();
            return Enlisted::Changed;
        }
        if state.registered.is_none() {
            hint::cold_path();
            return Enlisted::Unregistered;
        }
        if !turn.was_taken() {
            state.last_turn += 1;
            *turn = Turn(state.last_turn);
        }
        state.lines[direction as usize].insert(ticket, *turn);
        Enlisted::Waiting
    }

    /// Registers it, unless somebody has done so meanwhile. If it is ready, that is noticed soon.
    ///
    /// # Errors
    /// When the system refuses: the descriptor cannot be polled (a regular file), or there is no memory.
    pub(crate) fn register(&'static self, fd: RawFd, poller: Arc<Poller>) -> io::Result<()> {
        let mut state = self.state.lock();
        if state.registered.is_none() && !state.closed {
            // With the lock held: `close` must not come in between. A report that comes at once waits for it.
            poller.add(fd, self.token(state.lease))?;
            state.registered = Some((poller, fd));
        }
        Ok(())
    }

    /// For tests that report themselves what happens.
    #[cfg(test)]
    pub(super) fn pretend_registered(&self) {
        self.state.lock().registered = Poller::new().ok().map(|poller| (poller, -1));
    }

    fn token(&'static self, lease: u16) -> u64 {
        let address = ptr::from_ref(self).expose_provenance() as u64;
        debug_assert_eq!(address >> ADDRESS_BITS, 0);
        address | u64::from(lease) << ADDRESS_BITS
    }

    fn of_token(token: u64) -> *const Source {
        let address = token & ((1 << ADDRESS_BITS) - 1);
        ptr::with_exposed_provenance(address as usize)
    }

    /// A report will come.
    pub(super) fn prefetch(token: u64) {
        arch::prefetch_for_write(Source::of_token(token).cast());
    }

    /// A report has come.
    pub(super) fn notice(token: u64, readiness: Readiness, ready: &mut impl FnMut(Runnable)) {
        let lease = (token >> ADDRESS_BITS) as u16;
        // SAFETY: `token` made it from a source, and sources are never freed.
        unsafe { &*Source::of_token(token) }.notice_as(lease, readiness, ready);
    }

    /// The same for one lease of this source.
    pub(super) fn notice_as(
        &self,
        lease: u16,
        readiness: Readiness,
        ready: &mut impl FnMut(Runnable),
    ) {
        arch::prefetch_for_write(self.user.load(Ordering::Relaxed));
        let mut state = self.state.lock();
        if state.lease != lease {
            return;
        }
        if readiness.restless {
            self.restless.store(true, Ordering::Relaxed);
        }
        let reader =
            if readiness.readable { self.change(&mut state, Direction::Read) } else { None };
        let writer =
            if readiness.writable { self.change(&mut state, Direction::Write) } else { None };
        drop(state);
        if let Some(reader) = reader {
            ready(reader);
        }
        if let Some(writer) = writer {
            hint::cold_path();
            ready(writer);
        }
    }

    /// Counts a change, and ends the wait of whoever is the first in line.
    #[inline]
    fn change(&self, state: &mut State, direction: Direction) -> Option<Runnable> {
        self.count(direction);
        // Most reports are about both directions, and one at most is waited for.
        if state.lines[direction as usize].is_empty() {
            return None;
        }
        self.wake_first(state, direction)
    }

    fn wake_first(&self, state: &mut State, direction: Direction) -> Option<Runnable> {
        let line = &mut state.lines[direction as usize];
        while let Some(waiter) = line.pop() {
            // Before the claim, so that whoever is woken sees it.
            self.crowded[direction as usize].store(!line.is_empty(), Ordering::Relaxed);
            match waiter.ticket.claim(Cause::Notified) {
                Claim::Won(runnable) => return Some(runnable),
                // It is awake, and will see that it was meant.
                Claim::Early => return None,
                // It has left for another reason.
                Claim::Lost => {}
            }
        }
        self.crowded[direction as usize].store(false, Ordering::Relaxed);
        None
    }

    /// With the lock held.
    fn count(&self, direction: Direction) {
        let tick = &self.ticks[direction as usize];
        // Zero is left out: no reader has seen it.
        let next = tick.load(Ordering::Relaxed).wrapping_add(1).max(1);
        tick.store(next, Ordering::Release);
    }

    /// Ends all waits, and keeps those from waiting who have tried before.
    fn everybody(&self, state: &mut State) -> Vec<Runnable> {
        let mut woken = Vec::new();
        for direction in Direction::BOTH {
            self.count(direction);
            let line = &mut state.lines[direction as usize];
            while let Some(waiter) = line.pop() {
                if let Claim::Won(runnable) = waiter.ticket.claim(Cause::Notified) {
                    woken.push(runnable);
                }
            }
        }
        woken
    }

    /// Whether more than one has waited.
    #[inline]
    pub(crate) fn is_crowded(&self, direction: Direction) -> bool {
        self.crowded[direction as usize].load(Ordering::Relaxed)
    }

    /// Somebody who was woken has finished: the next one may try.
    pub(crate) fn pass_on(&self, direction: Direction) -> Option<Runnable> {
        self.wake_first(&mut self.state.lock(), direction)
    }

    /// A waiter whose park has ended otherwise.
    pub(crate) fn forget(&self, direction: Direction, ticket: Ticket) {
        self.state.lock().lines[direction as usize].remove(ticket);
    }

    /// All who wait, or are about to, are to look around; they keep their places.
    #[must_use]
    pub(crate) fn stir(&self) -> Vec<Runnable> {
        self.everybody(&mut self.state.lock())
    }

    /// From now on nobody can wait. The descriptor stays open for the moment, but is not polled any more.
    #[must_use]
    pub(crate) fn close(&self) -> Vec<Runnable> {
        let mut state = self.state.lock();
        state.closed = true;
        if let Some((poller, fd)) = state.registered.take() {
            poller.remove(fd, true);
        }
        self.everybody(&mut state)
    }

    /// The poller retires: see there.
    pub(super) fn leave_all(poller: &Poller, mut ready: impl FnMut(Runnable)) {
        for source in FREE.all() {
            let mut state = source.state.lock();
            let Some((_, fd)) = state.registered.take_if(|(its, _)| ptr::eq(&**its, poller)) else {
                continue;
            };
            poller.remove(fd, true);
            let waiters = source.everybody(&mut state);
            drop(state);
            waiters.into_iter().for_each(&mut ready);
        }
    }
}
