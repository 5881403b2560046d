//! The system's scheduling policy of the workers: `SCHED_BATCH` while they and their clients are short of processors.
//!
//! A thread that wakes up may push aside whoever runs on its processor. Where workers, and clients that wait for their
//! answers, are more than there are processors, each message then interrupts somebody, for the sake of one answer:
//! another worker among its own messages, or the client among its. A thread under the batch policy does not push
//! anybody aside. It waits until whoever runs there is out of work, and finds several messages then. Its share of the
//! processor stays the same.
//!
//! Behind somebody who computes it would wait for a whole time slice. So it takes evidence, which standing aside
//! (`worker/courtesy.rs`) comes by: if the other worker got on at once, the processors were kept by this one and its
//! clients. Then all workers come under the policy, for as long as that goes on and [`SPELL`] more: under it hardly
//! anybody has to stand aside, so evidence is rare. If standing aside was in vain twice within [`DISTRUST`], somebody
//! computes; that ends it, and for as long again no evidence counts. Where there are processors enough, nobody stands
//! aside, and nothing changes.
//!
//! The monitor decides; a worker follows before it sleeps, since it is its wake-up that matters. Those that sleep when
//! it is over are woken. Only `SCHED_OTHER` is changed to batch, and back: a policy that a thread's user has chosen stays.
//! What the thread starts inherits the policy. Of the library's own threads none keeps it ([`start_thread`]), and children
//! are started on such; a thread that a goroutine starts by std's means does.

use super::current;
use crate::primitive::atomic::{AtomicBool, Ordering};
use std::cell::Cell;
use std::io;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long after it has helped last to stand aside the workers stay under the batch policy.
const SPELL: Duration = Duration::from_secs(5);
/// How long it counts that it was in vain.
const DISTRUST: Duration = Duration::from_secs(1);

/// Between the workers of a runtime and its monitor.
#[derive(Debug)]
pub(super) struct Policy {
    is_batch: AtomicBool,
    has_helped: AtomicBool,
    was_in_vain: AtomicBool,
}

impl Policy {
    pub(super) fn new() -> Policy {
        Policy {
            is_batch: AtomicBool::new(false),
            has_helped: AtomicBool::new(false),
            was_in_vain: AtomicBool::new(false),
        }
    }

    pub(super) fn is_batch(&self) -> bool {
        self.is_batch.load(Ordering::Relaxed)
    }

    /// Who stood aside saw the other worker get on.
    pub(super) fn note_help(&self) {
        self.has_helped.store(true, Ordering::Relaxed);
    }

    /// Who stood aside did not.
    pub(super) fn note_in_vain(&self) {
        self.was_in_vain.store(true, Ordering::Relaxed);
    }
}

/// What the monitor remembers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verdict {
    batch_until: Instant,
    /// In vain once more, it was not by chance.
    doubt_until: Instant,
    distrust_until: Instant,
}

impl Verdict {
    pub(super) fn new() -> Verdict {
        let now = Instant::now();
        Verdict { batch_until: now, doubt_until: now, distrust_until: now }
    }

    /// Decides anew. True: it is over with the batch policy, and those that sleep are to be told.
    pub(super) fn update(&mut self, policy: &Policy, now: Instant) -> bool {
        let helped = policy.has_helped.swap(false, Ordering::Relaxed);
        if policy.was_in_vain.swap(false, Ordering::Relaxed) {
            if now < self.doubt_until {
                self.distrust_until = now + DISTRUST;
                self.batch_until = now;
            }
            self.doubt_until = now + DISTRUST;
        } else if helped && now >= self.distrust_until {
            self.batch_until = now + SPELL;
        }
        let is_batch = now < self.batch_until;
        policy.is_batch.swap(is_batch, Ordering::Relaxed) && !is_batch
    }
}

/// The policy of a worker's thread.
#[derive(Debug)]
pub(super) struct OwnPolicy {
    is_batch: Cell<bool>,
}

impl OwnPolicy {
    pub(super) fn new() -> OwnPolicy {
        OwnPolicy { is_batch: Cell::new(false) }
    }

    #[inline]
    pub(super) fn follow(&self, policy: &Policy) {
        let is_batch = policy.is_batch();
        if is_batch != self.is_batch.get() {
            self.change(is_batch);
        }
    }

    #[cold]
    fn change(&self, is_batch: bool) {
        self.is_batch.set(is_batch);
        if is_batch {
            change(libc::SCHED_OTHER, libc::SCHED_BATCH);
        } else {
            change(libc::SCHED_BATCH, libc::SCHED_OTHER);
        }
    }
}

/// Changes the calling thread's policy, if it is `from`. If that fails, it stays.
fn change(from: libc::c_int, to: libc::c_int) {
    let parameters = libc::sched_param { sched_priority: 0 };
    if !is_filtered() && of_this_thread() == from {
        // SAFETY: reads a local variable.
        unsafe { libc::sched_setscheduler(0, to, &raw const parameters) };
    }
}

fn of_this_thread() -> libc::c_int {
    // SAFETY: takes a number.
    unsafe { libc::sched_getscheduler(0) }
}

/// Whether there is a filter for the thread's system calls. It might end the process for a change, as those of hardened
/// services do.
fn is_filtered() -> bool {
    // SAFETY: takes a number.
    unsafe { libc::prctl(libc::PR_GET_SECCOMP) > 0 }
}

/// Starts a thread of the library's own. The batch policy of a worker that calls this does not pass to it.
///
/// # Errors
/// When no thread can be started.
pub(crate) fn start_thread(
    name: String,
    main: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let inherits = current::worker().is_some_and(|worker| worker.policy.is_batch.get());
    thread::Builder::new().name(name).spawn(move || {
        if inherits {
            change(libc::SCHED_BATCH, libc::SCHED_OTHER);
        }
        main();
    })
}

#[cfg(all(test, not(loom)))]
mod tests;
