//! Values of `goroutine_local!` and `coroutine_local!` statics: a short list in the goroutine, coroutine or
//! thread that they belong to.

use super::handle::running_link;
use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

/// The values of one of them, by the address of their static.
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

/// The values of the coroutine that the caller runs in. The reference is for its own frames only.
pub(crate) fn running_locals<'a>() -> Option<&'a Locals> {
    // SAFETY: the coroutine runs, and keeps its link at least until its frames are left.
    running_link().map(|link| unsafe { &link.as_ref().extra().locals })
}
