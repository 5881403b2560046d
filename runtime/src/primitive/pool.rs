//! Objects on loan that are never freed: parkers of threads and async tasks, sources of readiness.

use super::MODELLED;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// There are as many objects as were ever lent at the same time. Since they are never freed, whoever still has the
/// address of one finds an object of the same type there.
pub(crate) struct Pool<T: 'static>(Mutex<Objects<T>>);

struct Objects<T: 'static> {
    /// Without an owner.
    free: Vec<&'static T>,
    all: Vec<&'static T>,
}

impl<T> Pool<T> {
    pub(crate) const fn new() -> Pool<T> {
        Pool(Mutex::new(Objects { free: Vec::new(), all: Vec::new() }))
    }

    fn objects(&self) -> MutexGuard<'_, Objects<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one that was given back last, or a new one.
    pub(crate) fn lease(&self, new: fn() -> T) -> &'static T {
        // Objects of loom belong to one run of a model.
        if MODELLED {
            return Box::leak(Box::new(new()));
        }
        let mut objects = self.objects();
        match objects.free.pop() {
            Some(object) => object,
            None => {
                let object = &*Box::leak(Box::new(new()));
                objects.all.push(object);
                object
            }
        }
    }

    pub(crate) fn give_back(&self, object: &'static T) {
        if MODELLED {
            return;
        }
        self.objects().free.push(object);
    }

    /// All that there are at the moment, lent or not.
    pub(crate) fn all(&self) -> Vec<&'static T> {
        self.objects().all.clone()
    }
}
