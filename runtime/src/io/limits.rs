//! How long calls on a descriptor may wait.

use crate::poll::Direction;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Nanoseconds each; zero for none.
#[derive(Debug)]
pub(super) struct Limits {
    timeouts: [AtomicU64; 2],
    /// Since the process's origin.
    deadline: AtomicU64,
}

/// Since when a call waits, in nanoseconds since the process's origin; zero: that has not mattered yet.
#[derive(Default)]
pub(super) struct Began(u64);

/// What deadlines are counted from: when it was first asked for.
fn origin() -> Instant {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    *ORIGIN.get_or_init(Instant::now)
}

/// At least one: zero means none.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX).max(1)
}

/// Beyond what the clock can say it never comes.
fn at(nanos: u64) -> Option<Instant> {
    origin().checked_add(Duration::from_nanos(nanos))
}

impl Limits {
    pub(super) fn new() -> Limits {
        Limits { timeouts: [const { AtomicU64::new(0) }; 2], deadline: AtomicU64::new(0) }
    }

    pub(super) fn timeout(&self, direction: Direction) -> Option<Duration> {
        match self.timeouts[direction as usize].load(Ordering::Relaxed) {
            0 => None,
            nanos => Some(Duration::from_nanos(nanos)),
        }
    }

    pub(super) fn set_timeout(&self, direction: Direction, timeout: Option<Duration>) {
        let nanos = timeout.map_or(0, nanos);
        self.timeouts[direction as usize].store(nanos, Ordering::Relaxed);
    }

    pub(super) fn set_deadline(&self, deadline: Option<Instant>) {
        let nanos =
            deadline.map_or(0, |deadline| nanos(deadline.saturating_duration_since(origin())));
        self.deadline.store(nanos, Ordering::Relaxed);
    }

    fn absolute(&self) -> Option<Instant> {
        match self.deadline.load(Ordering::Relaxed) {
            0 => None,
            nanos => at(nanos),
        }
    }

    /// Whether the deadline has passed.
    pub(super) fn is_over(&self) -> bool {
        self.absolute().is_some_and(|deadline| deadline <= Instant::now())
    }

    /// Until when a call may wait. It began when it first had a timeout to keep.
    pub(super) fn deadline(&self, direction: Direction, began: &mut Began) -> Option<Instant> {
        let relative = self.timeout(direction).and_then(|timeout| {
            if began.0 == 0 {
                began.0 = nanos(origin().elapsed());
            }
            at(began.0)?.checked_add(timeout)
        });
        match (relative, self.absolute()) {
            (Some(relative), Some(absolute)) => Some(relative.min(absolute)),
            (relative, absolute) => relative.or(absolute),
        }
    }
}
