//! What can be received without a channel behind it: points in time, the end of a goroutine.

use super::core::{Refused, Wait, sooner};
use crate::goroutine::WaitReason;
use crate::park::{self, Parking};
use crate::primitive::Locked;
use crate::ticket::Cause;
use std::time::{Duration, Instant};

/// Something that happens by itself, and can be received when it has.
pub(super) trait Event<T> {
    /// Takes what has happened.
    fn take(&self) -> Option<T>;

    /// When there may be something next, if that is a matter of time alone.
    fn due(&self) -> Option<Instant> {
        None
    }
}

/// Receives from an event of time.
pub(super) fn receive<T>(event: &dyn Event<T>, wait: Wait) -> Result<T, Refused> {
    loop {
        if let Some(value) = event.take() {
            return Ok(value);
        }
        let Wait::Until(deadline) = wait else { return Err(Refused::NotNow) };
        let due = event.due();
        let cause = Parking::open().wait(WaitReason::Receive, sooner(due, deadline));
        park::unwind_if_cancelled(cause);
        debug_assert_eq!(cause, Cause::Timeout);
        let in_time = due.is_some_and(|due| deadline.is_none_or(|deadline| due <= deadline));
        if !in_time {
            return event.take().ok_or(Refused::Timeout);
        }
    }
}

/// One message, at a point in time. One that never comes is `None`.
pub(super) struct After(Locked<Option<Instant>>);

impl After {
    pub(super) fn new(time: Option<Instant>) -> After {
        After(Locked::new(time))
    }
}

impl Event<Instant> for After {
    fn take(&self) -> Option<Instant> {
        let mut time = self.0.lock();
        match *time {
            Some(at) if at <= Instant::now() => time.take(),
            _ => None,
        }
    }

    fn due(&self) -> Option<Instant> {
        *self.0.lock()
    }
}

/// A message at each multiple of the period. What nobody took in time is left out.
pub(super) struct Tick {
    next: Locked<Option<Instant>>,
    period: Duration,
}

impl Tick {
    pub(super) fn new(period: Duration) -> Tick {
        Tick { next: Locked::new(Instant::now().checked_add(period)), period }
    }
}

impl Event<Instant> for Tick {
    fn take(&self) -> Option<Instant> {
        let mut next = self.next.lock();
        let at = (*next)?;
        let now = Instant::now();
        if now < at {
            return None;
        }
        *next = following(at, self.period, now);
        Some(at)
    }

    fn due(&self) -> Option<Instant> {
        *self.next.lock()
    }
}

/// The first multiple of the period after `at` that is later than `now`; `None` when the clock ends first.
fn following(at: Instant, period: Duration, now: Instant) -> Option<Instant> {
    let missed = now.saturating_duration_since(at).as_nanos().checked_div(period.as_nanos());
    // A period of nothing: always now.
    let Some(missed) = missed else { return Some(now) };
    let ahead = (missed + 1).checked_mul(period.as_nanos())?;
    let seconds = u64::try_from(ahead / 1_000_000_000).ok()?;
    at.checked_add(Duration::new(seconds, (ahead % 1_000_000_000) as u32))
}

/// Never happens.
pub(super) struct Never;

impl<T> Event<T> for Never {
    fn take(&self) -> Option<T> {
        None
    }
}
