//! How an async task parks: the same word as a goroutine, and a waker in the place of a stack.
//!
//! A task that waits has returned from its `poll`, so its park is a value that lives in its future, a
//! [`TaskPark`]:
//!
//! * `open` leases a parker and opens it. The future leaves the ticket where somebody will claim it.
//! * `poll_wait` puts the task's waker into the parker's slot, then settles. So PARKED means here that
//!   the waker is in its place. Later polls put their waker in the place of the older one.
//! * Whoever makes the claimed park runnable (`sched::ready`) takes the waker out of the slot and wakes it.
//! * A future that is dropped before claims its park itself (`close`), and takes back what it left elsewhere,
//!   as after every park. The drop of the `TaskPark` empties the slot and gives the parker back.
//!
//! # No wake-up is lost
//!
//! *A claim before PARKED* wakes nobody, and need not: `settle`, which comes later, finds the cause
//! (`mod.rs`), and that poll is ready. *A claim after PARKED* sets the cause, then takes the slot's lock.
//! Polls take the same lock to replace the waker. One that came before the claimer has left its waker,
//! which is the one that is woken. One that comes after it finds the slot empty, so it sees the cause, and
//! is ready.
//!
//! # No wake-up comes twice, or to another task
//!
//! A park is claimed once, and only the winner of a claim that found PARKED looks for a waker. The slot
//! says to which generation its waker belongs, and a runnable says of which generation it is. So a
//! claimer that is late, because the future was dropped and the parker leased to another task meanwhile,
//! finds either nothing or a waker that is not meant for it, and leaves that alone. This is why the parker
//! can be given back at once, whatever a claimer is doing.
//!
//! # User code
//!
//! To clone, wake or drop a waker runs user code, which may panic. It never happens under the slot's lock,
//! and never between two steps that belong together: when it panics, the park is as if the call had not been
//! made, or as if it had come to its end.

use super::{Cause, Claim, Kind, Listen, Parker, Runnable, Settled, Ticket};
use crate::primitive::Mutex;
use crate::primitive::pool::Pool;
use std::task::{Context, Poll, Waker};

/// The parker comes first: its address is that of the whole.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct TaskParker {
    parker: Parker,
    slot: Mutex<Slot>,
}

#[derive(Debug)]
struct Slot {
    /// Of the park that last had a waker here.
    generation: u64,
    waker: Option<Waker>,
}

/// Parkers without a task. Their slots are empty.
static FREE: Pool<TaskParker> = Pool::new();

impl TaskParker {
    fn new() -> TaskParker {
        let slot = Slot { generation: 0, waker: None };
        TaskParker { parker: Parker::new(Kind::Task), slot: Mutex::new(slot) }
    }

    /// Puts the first waker of a park into the slot.
    fn put(&self, generation: u64, waker: Waker) {
        let mut slot = self.slot.lock();
        debug_assert!(slot.waker.is_none(), "the park before this one has emptied it");
        *slot = Slot { generation, waker: Some(waker) };
    }

    /// Puts a waker in the place of the one before. False: that one was taken, so the park has ended.
    fn replace(&self, waker: &Waker) -> bool {
        match &self.slot.lock().waker {
            None => return false,
            Some(old) if old.will_wake(waker) => return true,
            Some(_) => {}
        }
        let mut new = waker.clone();
        let replaced = match &mut self.slot.lock().waker {
            None => false,
            Some(old) => {
                std::mem::swap(old, &mut new);
                true
            }
        };
        // The old one, or the new one if it came too late.
        drop(new);
        replaced
    }

    fn take(&self) -> Option<Waker> {
        self.slot.lock().waker.take()
    }
}

/// The waker of a task whose park has ended. None when the task has noticed by itself.
///
/// # Safety
/// The kind is `Task`.
pub(crate) unsafe fn take_waker(runnable: &Runnable) -> Option<Waker> {
    // SAFETY: by the contract above it lies in a `TaskParker`; these are never freed.
    let task = unsafe { runnable.parker().cast::<TaskParker>().as_ref() };
    let mut slot = task.slot.lock();
    if slot.generation == runnable.generation() { slot.waker.take() } else { None }
}

/// One park of an async task; see the head of this file. For futures to be built on:
///
/// * open it, and leave its ticket where it will be claimed;
/// * give back what `poll_wait` says as long as that is pending;
/// * once it is ready, take the ticket back from where it is, and drop this;
/// * when the future is dropped before, the same after `close`.
#[derive(Debug)]
pub(crate) struct TaskPark {
    task: &'static TaskParker,
    ticket: Ticket,
    /// There was a poll: the claimer takes the waker.
    settled: bool,
}

impl TaskPark {
    pub(crate) fn open() -> TaskPark {
        TaskPark::on(FREE.lease(TaskParker::new))
    }

    fn on(task: &'static TaskParker) -> TaskPark {
        TaskPark { task, ticket: task.parker.open(Listen::NONE), settled: false }
    }

    pub(crate) fn ticket(&self) -> Ticket {
        self.ticket
    }

    /// Ready once the park has ended. Until then the waker of the latest call is woken when it ends.
    pub(crate) fn poll_wait(&mut self, context: &mut Context<'_>) -> Poll<Cause> {
        if let Some(cause) = self.task.parker.cause() {
            return self.end(cause);
        }
        if self.settled {
            if self.task.replace(context.waker()) {
                return Poll::Pending;
            }
            match self.task.parker.cause() {
                Some(cause) => return self.end(cause),
                None => unreachable!("the claimer set the cause before it took the waker"),
            }
        }
        self.task.put(self.ticket.generation(), context.waker().clone());
        self.settled = true;
        match self.task.parker.settle() {
            Settled::Parked => Poll::Pending,
            Settled::Ended(cause) => self.end(cause),
        }
    }

    /// The task has noticed by itself, and need not be woken any more.
    fn end(&self, cause: Cause) -> Poll<Cause> {
        drop(self.task.take());
        Poll::Ready(cause)
    }

    /// Ends the park, so that it cannot be claimed any more. If it had ended before, says why: then the
    /// claimer has handed over whatever it had to give. Runs no user code.
    pub(crate) fn close(&mut self) -> Option<Cause> {
        match self.ticket.claim(Cause::Cancelled) {
            Claim::Lost => self.task.parker.cause(),
            // Ours: there is nobody to be woken.
            Claim::Early | Claim::Won(_) => None,
        }
    }
}

impl Drop for TaskPark {
    fn drop(&mut self) {
        self.close();
        let waker = self.task.take();
        FREE.give_back(self.task);
        // Last, because it is user code.
        drop(waker);
    }
}

#[cfg(test)]
mod tests;
