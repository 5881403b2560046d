//! What goes through channels: nothing at all, a mebibyte, odd sizes and alignments.

mod chan_parties;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use chan_parties::{BUFFERS, CAPACITIES, callers, channel, parties};
use fibra::chan::{Receiver, Sender, bounded, unbounded};
use fibra::{Builder, select};
use fibra_tests::{Drops, alone, everywhere, join};

#[test]
fn values_without_a_size() {
    parties(|cast| {
        for capacity in CAPACITIES {
            let (tx, rx) = channel(capacity);
            let sender = cast.spawn(move || (0..200).for_each(|_| tx.send(()).unwrap()));
            assert_eq!(rx.iter().count(), 200);
            sender.join();
        }
    });
}

#[test]
fn values_without_a_size_count_too() {
    callers(|| {
        for capacity in BUFFERS {
            let (tx, rx) = channel(capacity);
            let most = capacity.unwrap_or(1000);
            (0..most).for_each(|_| tx.send(()).unwrap());
            assert_eq!((tx.len(), rx.is_full()), (most, capacity.is_some()));
            tx.close();
            assert_eq!(rx.iter().count(), most);
        }
    });
}

/// Has no size, but an end.
struct Empty;

static EMPTY_DROPS: AtomicUsize = AtomicUsize::new(0);

impl Drop for Empty {
    fn drop(&mut self) {
        EMPTY_DROPS.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn values_without_a_size_are_dropped_once() {
    callers(|| {
        for capacity in BUFFERS {
            EMPTY_DROPS.store(0, Ordering::SeqCst);
            let (tx, rx) = channel(capacity);
            tx.send(Empty).unwrap();
            drop(rx.recv());
            assert_eq!(EMPTY_DROPS.load(Ordering::SeqCst), 1);
            tx.send(Empty).unwrap();
            drop(rx);
            assert_eq!(EMPTY_DROPS.load(Ordering::SeqCst), 2);
            drop(tx.send(Empty));
            assert_eq!(EMPTY_DROPS.load(Ordering::SeqCst), 3);
        }
    });
}

const MIB: usize = 1 << 20;

/// A mebibyte, all the same but for its ends.
struct Large([u8; MIB]);

impl Large {
    #[inline(never)]
    fn new(number: u8) -> Large {
        let mut bytes = [number; MIB];
        (bytes[0], bytes[MIB - 1]) = (!number, number.wrapping_mul(3));
        Large(bytes)
    }

    #[inline(never)]
    fn check(&self, number: u8) {
        assert_eq!((self.0[0], self.0[MIB - 1]), (!number, number.wrapping_mul(3)));
        assert!(self.0[1..MIB - 1].iter().step_by(4093).all(|&byte| byte == number));
    }
}

/// Only addresses, of which few become memory.
const ROOM: usize = 256 << 20;

#[inline(never)]
fn send_large(tx: &Sender<Large>) {
    for i in 0..10 {
        assert!(tx.send(Large::new(i)).is_ok());
        select! { send(tx, Large::new(i + 100)) -> sent => assert!(sent.is_ok()) }
    }
}

#[inline(never)]
fn receive_large(rx: &Receiver<Large>) {
    for i in 0..10 {
        select! { recv(rx) -> value => value.unwrap_or_else(|_| panic!("closed")).check(i) }
        rx.recv().unwrap_or_else(|_| panic!("closed")).check(i + 100);
    }
}

#[test]
fn values_of_a_mebibyte() {
    everywhere(|setup| {
        setup.run(|| {
            for capacity in [Some(0), Some(2), None] {
                let (tx, rx) = channel(capacity);
                let builder = || Builder::new().stack_size(ROOM);
                let sender = builder().spawn(move || send_large(&tx)).unwrap();
                let receiver = builder().spawn(move || receive_large(&rx)).unwrap();
                join(sender);
                join(receiver);
            }
        });
        setup.with(|runtime| {
            let (tx, rx) = bounded(1);
            let builder = thread::Builder::new().stack_size(ROOM);
            let sender = builder.spawn(move || send_large(&tx)).unwrap();
            join(runtime.spawn(move || {
                join(Builder::new().stack_size(ROOM).spawn(move || receive_large(&rx)).unwrap());
            }));
            sender.join().unwrap();
        });
    });
}

#[test]
fn large_values_in_the_buffer_are_dropped_where_there_is_little_stack() {
    everywhere(|setup| {
        setup.run(|| {
            let (tx, rx) = unbounded();
            let drops = Drops::new();
            let tokens: [_; 3] = [drops.token(), drops.token(), drops.token()];
            let fill = move || tokens.into_iter().for_each(|t| drop(tx.send((Large::new(1), t))));
            join(Builder::new().stack_size(ROOM).spawn(fill).unwrap());
            // This goroutine could not hold one.
            drop(rx);
            assert_eq!(drops.count(), 3);
        });
    });
}

#[derive(Debug, PartialEq)]
#[repr(align(256))]
struct Aligned(u8);

#[test]
fn values_of_odd_sizes_and_alignments() {
    parties(|cast| {
        for capacity in CAPACITIES {
            let (tx, rx) = channel(capacity);
            let (odd, odds) = channel(capacity);
            let sender = cast.spawn(move || {
                for i in 0..50 {
                    tx.send(Aligned(i)).unwrap();
                    odd.send([i, i + 1, i + 2]).unwrap();
                }
            });
            for i in 0..50 {
                let value = rx.recv().unwrap();
                assert_eq!((&raw const value).addr() % 256, 0);
                assert_eq!(value, Aligned(i));
                assert_eq!(odds.recv(), Ok([i, i + 1, i + 2]));
            }
            sender.join();
        }
    });
}

#[test]
fn a_plain_thread_needs_no_runtime() {
    alone(|| {
        let (tx, rx) = bounded(0);
        let sender = thread::spawn(move || (0..100).for_each(|i| tx.send(i).unwrap()));
        assert!(rx.iter().eq(0..100));
        sender.join().unwrap();
    });
}
