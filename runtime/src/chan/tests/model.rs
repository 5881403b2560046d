//! Loom: threads send, receive, close and select. What blocks, blocks as it does outside of a model.

use super::super::select::macros::{Arm, Otherwise, Sink, recv, run, send};
use super::super::{Receiver, RecvError, Sender, bounded};
use loom::model::Builder;
use loom::thread;
use std::time::Instant;

/// Each value is received once, whoever comes first. Made to fail by a `serve` that claims before it hands
/// over, by a `send` that pushes to the buffer without looking for receivers.
fn send_and_receive(capacity: usize) {
    loom::model(move || {
        let (tx, rx) = bounded(capacity);
        let sender = thread::spawn(move || {
            tx.send(Box::new(1)).unwrap();
            tx.send(Box::new(2)).unwrap();
        });
        assert_eq!(rx.recv(), Ok(Box::new(1)));
        assert_eq!(rx.recv(), Ok(Box::new(2)));
        assert_eq!(rx.recv(), Err(RecvError));
        sender.join().unwrap();
    });
}

#[test]
fn loom_send_and_receive_rendezvous() {
    send_and_receive(0);
}

#[test]
fn loom_send_and_receive_of_one() {
    send_and_receive(1);
}

/// A close against a send and a receive: the value arrives, or the sender has it back. Made to fail by a
/// `close` that serves only the first waiter, by a `send` that does not look whether it is closed.
fn close_against_both(capacity: usize) {
    loom::model(move || {
        let (tx, rx) = bounded(capacity);
        let sender = {
            let tx = tx.clone();
            thread::spawn(move || tx.send(Box::new(7)).is_ok())
        };
        let receiver = thread::spawn(move || {
            let first = rx.recv().is_ok();
            assert!(rx.recv().is_err());
            first
        });
        tx.close();
        assert_eq!(sender.join().unwrap(), receiver.join().unwrap());
    });
}

#[test]
fn loom_close_of_a_rendezvous() {
    close_against_both(0);
}

#[test]
fn loom_close_of_one() {
    close_against_both(1);
}

/// A receiver that gives up at once against a sender and another receiver: nothing is lost. Made to fail by
/// a receiver that does not take its waiter back.
#[test]
fn loom_timeout_against_send() {
    loom::model(|| {
        let (tx, rx) = bounded(0);
        let impatient = {
            let rx = rx.clone();
            thread::spawn(move || rx.recv_deadline(Instant::now()).is_ok())
        };
        let sender = thread::spawn(move || tx.send(Box::new(1)).is_ok());
        let rest = rx.iter().count();
        let got = impatient.join().unwrap();
        assert!(sender.join().unwrap());
        assert_eq!(rest + usize::from(got), 1);
    });
}

type Ends = (Sender<Box<u32>>, Receiver<Box<u32>>);

/// Selects take locks by address, and loom needs every run to be the same: so here the first channel always
/// has the lower address.
fn two_channels() -> [Ends; 2] {
    let mut pair = [bounded(0), bounded(0)];
    pair.sort_by_key(|(tx, _)| tx.address());
    pair
}

/// Two selects, each with a send to the other and a receive from it: exactly one value crosses. Made to fail by
/// an `attempt` on arms whose locks are not held, by a `delist` without the lock, by verdicts that are not
/// taken back.
#[test]
fn loom_select_against_select() {
    loom::model(|| {
        let [(a_tx, a_rx), (b_tx, b_rx)] = two_channels();
        let other = {
            let (a_rx, b_tx) = (a_rx.clone(), b_tx.clone());
            thread::spawn(move || {
                let (mut sending, mut receiving) = (send(&b_tx, Box::new(2)), recv(&a_rx));
                match run(&mut [&mut sending as &mut dyn Arm, &mut receiving], Otherwise::Wait) {
                    Some(0) => sending.finish().map(|()| None).unwrap(),
                    _ => Some(receiving.finish().unwrap()),
                }
            })
        };
        let (mut sending, mut receiving) = (send(&a_tx, Box::new(1)), recv(&b_rx));
        let got = match run(&mut [&mut sending as &mut dyn Arm, &mut receiving], Otherwise::Wait) {
            Some(0) => sending.finish().map(|()| None).unwrap(),
            _ => Some(receiving.finish().unwrap()),
        };
        match (got.as_deref(), other.join().unwrap().as_deref()) {
            (Some(2), None) | (None, Some(1)) => {}
            both => panic!("{both:?}"),
        }
    });
}

/// A select of two receives against a sender to each: one value each round, none twice, none lost. Made to fail
/// as the one above.
#[test]
fn loom_select_against_senders() {
    // With three preemptions it takes minutes.
    let mut builder = Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(|| {
        let [(a_tx, a_rx), (b_tx, b_rx)] = two_channels();
        let first = thread::spawn(move || a_tx.send(Box::new(1)).unwrap());
        let second = thread::spawn(move || b_tx.send(Box::new(2)).unwrap());
        let mut sum = 0;
        let (mut a_rx, mut b_rx) = (Some(a_rx), Some(b_rx));
        while a_rx.is_some() || b_rx.is_some() {
            let (disabled, result) = {
                let (mut a, mut b) = (recv(&a_rx), recv(&b_rx));
                match run(&mut [&mut a as &mut dyn Arm, &mut b], Otherwise::Wait) {
                    Some(0) => (0, a.finish()),
                    _ => (1, b.finish()),
                }
            };
            match result {
                Ok(value) => sum += *value,
                Err(RecvError) if disabled == 0 => a_rx = None,
                Err(RecvError) => b_rx = None,
            }
        }
        assert_eq!(sum, 3);
        first.join().unwrap();
        second.join().unwrap();
    });
}
