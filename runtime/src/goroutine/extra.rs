//! What only some goroutines have: a name, a stack size of their own, a scope, local values.

use super::GoroutineRef;
use super::locals::Locals;
use crate::primitive::atomic::Ordering;
use crate::stack::StackSize;
use std::sync::Arc;

/// Who wants to know of a goroutine's end, beside its joiner: the scope that it borrows from.
pub(crate) trait Observer: Send + Sync {
    /// It has ended: nothing of it runs or will be dropped on its worker any more.
    fn ended(&self);
    /// It panicked, and nobody has joined it.
    fn panicked(&self);
}

/// What only some goroutines have.
#[derive(Default)]
pub(crate) struct Extra {
    pub(crate) name: Option<Box<str>>,
    pub(crate) stack_size: Option<StackSize>,
    pub(crate) observer: Option<Arc<dyn Observer>>,
    /// Touched by the goroutine itself only.
    pub(crate) locals: Locals,
}

impl GoroutineRef {
    /// The name; the reference must be kept for as long as it is used.
    pub(crate) fn name(&self) -> Option<&str> {
        self.extra()?.name.as_deref()
    }

    pub(crate) fn stack_size(self) -> Option<StackSize> {
        self.extra()?.stack_size
    }

    /// Who wants to know of its end; kept as [`name`](Self::name).
    pub(crate) fn observer(&self) -> Option<&Arc<dyn Observer>> {
        self.extra()?.observer.as_ref()
    }

    fn extra(&self) -> Option<&Extra> {
        // SAFETY: null, or from a box that is freed with the last reference; the caller holds one.
        unsafe { self.header().extra.load(Ordering::Acquire).as_ref() }
    }

    /// Its goroutine-local values. Running goroutine only.
    pub(crate) fn locals(&self) -> Option<&Locals> {
        Some(&self.extra()?.locals)
    }

    /// The same, made when there are none.
    pub(crate) fn locals_or_new(&self) -> &Locals {
        if self.extra().is_none() {
            // Only the running goroutine installs it; Release: a handle may ask for the name meanwhile.
            let extra = Box::into_raw(Box::default());
            self.header().extra.store(extra, Ordering::Release);
        }
        match self.locals() {
            Some(locals) => locals,
            None => unreachable!("just installed"),
        }
    }
}
