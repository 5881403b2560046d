use super::*;
use crate::primitive::atomic::AtomicUsize;
use loom::sync::Arc;
use loom::thread;

/// Two that publish and wake against an owner that sleeps whenever it finds nothing new: a lost wake-up
/// would be a deadlock, which loom reports.
///
/// Fails when the fence of `prepare` is missing, or that of `claim`; when `wake` does not take the
/// lock (the notification comes between the owner's look at the state and its wait); and when `wait`
/// sleeps without a look at the state.
#[test]
fn loom_no_wake_up_is_lost() {
    loom::model(|| {
        let event = Arc::new(Event::new());
        let published = Arc::new(AtomicUsize::new(0));
        let wakers = [(); 2].map(|()| {
            let (event, published) = (event.clone(), published.clone());
            thread::spawn(move || {
                published.fetch_add(1, Ordering::Relaxed);
                event.wake();
            })
        });
        loop {
            event.sleeper().prepare();
            if published.load(Ordering::Relaxed) == 2 {
                event.sleeper().finish();
                break;
            }
            event.wait(None);
        }
        for waker in wakers {
            waker.join().unwrap();
        }
    });
}

/// The same between two threads that wake each other in turn, so that a wake meets every state of the
/// event, also that of an earlier sleep. Neither sleeps for ever.
#[test]
fn loom_two_that_wake_each_other() {
    loom::model(|| {
        let events = Arc::new([Event::new(), Event::new()]);
        let turn = Arc::new(AtomicUsize::new(0));
        let play = |me: usize, events: &[Event; 2], turn: &AtomicUsize| {
            for round in 0..2 {
                loop {
                    events[me].sleeper().prepare();
                    if turn.load(Ordering::Relaxed) == 2 * round + me {
                        events[me].sleeper().finish();
                        break;
                    }
                    events[me].wait(None);
                }
                turn.fetch_add(1, Ordering::Relaxed);
                events[1 - me].wake();
            }
        };
        let other = {
            let (events, turn) = (events.clone(), turn.clone());
            thread::spawn(move || play(1, &events, &turn))
        };
        play(0, &events, &turn);
        other.join().unwrap();
    });
}

/// What was written before the wake is visible after the sleep that it ended, without an atomic.
///
/// Fails when `wait` and `finish` both read `Relaxed`. Either alone would do; so would the fence of `claim`
/// without the Release of `claim_slow`.
#[test]
fn loom_a_wake_orders_what_came_before() {
    use loom::cell::UnsafeCell;

    struct Note(UnsafeCell<usize>);
    // SAFETY: loom checks the accesses.
    unsafe impl Sync for Note {}

    loom::model(|| {
        let event = Arc::new(Event::new());
        let note = Arc::new(Note(UnsafeCell::new(0)));
        event.sleeper().prepare();
        let waker = {
            let (event, note) = (event.clone(), note.clone());
            thread::spawn(move || {
                // SAFETY: the owner reads after the wake.
                note.0.with_mut(|place| unsafe { *place = 7 });
                event.wake();
            })
        };
        event.wait(None);
        // SAFETY: the waker writes before the wake.
        assert_eq!(note.0.with(|place| unsafe { *place }), 7);
        waker.join().unwrap();
    });
}
