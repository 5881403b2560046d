//! Channels for `async` code: an arm of a select that waits with a waker instead of a stack.
//!
//! While the future waits, its arm stands in the channel's queue with the ticket of a task's park
//! (`ticket/task.rs`). So the future is pinned, and takes its arm back when it is dropped. If a value was
//! handed to it by then, the value goes to the next receiver, or to the front of the channel.

use super::select::{Arm, ArmLock, RecvArm, SendArm, Sink, Source, delist};
use super::{Receiver, RecvError, SendError, Sender};
use crate::sched::TaskDeadline;
use crate::ticket::task::TaskPark;
use crate::ticket::{Cause, Ticket};
use crate::waitq::Wake;
use std::fmt;
use std::marker::PhantomPinned;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// An arm, and the park in which it waits.
struct Waiting<A: Arm> {
    arm: A,
    park: Option<(TaskPark, Option<TaskDeadline>)>,
    /// The channel may know the arm's address.
    _pinned: PhantomPinned,
}

impl<A: Arm> Waiting<A> {
    fn new(arm: A) -> Waiting<A> {
        Waiting { arm, park: None, _pinned: PhantomPinned }
    }

    /// Ready once the arm has gone ahead. To poll it again after that panics.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        // SAFETY: the arm is not moved out of it.
        let this = unsafe { self.get_unchecked_mut() };
        loop {
            if let Some((park, _)) = &mut this.park {
                let cause = ready!(park.poll_wait(context));
                let ahead = this.leave();
                debug_assert_eq!(ahead, cause == Cause::Notified);
                if ahead {
                    return Poll::Ready(());
                }
            }
            // First without a park, and then, if it must wait, once more with one: what that needs may allocate
            // or fail, and so had better not happen under the lock.
            if let Some(wake) = this.attempt(None) {
                wake.wake();
                return Poll::Ready(());
            }
            let park = TaskPark::open();
            let ticket = park.ticket();
            let deadline = this.arm.due().map(|due| TaskDeadline::set(due, ticket));
            this.park = Some((park, deadline));
            if let Some(wake) = this.attempt(Some(ticket)) {
                this.park = None;
                wake.wake();
                return Poll::Ready(());
            }
        }
    }

    /// Lets the arm go ahead, if it can. Otherwise it waits, if there is a ticket, which is that of `park`.
    fn attempt(&self, ticket: Option<Ticket>) -> Option<Wake> {
        // Before the lock: a panic runs the hook, which is user code.
        assert!(self.arm.is_open(), "the arm has gone ahead");
        let lock = self.arm.lock();
        let _locked = ArmLock::take(lock);
        // SAFETY: the lock is held, and the arm is open.
        let wake = unsafe { self.arm.attempt() };
        if let (None, Some(ticket)) = (&wake, ticket) {
            // SAFETY: the lock is held; the arm is pinned, and as there is a park, `leave` delists it before it is
            // dropped.
            unsafe { self.arm.enlist(ticket) };
        }
        wake
    }

    /// Ends the park, and takes the arm back; true when it has gone ahead.
    fn leave(&mut self) -> bool {
        let Some((mut park, deadline)) = self.park.take() else { return false };
        park.close();
        let ahead = delist(&self.arm, self.arm.lock());
        drop(deadline);
        // Last: it may drop a waker, which is user code.
        drop(park);
        ahead
    }
}

/// Receives the next value; made by [`Receiver::recv_async`].
///
/// If it is dropped, no value is lost: one that was on its way to it goes to the next receiver. If nobody else
/// receives, the value stays in the channel until somebody does, even in one without room, and its sender has gone
/// on. If several are dropped at once, what was on its way to them may change places.
#[must_use = "futures do nothing unless they are awaited"]
pub struct RecvFuture<'a, T>(Waiting<RecvArm<'a, T>>);

// SAFETY: it moves between threads only with its value, and its waiter is touched under the channel's lock.
unsafe impl<T: Send> Send for RecvFuture<'_, T> {}

impl<T> Future for RecvFuture<'_, T> {
    type Output = Result<T, RecvError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: the field is pinned with the whole.
        let mut waiting = unsafe { self.map_unchecked_mut(|this| &mut this.0) };
        ready!(waiting.as_mut().poll(context));
        Poll::Ready(waiting.arm.result())
    }
}

impl<T> Drop for RecvFuture<'_, T> {
    fn drop(&mut self) {
        if self.0.leave() {
            self.0.arm.give_back();
        }
    }
}

/// Sends a value; made by [`Sender::send_async`].
///
/// If it is dropped before it is ready, the value may have been sent; otherwise it is dropped.
///
/// # Panics
/// When it is polled again after it was ready.
#[must_use = "futures do nothing unless they are awaited"]
pub struct SendFuture<'a, T>(Waiting<SendArm<'a, T>>);

// SAFETY: as for `RecvFuture`.
unsafe impl<T: Send> Send for SendFuture<'_, T> {}

impl<T> Future for SendFuture<'_, T> {
    type Output = Result<(), SendError<T>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: the field is pinned with the whole.
        let mut waiting = unsafe { self.map_unchecked_mut(|this| &mut this.0) };
        ready!(waiting.as_mut().poll(context));
        Poll::Ready(waiting.arm.result())
    }
}

impl<T> Drop for SendFuture<'_, T> {
    fn drop(&mut self) {
        // The arm then drops the value, unless that was sent.
        self.0.leave();
    }
}

impl<T> Sender<T> {
    /// [`send`](Self::send) for `async` code, in any executor.
    ///
    /// # Errors
    /// The future gives the value back if the channel is closed.
    ///
    /// ```
    /// let (tx, rx) = fibra::chan::bounded(0);
    /// fibra::go!(move || assert_eq!(rx.recv(), Ok(1)));
    /// fibra::block_on(async { tx.send_async(1).await.unwrap() });
    /// ```
    pub fn send_async(&self, value: T) -> SendFuture<'_, T> {
        SendFuture(Waiting::new(Sink::arm(self, value)))
    }
}

impl<T> Receiver<T> {
    /// [`recv`](Self::recv) for `async` code, in any executor.
    ///
    /// # Errors
    /// The future says when the channel is closed and empty.
    ///
    /// ```
    /// let (tx, rx) = fibra::chan::bounded(0);
    /// fibra::go!(move || tx.send("hello").unwrap());
    /// assert_eq!(fibra::block_on(rx.recv_async()), Ok("hello"));
    /// ```
    pub fn recv_async(&self) -> RecvFuture<'_, T> {
        RecvFuture(Waiting::new(Source::arm(self)))
    }
}

impl<T> fmt::Debug for RecvFuture<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecvFuture { .. }")
    }
}

impl<T> fmt::Debug for SendFuture<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SendFuture { .. }")
    }
}
