//! Coroutines with settings of their own.

use super::extra::Extra;
use super::link::Link;
use super::memory::Stack;
use super::{Coroutine, Yielder, handle, memory};
use crate::stack::{self, StackSize};
use std::fmt;
use std::io;
use std::ptr::NonNull;

/// Settings for a coroutine.
#[derive(Default)]
pub struct Builder {
    pub(super) name: Option<Box<str>>,
    stack_size: Option<usize>,
    stack: Option<Box<dyn Stack>>,
}

impl Builder {
    /// A name, shown when its stack overflows.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into().into_boxed_str());
        self
    }

    /// Stack size in bytes, rounded up to a power of two; 256 KiB unless set. The stack comes from a pool and
    /// goes back there.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_size = Some(bytes);
        self
    }

    /// Memory of the caller's for the stack, 16 KiB or more; then [`stack_size`](Self::stack_size) does not
    /// count. It is dropped after the coroutine.
    pub fn stack(mut self, stack: impl Stack) -> Self {
        self.stack = Some(Box::new(stack));
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
        let link = self.place(body)?;
        // SAFETY: it was just made, from a body of these types.
        Ok(unsafe { Coroutine::from_link(link) })
    }

    /// The same for a body that borrows: whoever calls this sees to it that the coroutine is closed in time.
    pub(super) fn place<In, Yield, Out, F>(self, body: F) -> io::Result<NonNull<Link>>
    where
        F: FnOnce(&Yielder<In, Yield>, In) -> Out,
    {
        stack::ensure_alternate_stack();
        let stack = match &self.stack {
            Some(memory) => memory::stack_in(&**memory)?,
            None => stack::acquire(match self.stack_size {
                None => StackSize::DEFAULT,
                Some(bytes) => StackSize::new(bytes)?,
            })?,
        };
        let place = Link::place(stack, body);
        // SAFETY: the link was just written, and nothing else refers to it yet.
        let link = unsafe { &mut *place.as_ptr() };
        if self.stack.is_some() {
            memory::register(&link.stack, place);
        }
        if self.stack.is_some() || self.name.is_some() {
            let extra =
                Extra { name: self.name.map(Into::into), memory: self.stack, ..Extra::default() };
            link.extra = Box::new(extra).into();
        }
        link.stack.set_label(handle::label(), place.as_ptr().cast_const().cast());
        Ok(place)
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("name", &self.name)
            .field("stack_size", &self.stack_size)
            .finish_non_exhaustive()
    }
}

impl Coroutine<(), (), ()> {
    /// Settings first, then [`Builder::build`].
    pub fn builder() -> Builder {
        Builder::default()
    }
}
