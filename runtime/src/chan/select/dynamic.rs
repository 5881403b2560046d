//! Select over a number of arms that is known at run time only.

use super::super::{RecvError, SelectTimeoutError, SendError, TrySelectError};
use super::arm::{Arm, RecvArm, SendArm, Sink, Source};
use super::small::SmallArm;
use super::{FEW, Limit, run};
use smallvec::SmallVec;
use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

/// What a [`Select`] needs of its arms beyond what every select needs.
pub(super) trait DynamicArm<'a>: Arm {
    /// Tells receivers and senders apart.
    fn side(&self) -> Side;

    /// One like this for the next selection; none for a send, whose value is gone.
    fn renewed(&self) -> Option<SmallArm<'a>>;
}

/// Which channel, and which side of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Receiver(*const ()),
    Sender(*const ()),
}

impl<'a, T> DynamicArm<'a> for RecvArm<'a, T> {
    fn side(&self) -> Side {
        Side::Receiver(self.address())
    }

    fn renewed(&self) -> Option<SmallArm<'a>> {
        Some(SmallArm::new(self.renewed()))
    }
}

impl<'a, T> DynamicArm<'a> for SendArm<'a, T> {
    fn side(&self) -> Side {
        Side::Sender(self.address())
    }

    fn renewed(&self) -> Option<SmallArm<'a>> {
        None
    }
}

/// Waits for one of several sends and receives, like [`select!`](crate::select), for a number of arms that is
/// known at run time only.
///
/// Arms are added with [`recv`](Self::recv) and [`send`](Self::send), which give their index. A selection lets
/// exactly one of them go ahead; the [`SelectedOperation`] says which, and gives its result. Receive arms
/// stay for the next selection. The value of a send arm is gone once it went ahead, so then the arm is gone,
/// too, while the others keep their index.
///
/// ```
/// use fibra::chan::{Select, unbounded};
///
/// let channels: Vec<_> = (0..10).map(|_| unbounded()).collect();
/// channels[7].0.send("seven").unwrap();
///
/// let mut select = Select::new();
/// for (_, rx) in &channels {
///     select.recv(rx);
/// }
/// let operation = select.select();
/// assert_eq!(operation.index(), 7);
/// assert_eq!(operation.recv(&channels[7].1), Ok("seven"));
/// ```
#[derive(Default)]
pub struct Select<'a> {
    /// By index; `None`: removed, or sent.
    arms: SmallVec<[Option<SmallArm<'a>>; FEW]>,
}

impl<'a> Select<'a> {
    /// One without arms.
    pub fn new() -> Select<'a> {
        Select::default()
    }

    /// Adds a receive arm and gives its index: the number of arms that were added before.
    pub fn recv<S: Source>(&mut self, source: &'a S) -> usize {
        self.add(SmallArm::new(source.arm()))
    }

    /// Adds a send arm and gives its index. The value is dropped when the arm is removed or the `Select` is
    /// dropped before the arm has gone ahead.
    pub fn send<S: Sink>(&mut self, sink: &'a S, value: S::Item) -> usize {
        self.add(SmallArm::new(sink.arm(value)))
    }

    fn add(&mut self, arm: SmallArm<'a>) -> usize {
        self.arms.push(Some(arm));
        self.arms.len() - 1
    }

    /// Takes an arm away; the others keep their index.
    ///
    /// # Panics
    /// There is no arm of this index (any more).
    pub fn remove(&mut self, index: usize) {
        let arm = self.arms.get_mut(index).and_then(Option::take);
        assert!(arm.is_some(), "there is no arm of index {index}");
    }

    /// Waits until one of the arms goes ahead; without any arm, for ever.
    ///
    /// A goroutine that is cancelled while it waits unwinds.
    pub fn select(&mut self) -> SelectedOperation<'a> {
        match self.run(Limit::Never) {
            Some(operation) => operation,
            None => unreachable!("without a limit it waits for ever"),
        }
    }

    /// Lets one of the arms go ahead, if any can.
    ///
    /// # Errors
    /// None can.
    pub fn try_select(&mut self) -> Result<SelectedOperation<'a>, TrySelectError> {
        self.run(Limit::Now).ok_or(TrySelectError)
    }

    /// [`select`](Self::select) that gives up after `limit`.
    ///
    /// # Errors
    /// The time was over first.
    pub fn select_timeout(
        &mut self,
        limit: Duration,
    ) -> Result<SelectedOperation<'a>, SelectTimeoutError> {
        self.run(Limit::after(Instant::now().checked_add(limit))).ok_or(SelectTimeoutError)
    }

    /// [`select`](Self::select) that gives up at `deadline`. If that is over, it still does what can be done
    /// without waiting.
    ///
    /// # Errors
    /// The time was over first.
    pub fn select_deadline(
        &mut self,
        deadline: Instant,
    ) -> Result<SelectedOperation<'a>, SelectTimeoutError> {
        self.run(Limit::At(deadline)).ok_or(SelectTimeoutError)
    }

    fn run(&mut self, limit: Limit) -> Option<SelectedOperation<'a>> {
        let arms: SmallVec<[(usize, &dyn Arm); FEW]> = self
            .arms
            .iter()
            .enumerate()
            .filter_map(|(index, arm)| Some((index, arm.as_ref()?.get() as &dyn Arm)))
            .collect();
        let chosen = run(arms.len(), |position| arms[position].1, limit)?;
        let index = arms[chosen].0;
        drop(arms);
        let next = self.arms[index].as_ref().and_then(|arm| arm.get().renewed());
        let arm = std::mem::replace(&mut self.arms[index], next);
        Some(SelectedOperation { index, arm })
    }
}

impl fmt::Debug for Select<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arms = self.arms.iter().flatten().count();
        f.debug_struct("Select").field("arms", &arms).finish()
    }
}

/// The arm of a [`Select`] that has gone ahead. Its result is to be fetched with [`recv`](Self::recv) or
/// [`send`](Self::send); dropping it instead panics.
#[must_use = "the result must be fetched with `recv` or `send`"]
pub struct SelectedOperation<'a> {
    index: usize,
    /// Until the result is fetched.
    arm: Option<SmallArm<'a>>,
}

impl<'a> SelectedOperation<'a> {
    /// The index of the arm.
    pub fn index(&self) -> usize {
        self.index
    }

    /// What was received.
    ///
    /// # Errors
    /// The channel is closed and empty.
    ///
    /// # Panics
    /// `source` is not what the arm receives from.
    pub fn recv<S: Source>(mut self, source: &'a S) -> Result<S::Item, RecvError> {
        let arm = self.take(source.arm().side(), "this is not the receiver of the selected arm");
        // SAFETY: a receive arm of the same channel, so of the same type.
        let arm = unsafe { arm.take::<RecvArm<'a, S::Item>>() };
        arm.finish()
    }

    /// Whether the value was sent.
    ///
    /// # Errors
    /// The channel is closed; the value is given back.
    ///
    /// # Panics
    /// `sink` is not what the arm sends to.
    pub fn send<S: Sink>(mut self, sink: &'a S) -> Result<(), SendError<S::Item>> {
        let side = Side::Sender(sink.address());
        let arm = self.take(side, "this is not the sender of the selected arm");
        // SAFETY: a send arm of the same channel, so of the same type.
        let arm = unsafe { arm.take::<SendArm<'a, S::Item>>() };
        arm.finish()
    }

    fn take(&mut self, side: Side, otherwise: &str) -> SmallArm<'a> {
        let arm = self.arm.take();
        match arm {
            Some(arm) if arm.get().side() == side => arm,
            _ => panic!("{otherwise}"),
        }
    }
}

impl Drop for SelectedOperation<'_> {
    fn drop(&mut self) {
        if self.arm.is_some() && !thread::panicking() {
            panic!("a SelectedOperation was dropped without `recv` or `send`");
        }
    }
}

impl fmt::Debug for SelectedOperation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SelectedOperation").field("index", &self.index).finish()
    }
}
