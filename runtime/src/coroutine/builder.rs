//! Coroutines with settings of their own.

use super::{Coroutine, Link, Yielder};
use crate::stack::{self, SignalWriter, StackSize};
use std::io;

/// Settings for a coroutine.
#[derive(Debug, Default)]
pub struct Builder {
    name: Option<Box<str>>,
    stack_size: Option<usize>,
}

impl Builder {
    /// A name, shown when its stack overflows.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into().into_boxed_str());
        self
    }

    /// Stack size in bytes, rounded up to a power of two; 256 KiB unless set.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_size = Some(bytes);
        self
    }

    /// Makes the coroutine; nothing of it runs yet.
    ///
    /// # Errors
    /// `InvalidInput` for a stack size that cannot be, and what the system says when no stack can be
    /// had.
    pub fn build<In, Yield, Out, F>(self, body: F) -> io::Result<Coroutine<In, Yield, Out>>
    where
        F: FnOnce(&Yielder<In, Yield>, In) -> Out + 'static,
        In: 'static,
        Yield: 'static,
        Out: 'static,
    {
        let size = match self.stack_size {
            None => StackSize::DEFAULT,
            Some(bytes) => StackSize::new(bytes)?,
        };
        stack::ensure_alternate_stack();
        let coroutine = Coroutine::on_stack(stack::acquire(size)?, body);
        // SAFETY: the link was just written, and nothing else refers to it yet.
        let link = unsafe { &mut *coroutine.link.as_ptr() };
        link.name = self.name;
        link.stack.set_label(describe, coroutine.link.as_ptr().cast_const().cast());
        Ok(coroutine)
    }
}

/// The label of a coroutine's stack.
///
/// # Safety
/// `subject` is the [`Link`] on the stack that carries the label.
unsafe fn describe(subject: *const (), out: &mut SignalWriter) {
    // SAFETY: by the contract above; the name is not changed after the label was set.
    let name = unsafe { &(*subject.cast::<Link>()).name };
    match name {
        Some(name) => {
            out.str("coroutine '");
            out.str(name);
            out.str("'");
        }
        None => out.str("a coroutine"),
    }
}

impl Coroutine<(), (), ()> {
    /// Settings first, then [`Builder::build`].
    pub fn builder() -> Builder {
        Builder::default()
    }
}
