//! The arms of a select: one way in which it may go ahead.

use super::super::core::{Attempt, Chan, Party};
use super::super::event::{Event, Never};
use super::super::{Flavor, Receiver, RecvError, SendError, Sender};
use crate::chan::lock::ChanLock;
use crate::ticket::Ticket;
use crate::waitq::{Verdict, Waiter, Wake};
use std::cell::{Cell, UnsafeCell};
use std::mem::MaybeUninit;
use std::ops::Deref;
use std::ptr;
use std::sync::Arc;
use std::time::Instant;

/// Only this crate knows what can stand in a select: the arms' memory is written to by others, and the
/// dynamic form finds out by their addresses of which type they are.
pub trait Sealed {}

impl<T> Sealed for Receiver<T> {}
impl<T> Sealed for Sender<T> {}
impl<S: Sealed + ?Sized> Sealed for &S {}
impl<S: Sealed> Sealed for Option<S> {}
impl<T> Sealed for RecvArm<'_, T> {}
impl<T> Sealed for SendArm<'_, T> {}

/// One arm, as the select sees it. While the select runs, an arm stays where it is; others write to it
/// under its lock, so everything works on a shared reference.
pub trait Arm: Sealed {
    /// What protects the other side, if there is one.
    fn lock(&self) -> Option<&ChanLock>;

    /// Whether it has not gone ahead yet.
    fn is_open(&self) -> bool;

    /// When it should be tried again without having been served.
    fn due(&self) -> Option<Instant> {
        None
    }

    /// Goes ahead if it can.
    ///
    /// # Safety
    /// The lock is held. It is open.
    unsafe fn attempt(&self) -> Option<Wake>;

    /// Waits for its turn.
    ///
    /// # Safety
    /// The lock is held. The arm stays where it is until it is delisted. It has not gone ahead yet.
    unsafe fn enlist(&self, ticket: Ticket);

    /// Stops waiting; true when it was served, and so has gone ahead.
    ///
    /// # Safety
    /// The lock is held.
    unsafe fn delist(&self) -> bool;
}

/// What has become of an arm.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Nothing yet.
    Open,
    /// The value has moved.
    Moved,
    /// The channel was closed.
    Closed,
}

impl Outcome {
    fn of(verdict: Verdict) -> Outcome {
        match verdict {
            Verdict::None => Outcome::Open,
            Verdict::Served => Outcome::Moved,
            Verdict::Closed => Outcome::Closed,
        }
    }
}

/// A channel for as long as the arm needs it.
enum Held<'a, T> {
    Borrowed(&'a Chan<T>),
    Counted(Arc<Chan<T>>),
}

impl<T> Clone for Held<'_, T> {
    fn clone(&self) -> Self {
        match self {
            Held::Borrowed(chan) => Held::Borrowed(chan),
            Held::Counted(chan) => Held::Counted(chan.clone()),
        }
    }
}

impl<T> Deref for Held<'_, T> {
    type Target = Chan<T>;

    fn deref(&self) -> &Chan<T> {
        match self {
            Held::Borrowed(chan) => chan,
            Held::Counted(chan) => chan,
        }
    }
}

/// Where an arm receives from.
enum Feed<'a, T> {
    Chan(Held<'a, T>),
    /// A channel that says something by being closed.
    End(Held<'a, T>, fn() -> T),
    Event(&'a dyn Event<T>),
}

impl<T> Clone for Feed<'_, T> {
    fn clone(&self) -> Self {
        match self {
            Feed::Chan(chan) => Feed::Chan(chan.clone()),
            Feed::End(chan, value) => Feed::End(chan.clone(), *value),
            Feed::Event(event) => Feed::Event(*event),
        }
    }
}

impl<T> Feed<'_, T> {
    fn chan(&self) -> Option<&Chan<T>> {
        match self {
            Feed::Chan(chan) | Feed::End(chan, _) => Some(chan),
            Feed::Event(_) => None,
        }
    }

    /// Tells feeds apart.
    fn address(&self) -> *const () {
        match self {
            Feed::Chan(chan) | Feed::End(chan, _) => ptr::from_ref::<Chan<T>>(chan).cast(),
            Feed::Event(event) => ptr::from_ref::<dyn Event<T>>(*event).cast(),
        }
    }
}

/// What can stand in a receive arm of a select: a [`Receiver`], a reference to one, or an `Option` of either,
/// where `None` disables the arm; also a [`JoinHandle`](crate::JoinHandle) or a
/// [`WaitGroup`](crate::sync::WaitGroup), from which `Ok(())` can be received once it is done.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot stand in a receive arm of a select",
    label = "not a `Receiver`, nor another thing that can be received from"
)]
pub trait Source: Sealed {
    /// What it gives.
    type Item;

    #[doc(hidden)]
    fn arm(&self) -> RecvArm<'_, Self::Item>;
}

impl<T> Source for Receiver<T> {
    type Item = T;

    #[inline]
    fn arm(&self) -> RecvArm<'_, T> {
        RecvArm::new(match &self.flavor {
            Flavor::Chan(chan) => Feed::Chan(Held::Borrowed(chan)),
            Flavor::Event(event) => Feed::Event(&**event),
            Flavor::Never => Feed::Event(&Never),
        })
    }
}

impl<S: Source + ?Sized> Source for &S {
    type Item = S::Item;

    #[inline]
    fn arm(&self) -> RecvArm<'_, S::Item> {
        (**self).arm()
    }
}

impl<S: Source> Source for Option<S> {
    type Item = S::Item;

    fn arm(&self) -> RecvArm<'_, S::Item> {
        match self {
            Some(source) => source.arm(),
            None => RecvArm::new(Feed::Event(&Never)),
        }
    }
}

/// What can stand in a send arm of a select: a [`Sender`], a reference to one, or an `Option` of either, where
/// `None` disables the arm.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot stand in a send arm of a select",
    label = "not a `Sender`"
)]
pub trait Sink: Sealed {
    /// What it takes.
    type Item;

    #[doc(hidden)]
    fn arm(&self, value: Self::Item) -> SendArm<'_, Self::Item>;

    /// Tells channels apart; null: none.
    #[doc(hidden)]
    fn address(&self) -> *const ();
}

impl<T> Sink for Sender<T> {
    type Item = T;

    fn arm(&self, value: T) -> SendArm<'_, T> {
        SendArm::new(Some(&self.chan), value)
    }

    fn address(&self) -> *const () {
        Arc::as_ptr(&self.chan).cast()
    }
}

impl<S: Sink + ?Sized> Sink for &S {
    type Item = S::Item;

    fn arm(&self, value: S::Item) -> SendArm<'_, S::Item> {
        (**self).arm(value)
    }

    fn address(&self) -> *const () {
        (**self).address()
    }
}

impl<S: Sink> Sink for Option<S> {
    type Item = S::Item;

    fn arm(&self, value: S::Item) -> SendArm<'_, S::Item> {
        match self {
            Some(sink) => sink.arm(value),
            None => SendArm::new(None, value),
        }
    }

    fn address(&self) -> *const () {
        self.as_ref().map_or(ptr::null(), Sink::address)
    }
}

/// A receive arm.
pub struct RecvArm<'a, T> {
    feed: Feed<'a, T>,
    /// A value once `outcome` is `Moved`.
    room: UnsafeCell<MaybeUninit<T>>,
    outcome: Cell<Outcome>,
    waiter: Waiter,
}

impl<'a, T> RecvArm<'a, T> {
    #[inline]
    fn new(feed: Feed<'a, T>) -> RecvArm<'a, T> {
        RecvArm {
            feed,
            room: UnsafeCell::new(MaybeUninit::uninit()),
            outcome: Cell::new(Outcome::Open),
            waiter: Waiter::new(),
        }
    }

    /// Receives `value()` from a receiver's channel once that is closed.
    pub(crate) fn of_end(receiver: &Receiver<T>, value: fn() -> T) -> RecvArm<'a, T> {
        match &receiver.flavor {
            Flavor::Chan(chan) => RecvArm::new(Feed::End(Held::Counted(chan.clone()), value)),
            Flavor::Event(_) | Flavor::Never => RecvArm::new(Feed::Event(&Never)),
        }
    }

    /// One like this that has not gone ahead.
    pub(super) fn renewed(&self) -> RecvArm<'a, T> {
        RecvArm::new(self.feed.clone())
    }

    pub(super) fn address(&self) -> *const () {
        self.feed.address()
    }

    /// What was received, after it has gone ahead.
    #[inline]
    pub fn finish(self) -> Result<T, RecvError> {
        self.result()
    }

    /// The same, once.
    #[inline]
    pub(crate) fn result(&self) -> Result<T, RecvError> {
        match self.outcome.replace(Outcome::Open) {
            // SAFETY: moved to here, and with the outcome put back, only once from here.
            Outcome::Moved => Ok(unsafe { (*self.room.get()).assume_init_read() }),
            Outcome::Closed => match &self.feed {
                Feed::End(_, value) => Ok(value()),
                Feed::Chan(_) | Feed::Event(_) => Err(RecvError),
            },
            Outcome::Open => unreachable!("the arm has not gone ahead"),
        }
    }
}

impl<T> RecvArm<'_, T> {
    /// It has gone ahead, but nobody wants what it has received.
    pub(crate) fn give_back(&self) {
        if self.outcome.get() == Outcome::Moved
            && let Some(chan) = self.feed.chan()
        {
            self.outcome.set(Outcome::Open);
            // SAFETY: moved to here, and with the outcome put back, only once from here.
            chan.give_back(unsafe { (*self.room.get()).assume_init_read() });
        }
    }
}

impl<T> Drop for RecvArm<'_, T> {
    fn drop(&mut self) {
        if self.outcome.get() == Outcome::Moved {
            // SAFETY: moved to here, and not taken.
            unsafe { self.room.get_mut().assume_init_drop() };
        }
    }
}

impl<T> Arm for RecvArm<'_, T> {
    fn is_open(&self) -> bool {
        self.outcome.get() == Outcome::Open
    }

    fn lock(&self) -> Option<&ChanLock> {
        Some(self.feed.chan()?.state().bare())
    }

    fn due(&self) -> Option<Instant> {
        match &self.feed {
            Feed::Chan(chan) | Feed::End(chan, _) => chan.closes_at(),
            Feed::Event(event) => event.due(),
        }
    }

    unsafe fn attempt(&self) -> Option<Wake> {
        debug_assert!(self.is_open());
        let room = self.room.get();
        let Some(chan) = self.feed.chan() else {
            let Feed::Event(event) = &self.feed else { unreachable!("every other feed is one") };
            let value = event.take()?;
            // SAFETY: it has not gone ahead yet, so nobody else uses the room.
            unsafe { (*room).write(value) };
            self.outcome.set(Outcome::Moved);
            return Some(Wake::NOBODY);
        };
        // SAFETY: the lock is held, and the reference used at once.
        let state = unsafe { chan.state().value() };
        // SAFETY: there is room, as it has not gone ahead yet.
        match unsafe { state.receive(room.cast(), chan.capacity()) }.in_time(chan) {
            Attempt::Done(wake) => {
                self.outcome.set(Outcome::Moved);
                Some(wake)
            }
            Attempt::Closed => {
                self.outcome.set(Outcome::Closed);
                Some(Wake::NOBODY)
            }
            Attempt::MustWait => None,
        }
    }

    unsafe fn enlist(&self, ticket: Ticket) {
        if let Some(chan) = self.feed.chan() {
            self.waiter.prepare(ticket, self.room.get().cast());
            // SAFETY: the lock is held; the waiter stays here until it is delisted; its slot is room for a
            // value, as the arm has not gone ahead.
            unsafe { chan.state().value().enlist(Party::Receivers, &self.waiter) };
        }
    }

    unsafe fn delist(&self) -> bool {
        let Some(chan) = self.feed.chan() else { return false };
        // SAFETY: the lock is held; it was enlisted there, if anywhere.
        unsafe { chan.state().value().delist(Party::Receivers, &self.waiter) };
        self.outcome.set(Outcome::of(self.waiter.verdict()));
        self.outcome.get() != Outcome::Open
    }
}

/// A send arm.
pub struct SendArm<'a, T> {
    /// `None`: disabled.
    chan: Option<&'a Chan<T>>,
    /// A value unless `outcome` is `Moved`.
    value: UnsafeCell<MaybeUninit<T>>,
    outcome: Cell<Outcome>,
    waiter: Waiter,
}

impl<'a, T> SendArm<'a, T> {
    fn new(chan: Option<&'a Chan<T>>, value: T) -> SendArm<'a, T> {
        SendArm {
            chan,
            value: UnsafeCell::new(MaybeUninit::new(value)),
            outcome: Cell::new(Outcome::Open),
            waiter: Waiter::new(),
        }
    }

    pub(super) fn address(&self) -> *const () {
        self.chan.map_or(ptr::null(), |chan| ptr::from_ref(chan).cast())
    }

    /// Whether the value was sent, after it has gone ahead.
    #[inline]
    pub fn finish(self) -> Result<(), SendError<T>> {
        self.result()
    }

    /// The same, once.
    #[inline]
    pub(crate) fn result(&self) -> Result<(), SendError<T>> {
        match self.outcome.get() {
            Outcome::Moved => Ok(()),
            Outcome::Closed => {
                self.outcome.set(Outcome::Moved);
                // SAFETY: it is there, and with the outcome changed nobody drops it here.
                Err(SendError(unsafe { (*self.value.get()).assume_init_read() }))
            }
            Outcome::Open => unreachable!("the arm has not gone ahead"),
        }
    }
}

impl<T> Drop for SendArm<'_, T> {
    fn drop(&mut self) {
        if self.outcome.get() != Outcome::Moved {
            // SAFETY: it is still there.
            unsafe { self.value.get_mut().assume_init_drop() };
        }
    }
}

impl<T> Arm for SendArm<'_, T> {
    fn is_open(&self) -> bool {
        self.outcome.get() == Outcome::Open
    }

    fn lock(&self) -> Option<&ChanLock> {
        Some(self.chan?.state().bare())
    }

    unsafe fn attempt(&self) -> Option<Wake> {
        debug_assert!(self.is_open());
        let chan = self.chan?;
        // SAFETY: the lock is held, and the reference used at once.
        let state = unsafe { chan.state().value() };
        // SAFETY: the value is there, as the arm has not gone ahead.
        match unsafe { state.send(self.value.get().cast(), chan.capacity()) }.in_time(chan) {
            Attempt::Done(wake) => {
                self.outcome.set(Outcome::Moved);
                Some(wake)
            }
            Attempt::Closed => {
                self.outcome.set(Outcome::Closed);
                Some(Wake::NOBODY)
            }
            Attempt::MustWait => None,
        }
    }

    unsafe fn enlist(&self, ticket: Ticket) {
        if let Some(chan) = self.chan {
            self.waiter.prepare(ticket, self.value.get().cast());
            // SAFETY: the lock is held; the waiter stays here until it is delisted; its slot is the value,
            // as the arm has not gone ahead.
            unsafe { chan.state().value().enlist(Party::Senders, &self.waiter) };
        }
    }

    unsafe fn delist(&self) -> bool {
        let Some(chan) = self.chan else { return false };
        // SAFETY: the lock is held; it was enlisted there, if anywhere.
        unsafe { chan.state().value().delist(Party::Senders, &self.waiter) };
        self.outcome.set(Outcome::of(self.waiter.verdict()));
        self.outcome.get() != Outcome::Open
    }
}
