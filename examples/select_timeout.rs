//! What a `select!` can wait for, besides channels: nothing at all, a timeout, a point in time, a clock.
//!
//! `cargo run --release --example select_timeout`
//!
//! Each function shows one form. What they print does not depend on how fast the machine is.

use std::time::Duration;

use fibra::chan::{Receiver, after, bounded, tick, unbounded};
use fibra::{go, select};

const SHORT: Duration = Duration::from_millis(20);
const LONG: Duration = Duration::from_secs(3600);

#[fibra::main]
fn main() {
    look_without_waiting();
    wait_for_a_while();
    limit_a_loop();
    listen_to_a_clock();
    merge();
}

/// `default`: what to do when no arm is ready now.
fn look_without_waiting() {
    let (tx, rx) = bounded(1);
    for _ in 0..2 {
        select! {
            recv(rx) -> word => println!("default: {word:?}"),
            default => println!("default: nothing there"),
        }
        tx.send("a word").expect("the receiver is here");
    }
}

/// `default(timeout)`: what to do when no arm was ready for so long. The time starts with the `select!`.
fn wait_for_a_while() {
    let (tx, rx) = bounded(0);
    select! {
        recv(rx) -> word => println!("timeout: {word:?}"),
        default(SHORT) => println!("timeout: nobody sent for {SHORT:?}"),
    }
    go!(move || tx.send("a late word"));
    select! {
        recv(rx) -> word => println!("timeout: {word:?}"),
        default(LONG) => println!("timeout: nobody sent for {LONG:?}"),
    }
}

/// `after`: one point in time for a whole loop, in which each `select!` may be short.
fn limit_a_loop() {
    let (tx, rx) = bounded(0);
    go!(move || while tx.send("more").is_ok() {});
    let deadline = after(SHORT);
    loop {
        select! {
            recv(rx) -> _ => {}
            recv(deadline) -> _ => break println!("after: enough"),
        }
    }
}

/// `tick`: again and again, here to say that a task is still at it, until there is nothing more to say.
fn listen_to_a_clock() {
    let (stop, stopped) = bounded::<()>(0);
    let task = go!(move || stopped.recv().is_err()); // nothing is sent: closing the channel is the signal
    let mut beats = 0;
    let mut ticks = Some(tick(SHORT));
    loop {
        select! {
            recv(ticks) -> _ => {
                beats += 1;
                println!("tick: {beats}");
                if beats == 3 {
                    ticks = None; // disables the arm
                    stop.close();
                }
            }
            recv(task) -> _ => break println!("tick: the task has ended"),
        }
    }
}

/// An arm whose channel is `None` is disabled. A closed channel is always ready, so that without this
/// the loop would see nothing else any more.
fn merge() {
    let (mut odd, mut even) = (Some(count_by_two(1, 9)), Some(count_by_two(0, 4)));
    let mut all = vec![];
    while odd.is_some() || even.is_some() {
        select! {
            recv(odd) -> n => match n {
                Ok(n) => all.push(n),
                Err(_closed) => odd = None,
            },
            recv(even) -> n => match n {
                Ok(n) => all.push(n),
                Err(_closed) => even = None,
            },
        }
    }
    all.sort();
    println!("merge: {all:?}");
}

/// `first`, and every second number after it up to `last`; then the channel closes.
fn count_by_two(first: u32, last: u32) -> Receiver<u32> {
    let (tx, rx) = unbounded();
    go!(move || (first..=last).step_by(2).try_for_each(|n| tx.send(n)));
    rx
}
