//! Time: sleeping, ticking, and giving up after a while.
//!
//! A time limit of a single wait is part of that wait: `recv_timeout`, `lock_timeout` and the like. [`timeout`]
//! puts a limit to anything. [`chan::after`](crate::chan::after) and [`chan::tick`](crate::chan::tick) are
//! channels.

mod ticker;
mod timeout;

pub use ticker::Ticker;
pub use timeout::{Elapsed, timeout};

use crate::goroutine::WaitReason;
use crate::park::{self, Parking};
use std::time::{Duration, Instant};

/// Parks the calling goroutine, or blocks the calling thread, for at least `duration`. Zero yields.
///
/// A goroutine that was cancelled unwinds here.
///
/// ```
/// use std::time::{Duration, Instant};
///
/// let start = Instant::now();
/// fibra::sleep(Duration::from_millis(10));
/// assert!(start.elapsed() >= Duration::from_millis(10));
/// ```
pub fn sleep(duration: Duration) {
    if duration.is_zero() {
        park::yield_now();
    } else {
        // A deadline past the end of the clock never comes.
        wait_until(Instant::now().checked_add(duration));
    }
}

/// [`sleep`] until a point in time. One that is over yields.
///
/// ```
/// use std::time::{Duration, Instant};
///
/// let start = Instant::now();
/// for lap in 1..=3 {
///     // The laps do not add up what each is late.
///     fibra::time::sleep_until(start + lap * Duration::from_millis(2));
/// }
/// assert!(start.elapsed() >= Duration::from_millis(6));
/// ```
pub fn sleep_until(deadline: Instant) {
    if deadline <= Instant::now() {
        park::yield_now();
    } else {
        wait_until(Some(deadline));
    }
}

fn wait_until(deadline: Option<Instant>) {
    let cause = Parking::open().wait(WaitReason::Sleep, deadline);
    park::unwind_if_cancelled(cause);
}
