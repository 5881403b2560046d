//! Looking again before waiting: whoever has the lock may run on another worker, and be done in a moment.

use crate::primitive::MODELLED;
use crate::sched::current;
use std::hint;

/// How often to look again, and how much longer to pause from look to look: about a microsecond in all.
const LOOKS: u32 = 4;

/// The looks that are left.
#[derive(Debug)]
pub(super) struct Spin {
    looks: u32,
}

impl Spin {
    pub(super) fn new() -> Spin {
        Spin { looks: 0 }
    }

    /// Pauses for a moment; false once it is time to wait in earnest.
    #[inline]
    pub(super) fn again(&mut self) -> bool {
        if MODELLED || self.looks == LOOKS || (self.looks == 0 && !others_run()) {
            return false;
        }
        self.looks += 1;
        for _ in 0..1 << self.looks {
            hint::spin_loop();
        }
        true
    }
}

/// Whether somebody else can run while the caller does not let go of its thread. A plain thread is never
/// alone: there are workers.
fn others_run() -> bool {
    current::worker().is_none_or(|worker| worker.shared().config.workers > 1)
}
