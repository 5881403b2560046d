//! Which goroutine it is: its number, and how messages call it.

use super::GoroutineRef;
use crate::stack::SignalWriter;
use std::fmt;
use std::num::NonZeroU64;

/// Identifies a goroutine in this process; never reused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GoroutineId(NonZeroU64);

impl GoroutineId {
    /// The number that messages show.
    pub fn as_u64(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for GoroutineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for GoroutineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GoroutineId({})", self.0)
    }
}

impl GoroutineRef {
    pub(crate) fn id(self) -> GoroutineId {
        let Some(id) = NonZeroU64::new(self.header().id.get()) else {
            unreachable!("ids start at 1")
        };
        GoroutineId(id)
    }

    /// The label of the stack it runs on.
    ///
    /// # Safety
    /// `subject` is the header of a goroutine that is running.
    pub(crate) unsafe fn describe(subject: *const (), out: &mut SignalWriter) {
        let Some(goroutine) = GoroutineRef::from_ptr(subject.cast_mut().cast()) else {
            out.str("a goroutine's stack");
            return;
        };
        out.str("goroutine ");
        out.number(goroutine.header().id.get());
        if let Some(name) = goroutine.name() {
            out.str(" '");
            out.str(name);
            out.str("'");
        }
        let site = goroutine.site();
        out.str(" (spawned at ");
        out.str(site.file());
        out.str(":");
        out.number(u64::from(site.line()));
        out.str(":");
        out.number(u64::from(site.column()));
        out.str(")");
    }
}

/// `goroutine 42 'parser' (spawned at src/x.rs:10:5)`
impl fmt::Display for GoroutineRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "goroutine {}", self.id())?;
        if let Some(name) = self.name() {
            write!(f, " '{name}'")?;
        }
        write!(f, " (spawned at {})", self.site())
    }
}
