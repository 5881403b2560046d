//! White-box tests, and loom models of a cancel.

use super::*;

/// How many nodes directly inside, and how many orphans, a context knows of.
fn known(cx: &Context) -> (usize, usize) {
    cx.node.as_ref().unwrap().known()
}

#[cfg(not(loom))]
mod memory {
    use super::*;

    #[test]
    fn those_that_are_dropped_leave_nothing() {
        let (cx, _handle) = Context::background().with_cancel();
        for _ in 0..1_000_000 {
            drop(cx.with_cancel());
        }
        assert_eq!(known(&cx), (0, 0));
        let kept: Vec<_> = (0..1000).map(|_| cx.with_cancel()).collect();
        let inside: Vec<_> = kept.iter().map(|(cx, _)| cx.with_value(1).with_cancel()).collect();
        assert_eq!(known(&cx), (1000, 0));
        drop(kept);
        assert_eq!(known(&cx), (1000, 0), "those inside keep those outside");
        drop(inside);
        assert_eq!(known(&cx), (0, 0));
    }

    #[test]
    fn a_cancel_forgets_those_inside() {
        let (cx, handle) = Context::background().with_cancel();
        let inside = [cx.with_cancel(), cx.with_cancel()];
        let clone = inside[0].0.done().clone();
        handle.cancel();
        assert_eq!(known(&cx), (0, 0));
        let late = cx.with_cancel();
        assert_eq!(known(&cx), (0, 0));
        drop((inside, late));
        assert_eq!(known(&cx), (0, 0));
        assert!(clone.recv().is_err());
    }

    #[test]
    fn orphans_are_forgotten_with_their_receivers() {
        let (outer, handle) = Context::background().with_cancel();
        let (cx, _) = outer.with_cancel();
        let kept: Vec<_> = (0..100).map(|_| cx.with_cancel().0.done().clone()).collect();
        assert_eq!(known(&cx), (0, 100));
        for _ in 0..100_000 {
            let done = cx.with_cancel().0.done().clone();
            assert!(done.try_recv().unwrap_err().is_empty());
            assert!(known(&cx).1 <= 208 + 1);
        }
        drop(cx);
        assert_eq!(known(&outer).0, 0);
        assert!((100..=209).contains(&known(&outer).1), "they went outside");
        assert!(kept.iter().all(|done| done.try_recv().unwrap_err().is_empty()));
        handle.cancel();
        assert!(kept.iter().all(|done| done.try_recv().unwrap_err().is_disconnected()));
        assert_eq!(known(&outer), (0, 0));
    }
}

#[cfg(loom)]
mod models {
    use super::*;
    use loom::thread;

    fn is_ready(done: &Receiver<()>) -> bool {
        done.try_recv().unwrap_err().is_disconnected()
    }

    /// A context that is derived during a cancel is cancelled, too. Made to fail by a `take_in` that does not say
    /// that it is cancelled.
    #[test]
    fn loom_derive_against_cancel() {
        loom::model(|| {
            let (outer, handle) = Context::background().with_cancel();
            let canceller = thread::spawn(move || handle.cancel());
            let (inner, _keep) = outer.with_cancel();
            canceller.join().unwrap();
            assert!(inner.err().is_some() && is_ready(inner.done()));
            assert_eq!(known(&outer), (0, 0));
        });
    }

    /// `err` and `done` say the same at any moment. Made to fail by an `end` that does not close the channel, by a
    /// cancel that closes it before it says so.
    #[test]
    fn loom_err_against_done() {
        loom::model(|| {
            let (outer, handle) = Context::background().with_cancel();
            let (inner, _keep) = outer.with_cancel();
            let canceller = thread::spawn(move || handle.cancel());
            if inner.err().is_some() {
                assert!(is_ready(inner.done()));
            }
            if is_ready(outer.done()) {
                assert!(outer.err().is_some());
            }
            canceller.join().unwrap();
        });
    }

    /// One cancel counts, with its cause. Made to fail by a `cancel_alone` that does not look whether it is
    /// cancelled.
    #[test]
    fn loom_cancel_against_cancel() {
        loom::model(|| {
            let (cx, handle) = Context::background().with_cancel();
            let cancellers = ["one", "another"].map(|cause| {
                let (cx, handle) = (cx.clone(), handle.clone());
                thread::spawn(move || {
                    handle.cancel_cause(cause);
                    cx.cause().unwrap().to_string()
                })
            });
            let [first, second] = cancellers.map(|canceller| canceller.join().unwrap());
            assert_eq!(first, second);
        });
    }

    /// The receiver of a context that is dropped during a cancel is closed. Made to fail by a `let_go` that does not
    /// look whether it is cancelled, and by one that forgets the orphans.
    #[test]
    fn loom_drop_against_cancel() {
        loom::model(|| {
            let (outer, handle) = Context::background().with_cancel();
            let (inner, _) = outer.with_cancel();
            let done = inner.done().clone();
            let canceller = thread::spawn(move || handle.cancel());
            drop(inner);
            canceller.join().unwrap();
            assert!(is_ready(&done));
            assert_eq!(known(&outer), (0, 0));
        });
    }
}
