//! Ticks at regular intervals.

use crate::chan::{self, Receiver, RecvArm, Sealed, Source};
use std::fmt;
use std::time::{Duration, Instant};

/// Ticks at every multiple of its period, counted from when it was made or reset.
///
/// A tick never comes early, and late ones do not put off those that follow. Ticks that nobody has received when
/// the next one is due are left out, as in Go: whoever was busy for long gets one tick at once, and then goes on
/// with the multiples to come.
///
/// It can stand in a receive arm of [`select!`](crate::select), which gives what [`recv`](Self::recv) gives.
/// Several goroutines may receive from one ticker; each tick comes to one of them. There is no goroutine, thread
/// or timer behind it while nobody waits.
///
/// ```
/// use fibra::time::Ticker;
/// use std::time::{Duration, Instant};
///
/// let start = Instant::now();
/// let mut ticker = Ticker::new(Duration::from_millis(2));
/// for n in 1..=3 {
///     let due = ticker.recv();
///     assert!(due >= start + n * Duration::from_millis(2));
/// }
/// ticker.stop();
/// let ticked = fibra::select! {
///     recv(ticker) -> _ => true,
///     default(Duration::from_millis(5)) => false,
/// };
/// assert!(!ticked);
/// ```
pub struct Ticker {
    ticks: Receiver<Instant>,
}

impl Ticker {
    /// One whose first tick comes when `period` is over.
    ///
    /// # Panics
    /// When the period is zero.
    #[track_caller]
    #[must_use = "there is nothing behind it that would do anything"]
    pub fn new(period: Duration) -> Ticker {
        Ticker { ticks: ticks(period) }
    }

    /// Waits for the next tick, and gives the time for which it was due. Once the ticker is stopped, waits for
    /// ever.
    ///
    /// A goroutine that is cancelled while it waits unwinds.
    pub fn recv(&self) -> Instant {
        match self.ticks.recv() {
            Ok(due) => due,
            Err(_closed) => unreachable!("time has no end that closes"),
        }
    }

    /// Begins anew, from now on, with this period; also after [`stop`](Self::stop). A tick that was due and
    /// not received is gone.
    ///
    /// # Panics
    /// When the period is zero.
    ///
    /// ```
    /// use fibra::time::Ticker;
    /// use std::time::{Duration, Instant};
    ///
    /// let mut ticker = Ticker::new(Duration::from_secs(3600));
    /// let start = Instant::now();
    /// ticker.reset(Duration::from_millis(3));
    /// assert!(ticker.recv() >= start + Duration::from_millis(3));
    /// ```
    #[track_caller]
    pub fn reset(&mut self, period: Duration) {
        self.ticks = ticks(period);
    }

    /// No more ticks, until it is [reset](Self::reset). As in Go this is not an end that can be received: who
    /// receives waits for ever, and its arm of a select is disabled.
    pub fn stop(&mut self) {
        self.ticks = chan::never();
    }
}

#[track_caller]
fn ticks(period: Duration) -> Receiver<Instant> {
    assert!(!period.is_zero(), "the period of a ticker is zero");
    chan::tick(period)
}

impl Sealed for Ticker {}

impl Source for Ticker {
    type Item = Instant;

    fn arm(&self) -> RecvArm<'_, Instant> {
        self.ticks.arm()
    }
}

impl fmt::Debug for Ticker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ticker { .. }")
    }
}
