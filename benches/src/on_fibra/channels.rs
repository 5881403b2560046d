//! Goroutines that send to one another.

use std::time::{Duration, Instant};

use fibra::chan::bounded;
use fibra::select;

use crate::CAPACITY;
use crate::job::{self, Pooled};

/// The main goroutine and another one send a number there and back, `count` times, in a rendezvous.
pub fn ping_pong(count: usize) -> Duration {
    let (ping, pings) = bounded(0);
    let (pong, pongs) = bounded(0);
    let start = Instant::now();
    let other = fibra::spawn(move || {
        for number in pings {
            pong.send(number + 1).expect("the main goroutine waits for it");
        }
    });
    let mut number = 0;
    for _ in 0..count {
        ping.send(number).expect("the other one waits for it");
        number = pongs.recv().expect("the other one sends it back");
    }
    let elapsed = start.elapsed();
    drop(ping);
    other.join().expect("no panic");
    assert_eq!(number, count, "a message was lost");
    elapsed
}

/// `parties` senders send `each` messages each, and `parties` receivers share them; one channel.
pub fn among_many(parties: usize, each: usize) -> Duration {
    let (tx, rx) = bounded(CAPACITY);
    let start = Instant::now();
    let receivers: Vec<_> = (0..parties)
        .map(|_| {
            let rx = rx.clone();
            fibra::spawn(move || {
                let mut count = 0;
                let mut sum = 0;
                for number in rx {
                    count += 1;
                    sum += number;
                }
                (count, sum)
            })
        })
        .collect();
    drop(rx);
    for sender in 0..parties {
        let tx = tx.clone();
        drop(fibra::spawn(move || {
            for number in sender * each..(sender + 1) * each {
                tx.send(number).expect("there are receivers");
            }
        }));
    }
    drop(tx);
    let results: Vec<_> = receivers.into_iter().map(|one| one.join().expect("no panic")).collect();
    let elapsed = start.elapsed();
    let received: usize = results.iter().map(|(count, _)| count).sum();
    let sum: usize = results.iter().map(|(_, sum)| sum).sum();
    assert_eq!(received, parties * each, "a message was lost");
    assert_eq!(sum, crate::sum_below(received), "a message came twice, and another not");
    elapsed
}

/// One sender sends `count` messages, in turn to two channels; the main goroutine selects.
pub fn select_of_two(count: usize) -> Duration {
    let (even, evens) = bounded(0);
    let (odd, odds) = bounded(0);
    let start = Instant::now();
    let sender = fibra::spawn(move || {
        for number in 0..count {
            let tx = if number % 2 == 0 { &even } else { &odd };
            tx.send(number).expect("the main goroutine receives all");
        }
    });
    for next in 0..count {
        let (rest, number) = select! {
            recv(evens) -> number => (0, number),
            recv(odds) -> number => (1, number),
        };
        assert_eq!((rest, number), (next % 2, Ok(next)), "out of order");
    }
    let elapsed = start.elapsed();
    sender.join().expect("no panic");
    elapsed
}

/// `receivers` goroutines that live long, all started already, do `jobs` jobs which the main goroutine sends
/// them.
pub fn pool(receivers: usize, jobs: usize) -> Pooled {
    let (tx, rx) = bounded(CAPACITY);
    let (here, present) = bounded(receivers);
    let pool: Vec<_> = (0..receivers)
        .map(|_| {
            let (rx, here) = (rx.clone(), here.clone());
            fibra::spawn(move || {
                here.send(()).expect("the main goroutine waits for it");
                let mut sum = 0;
                let mut computed = Duration::ZERO;
                for number in rx {
                    computed += job::compute();
                    sum += number;
                }
                (sum, computed)
            })
        })
        .collect();
    drop(rx);
    (0..receivers).for_each(|_| present.recv().expect("each receiver starts"));

    let start = Instant::now();
    for number in 0..jobs {
        tx.send(number).expect("there are receivers");
    }
    drop(tx);
    let results: Vec<_> = pool.into_iter().map(|one| one.join().expect("no panic")).collect();
    let elapsed = start.elapsed();
    let sum: usize = results.iter().map(|(sum, _)| sum).sum();
    assert_eq!(sum, crate::sum_below(jobs), "a job was not done, or done twice");
    Pooled { elapsed, computed: results.iter().map(|(_, computed)| computed).sum() }
}
