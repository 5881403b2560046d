//! Who may cancel a context.

use super::node::{End, Node};
use super::{Cause, ContextError};
use std::error::Error;
use std::fmt;
use std::ops::Deref;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;

/// Cancels the context that it was made with, and all that are derived from that. Clones cancel the same one.
///
/// Dropping it cancels nothing; a [guard](Self::into_guard) cancels when it is dropped.
#[derive(Clone)]
pub struct CancelHandle(Arc<Node>);

impl CancelHandle {
    pub(super) fn new(node: Arc<Node>) -> CancelHandle {
        CancelHandle(node)
    }

    /// Cancels the context. When this returns, the context and all that are derived from it have ended. If they
    /// had before, this does nothing.
    pub fn cancel(&self) {
        self.0.cancel(&End { error: ContextError::Cancelled, cause: None });
    }

    /// [`cancel`](Self::cancel) that says why: the error is what [`Context::cause`](super::Context::cause) gives.
    /// Also takes a string, or the cause of another context. If the context has ended before, the error is
    /// dropped.
    pub fn cancel_cause(&self, error: impl Into<Box<dyn Error + Send + Sync>>) {
        let cause = match error.into().downcast::<Cause>() {
            Ok(cause) => *cause,
            Err(error) => Cause::from(error),
        };
        self.0.cancel(&End { error: ContextError::Cancelled, cause: Some(cause) });
    }

    /// A guard that cancels when it is dropped.
    ///
    /// ```
    /// use fibra::context::Context;
    ///
    /// let (cx, handle) = Context::background().with_cancel();
    /// {
    ///     let _guard = handle.into_guard();
    ///     assert!(cx.err().is_none());
    /// }
    /// assert!(cx.err().is_some());
    /// ```
    #[must_use = "dropping the guard cancels at once"]
    pub fn into_guard(self) -> CancelGuard {
        CancelGuard { handle: self, armed: true }
    }
}

/// Cancels a context when it is dropped.
#[must_use = "dropping the guard cancels at once"]
pub struct CancelGuard {
    handle: CancelHandle,
    armed: bool,
}

impl CancelGuard {
    /// The handle back, without a cancel.
    pub fn disarm(mut self) -> CancelHandle {
        self.armed = false;
        self.handle.clone()
    }
}

impl Deref for CancelGuard {
    type Target = CancelHandle;

    fn deref(&self) -> &CancelHandle {
        &self.handle
    }
}

impl Drop for CancelGuard {
    fn drop(&mut self) {
        if self.armed {
            self.handle.cancel();
        }
    }
}

impl fmt::Debug for CancelHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CancelHandle { .. }")
    }
}

impl fmt::Debug for CancelGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CancelGuard { .. }")
    }
}

impl UnwindSafe for CancelHandle {}
impl RefUnwindSafe for CancelHandle {}
