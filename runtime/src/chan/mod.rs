//! Channels: how goroutines, and plain threads, pass values to one another.
//!
//! [`bounded`] channels hold up to so many values, [`unbounded`] ones any number; `bounded(0)` is a
//! rendezvous, where a send waits until somebody receives. Any number of [`Sender`]s and [`Receiver`]s may
//! share a channel; each value is received once. When all senders are gone, or one of its ends calls
//! `close`, the channel is closed: what is in it can still be received, and then everybody learns that
//! nothing will come any more. When all receivers are gone, the values left in the channel are dropped.
//!
//! [`select!`](crate::select) waits for whatever can go ahead first; [`Select`] does the same for a number of
//! channels that is known at run time only. [`after`], [`tick`] and [`never()`] are made for that.
//!
//! Values of one sender arrive in the order in which it sent them.
//!
//! ```
//! let (tx, rx) = fibra::chan::bounded(16);
//! for id in 0..4 {
//!     let tx = tx.clone();
//!     fibra::go!(move || (0..10).for_each(|i| tx.send(id * 10 + i).unwrap()));
//! }
//! drop(tx); // so that the iteration ends with the last goroutine
//! let mut all: Vec<u32> = rx.iter().collect();
//! all.sort();
//! assert!(all.into_iter().eq(0..40));
//! ```

mod core;
mod error;
mod event;
mod future;
mod iter;
mod lock;
mod select;

pub use error::{
    RecvError, RecvTimeoutError, SelectTimeoutError, SendError, SendTimeoutError, TryRecvError,
    TrySelectError, TrySendError,
};
pub use future::{RecvFuture, SendFuture};
pub use iter::{IntoIter, Iter, TryIter};
#[doc(hidden)]
pub use select::macros;
pub(crate) use select::{RecvArm, Sealed, Source};
pub use select::{Select, SelectedOperation};

use self::core::{Chan, Refused, Wait};
use event::{After, Event, Tick};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A channel that holds up to `capacity` values; with 0 a send waits until somebody receives.
///
/// ```
/// let (tx, rx) = fibra::chan::bounded(0);
/// fibra::go!(move || tx.send("hello").unwrap());
/// assert_eq!(rx.recv(), Ok("hello"));
/// assert!(rx.recv().is_err()); // the sender is gone
/// ```
pub fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    // `usize::MAX` stands for no bound, which is the same.
    pair(capacity, None)
}

/// A channel that holds any number of values; sending never waits.
///
/// ```
/// let (tx, rx) = fibra::chan::unbounded();
/// (1..=3).for_each(|i| tx.send(i).unwrap());
/// drop(tx);
/// assert_eq!(rx.into_iter().sum::<i32>(), 6);
/// ```
pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    pair(usize::MAX, None)
}

/// A channel that closes by itself at a point in time, if that ever comes.
pub(crate) fn closing_at<T>(time: Option<Instant>) -> (Sender<T>, Receiver<T>) {
    pair(0, time)
}

fn pair<T>(capacity: usize, closes_at: Option<Instant>) -> (Sender<T>, Receiver<T>) {
    let chan = Arc::new(Chan::new(capacity, closes_at));
    (Sender { chan: chan.clone() }, Receiver { flavor: Flavor::Chan(chan) })
}

/// Nothing ever comes: a disabled arm of a select. Receiving from it waits for ever.
pub fn never<T>() -> Receiver<T> {
    Receiver { flavor: Flavor::Never }
}

/// One message after `delay`: the time for which it was due. There is no goroutine, thread or timer behind it
/// while nobody waits. The message can be received once, also by a clone; after that nothing comes.
///
/// ```
/// use std::time::{Duration, Instant};
///
/// let start = Instant::now();
/// let due = fibra::chan::after(Duration::from_millis(5)).recv().unwrap();
/// assert!(start.elapsed() >= Duration::from_millis(5) && due <= Instant::now());
/// ```
pub fn after(delay: Duration) -> Receiver<Instant> {
    timed(After::new(Instant::now().checked_add(delay)))
}

/// A message at every multiple of `period` from now on: the time for which it was due. Those that nobody
/// receives before the next is due are left out; the others keep to the multiples. There is no goroutine,
/// thread or timer behind it while nobody waits.
///
/// ```
/// use std::time::Duration;
///
/// let ticks = fibra::chan::tick(Duration::from_millis(2));
/// let first = ticks.recv().unwrap();
/// let second = ticks.recv().unwrap();
/// assert!(second - first >= Duration::from_millis(2));
/// ```
pub fn tick(period: Duration) -> Receiver<Instant> {
    timed(Tick::new(period))
}

fn timed(event: impl Event<Instant> + Send + Sync + 'static) -> Receiver<Instant> {
    Receiver { flavor: Flavor::Event(Arc::new(event)) }
}

/// The end of a channel that values go into. Clones share it; the channel closes with the last of them.
pub struct Sender<T> {
    chan: Arc<Chan<T>>,
}

/// The end of a channel that values come out of. Clones share it, and each value goes to one of them.
pub struct Receiver<T> {
    flavor: Flavor<T>,
}

enum Flavor<T> {
    Chan(Arc<Chan<T>>),
    Event(Arc<dyn Event<T> + Send + Sync>),
    Never,
}

impl<T> Sender<T> {
    /// Sends a value. Waits while the channel is full, or for a rendezvous until somebody receives.
    ///
    /// A goroutine that is cancelled while it waits unwinds, and the value is dropped.
    ///
    /// # Errors
    /// The channel is closed.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        self.chan.send(value, Wait::Until(None)).map_err(|(_closed, value)| SendError(value))
    }

    /// Sends a value if that is possible without waiting.
    ///
    /// # Errors
    /// The channel is full, or closed.
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        self.chan.send(value, Wait::No).map_err(|(why, value)| match why {
            Refused::Closed => TrySendError::Disconnected(value),
            Refused::NotNow | Refused::Timeout => TrySendError::Full(value),
        })
    }

    /// [`send`](Self::send) that gives up after `limit`.
    ///
    /// # Errors
    /// The time was over first, or the channel is closed.
    pub fn send_timeout(&self, value: T, limit: Duration) -> Result<(), SendTimeoutError<T>> {
        self.send_until(value, Instant::now().checked_add(limit))
    }

    /// [`send`](Self::send) that gives up at `deadline`. If that is over, it still sends what can be sent
    /// without waiting.
    ///
    /// # Errors
    /// As for [`send_timeout`](Self::send_timeout).
    pub fn send_deadline(&self, value: T, deadline: Instant) -> Result<(), SendTimeoutError<T>> {
        self.send_until(value, Some(deadline))
    }

    fn send_until(&self, value: T, deadline: Option<Instant>) -> Result<(), SendTimeoutError<T>> {
        self.chan.send(value, Wait::Until(deadline)).map_err(|(why, value)| match why {
            Refused::Closed => SendTimeoutError::Disconnected(value),
            Refused::NotNow | Refused::Timeout => SendTimeoutError::Timeout(value),
        })
    }

    /// Closes the channel for all senders: those that wait get their value back. What is in the channel can
    /// still be received. Closing again does nothing.
    pub fn close(&self) {
        self.chan.close();
    }

    /// Whether the channel is closed, so that nothing can be sent any more.
    pub fn is_closed(&self) -> bool {
        self.chan.is_closed()
    }

    /// How many values are in the channel.
    pub fn len(&self) -> usize {
        self.chan.len()
    }

    /// Whether there is no value in the channel.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether no more values fit in. A rendezvous is always full.
    pub fn is_full(&self) -> bool {
        self.len() >= self.chan.capacity()
    }

    /// How many values the channel can hold; `None`: any number.
    pub fn capacity(&self) -> Option<usize> {
        capacity(&self.chan)
    }

    /// Whether the other one belongs to the same channel.
    pub fn same_channel(&self, other: &Sender<T>) -> bool {
        Arc::ptr_eq(&self.chan, &other.chan)
    }
}

fn capacity<T>(chan: &Chan<T>) -> Option<usize> {
    (chan.capacity() != usize::MAX).then_some(chan.capacity())
}

impl<T> Receiver<T> {
    /// Receives the next value. Waits until there is one.
    ///
    /// A goroutine that is cancelled while it waits unwinds.
    ///
    /// # Errors
    /// The channel is closed and empty.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub fn recv(&self) -> Result<T, RecvError> {
        self.receive(Wait::Until(None)).map_err(|_closed| RecvError)
    }

    /// Receives the next value if it is there.
    ///
    /// # Errors
    /// The channel is empty, and perhaps closed.
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.receive(Wait::No).map_err(|why| match why {
            Refused::Closed => TryRecvError::Disconnected,
            Refused::NotNow | Refused::Timeout => TryRecvError::Empty,
        })
    }

    /// [`recv`](Self::recv) that gives up after `limit`.
    ///
    /// # Errors
    /// The time was over first, or the channel is closed and empty.
    pub fn recv_timeout(&self, limit: Duration) -> Result<T, RecvTimeoutError> {
        self.recv_until(Instant::now().checked_add(limit))
    }

    /// [`recv`](Self::recv) that gives up at `deadline`. If that is over, it still receives what is there.
    ///
    /// # Errors
    /// As for [`recv_timeout`](Self::recv_timeout).
    pub fn recv_deadline(&self, deadline: Instant) -> Result<T, RecvTimeoutError> {
        self.recv_until(Some(deadline))
    }

    fn recv_until(&self, deadline: Option<Instant>) -> Result<T, RecvTimeoutError> {
        self.receive(Wait::Until(deadline)).map_err(|why| match why {
            Refused::Closed => RecvTimeoutError::Disconnected,
            Refused::NotNow | Refused::Timeout => RecvTimeoutError::Timeout,
        })
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn receive(&self, wait: Wait) -> Result<T, Refused> {
        match &self.flavor {
            Flavor::Chan(chan) => chan.receive(wait),
            Flavor::Event(event) => event::receive(&**event, wait),
            Flavor::Never => event::receive(&event::Never, wait),
        }
    }

    /// The values as they come, until the channel is closed and empty. Waits for each.
    pub fn iter(&self) -> Iter<'_, T> {
        Iter::new(self)
    }

    /// The values that are there, without waiting.
    pub fn try_iter(&self) -> TryIter<'_, T> {
        TryIter::new(self)
    }

    /// Closes the channel: nothing can be sent any more, and senders that wait get their value back. What is
    /// in the channel can still be received. Does nothing to what has no senders, such as [`after`].
    pub fn close(&self) {
        if let Flavor::Chan(chan) = &self.flavor {
            chan.close();
        }
    }

    /// Whether the channel is closed; there may still be values in it.
    pub fn is_closed(&self) -> bool {
        self.chan().is_some_and(Chan::is_closed)
    }

    /// How many values are in the channel.
    pub fn len(&self) -> usize {
        match &self.flavor {
            Flavor::Chan(chan) => chan.len(),
            // The message that is there once its time has come.
            Flavor::Event(event) => {
                usize::from(event.due().is_some_and(|due| due <= Instant::now()))
            }
            Flavor::Never => 0,
        }
    }

    /// Whether there is no value in the channel.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether no more values fit in. A rendezvous is always full.
    pub fn is_full(&self) -> bool {
        self.capacity().is_some_and(|capacity| self.len() >= capacity)
    }

    /// How many values the channel can hold; `None`: any number.
    pub fn capacity(&self) -> Option<usize> {
        match &self.flavor {
            Flavor::Chan(chan) => capacity(chan),
            Flavor::Event(_) => Some(1),
            Flavor::Never => Some(0),
        }
    }

    /// Whether the other one belongs to the same channel.
    pub fn same_channel(&self, other: &Receiver<T>) -> bool {
        match (&self.flavor, &other.flavor) {
            (Flavor::Chan(a), Flavor::Chan(b)) => Arc::ptr_eq(a, b),
            (Flavor::Event(a), Flavor::Event(b)) => Arc::ptr_eq(a, b),
            (Flavor::Never, Flavor::Never) => true,
            _ => false,
        }
    }

    fn chan(&self) -> Option<&Chan<T>> {
        match &self.flavor {
            Flavor::Chan(chan) => Some(chan),
            Flavor::Event(_) | Flavor::Never => None,
        }
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        self.chan.add_sender();
        Sender { chan: self.chan.clone() }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Receiver<T> {
        let flavor = match &self.flavor {
            Flavor::Chan(chan) => {
                chan.add_receiver();
                Flavor::Chan(chan.clone())
            }
            Flavor::Event(event) => Flavor::Event(event.clone()),
            Flavor::Never => Flavor::Never,
        };
        Receiver { flavor }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.chan.remove_sender();
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        if let Flavor::Chan(chan) = &self.flavor {
            chan.remove_receiver();
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sender { .. }")
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receiver { .. }")
    }
}

impl<T> std::panic::UnwindSafe for Sender<T> {}
impl<T> std::panic::RefUnwindSafe for Sender<T> {}
impl<T> std::panic::UnwindSafe for Receiver<T> {}
impl<T> std::panic::RefUnwindSafe for Receiver<T> {}

#[cfg(test)]
mod tests;
