//! Sleeping.

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
        return;
    }
    // A deadline past the end of the clock never comes.
    let deadline = Instant::now().checked_add(duration);
    let cause = Parking::open().wait(WaitReason::Sleep, deadline);
    park::unwind_if_cancelled(cause);
}
