//! How long sleepers sleep, and how late they wake.

use std::time::{Duration, Instant};

#[cfg(test)]
mod tests;

/// The time over which the wake-ups of sleepers are spread.
pub const SPREAD: Duration = Duration::from_secs(1);

/// How long sleeper `i` sleeps. However many there are, they wake evenly over [`SPREAD`], and not in the
/// order in which they were spawned: multiples of the golden ratio modulo one.
pub fn duration(i: usize) -> Duration {
    scattered(i, SPREAD)
}

/// The place of `i` in `span`, as in [`duration`]. Never zero: that would not be a sleep.
pub(crate) fn scattered(i: usize, span: Duration) -> Duration {
    const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
    let place = (i as u64 + 1).wrapping_mul(GOLDEN) >> 32;
    let nanoseconds = (u128::from(place) * span.as_nanos()) >> 32;
    Duration::from_nanos(nanoseconds as u64 + 1)
}

/// How late somebody is who began to sleep for `wanted` at `start` and has woken now.
///
/// # Panics
/// It is too early.
pub fn lateness(start: Instant, wanted: Duration) -> Duration {
    start.elapsed().checked_sub(wanted).expect("nobody wakes early")
}

/// How late all sleepers were.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lateness {
    /// Of all together.
    pub sum: Duration,
    /// Of the latest.
    pub worst: Duration,
    /// How many have woken.
    pub woken: usize,
}

impl Lateness {
    /// Another one has woken.
    pub fn add(&mut self, late: Duration) {
        self.sum += late;
        self.worst = self.worst.max(late);
        self.woken += 1;
    }
}
