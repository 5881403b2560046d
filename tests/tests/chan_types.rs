//! What the types of channels promise: auto traits, counts, errors that give the value back.

mod chan_parties;

use std::cell::Cell;
use std::error::Error;
use std::fmt::{Debug, Display};
use std::rc::Rc;
use std::time::Duration;

use chan_parties::{CAPACITIES, callers, channel, give_way, parties};
use fibra::chan::{
    Receiver, RecvError, RecvTimeoutError, SendError, SendTimeoutError, Sender, TryRecvError,
    TrySendError, bounded,
};

#[test]
fn ends_cross_threads_if_values_do() {
    fn crosses<T: Send + Sync>() {}
    crosses::<Sender<u8>>();
    crosses::<Receiver<u8>>();
    // `Send`, but not `Sync`.
    crosses::<Sender<Cell<u8>>>();
    crosses::<Receiver<Cell<u8>>>();
}

/// Implemented twice for what is `$marker`, so that naming `check` compiles only for what is not.
macro_rules! assert_not {
    ($type:ty: $marker:ident) => {{
        trait Ambiguous<A> {
            fn check() {}
        }
        impl<T: ?Sized> Ambiguous<()> for T {}
        impl<T: ?Sized + $marker> Ambiguous<u8> for T {}
        <$type as Ambiguous<_>>::check();
    }};
}

#[test]
fn ends_stay_where_values_must() {
    assert_not!(Sender<Rc<u8>>: Send);
    assert_not!(Sender<Rc<u8>>: Sync);
    assert_not!(Receiver<Rc<u8>>: Send);
    assert_not!(Receiver<Rc<u8>>: Sync);
}

#[test]
fn values_may_borrow() {
    callers(|| {
        let text = String::from("to be or not");
        let (tx, rx) = bounded(4);
        for word in text.split(' ') {
            tx.send(word).unwrap();
        }
        drop(tx);
        assert!(rx.iter().eq(text.split(' ')));
    });
}

#[test]
fn values_need_not_be_send_on_one_thread() {
    let (tx, rx) = bounded(1);
    let value = Rc::new(1);
    tx.send(value.clone()).unwrap();
    assert!(Rc::ptr_eq(&rx.recv().unwrap(), &value));
}

#[test]
fn counts_are_right_in_every_state() {
    callers(|| {
        for capacity in CAPACITIES {
            let (tx, rx) = channel(capacity);
            let check = |len: usize| {
                let full = Some(len) == capacity;
                assert_eq!((tx.len(), rx.len()), (len, len));
                assert_eq!((tx.is_empty(), rx.is_empty()), (len == 0, len == 0));
                assert_eq!((tx.is_full(), rx.is_full()), (full, full));
                assert_eq!((tx.capacity(), rx.capacity()), (capacity, capacity));
            };
            let most = capacity.unwrap_or(200);
            check(0);
            for len in 1..=most {
                tx.send(0).unwrap();
                check(len);
            }
            for len in (0..most).rev() {
                rx.recv().unwrap();
                check(len);
            }
        }
    });
}

#[test]
fn whoever_waits_does_not_count() {
    parties(|cast| {
        for capacity in [0, 2] {
            let (tx, rx) = bounded(capacity);
            (0..capacity).for_each(|i| tx.send(i).unwrap());
            let senders: Vec<_> = (0..3)
                .map(|_| {
                    let tx = tx.clone();
                    cast.spawn(move || tx.send(9).unwrap())
                })
                .collect();
            for _ in 0..20 {
                give_way(1);
                assert_eq!((tx.len(), rx.len(), rx.is_full()), (capacity, capacity, true));
            }
            assert_eq!(rx.iter().take(capacity + 3).count(), capacity + 3);
            senders.into_iter().for_each(|sender| sender.join());
            assert_eq!((tx.len(), rx.len()), (0, 0));
        }
    });
}

#[test]
fn ends_know_their_channel() {
    callers(|| {
        for capacity in CAPACITIES {
            let (tx, rx) = channel::<u8>(capacity);
            let (other_tx, other_rx) = channel(capacity);
            assert!(tx.same_channel(&tx) && tx.same_channel(&tx.clone()));
            assert!(rx.same_channel(&rx) && rx.clone().same_channel(&rx));
            assert!(!tx.same_channel(&other_tx) && !rx.same_channel(&other_rx));
        }
    });
}

/// A value that can nothing.
#[derive(PartialEq, Eq)]
struct Plain(u8);

#[test]
fn ends_and_errors_show_themselves_whatever_the_value() {
    callers(|| {
        let (tx, rx) = bounded(1);
        assert!(!format!("{tx:?}{rx:?}").is_empty());
        tx.send(Plain(1)).unwrap();
        assert!(format!("{:?}", tx.try_send(Plain(2)).unwrap_err()).contains("Full"));
        let timeout = tx.send_timeout(Plain(3), Duration::ZERO).unwrap_err();
        assert!(format!("{timeout:?}").contains("Timeout"));
        drop(rx);
        assert!(format!("{:?}", tx.send(Plain(4)).unwrap_err()).contains("SendError"));
        assert!(format!("{:?}", tx.try_send(Plain(5)).unwrap_err()).contains("Disconnected"));
    });
}

/// Fails unless the error says something; gives what it says.
fn says<E: Error + Debug + Display + Send + Sync + 'static>(error: E) -> String {
    let (debug, display) = (format!("{error:?}"), error.to_string());
    assert!(!debug.is_empty() && !display.is_empty());
    let boxed: Box<dyn Error + Send + Sync> = Box::new(error);
    assert_eq!(boxed.to_string(), display);
    assert!(boxed.source().is_none());
    display
}

#[test]
fn errors_are_errors() {
    says(SendError(1));
    says(RecvError);
    assert_ne!(says(TrySendError::Full(1)), says(TrySendError::Disconnected(1)));
    assert_ne!(says(SendTimeoutError::Timeout(1)), says(SendTimeoutError::Disconnected(1)));
    assert_ne!(says(TryRecvError::Empty), says(TryRecvError::Disconnected));
    assert_ne!(says(RecvTimeoutError::Timeout), says(RecvTimeoutError::Disconnected));
}

#[test]
fn errors_compare() {
    assert!(SendError(1) == SendError(1) && SendError(1) != SendError(2));
    assert!(TrySendError::Full(1) == TrySendError::Full(1));
    assert!(TrySendError::Full(1) != TrySendError::Full(2));
    assert!(TrySendError::Full(1) != TrySendError::Disconnected(1));
    assert!(SendTimeoutError::Timeout(1) == SendTimeoutError::Timeout(1));
    assert!(SendTimeoutError::Timeout(1) != SendTimeoutError::Disconnected(1));
    assert!(RecvError == RecvError);
    assert!(TryRecvError::Empty != TryRecvError::Disconnected);
    assert!(RecvTimeoutError::Timeout != RecvTimeoutError::Disconnected);
    fn copies<T: Copy + Eq>() {}
    copies::<(SendError<u8>, TrySendError<u8>, SendTimeoutError<u8>)>();
    copies::<(RecvError, TryRecvError, RecvTimeoutError)>();
}

#[test]
fn errors_give_the_value_back() {
    assert!(SendError(Plain(1)).into_inner() == Plain(1));
    assert!(TrySendError::Full(Plain(2)).into_inner() == Plain(2));
    assert!(TrySendError::Disconnected(Plain(3)).into_inner() == Plain(3));
    assert!(SendTimeoutError::Timeout(Plain(4)).into_inner() == Plain(4));
    assert!(SendTimeoutError::Disconnected(Plain(5)).into_inner() == Plain(5));
}

#[test]
fn errors_tell_which_they_are() {
    assert!(TrySendError::Full(1).is_full() && !TrySendError::Full(1).is_disconnected());
    let disconnected = TrySendError::Disconnected(1);
    assert!(disconnected.is_disconnected() && !disconnected.is_full());
    let timeout = SendTimeoutError::Timeout(1);
    assert!(timeout.is_timeout() && !timeout.is_disconnected());
    let disconnected = SendTimeoutError::Disconnected(1);
    assert!(disconnected.is_disconnected() && !disconnected.is_timeout());
    assert!(TryRecvError::Empty.is_empty() && !TryRecvError::Empty.is_disconnected());
    let disconnected = TryRecvError::Disconnected;
    assert!(disconnected.is_disconnected() && !disconnected.is_empty());
    assert!(RecvTimeoutError::Timeout.is_timeout() && !RecvTimeoutError::Timeout.is_disconnected());
    let disconnected = RecvTimeoutError::Disconnected;
    assert!(disconnected.is_disconnected() && !disconnected.is_timeout());
}

#[test]
fn errors_widen() {
    let full: TrySendError<u8> = SendError(1).into();
    assert_eq!(full, TrySendError::Disconnected(1));
    let timeout: SendTimeoutError<u8> = SendError(1).into();
    assert_eq!(timeout, SendTimeoutError::Disconnected(1));
    assert_eq!(TryRecvError::from(RecvError), TryRecvError::Disconnected);
    assert_eq!(RecvTimeoutError::from(RecvError), RecvTimeoutError::Disconnected);
}
