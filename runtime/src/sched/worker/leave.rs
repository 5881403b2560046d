//! How a goroutine gives its worker back.
//!
//! In two steps: first everything is prepared, then comes the switch. A return behind a switch goes elsewhere than the
//! processor expects, which has seen the calls of the goroutine that was left, and costs some 20 cycles. So the switch
//! is inlined into whoever parks, up to the user's own function where that is worth it (channels); the rest is not.

use super::Worker;
use crate::coroutine::Active;
use crate::goroutine::{GoroutineRef, Suspend};

/// The switch, prepared.
#[must_use = "the worker takes the goroutine for one that has left"]
pub(crate) struct Leave {
    active: Active,
    /// The coroutine of the goroutine that goes on, if that is not the worker. Both fit two registers.
    next: Option<Active>,
}

impl Worker {
    /// Prepares that the current goroutine gives the worker back.
    ///
    /// # Safety
    /// The goroutine [goes](Leave::go), for that reason, and does nothing before it but return from functions.
    // Inlined: with one return more behind a switch a select took 1.07 of the time. Not where frames are as large as
    // they are without optimisation.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) unsafe fn prepare(&self, why: Suspend) -> Leave {
        let (Some(active), Some(goroutine)) = (self.active.get(), self.current()) else {
            unreachable!("only goroutines suspend")
        };
        let next = self.successor(goroutine, why).map(|next| {
            // SAFETY: it passes in `go`.
            unsafe { self.hand_on(goroutine, active, next) }
        });
        Leave { active, next }
    }

    /// Gives the worker back. Returns when the goroutine runs again, maybe on another worker.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn suspend(&self, why: Suspend) {
        // SAFETY: one after the other.
        unsafe { self.prepare(why).go(why) };
    }
}

impl Leave {
    /// Returns when the goroutine runs again, maybe on another worker.
    ///
    /// # Safety
    /// [`Worker::prepare`] has made this for the caller and for that reason, and nothing has happened since.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) unsafe fn go(self, why: Suspend) {
        let _who_goes_on_needs_none = match self.next {
            // SAFETY: the caller runs on a runner, the current goroutine's until `prepare`. The other one is suspended, and
            // its goroutine a resident of this worker, as the caller is: both were resumed by the loop in `run`, on
            // this thread, and only the goroutines have their runners. No runner is closed, or shared.
            Some(next) => unsafe { self.active.pass(next, None::<GoroutineRef>) },
            // SAFETY: the current goroutine runs on this coroutine, which is a runner.
            None => unsafe { self.active.suspend::<Option<GoroutineRef>, Suspend>(why) },
        };
    }
}
