//! What one round of a work came to.

use std::fmt;
use std::time::Duration;

/// Named numbers, all in nanoseconds; the first is `ns`, the one that is compared. Shown, it is one line:
/// each name and its number.
#[derive(Debug)]
pub struct Round(Vec<(&'static str, f64)>);

impl Round {
    /// `count` operations that took `elapsed` together.
    pub fn new(elapsed: Duration, count: usize) -> Round {
        Round::of(each(elapsed, count))
    }

    /// An operation took `nanoseconds`.
    pub fn of(nanoseconds: f64) -> Round {
        Round(vec![("ns", nanoseconds)])
    }

    /// Adds what `total` is for each of `count` operations.
    #[must_use]
    pub fn with_each(self, name: &'static str, total: Duration, count: usize) -> Round {
        self.with(name, each(total, count))
    }

    /// Adds a number.
    #[must_use]
    pub fn with(mut self, name: &'static str, nanoseconds: f64) -> Round {
        self.0.push((name, nanoseconds));
        self
    }
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (name, number)) in self.0.iter().enumerate() {
            let separator = if i > 0 { " " } else { "" };
            write!(f, "{separator}{name} {number:.1}")?;
        }
        Ok(())
    }
}

fn each(total: Duration, count: usize) -> f64 {
    total.as_nanos() as f64 / count as f64
}
