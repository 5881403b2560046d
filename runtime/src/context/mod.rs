//! Contexts: a cancellation, a deadline and values that go along with a piece of work, as in Go.
//!
//! A [`Context`] is handed down from whoever starts a piece of work to all that take part in it. Each may derive
//! one of its own: with a [handle](CancelHandle) that cancels it, with a deadline, or with a value. What ends a
//! context ends all that were derived from it, never the one that it was derived from. Who works under a context
//! looks at [`err`](Context::err), or waits for [`done`](Context::done) beside whatever else it waits for.
//!
//! A context ends nothing by itself. To make a goroutine unwind see
//! [`JoinHandle::cancel`](crate::JoinHandle::cancel) and [`timeout`](crate::time::timeout).
//!
//! ```
//! use fibra::chan::{Receiver, bounded};
//! use fibra::context::{Context, ContextError};
//!
//! fn sum(cx: &Context, numbers: &Receiver<u32>) -> Result<u32, ContextError> {
//!     let mut sum = 0;
//!     loop {
//!         fibra::select! {
//!             recv(numbers) -> number => match number {
//!                 Ok(number) => sum += number,
//!                 Err(_) => return Ok(sum),
//!             },
//!             recv(cx.done()) -> _ => return cx.err().map_or(Ok(sum), Err),
//!         }
//!     }
//! }
//!
//! let (cx, handle) = Context::background().with_cancel();
//! let (tx, rx) = bounded(0);
//! let summing = fibra::go!(move || sum(&cx, &rx));
//! tx.send(5).unwrap();
//! handle.cancel();
//! assert_eq!(summing.join().unwrap(), Err(ContextError::Cancelled));
//! # drop(tx);
//! ```

mod handle;
mod node;
mod orphans;

pub use handle::{CancelGuard, CancelHandle};

use crate::chan::{self, Receiver};
use node::Node;
use std::any::Any;
use std::error::Error;
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

/// Why a context was cancelled: the error given to [`CancelHandle::cancel_cause`], or a [`ContextError`].
pub type Cause = Arc<dyn Error + Send + Sync>;

/// How a context has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ContextError {
    /// It was cancelled, or one that it was derived from.
    Cancelled,
    /// Its deadline is over.
    DeadlineExceeded,
}

impl fmt::Display for ContextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ContextError::Cancelled => "the context was cancelled",
            ContextError::DeadlineExceeded => "the deadline of the context is over",
        })
    }
}

impl Error for ContextError {}

/// What goes along with a piece of work; see the [module](self). Clones are the same context.
///
/// Deriving a context costs no goroutine, thread or timer, and one that is dropped leaves nothing behind in the
/// one that it was derived from.
#[derive(Clone)]
pub struct Context {
    /// The nearest that can end; without one it never does.
    node: Option<Arc<Node>>,
    /// Innermost first.
    values: Option<Arc<Value>>,
}

impl Context {
    /// The one that all others are derived from: it never ends, and has no values.
    #[must_use]
    pub fn background() -> Context {
        Context { node: None, values: None }
    }

    /// Derives a context that the handle cancels. Dropping the handle does not cancel it.
    ///
    /// ```
    /// use fibra::context::{Context, ContextError};
    ///
    /// let (outer, handle) = Context::background().with_cancel();
    /// let (inner, _) = outer.with_cancel();
    /// handle.cancel();
    /// assert_eq!(outer.err(), Some(ContextError::Cancelled));
    /// assert_eq!(inner.err(), Some(ContextError::Cancelled));
    /// ```
    #[must_use]
    pub fn with_cancel(&self) -> (Context, CancelHandle) {
        self.derive(None)
    }

    /// [`with_deadline`](Self::with_deadline) when `limit` is over, counted from now on.
    ///
    /// ```
    /// use fibra::context::{Context, ContextError};
    /// use std::time::Duration;
    ///
    /// let (cx, _) = Context::background().with_timeout(Duration::from_millis(5));
    /// assert!(cx.done().recv().is_err()); // waits
    /// assert_eq!(cx.err(), Some(ContextError::DeadlineExceeded));
    /// ```
    #[must_use]
    pub fn with_timeout(&self, limit: Duration) -> (Context, CancelHandle) {
        // A deadline past the end of the clock never comes.
        self.derive(Instant::now().checked_add(limit))
    }

    /// Derives a context that ends at `deadline`, if it has not ended before: never later than the one that it
    /// is derived from.
    #[must_use]
    pub fn with_deadline(&self, deadline: Instant) -> (Context, CancelHandle) {
        self.derive(Some(deadline))
    }

    fn derive(&self, deadline: Option<Instant>) -> (Context, CancelHandle) {
        let node = Node::new(self.node.as_ref(), deadline);
        let context = Context { node: Some(node.clone()), values: self.values.clone() };
        (context, CancelHandle::new(node))
    }

    /// Derives a context with a value, to be found by its type. For what belongs to a request and passes through
    /// code that has no use for it; what a function needs are its parameters. A type of your own as `T` meets
    /// no other's value.
    #[must_use]
    pub fn with_value<T: Any + Send + Sync>(&self, value: T) -> Context {
        let value = Value { value: Box::new(value), outer: self.values.clone() };
        Context { node: self.node.clone(), values: Some(Arc::new(value)) }
    }

    /// The value of this type that was added last, on the way from the background to here.
    ///
    /// ```
    /// use fibra::context::Context;
    ///
    /// #[derive(Debug, PartialEq)]
    /// struct RequestId(u64);
    ///
    /// let cx = Context::background().with_value(RequestId(7)).with_value("another");
    /// assert_eq!(cx.value(), Some(&RequestId(7)));
    /// assert_eq!(cx.value::<String>(), None);
    /// ```
    #[must_use]
    pub fn value<T: Any>(&self) -> Option<&T> {
        let mut next = self.values.as_deref();
        while let Some(Value { value, outer }) = next {
            if let Some(value) = value.downcast_ref() {
                return Some(value);
            }
            next = outer.as_deref();
        }
        None
    }

    /// Closes when the context ends; nothing is ever sent. For an arm of [`select!`](crate::select), or to wait
    /// for the end alone. A clone of it goes on telling, also when the context itself is gone.
    ///
    /// It only tells: closing it ends waits for it, but not the context.
    #[must_use]
    pub fn done(&self) -> &Receiver<()> {
        static NEVER: LazyLock<Receiver<()>> = LazyLock::new(chan::never);
        match &self.node {
            Some(node) => node.done(),
            None => &NEVER,
        }
    }

    /// How the context has ended; `None`: it has not. What comes first counts and stays: a cancel after the
    /// deadline changes nothing. Once this is `Some`, [`done`](Self::done) is ready, and the other way round.
    #[must_use]
    pub fn err(&self) -> Option<ContextError> {
        Some(self.node.as_ref()?.end()?.error)
    }

    /// Why the context has ended: the error given to [`CancelHandle::cancel_cause`], if that was it, else what
    /// [`err`](Self::err) says. `None`: it has not.
    ///
    /// ```
    /// use fibra::context::{Context, ContextError};
    ///
    /// let (cx, handle) = Context::background().with_cancel();
    /// assert!(cx.cause().is_none());
    /// handle.cancel_cause("the client has gone");
    /// assert_eq!(cx.cause().unwrap().to_string(), "the client has gone");
    /// assert_eq!(cx.err(), Some(ContextError::Cancelled));
    /// ```
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        let end = self.node.as_ref()?.end()?;
        Some(end.cause.unwrap_or_else(|| Arc::new(end.error)))
    }

    /// When the context ends if nothing ends it before: the earliest of its own deadline and those of all that
    /// it was derived from.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.node.as_ref()?.deadline()
    }
}

/// A value, and those that were there before it.
struct Value {
    value: Box<dyn Any + Send + Sync>,
    outer: Option<Arc<Value>>,
}

impl Drop for Value {
    fn drop(&mut self) {
        // One after the other: they may be more than fit the stack.
        let mut next = self.outer.take();
        while let Some(mut value) = next.and_then(Arc::into_inner) {
            next = value.outer.take();
        }
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("err", &self.err())
            .field("deadline", &self.deadline())
            .finish_non_exhaustive()
    }
}

impl UnwindSafe for Context {}
impl RefUnwindSafe for Context {}

#[cfg(test)]
mod tests;
