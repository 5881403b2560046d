//! `select!`: what may stand in its arms, and when that is evaluated.

mod chan_parties;

use std::cell::{Cell, RefCell};
use std::time::Duration;

use chan_parties::{callers, channel, parties};
use fibra::chan::{Receiver, RecvError, Sender, after, bounded, never, unbounded};
use fibra::select;
use fibra_tests::{Drops, Token};

#[test]
fn disabled_arms_never_happen() {
    callers(|| {
        let (tx, rx) = unbounded();
        let (closed_tx, closed) = bounded::<u8>(0);
        drop(closed_tx);
        let none: Option<Receiver<u8>> = None;
        let none_ref: Option<&Receiver<u8>> = None;
        for i in 0..50 {
            tx.send(i).unwrap();
            select! {
                recv(none) -> _ => panic!("none"),
                recv(none_ref) -> _ => panic!("none"),
                recv(Some(&closed).filter(|_| i > 100)) -> _ => panic!("none"),
                recv(never::<String>()) -> _ => panic!("never"),
                recv(rx) -> value => assert_eq!(value, Ok(i)),
            }
        }
    });
}

#[test]
fn a_receiver_may_come_in_four_forms() {
    callers(|| {
        let (tx, rx) = unbounded();
        (0..4).for_each(|i| tx.send(i).unwrap());
        let (own, some) = (rx.clone(), Some(rx.clone()));
        for i in 0..12 {
            tx.send(i + 4).unwrap();
            // None is moved away, so that each can be used in a loop.
            let value = match i % 4 {
                0 => select! { recv(own) -> value => value },
                1 => select! { recv(&rx) -> value => value },
                2 => select! { recv(some) -> value => value },
                _ => select! { recv(some.as_ref()) -> value => value },
            };
            assert_eq!(value, Ok(i));
        }
        // Nor out of where it stands.
        struct Ends {
            tx: Sender<u8>,
            rx: Vec<Receiver<u8>>,
        }
        let (tx, rx) = bounded(1);
        let ends = Ends { tx, rx: vec![rx] };
        for i in 0..3 {
            select! { send(ends.tx, i) -> sent => sent.unwrap() }
            select! { recv(ends.rx[0]) -> value => assert_eq!(value, Ok(i)) }
            select! { send(&ends.tx, i) -> sent => sent.unwrap() }
            select! { recv(&ends.rx[0]) -> value => assert_eq!(value, Ok(i)) }
        }
        // A receiver that is gone at the end of the select.
        select! { recv(after(Duration::ZERO)) -> time => assert!(time.is_ok()) }
        let (tx, rx) = bounded(1);
        tx.send(1).unwrap();
        select! { recv({ rx }) -> value => assert_eq!(value, Ok(1)) }
        assert!(tx.is_closed());
    });
}

#[test]
fn a_sender_may_come_in_four_forms() {
    callers(|| {
        let (tx, rx) = bounded(1);
        let (own, some) = (tx.clone(), Some(tx.clone()));
        for i in 0..12 {
            let sent = match i % 4 {
                0 => select! { send(own, i) -> sent => sent },
                1 => select! { send(&tx, i) -> sent => sent },
                2 => select! { send(some, i) -> sent => sent },
                _ => select! { send(some.as_ref(), i) -> sent => sent },
            };
            assert_eq!((sent, rx.recv()), (Ok(()), Ok(i)));
        }
        let (drops, none) = (Drops::new(), None::<Sender<Token>>);
        for i in 1..=20 {
            tx.send(i).unwrap();
            select! {
                send(none, drops.token()) -> _ => panic!("none"),
                recv(rx) -> value => assert_eq!(value, Ok(i)),
            }
            assert_eq!(drops.count(), i);
        }
    });
}

#[test]
fn bodies_belong_to_the_function() {
    fn first_error(rx: &[Receiver<Result<u8, String>>]) -> Result<u32, String> {
        let mut sum = 0;
        'all: loop {
            let value = select! {
                recv(rx[0]) -> value => match value {
                    Ok(value) => value?,
                    Err(RecvError) => break 'all,
                },
                recv(rx[1]) -> value => {
                    let Ok(value) = value else { return Ok(1000) };
                    if value == Ok(3) {
                        continue;
                    }
                    value?
                }
            };
            sum += u32::from(value);
        }
        Ok(sum)
    }
    callers(|| {
        // What there is in both, and which of them is closed.
        let receive = |values: [&[Result<u8, &str>]; 2], closed: usize| {
            let (tx, rx): (Vec<_>, Vec<_>) = (0..2).map(|_| unbounded()).unzip();
            for (values, tx) in values.into_iter().zip(&tx) {
                values.iter().for_each(|&value| tx.send(value.map_err(String::from)).unwrap());
            }
            tx.get(closed).inspect(|tx| tx.close());
            first_error(&rx)
        };
        assert_eq!(receive([&[Ok(1), Err("here")], &[]], 2), Err(String::from("here")));
        assert_eq!(receive([&[Ok(1), Ok(2)], &[]], 0), Ok(3));
        assert_eq!(receive([&[], &[Ok(3), Ok(3), Err("there")]], 2), Err(String::from("there")));
        assert_eq!(receive([&[], &[Ok(3), Ok(3)]], 1), Ok(1000));
    });
}

#[test]
fn one_inside_the_other() {
    callers(|| {
        let ((tx1, rx1), (tx2, rx2)) = (unbounded(), unbounded());
        for i in 0..20 {
            tx1.send(i).unwrap();
            // In a body, in a value, in what names a channel.
            let sum = select! {
                send(tx2, select! { recv(rx1) -> value => value.unwrap() + 1, default => 0 }) -> sent => {
                    sent.unwrap();
                    select! {
                        recv(select! { recv(rx1) -> _ => None, default => Some(&rx2) }) -> value => {
                            value.unwrap() + 1
                        }
                        default => panic!("it was sent"),
                    }
                }
                recv(never::<u8>()) -> _ => 0,
            };
            assert_eq!(sum, i + 2);
        }
    });
}

#[test]
fn an_arm_may_change_what_it_names() {
    callers(|| {
        let ((tx1, rx1), (tx2, rx2)) = (unbounded(), unbounded());
        (0..10).for_each(|i| tx1.send(i).unwrap());
        (10..20).for_each(|i| tx2.send(i).unwrap());
        drop((tx1, tx2));
        let (mut open1, mut open2, mut sum) = (Some(rx1), Some(rx2), 0);
        // As in Go: a channel that is closed is disabled.
        while open1.is_some() || open2.is_some() {
            select! {
                recv(open1) -> value => match value {
                    Ok(value) => sum += value,
                    Err(RecvError) => open1 = None,
                },
                recv(open2) -> value => match value {
                    Ok(value) => sum += value,
                    Err(RecvError) => open2 = None,
                },
            }
        }
        assert_eq!(sum, 190);
        let (tx, rx) = bounded::<String>(1);
        let text = String::from("only one arm takes it");
        select! {
            recv(rx) -> _ => drop((text, rx)),
            send(tx, text.clone()) -> _ => drop((text, tx)),
        }
    });
}

#[test]
fn expressions_are_evaluated_once_in_source_order() {
    callers(|| {
        let log = RefCell::new(Vec::new());
        fn note<T>(log: &RefCell<Vec<u8>>, number: u8, value: T) -> T {
            log.borrow_mut().push(number);
            value
        }
        let ((tx, rx), (closed, _)) = (bounded(1), bounded::<u8>(1));
        for round in 0..20 {
            let _full = tx.try_send(0);
            select! {
                recv(note(&log, 1, &rx)) -> _ => {}
                send(note(&log, 2, &closed), note(&log, 3, 1)) -> _ => {}
                recv(note(&log, 4, None::<Receiver<u8>>)) -> _ => {}
                send(note(&log, 5, &tx), note(&log, 6, 1)) -> _ => panic!("it is full"),
                recv(note(&log, 7, never::<u8>())) -> _ => {}
                default => panic!("two are ready"),
            }
            assert_eq!(log.take(), [1, 2, 3, 4, 5, 6, 7], "in round {round}");
        }
    });
}

#[test]
fn twenty_arms() {
    parties(|cast| {
        let channels: Vec<_> = (0..20).map(|i| channel(Some(i % 3))).collect();
        let (tx, rx): (Vec<_>, Vec<_>) = channels.into_iter().unzip();
        // Open until the end.
        let senders = tx.clone();
        let sender = cast.spawn(move || {
            for i in 0..60 {
                senders[i * 7 % 20].send(i).unwrap();
            }
        });
        let received = Cell::new(0);
        let arm = |number: usize, value: Result<usize, RecvError>| {
            assert_eq!(value.unwrap() * 7 % 20, number);
            received.set(received.get() + 1);
        };
        while received.get() < 60 {
            select! {
                recv(rx[0]) -> value => arm(0, value), recv(rx[1]) -> value => arm(1, value),
                recv(rx[2]) -> value => arm(2, value), recv(rx[3]) -> value => arm(3, value),
                recv(rx[4]) -> value => arm(4, value), recv(rx[5]) -> value => arm(5, value),
                recv(rx[6]) -> value => arm(6, value), recv(rx[7]) -> value => arm(7, value),
                recv(rx[8]) -> value => arm(8, value), recv(rx[9]) -> value => arm(9, value),
                recv(rx[10]) -> value => arm(10, value), recv(rx[11]) -> value => arm(11, value),
                recv(rx[12]) -> value => arm(12, value), recv(rx[13]) -> value => arm(13, value),
                recv(rx[14]) -> value => arm(14, value), recv(rx[15]) -> value => arm(15, value),
                recv(rx[16]) -> value => arm(16, value), recv(rx[17]) -> value => arm(17, value),
                recv(rx[18]) -> value => arm(18, value), recv(rx[19]) -> value => arm(19, value),
            }
        }
        sender.join();
    });
}
