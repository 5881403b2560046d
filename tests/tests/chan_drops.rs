//! Values whose destructors use the channel, wait, or panic: they never run under its lock, and once.

mod chan_parties;

use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use chan_parties::{BUFFERS, callers, channel, parties};
use fibra::chan::{Receiver, SendError, Sender, TrySendError, bounded};
use fibra::select;
use fibra_tests::{Drops, OnDrop, Token, alone, text};

/// Uses its channel when it is dropped.
struct Meddler {
    tx: Sender<Meddler>,
    rx: Option<Receiver<Meddler>>,
    ends: Arc<AtomicUsize>,
}

impl Meddler {
    fn new(tx: &Sender<Meddler>, rx: Option<&Receiver<Meddler>>, ends: &Arc<AtomicUsize>) -> Self {
        Meddler { tx: tx.clone(), rx: rx.cloned(), ends: ends.clone() }
    }
}

impl Drop for Meddler {
    fn drop(&mut self) {
        self.ends.fetch_add(1, Ordering::SeqCst);
        let _also = (self.tx.len(), self.tx.is_closed(), self.tx.clone());
        if let Some(rx) = &self.rx {
            let _also = (rx.is_empty(), rx.clone());
            // Ends more of them, one inside the other.
            drop(rx.try_recv());
            select! {
                recv(rx) -> value => drop(value),
                default => {}
            }
        }
        self.tx.close();
    }
}

#[test]
fn values_use_their_channel_when_the_last_receiver_drops_them() {
    callers(|| {
        for capacity in BUFFERS {
            let (tx, rx) = channel(capacity);
            let ends = Arc::new(AtomicUsize::new(0));
            let count = capacity.unwrap_or(5).min(5);
            for _ in 0..count {
                assert!(tx.send(Meddler::new(&tx, None, &ends)).is_ok());
            }
            drop(rx);
            assert_eq!(ends.load(Ordering::SeqCst), count);
        }
    });
}

#[test]
fn values_use_their_channel_when_they_are_received_or_returned() {
    callers(|| {
        for capacity in BUFFERS {
            let (tx, rx) = channel(capacity);
            let ends = Arc::new(AtomicUsize::new(0));
            let count = capacity.unwrap_or(5).min(5);
            for _ in 0..count {
                assert!(tx.send(Meddler::new(&tx, Some(&rx), &ends)).is_ok());
            }
            // The first takes the others along, and closes.
            drop(rx.recv());
            assert_eq!(ends.load(Ordering::SeqCst), count);
            assert!(tx.is_closed() && rx.is_empty());
            drop(tx.send(Meddler::new(&tx, Some(&rx), &ends)));
            drop(tx.try_send(Meddler::new(&tx, Some(&rx), &ends)));
            drop(tx.send_timeout(Meddler::new(&tx, Some(&rx), &ends), Duration::ZERO));
            select! { send(tx, Meddler::new(&tx, Some(&rx), &ends)) -> sent => drop(sent) }
            assert_eq!(ends.load(Ordering::SeqCst), count + 4);
        }
    });
}

#[test]
fn values_use_their_channel_when_their_arm_does_not_happen() {
    callers(|| {
        for capacity in [0, 1] {
            let (tx, rx) = bounded(capacity);
            let ends = Arc::new(AtomicUsize::new(0));
            let meddler = || Meddler::new(&tx, Some(&rx), &ends);
            if capacity == 1 {
                assert!(tx.send(meddler()).is_ok());
            }
            select! {
                send(tx, meddler()) -> _ => panic!("there is no room"),
                default => {}
            }
            // What was buffered has gone, too: the arm's value received it.
            assert_eq!(ends.load(Ordering::SeqCst), capacity + 1);
            assert!(tx.is_closed());
            drop(meddler());
        }
    });
}

/// Sends itself again for as long as that is possible.
struct Immortal {
    tx: Sender<Immortal>,
    ends: Arc<AtomicUsize>,
}

impl Drop for Immortal {
    fn drop(&mut self) {
        self.ends.fetch_add(1, Ordering::SeqCst);
        let again = Immortal { tx: self.tx.clone(), ends: self.ends.clone() };
        let Err(TrySendError::Disconnected(again)) = self.tx.try_send(again) else {
            panic!("the last receiver is gone");
        };
        // Else this would go on for ever.
        std::mem::forget(again);
    }
}

#[test]
fn a_value_dropped_with_the_channel_finds_it_closed() {
    callers(|| {
        for capacity in BUFFERS {
            let (tx, rx) = channel(capacity);
            let ends = Arc::new(AtomicUsize::new(0));
            assert!(tx.send(Immortal { tx: tx.clone(), ends: ends.clone() }).is_ok());
            drop(rx);
            assert_eq!(ends.load(Ordering::SeqCst), 1);
        }
    });
}

#[test]
fn a_value_that_waits_for_others_when_it_is_dropped() {
    parties(|cast| {
        for capacity in BUFFERS {
            // Its end waits for a party that needs the channel meanwhile.
            let ((tx, rx), (ask, asked), (answer, answers)) =
                (channel(capacity), bounded(0), bounded(0));
            let other_end = tx.clone();
            let other = cast.spawn(move || {
                asked.recv().unwrap();
                let _also = (other_end.len(), other_end.capacity());
                let refused = matches!(other_end.send(None), Err(SendError(None)));
                answer.send(refused).unwrap();
            });
            let value = OnDrop(move || {
                ask.send(()).unwrap();
                assert_eq!(answers.recv(), Ok(true));
            });
            assert!(tx.send(Some(value)).is_ok());
            drop(rx);
            other.join();
        }
    });
}

/// Panics when it is dropped, if it is told to.
struct Bomb {
    armed: bool,
    _token: Token,
}

impl Drop for Bomb {
    fn drop(&mut self) {
        if self.armed {
            panic!("dropped");
        }
    }
}

#[test]
fn a_panic_while_the_buffer_is_dropped() {
    callers(|| {
        for capacity in [Some(5), Some(64), None] {
            for armed in 0..5 {
                let (drops, (tx, rx)) = (Drops::new(), channel(capacity));
                for i in 0..5 {
                    let bomb = Bomb { armed: i == armed, _token: drops.token() };
                    assert!(tx.send(bomb).is_ok());
                }
                let caught = panic::catch_unwind(AssertUnwindSafe(|| drop(rx)));
                assert_eq!(text(&*caught.unwrap_err()), "dropped");
                // The others were not forgotten, and none was dropped twice.
                assert_eq!(drops.count(), 5);
                let refused = tx.send(Bomb { armed: false, _token: drops.token() });
                assert!(refused.is_err() && tx.is_closed() && tx.is_empty());
                drop((refused, tx));
                assert_eq!(drops.count(), 6);
            }
        }
    });
}

#[test]
fn a_panic_of_a_value_whose_arm_does_not_happen() {
    callers(|| {
        let (drops, (full, _rx), (tx, rx)) = (Drops::new(), bounded(0), bounded(1));
        let caught = panic::catch_unwind(AssertUnwindSafe(|| {
            select! {
                send(full, Bomb { armed: true, _token: drops.token() }) -> _ => {}
                default => {}
            }
        }));
        assert_eq!(text(&*caught.unwrap_err()), "dropped");
        assert_eq!(drops.count(), 1);
        // Both channels go on.
        assert!(full.try_send(Bomb { armed: false, _token: drops.token() }).is_err());
        tx.send(drops.token()).unwrap();
        assert!(rx.recv().is_ok());
        assert_eq!(drops.count(), 3);
    });
}

#[test]
fn a_panic_of_a_value_whose_arm_does_not_happen_loses_no_other_value() {
    callers(|| {
        let (drops, (full, _rx), (tx, rx)) = (Drops::new(), bounded(0), bounded(1));
        tx.send(drops.token()).unwrap();
        let caught = panic::catch_unwind(AssertUnwindSafe(|| {
            select! {
                send(full, Bomb { armed: true, _token: drops.token() }) -> _ => {}
                recv(rx) -> value => drop(value),
            }
        }));
        assert_eq!(text(&*caught.unwrap_err()), "dropped");
        assert_eq!(drops.count() + rx.len(), 2);
    });
}

#[test]
fn a_thread_sends_receives_and_selects_while_its_thread_locals_end() {
    struct Last(Option<(Sender<u8>, Receiver<u8>)>);
    impl Drop for Last {
        fn drop(&mut self) {
            let Some((tx, rx)) = self.0.take() else { return };
            tx.send(1).unwrap();
            assert_eq!(rx.recv(), Ok(2));
            select! {
                send(tx, 3) -> sent => sent.unwrap(),
                recv(rx) -> _ => panic!("nothing comes"),
            }
        }
    }
    thread_local!(static LAST: RefCell<Last> = const { RefCell::new(Last(None)) });
    alone(|| {
        for used_before in [false, true] {
            let ((tx, rx), (back, answers)) = (bounded(0), bounded(0));
            let thread = thread::spawn(move || {
                // What is used first, ends last.
                if used_before {
                    assert!(answers.recv_timeout(Duration::from_micros(10)).is_err());
                }
                LAST.with_borrow_mut(|last| last.0 = Some((tx, answers)));
            });
            assert_eq!(rx.recv(), Ok(1));
            back.send(2).unwrap();
            assert_eq!(rx.recv(), Ok(3));
            thread.join().unwrap();
        }
    });
}
