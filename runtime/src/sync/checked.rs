//! For the models: a number whose accesses loom checks.

use loom::cell::UnsafeCell;

/// A write must not overlap with anything, and each access must see the writes before it.
pub(super) struct Checked(UnsafeCell<usize>);

// SAFETY: loom checks the accesses.
unsafe impl Send for Checked {}
// SAFETY: as above.
unsafe impl Sync for Checked {}

impl Checked {
    pub(super) fn new() -> Checked {
        Checked(UnsafeCell::new(0))
    }

    pub(super) fn add(&self, n: usize) {
        // SAFETY: loom checks that there is nobody else.
        self.0.with_mut(|number| unsafe { *number += n });
    }

    pub(super) fn get(&self) -> usize {
        // SAFETY: loom checks that nobody writes.
        self.0.with(|number| unsafe { *number })
    }
}

/// With two preemptions: with three the largest models take minutes.
pub(super) fn check(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(model);
}
