//! Values of `goroutine_local!` statics: a short list in the goroutine (or thread) they belong to.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

/// The values of one goroutine, by the address of their static.
#[derive(Default)]
pub(crate) struct Locals(RefCell<Vec<(usize, Rc<dyn Any>)>>);

impl Locals {
    /// The value under `key`; [`set`](Self::set) gave it this type.
    pub(crate) fn get<T: 'static>(&self, key: usize) -> Option<Rc<T>> {
        let value = self.0.borrow().iter().find(|(k, _)| *k == key)?.1.clone();
        value.downcast().ok()
    }

    pub(crate) fn set<T: 'static>(&self, key: usize, value: Rc<T>) {
        self.0.borrow_mut().push((key, value));
    }

    /// Drops all values, newest first; also those that their destructors make.
    pub(crate) fn clear(&self) {
        loop {
            let last = self.0.borrow_mut().pop();
            match last {
                Some(value) => drop(value),
                None => return,
            }
        }
    }
}

impl fmt::Debug for Locals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Locals")
    }
}
