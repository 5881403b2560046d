use super::*;
use crate::primitive::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::task::Wake;

/// A task, seen by its wakers.
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Woken {
    fn new() -> Arc<Woken> {
        Arc::new(Woken(AtomicUsize::new(0)))
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

fn parker() -> &'static TaskParker {
    Box::leak(Box::new(TaskParker::new()))
}

fn poll(park: &mut TaskPark, task: &Arc<Woken>) -> Poll<Cause> {
    park.poll_wait(&mut Context::from_waker(&task.clone().into()))
}

/// As `sched::finish_claim`.
fn finish(claim: Claim) -> bool {
    if let Claim::Won(runnable) = &claim {
        // SAFETY: only tasks in this file.
        if let Some(waker) = unsafe { take_waker(runnable) } {
            waker.wake();
        }
    }
    claim != Claim::Lost
}

#[cfg(not(loom))]
mod states {
    use super::*;
    use std::panic::{self, AssertUnwindSafe};

    const NOTIFIED: Poll<Cause> = Poll::Ready(Cause::Notified);

    #[test]
    fn a_claim_before_the_poll_wakes_nobody() {
        let task = Woken::new();
        let mut park = TaskPark::on(parker());
        assert!(finish(park.ticket().claim(Cause::Notified)));
        assert_eq!(poll(&mut park, &task), NOTIFIED);
        assert_eq!((task.count(), Arc::strong_count(&task)), (0, 1));
    }

    #[test]
    fn a_claim_after_the_poll_wakes_the_latest_waker_once() {
        let (first, second) = (Woken::new(), Woken::new());
        let mut park = TaskPark::on(parker());
        assert!(poll(&mut park, &first).is_pending());
        assert!(poll(&mut park, &first).is_pending());
        assert_eq!(Arc::strong_count(&first), 2, "kept once");
        assert!(poll(&mut park, &second).is_pending());
        assert_eq!(Arc::strong_count(&first), 1, "replaced");
        assert!(finish(park.ticket().claim(Cause::Notified)));
        assert!(!finish(park.ticket().claim(Cause::Timeout)));
        assert_eq!(poll(&mut park, &second), NOTIFIED);
        assert_eq!(poll(&mut park, &first), NOTIFIED, "and again");
        assert_eq!((first.count(), second.count()), (0, 1));
        assert_eq!((Arc::strong_count(&first), Arc::strong_count(&second)), (1, 1));
    }

    #[test]
    fn a_task_that_notices_by_itself_is_not_woken() {
        let task = Woken::new();
        let mut park = TaskPark::on(parker());
        assert!(poll(&mut park, &task).is_pending());
        let claim = park.ticket().claim(Cause::Notified);
        assert_eq!(poll(&mut park, &task), NOTIFIED);
        assert!(finish(claim));
        assert_eq!((task.count(), Arc::strong_count(&task)), (0, 1));
    }

    #[test]
    fn closing_tells_who_was_first() {
        let task = Woken::new();
        for polled in [false, true] {
            let mut open = TaskPark::on(parker());
            let mut ended = TaskPark::on(parker());
            if polled {
                assert!(poll(&mut open, &task).is_pending());
                assert!(poll(&mut ended, &task).is_pending());
            }
            assert!(finish(ended.ticket().claim(Cause::Timeout)));
            assert_eq!(ended.close(), Some(Cause::Timeout));
            assert_eq!(open.close(), None);
            assert!(!finish(open.ticket().claim(Cause::Notified)));
        }
        assert_eq!((task.count(), Arc::strong_count(&task)), (1, 1));
    }

    #[test]
    fn a_late_claimer_leaves_the_next_owner_alone() {
        let (former, next) = (Woken::new(), Woken::new());
        let parker = parker();
        let mut park = TaskPark::on(parker);
        assert!(poll(&mut park, &former).is_pending());
        let late = park.ticket().claim(Cause::Notified);
        drop(park);
        assert_eq!(Arc::strong_count(&former), 1, "what is given back holds no waker");
        let mut park = TaskPark::on(parker);
        assert!(poll(&mut park, &next).is_pending());
        assert!(finish(late));
        assert_eq!((former.count(), next.count()), (0, 0));
        assert!(finish(park.ticket().claim(Cause::Notified)));
        assert_eq!(next.count(), 1);
    }

    #[test]
    fn a_drop_ends_the_park() {
        let task = Woken::new();
        let mut park = TaskPark::on(parker());
        let ticket = park.ticket();
        assert!(poll(&mut park, &task).is_pending());
        drop(park);
        assert!(!finish(ticket.claim(Cause::Notified)));
        assert_eq!((task.count(), Arc::strong_count(&task)), (0, 1));
    }

    /// Panics when its last waker is dropped.
    struct Sore;

    impl Wake for Sore {
        fn wake(self: Arc<Self>) {}
    }

    impl Drop for Sore {
        fn drop(&mut self) {
            panic!("sore");
        }
    }

    #[test]
    fn a_waker_that_panics_when_dropped_leaves_the_park_whole() {
        let sore = |park: &mut TaskPark| {
            let waker = Waker::from(Arc::new(Sore));
            assert!(park.poll_wait(&mut Context::from_waker(&waker)).is_pending());
            drop(waker);
        };
        let task = Woken::new();
        let parker = parker();
        // Replaced by another one, which is in its place then.
        let mut park = TaskPark::on(parker);
        sore(&mut park);
        panic::catch_unwind(AssertUnwindSafe(|| poll(&mut park, &task))).unwrap_err();
        assert!(finish(park.ticket().claim(Cause::Notified)));
        assert_eq!(task.count(), 1);
        drop(park);
        // Taken out because the park has ended, which the next poll finds, too.
        let mut park = TaskPark::on(parker);
        sore(&mut park);
        let _late = park.ticket().claim(Cause::Notified);
        panic::catch_unwind(AssertUnwindSafe(|| poll(&mut park, &task))).unwrap_err();
        assert_eq!(poll(&mut park, &task), NOTIFIED);
        drop(park);
        // Dropped: the parker can be used again.
        let mut park = TaskPark::on(parker);
        sore(&mut park);
        panic::catch_unwind(AssertUnwindSafe(|| drop(park))).unwrap_err();
        let mut park = TaskPark::on(parker);
        assert!(poll(&mut park, &task).is_pending());
        assert!(finish(park.ticket().claim(Cause::Notified)));
        assert_eq!(task.count(), 2);
    }
}

#[cfg(loom)]
mod models {
    use super::*;
    use loom::thread;

    /// Somebody who hands over 7 with a claim; whether the claim won.
    fn send(ticket: Ticket) -> (Arc<AtomicUsize>, thread::JoinHandle<bool>) {
        let value = Arc::new(AtomicUsize::new(0));
        let place = value.clone();
        let sender = thread::spawn(move || {
            place.store(7, Ordering::Relaxed);
            finish(ticket.claim(Cause::Notified))
        });
        (value, sender)
    }

    /// A claim against a poll: a task that was told to wait is woken, once; one that was not, is not, and
    /// sees what was handed over.
    ///
    /// Fails when a poll settles before it has put its waker into the slot, when it does not look at the
    /// cause that `settle` gives, and when `end` leaves the waker.
    #[test]
    fn loom_a_claim_against_a_poll() {
        loom::model(|| {
            let task = Woken::new();
            let mut park = TaskPark::on(parker());
            let (value, sender) = send(park.ticket());
            let pending = poll(&mut park, &task).is_pending();
            if !pending {
                assert_eq!(value.load(Ordering::Relaxed), 7);
                assert_eq!(Arc::strong_count(&task), 1);
            }
            assert!(sender.join().unwrap());
            assert_eq!(task.count(), usize::from(pending));
            assert!(poll(&mut park, &task).is_ready());
        });
    }

    /// A claim against two polls with different wakers: it is the last one that is woken, and the first
    /// one is not woken unless the second poll is ready.
    ///
    /// Fails when `replace` puts a waker where one was taken out, and when it leaves the old one.
    #[test]
    fn loom_a_claim_against_polls_with_different_wakers() {
        loom::model(|| {
            let (first, second) = (Woken::new(), Woken::new());
            let mut park = TaskPark::on(parker());
            let (value, sender) = send(park.ticket());
            let early = poll(&mut park, &first);
            let late = poll(&mut park, &second);
            if late.is_ready() {
                assert_eq!(value.load(Ordering::Relaxed), 7);
            }
            assert!(sender.join().unwrap());
            let woken = (first.count(), second.count());
            match (early.is_pending(), late.is_pending()) {
                (true, true) => assert_eq!(woken, (0, 1)),
                // Either it was woken, or it has noticed by itself.
                (true, false) => assert!(woken == (1, 0) || woken == (0, 0)),
                (false, pending) => assert!(!pending && woken == (0, 0)),
            }
        });
    }

    /// A claim against a future that is polled twice and dropped, and another one that gets its parker: the
    /// claim never wakes the other one, which is still woken by its own.
    ///
    /// Fails when `take_waker` does not compare generations, when `close` says that it was first whoever
    /// was, and when the drop does not take the waker out.
    #[test]
    fn loom_a_claim_against_a_drop_and_the_next_owner() {
        loom::model(|| {
            let (first, second, next) = (Woken::new(), Woken::new(), Woken::new());
            let parker = parker();
            let mut park = TaskPark::on(parker);
            let (_value, late) = send(park.ticket());
            let _either = poll(&mut park, &first);
            let _either = poll(&mut park, &second);
            let closed = park.close().is_none();
            drop(park);
            assert!(parker.slot.lock().waker.is_none());
            let mut park = TaskPark::on(parker);
            assert!(poll(&mut park, &next).is_pending());
            assert_eq!(late.join().unwrap(), !closed, "both sides agree who was first");
            assert!(first.count() + second.count() <= usize::from(!closed));
            assert_eq!(next.count(), 0);
            assert!(finish(park.ticket().claim(Cause::Notified)));
            assert_eq!(next.count(), 1);
        });
    }
}
