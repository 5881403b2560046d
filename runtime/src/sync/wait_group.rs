//! A count that can be waited for.
//!
//! One word holds the count, and a bit that says that somebody waits. While the bit is not set, `add` and `done`
//! are one atomic instruction each. Whoever has to wait sets the bit and leaves a *gate*: a channel that is closed
//! at zero.
//!
//! # Who is let out
//!
//! * The bit is set under the gate's lock, while the count is above zero, and there is a gate whenever it is set.
//! * With the bit set the count goes to zero only under that lock; the bit goes in the same instruction, and the
//!   gate is taken away before the lock is given back.
//!
//! So a gate belongs to one stretch of time in which the count is above zero. Whoever waits at it came within
//! that stretch, and is let out by the zero that ends it, also if the count goes up again at once. Nobody is let
//! out by a zero that came before.

use crate::chan::{self, Receiver, RecvArm, RecvTimeoutError, Sealed, Sender, Source};
use crate::join::JoinHandle;
use crate::primitive::Locked;
use crate::primitive::atomic::{AtomicUsize, Ordering};
use crate::sched;
use std::fmt;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::Duration;

/// The bit: somebody waits.
const WAITED: usize = 1;
/// One in the count.
const ONE: usize = 2;

/// Counts what is still to be done, and waits until nothing is. Clones count together.
///
/// It can be used again and again, and the count may go up while somebody waits: a wait ends when the count is
/// zero for the first time since it began. In a receive arm of [`select!`](crate::select) a `WaitGroup` gives
/// `Ok(())` once its count is zero. In a [`Select`](crate::chan::Select) its arm stands for one such time: fetch
/// its result before the group is used again, and add it anew.
///
/// ```
/// use fibra::sync::WaitGroup;
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// static SUM: AtomicU64 = AtomicU64::new(0);
///
/// let group = WaitGroup::new();
/// for i in 0..100 {
///     group.go(move || SUM.fetch_add(i, Ordering::Relaxed));
/// }
/// group.wait();
/// assert_eq!(SUM.load(Ordering::Relaxed), 4950);
/// ```
#[derive(Clone)]
pub struct WaitGroup(Arc<State>);

struct State {
    /// The count, in units of `ONE`, and `WAITED`.
    word: AtomicUsize,
    gate: Locked<Gate>,
}

/// The gate; the last one stays for arms of a select, to be known by.
struct Gate {
    /// While `WAITED` is set.
    closer: Option<Sender<()>>,
    closed: Option<Receiver<()>>,
}

impl WaitGroup {
    /// With a count of zero.
    #[must_use]
    pub fn new() -> WaitGroup {
        WaitGroup(Arc::new(State {
            word: AtomicUsize::new(0),
            gate: Locked::new(Gate { closer: None, closed: None }),
        }))
    }

    /// Counts up by `count`. To be called before what is counted begins: what spawns calls it, not what is
    /// spawned, or a wait may find that the count is zero still.
    ///
    /// # Panics
    /// When the count gets too large: `usize::MAX / 2`.
    ///
    /// ```
    /// let group = fibra::sync::WaitGroup::new();
    /// group.add(2);
    /// for _ in 0..2 {
    ///     let group = group.clone();
    ///     fibra::go!(move || group.done());
    /// }
    /// group.wait();
    /// ```
    #[inline]
    pub fn add(&self, count: usize) {
        // Whoever sees the new count has not waited for anything yet, so there is nothing to publish.
        let added = count.checked_mul(ONE).and_then(|units| {
            let more = |word: usize| word.checked_add(units);
            self.0.word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()
        });
        if added.is_none() {
            too_many();
        }
    }

    /// Counts down by one. With the last one all waits end, and everything that was done before each `done` is
    /// visible to those who waited.
    ///
    /// # Panics
    /// When the count is zero.
    #[inline]
    pub fn done(&self) {
        let mut word = self.0.word.load(Ordering::Relaxed);
        while word >= ONE && word != ONE | WAITED {
            // Release: published to those who find the count at zero.
            match self.0.word.compare_exchange_weak(
                word,
                word - ONE,
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(now) => word = now,
            }
        }
        self.0.done_slow();
    }

    /// Waits until the count is zero.
    ///
    /// A goroutine that is cancelled while it waits unwinds.
    #[inline]
    pub fn wait(&self) {
        if let Some(gate) = self.0.gate() {
            // It never gives anything but its end.
            let _closed = gate.recv();
        }
    }

    /// [`wait`](Self::wait) that gives up after `limit`. True: the count was zero.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let group = fibra::sync::WaitGroup::new();
    /// group.add(1);
    /// assert!(!group.wait_timeout(Duration::from_millis(1)));
    /// group.done();
    /// assert!(group.wait_timeout(Duration::ZERO));
    /// ```
    #[must_use = "says whether the count was zero"]
    pub fn wait_timeout(&self, limit: Duration) -> bool {
        match self.0.gate() {
            Some(gate) => gate.recv_timeout(limit) == Err(RecvTimeoutError::Disconnected),
            None => true,
        }
    }

    /// Counts up by one and spawns a goroutine that runs `f`; counts down when `f` has ended, also when it
    /// panics or is never run because its runtime shuts down. A panic is reported like that of any goroutine
    /// that nobody joins; what `f` returns is dropped.
    ///
    /// # Panics
    /// When it cannot be spawned: see [`spawn`](crate::spawn).
    ///
    /// ```
    /// let group = fibra::sync::WaitGroup::new();
    /// let (tx, rx) = fibra::chan::unbounded();
    /// for i in 0..3 {
    ///     let tx = tx.clone();
    ///     group.go(move || tx.send(i).unwrap());
    /// }
    /// group.wait();
    /// assert_eq!(rx.len(), 3);
    /// ```
    #[track_caller]
    pub fn go<F, T>(&self, f: F)
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.add(1);
        let job = Job { f, done: Done(self.clone()) };
        // SAFETY: the closure and its result are `Send` and borrow nothing.
        let spawned = unsafe { sched::spawn(None, None, Location::caller(), || job.run()) };
        match spawned {
            // SAFETY: the reference of the handle; the closure returns a `()`.
            Ok(goroutine) => drop(unsafe { JoinHandle::<()>::new(goroutine) }),
            Err(error) => panic!("cannot spawn a goroutine: {error}"),
        }
    }
}

impl State {
    /// Where to wait; `None`: the count is zero.
    fn gate(&self) -> Option<Receiver<()>> {
        // Acquire, here and below: sees what was done before each `done`.
        if self.word.load(Ordering::Acquire) < ONE {
            return None;
        }
        self.gate_slow()
    }

    #[cold]
    fn gate_slow(&self) -> Option<Receiver<()>> {
        let mut gate = self.gate.lock();
        let waited = |word| (word >= ONE).then_some(word | WAITED);
        if self.word.fetch_update(Ordering::Relaxed, Ordering::Acquire, waited).is_err() {
            return None;
        }
        if gate.closer.is_none() {
            let (closer, closed) = chan::closing_at(None);
            *gate = Gate { closer: Some(closer), closed: Some(closed) };
        }
        gate.closed.clone()
    }

    /// A channel that is or will be closed at zero.
    fn gate_or_zero(&self) -> Receiver<()> {
        self.gate().unwrap_or_else(|| {
            let zero = || {
                let (_closer, closed) = chan::closing_at(None);
                closed
            };
            self.gate.lock().closed.get_or_insert_with(zero).clone()
        })
    }

    /// The last `done` while somebody waits; or the count is zero already.
    #[cold]
    fn done_slow(&self) {
        let mut gate = self.gate.lock();
        let less = |word: usize| match word.checked_sub(ONE) {
            Some(WAITED) => Some(0),
            less => less,
        };
        // Release as in `done`. Acquire: those who waited see what was done before each `done` by way of the
        // gate.
        match self.word.fetch_update(Ordering::AcqRel, Ordering::Relaxed, less) {
            Ok(before) if before == ONE | WAITED => {
                let closer = gate.closer.take();
                drop(gate);
                // It was the only one, so this closes the gate.
                drop(closer);
            }
            // Meanwhile there is more to be done.
            Ok(_) => {}
            Err(_) => {
                drop(gate);
                panic!("a WaitGroup was done more often than was added to it");
            }
        }
    }
}

#[cold]
fn too_many() -> ! {
    panic!("the count of a WaitGroup is too large");
}

/// What a goroutine of the group runs. By the order of the fields it counts as done last.
struct Job<F> {
    f: F,
    done: Done,
}

struct Done(WaitGroup);

impl<F: FnOnce() -> T, T> Job<F> {
    fn run(self) {
        let Job { f, done } = self;
        drop(f());
        drop(done);
    }
}

impl Drop for Done {
    fn drop(&mut self) {
        self.0.done();
    }
}

impl Sealed for WaitGroup {}

impl Source for WaitGroup {
    type Item = ();

    fn arm(&self) -> RecvArm<'_, ()> {
        RecvArm::of_end(&self.0.gate_or_zero(), || ())
    }
}

impl Default for WaitGroup {
    fn default() -> WaitGroup {
        WaitGroup::new()
    }
}

impl fmt::Debug for WaitGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.word.load(Ordering::Relaxed) / ONE;
        f.debug_struct("WaitGroup").field("count", &count).finish()
    }
}

impl UnwindSafe for WaitGroup {}
impl RefUnwindSafe for WaitGroup {}

#[cfg(all(test, loom))]
mod tests;
