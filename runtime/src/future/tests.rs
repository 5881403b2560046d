use super::*;
use crate::ticket::thread::{self, ThreadParker};
use crate::ticket::{Claim, Listen};
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};

/// A `block_on` in which the park of a thread stands for any other.
struct Caller {
    thread: ThreadParker,
    bell: Bell,
    /// What the future waits for.
    events: AtomicUsize,
}

/// As the waker does.
fn ring(caller: &Caller) {
    caller.events.fetch_add(1, Ordering::Relaxed);
    if let Some(ticket) = caller.bell.ring()
        && let Claim::Won(runnable) = ticket.claim(Cause::Notified)
    {
        // SAFETY: only threads in this file.
        unsafe { thread::wake(runnable) };
    }
}

/// Two events, each of which rings, against the loop of `block_on`: it sees both, so nothing that rang is
/// lost; and it polls no more often than it must.
///
/// Fails when `arm` does not look whether it has rung, when `disarm` comes after the poll, and when `ring`
/// does not leave `Rung` behind.
#[test]
fn loom_whatever_rings_is_polled_for() {
    loom::model(|| {
        let caller = Arc::new(Caller {
            thread: ThreadParker::new(),
            bell: Bell::new(),
            events: AtomicUsize::new(0),
        });
        let ringers = [caller.clone(), caller.clone()]
            .map(|caller| loom::thread::spawn(move || ring(&caller)));
        let mut polls = 0;
        loop {
            caller.bell.disarm();
            polls += 1;
            if caller.events.load(Ordering::Relaxed) == 2 {
                break;
            }
            let ticket = caller.thread.parker.open(Listen::NONE);
            if caller.bell.arm(ticket) {
                assert_eq!(caller.thread.block(None), Cause::Notified);
            }
        }
        assert!(polls <= 3, "one for each ring, and the first");
        for ringer in ringers {
            ringer.join().unwrap();
        }
    });
}
