//! Parkers on loan, to threads and to async tasks.

use crate::primitive::MODELLED;
use std::sync::{Mutex, PoisonError};

/// Parkers without an owner. They are never freed, because tickets may point to them; there are as many
/// as were ever lent at the same time. One that is given back is not parked.
pub(super) struct Pool<T: 'static>(Mutex<Vec<&'static T>>);

impl<T> Pool<T> {
    pub(super) const fn new() -> Pool<T> {
        Pool(Mutex::new(Vec::new()))
    }

    /// The one that was given back last, or a new one.
    pub(super) fn lease(&self, new: fn() -> T) -> &'static T {
        // Parkers of loom belong to one run of a model.
        if MODELLED {
            return Box::leak(Box::new(new()));
        }
        let free = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        free.unwrap_or_else(|| Box::leak(Box::new(new())))
    }

    pub(super) fn give_back(&self, parker: &'static T) {
        if MODELLED {
            return;
        }
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(parker);
    }
}
