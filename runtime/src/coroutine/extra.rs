//! What few coroutines have: apart, so that the others do not pay for it.

use super::handle::Life;
use super::memory::Stack;
use super::{Locals, Payload};
use std::cell::OnceCell;
use std::mem;
use std::panic::{self, AssertUnwindSafe};
use std::rc::Rc;

#[derive(Default)]
pub(super) struct Extra {
    pub(super) name: Option<Rc<str>>,
    /// What handles look at, once somebody asked for one.
    pub(super) life: OnceCell<Rc<Life>>,
    /// Its values of `coroutine_local!` statics.
    pub(super) locals: Locals,
    /// The memory it runs on, if that is not the pool's.
    pub(super) memory: Option<Box<dyn Stack>>,
}

impl Extra {
    /// Drops the values of `coroutine_local!` statics, all of them; the first panic on the way.
    pub(super) fn drop_locals(&self) -> Result<(), Payload> {
        let mut result = Ok(());
        while let Err(payload) = panic::catch_unwind(AssertUnwindSafe(|| self.locals.clear())) {
            match result {
                Ok(()) => result = Err(payload),
                // It may panic when it is dropped.
                Err(_) => mem::forget(payload),
            }
        }
        result
    }

    /// The coroutine is gone: handles get to know. The memory it ran on, if that was not the pool's.
    pub(super) fn end(self) -> Option<Box<dyn Stack>> {
        if let Some(life) = self.life.get() {
            life.end();
        }
        self.memory
    }
}
