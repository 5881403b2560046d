//! The bridge to `async`: a goroutine that waits for a future, and a future that waits for a goroutine.
//!
//! [`block_on`] gives the future a waker that ends a park of the calling goroutine or thread. What the waker
//! and the caller share is a [`Bell`]: it holds the ticket of the park, while there is one, and remembers
//! that it rang, while there is none. The token of `unpark` is not used, so none is left behind.
//!
//! [`JoinFuture`] is a client of the join word like `JoinHandle::join`, with a [`TaskPark`] instead of a
//! `Parking`. All that is delicate about it is in `ticket/task.rs`.

use crate::goroutine::WaitReason;
use crate::join::JoinHandle;
use crate::park::{self, Parking};
use crate::primitive::Mutex;
use crate::sched::current;
use crate::ticket::task::TaskPark;
use crate::ticket::{Cause, Ticket};
use std::fmt;
use std::future::{Future, IntoFuture};
use std::mem;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

/// What the wakers of one `block_on` share with it.
struct Bell(Mutex<State>);

enum State {
    /// Since the last poll began nobody has rung.
    Silent,
    Rung,
    /// Nobody has rung, and this is the park to be ended by whoever does.
    Waiting(Ticket),
}

impl Bell {
    fn new() -> Bell {
        Bell(Mutex::new(State::Silent))
    }

    /// Hangs up the ticket of the caller's park. False: it has rung since the last poll began, and the
    /// caller is to poll again instead.
    fn arm(&self, ticket: Ticket) -> bool {
        let mut state = self.0.lock();
        match *state {
            State::Rung => false,
            State::Silent | State::Waiting(_) => {
                *state = State::Waiting(ticket);
                true
            }
        }
    }

    /// The next poll is about to begin: what rang before it is the reason for it.
    fn disarm(&self) {
        *self.0.lock() = State::Silent;
    }

    /// Whoever rings first gets the ticket, to claim it.
    fn ring(&self) -> Option<Ticket> {
        match mem::replace(&mut *self.0.lock(), State::Rung) {
            State::Waiting(ticket) => Some(ticket),
            State::Silent | State::Rung => None,
        }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Some(ticket) = self.ring() {
            park::claim(ticket, Cause::Notified);
        }
    }
}

/// Runs a future to its end on the calling goroutine, and gives its output.
///
/// Whenever the future is pending, the goroutine parks until the future's waker is woken; on a plain thread
/// the thread blocks. A waker that is woken during the poll makes the goroutine yield and poll again. Wakers
/// may be woken from anywhere, any number of times, also when `block_on` has returned.
///
/// A goroutine that was cancelled unwinds here when the future is pending, which drops the future.
///
/// The future is polled on one thread, that of the goroutine, and need not be `Send`. In a goroutine that is
/// migratable it may be polled on several threads; that this is right for it is part of the promise that
/// [`Builder::migratable`](crate::Builder::migratable) asks for.
///
/// ```
/// use std::future::{self, Future};
/// use std::task::Poll;
///
/// // Any future; this one is ready at its second poll.
/// let mut polls = 0;
/// let counting = future::poll_fn(|context| {
///     polls += 1;
///     if polls == 2 {
///         return Poll::Ready("done");
///     }
///     let waker = context.waker().clone();
///     std::thread::spawn(move || waker.wake());
///     Poll::Pending
/// });
/// assert_eq!(fibra::block_on(counting), "done");
///
/// // The handle of a goroutine is one, too.
/// assert_eq!(fibra::block_on(fibra::go!(|| 6 * 7)).unwrap(), 42);
/// ```
///
/// # Futures that need a runtime
///
/// Sockets and timers of other libraries are driven by the threads of those libraries. `smol`'s start by
/// themselves. Those of tokio look in a thread-local for a tokio runtime, whose
/// [guard](https://docs.rs/tokio/latest/tokio/runtime/struct.Handle.html#method.enter) must not be held across a
/// park: another goroutine of the worker would see it, and may enter, too, and leave in the wrong order. Enter
/// in each poll instead:
///
/// ```
/// use std::future::{self, Future};
/// use std::pin::pin;
/// # struct Handle;
/// # impl Handle { fn enter(&self) {} }
///
/// fn block_on_with<T>(tokio: &Handle, future: impl Future<Output = T>) -> T {
///     let mut future = pin!(future);
///     fibra::block_on(future::poll_fn(|context| {
///         let _entered = tokio.enter();
///         future.as_mut().poll(context)
///     }))
/// }
/// # block_on_with(&Handle, future::ready(()));
/// ```
pub fn block_on<F: IntoFuture>(future: F) -> F::Output {
    let mut future = pin!(future.into_future());
    let bell = Arc::new(Bell::new());
    let waker = Waker::from(bell.clone());
    let mut context = Context::from_waker(&waker);
    loop {
        bell.disarm();
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        let parking = Parking::open();
        if bell.arm(parking.ticket()) {
            park::unwind_if_cancelled(parking.wait(WaitReason::Future, None));
        } else {
            drop(parking);
            // A future that wakes itself wants others to have a turn.
            park::yield_now();
        }
    }
}

/// Waits for the end of a goroutine: what a [`JoinHandle`] becomes when it is awaited.
///
/// Works in any executor, and with [`block_on`]; where a function wants a future, `handle.into_future()` makes
/// it one. Dropping it detaches the goroutine, as dropping the handle does.
///
/// # Panics
/// When the goroutine itself polls it (it would wait for ever), and when it is polled again after it has
/// given its result.
///
/// ```
/// use std::future::IntoFuture;
///
/// async fn sum() -> u32 {
///     let (left, right) = (fibra::go!(|| 20), fibra::go!(|| 22));
///     left.await.unwrap() + right.await.unwrap()
/// }
/// assert_eq!(fibra::block_on(sum()), 42);
///
/// // Given up, for example because a timeout came first:
/// let future = fibra::go!(fibra::park()).into_future();
/// future.handle().cancel();
/// assert!(fibra::block_on(future).unwrap_err().is::<fibra::Cancelled>());
/// ```
#[must_use = "a future waits for nothing unless it is awaited or polled"]
pub struct JoinFuture<T> {
    /// While it waits. Before the handle, which must be dropped last.
    park: Option<TaskPark>,
    handle: JoinHandle<T>,
}

impl<T> JoinFuture<T> {
    /// The goroutine's handle, to ask for its name or to cancel it.
    pub fn handle(&self) -> &JoinHandle<T> {
        &self.handle
    }
}

impl<T> IntoFuture for JoinHandle<T> {
    type Output = thread::Result<T>;
    type IntoFuture = JoinFuture<T>;

    fn into_future(mut self) -> JoinFuture<T> {
        self.unwatch();
        JoinFuture { park: None, handle: self }
    }
}

impl<T> Future for JoinFuture<T> {
    type Output = thread::Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<thread::Result<T>> {
        let this = &mut *self;
        let goroutine = this.handle.goroutine();
        if !goroutine.is_done() {
            assert!(current::goroutine() != Some(goroutine), "a goroutine cannot join itself");
            let registered = this.park.is_some() || {
                let park = TaskPark::open();
                let registered = goroutine.join_with(park.ticket());
                this.park = registered.then_some(park);
                registered
            };
            if registered
                && let Some(park) = &mut this.park
                && park.poll_wait(context).is_pending()
            {
                return Poll::Pending;
            }
        }
        this.park = None;
        Poll::Ready(this.handle.take())
    }
}

impl<T> Drop for JoinFuture<T> {
    fn drop(&mut self) {
        if let Some(park) = &mut self.park
            && park.close().is_none()
        {
            // If that fails, the result came meanwhile.
            let _unjoined = self.handle.goroutine().unjoin();
        }
    }
}

impl<T> fmt::Debug for JoinFuture<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("JoinFuture").field(&self.handle).finish()
    }
}

#[cfg(all(test, loom))]
mod tests;
