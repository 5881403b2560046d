//! Tasks that send to one another. tokio has no rendezvous: a channel of capacity 1 stands for it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, mpsc};
use tokio::{select, task};

use crate::CAPACITY;

/// The main task and another one send a number there and back, `count` times.
pub async fn ping_pong(count: usize) -> Duration {
    let (ping, mut pings) = mpsc::channel(1);
    let (pong, mut pongs) = mpsc::channel(1);
    let start = Instant::now();
    let other = task::spawn(async move {
        while let Some(number) = pings.recv().await {
            pong.send(number + 1).await.expect("the main task waits for it");
        }
    });
    let mut number = 0;
    for _ in 0..count {
        ping.send(number).await.expect("the other one waits for it");
        number = pongs.recv().await.expect("the other one sends it back");
    }
    let elapsed = start.elapsed();
    drop(ping);
    other.await.expect("no panic");
    assert_eq!(number, count, "a message was lost");
    elapsed
}

/// `parties` senders send `each` messages each, and `parties` receivers share them; one channel. A receiver
/// of tokio cannot be cloned, so it is behind a mutex.
pub async fn among_many(parties: usize, each: usize) -> Duration {
    let (tx, rx) = mpsc::channel(CAPACITY);
    let rx = Arc::new(Mutex::new(rx));
    let start = Instant::now();
    let receivers: Vec<_> = (0..parties)
        .map(|_| {
            let rx = rx.clone();
            task::spawn(async move {
                let mut count = 0;
                let mut sum = 0;
                loop {
                    // A statement of its own, so that the lock is free before the number is used.
                    let number = rx.lock().await.recv().await;
                    let Some(number) = number else { break (count, sum) };
                    count += 1;
                    sum += number;
                }
            })
        })
        .collect();
    for sender in 0..parties {
        let tx = tx.clone();
        drop(task::spawn(async move {
            for number in sender * each..(sender + 1) * each {
                tx.send(number).await.expect("there are receivers");
            }
        }));
    }
    drop(tx);
    let mut received = 0;
    let mut total = 0;
    for receiver in receivers {
        let (count, sum) = receiver.await.expect("no panic");
        received += count;
        total += sum;
    }
    let elapsed = start.elapsed();
    assert_eq!(received, parties * each, "a message was lost");
    assert_eq!(total, crate::sum_below(received), "a message came twice, and another not");
    elapsed
}

/// One sender sends `count` messages, in turn to two channels; the main task selects.
pub async fn select_of_two(count: usize) -> Duration {
    let (even, mut evens) = mpsc::channel(1);
    let (odd, mut odds) = mpsc::channel(1);
    let start = Instant::now();
    let sender = task::spawn(async move {
        for number in 0..count {
            let tx = if number % 2 == 0 { &even } else { &odd };
            tx.send(number).await.expect("the main task receives all");
        }
    });
    let mut sums = [0, 0];
    for _ in 0..count {
        select! {
            Some(number) = evens.recv() => sums[0] += number,
            Some(number) = odds.recv() => sums[1] += number,
            else => panic!("the sender has left"),
        }
    }
    let elapsed = start.elapsed();
    sender.await.expect("no panic");
    assert_eq!(sums[0], 2 * crate::sum_below(count.div_ceil(2)), "an even number was lost");
    assert_eq!(sums[0] + sums[1], crate::sum_below(count), "an odd number was lost");
    elapsed
}
