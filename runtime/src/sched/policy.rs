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
//! clients; or it was pulled away from somebody who computes, as whoever waits there will be. Then all workers come
//! under the policy, for as long as that goes on and [`SPELL`] more: under it hardly anybody has to stand aside, so
//! evidence is rare. If standing aside was in vain twice within [`SUSPICION`], somebody computes; that ends it, and no
//! evidence counts for [`DISTRUST`]. A process that computes may still be missed for a while, since workers that stand
//! aside in vain do so less often. Where there are processors enough, hardly anybody stands aside.
//!
//! The monitor decides; a worker follows before it sleeps, since it is its wake-up that matters. Those that sleep when
//! it is over are woken. Only `SCHED_OTHER` is changed to batch, and back: a policy that a thread's user has chosen stays.
//!
//! What a thread starts inherits its policy. The library's own threads do not keep that of a worker ([`start_thread`]);
//! children are started on such threads, and a program that takes this one's place does not get it ([`restore`]). What a
//! goroutine starts by other means does.

use super::current;
use crate::primitive::atomic::{AtomicBool, Ordering};
use std::cell::Cell;
use std::io;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long after it has helped last to stand aside the workers stay under the batch policy.
const SPELL: Duration = Duration::from_secs(5);
/// In vain once may be by chance, once more within this time is not.
const SUSPICION: Duration = Duration::from_secs(1);
/// Several times within this time is once: so long clients compute that open a thousand connections.
const OCCASION: Duration = Duration::from_millis(30);
/// How long no help counts then.
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
    /// When it was in vain last, without what belongs to the same occasion.
    in_vain: Option<Instant>,
    /// Until then no help counts.
    distrust_until: Instant,
}

impl Verdict {
    pub(super) fn new() -> Verdict {
        let now = Instant::now();
        Verdict { batch_until: now, in_vain: None, distrust_until: now }
    }

    /// Decides anew. True: it is over with the batch policy, and those that sleep are to be told.
    pub(super) fn update(&mut self, policy: &Policy, now: Instant) -> bool {
        let helped = policy.has_helped.swap(false, Ordering::Relaxed);
        let was_in_vain = policy.was_in_vain.swap(false, Ordering::Relaxed);
        let is_within = |limit| self.in_vain.is_some_and(|last| now < last + limit);
        if was_in_vain && !is_within(OCCASION) {
            if is_within(SUSPICION) {
                self.distrust_until = now + DISTRUST;
                self.batch_until = now;
            }
            self.in_vain = Some(now);
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
    /// What it has followed last.
    is_batch: Cell<bool>,
    /// The thread is under the batch policy because of that.
    is_changed: Cell<bool>,
}

impl OwnPolicy {
    pub(super) fn new() -> OwnPolicy {
        OwnPolicy { is_batch: Cell::new(false), is_changed: Cell::new(false) }
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
            self.is_changed.set(exchange(libc::SCHED_OTHER, libc::SCHED_BATCH));
        } else {
            self.restore();
        }
    }

    fn restore(&self) {
        if self.is_changed.take() {
            exchange(libc::SCHED_BATCH, libc::SCHED_OTHER);
        }
    }
}

/// Changes the calling thread's policy, if it is `from`. Whether it has.
fn exchange(from: libc::c_int, to: libc::c_int) -> bool {
    !is_filtered() && of_this_thread() == from && set(to)
}

/// Gives the calling thread that policy. Whether it may have it.
fn set(policy: libc::c_int) -> bool {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: reads a local variable.
    unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) == 0 }
}

fn of_this_thread() -> libc::c_int {
    // SAFETY: takes a number.
    unsafe { libc::sched_getscheduler(0) }
}

/// Whether there may be a filter for the thread's system calls. It might end the process for a change, as those of
/// hardened services do.
pub(super) fn is_filtered() -> bool {
    // SAFETY: takes numbers.
    unsafe { libc::prctl(libc::PR_GET_SECCOMP, 0, 0, 0, 0) != 0 }
}

/// Before another program takes the place of this one: the caller's thread gets back the policy that it had.
pub(crate) fn restore() {
    if let Some(worker) = current::worker() {
        worker.policy.restore();
    }
}

/// Starts a thread of the library's own. The batch policy of a worker that calls this does not pass to it.
///
/// # Errors
/// When no thread can be started.
pub(crate) fn start_thread(
    name: String,
    main: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let inherits = current::worker().is_some_and(|worker| worker.policy.is_changed.get());
    thread::Builder::new().name(name).spawn(move || {
        if inherits {
            exchange(libc::SCHED_BATCH, libc::SCHED_OTHER);
        }
        main();
    })
}

#[cfg(all(test, not(loom)))]
pub(super) mod tests;
