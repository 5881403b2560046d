//! The works of `src/bin/rounds.rs` on may, several rounds: prints a line for each.
//!
//! Left out is `select`: may's starts a coroutine for each arm and cancels those that lose, with what they have
//! received. All channels are unbounded, it has no others.

#[path = "../../../src/fibonacci.rs"]
mod fibonacci;
#[path = "../../../src/parked.rs"]
mod parked;
#[path = "../../../src/round.rs"]
#[allow(dead_code, reason = "those who share it use different parts")]
mod round;
#[path = "../../../src/sleepers/mod.rs"]
mod sleepers;

use std::env;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use may::coroutine::{self, Coroutine};
use may::go;
use may::sync::mpmc::{self, Sender};
use may::sync::{Mutex, mpsc};

use round::Round;
use sleepers::Lateness;

const USAGE: &str = "usage: rounds \
spawn|spawn-join|yield|skynet|fork-join|ping-pong|many-to-many|mutex|sleepers|parked COUNT ROUNDS";

const WORKERS: usize = 2;

/// How many coroutines yield, or lock.
const CROWD: usize = 100;

/// How many coroutines send into one channel; as many receive.
const PARTIES: usize = 4;

/// Children of a node of `skynet`.
const CHILDREN: usize = 10;

fn main() -> ExitCode {
    let words: Vec<_> = env::args().skip(1).collect();
    let [work, count, rounds] = &words[..] else { return refuse() };
    let (Ok(count), Ok(rounds)) = (count.parse(), rounds.parse()) else { return refuse() };
    may::config().set_workers(WORKERS);
    if work == "parked" {
        go!(move || park_all(count)).join().expect("no panic");
        parked::hold(count);
    }
    for _ in 0..rounds {
        let work = work.clone();
        match go!(move || once(&work, count)).join().expect("no panic") {
            Some(round) => println!("{round}"),
            None => return refuse(),
        }
    }
    ExitCode::SUCCESS
}

fn refuse() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::FAILURE
}

fn once(work: &str, count: usize) -> Option<Round> {
    let elapsed = match work {
        "spawn" => spawn_all(count),
        "spawn-join" => spawn_join(count),
        "yield" => yield_among(CROWD, share(count, CROWD)),
        "skynet" => skynet(count),
        "fork-join" => fibonacci::timed(count, fib),
        "ping-pong" => ping_pong(count),
        "many-to-many" => among_many(PARTIES, share(count, PARTIES)),
        "mutex" => mutex_among(CROWD, share(count, CROWD)),
        "sleepers" => {
            let late = all_sleepers(count);
            return Some(
                Round::new(late.sum, late.woken).with("worst", late.worst.as_nanos() as f64),
            );
        }
        _ => return None,
    };
    Some(Round::new(elapsed, count))
}

/// What each of `among` does, if they do `count` together.
fn share(count: usize, among: usize) -> usize {
    assert!(count.is_multiple_of(among), "{count} operations cannot be shared by {among}");
    count / among
}

/// `0 + 1 + … + (count - 1)`.
fn sum_below(count: usize) -> usize {
    count * count.saturating_sub(1) / 2
}

struct Countdown {
    left: AtomicUsize,
    waiter: Coroutine,
}

/// Spawns `count` detached coroutines and waits for all.
fn spawn_all(count: usize) -> Duration {
    // Leaked for the reason that `on_fibra::Countdown::leak` gives.
    let countdown: &Countdown = Box::leak(Box::new(Countdown {
        left: AtomicUsize::new(count),
        waiter: coroutine::current(),
    }));
    let start = Instant::now();
    for _ in 0..count {
        go!(move || {
            if countdown.left.fetch_sub(1, Ordering::AcqRel) == 1 {
                countdown.waiter.unpark();
            }
        });
    }
    while countdown.left.load(Ordering::Acquire) != 0 {
        coroutine::park();
    }
    start.elapsed()
}

/// Spawns a coroutine and joins it, `count` times.
fn spawn_join(count: usize) -> Duration {
    let start = Instant::now();
    let mut sum = 0;
    for i in 0..count {
        sum += go!(move || i).join().expect("no panic");
    }
    let elapsed = start.elapsed();
    assert_eq!(sum, sum_below(count), "a coroutine did not run, or its result is wrong");
    elapsed
}

/// `coroutines` coroutines yield `times` times each.
fn yield_among(coroutines: usize, times: usize) -> Duration {
    let start = Instant::now();
    let handles: Vec<_> = (0..coroutines)
        .map(|_| {
            go!(move || {
                let mut yields = 0;
                for _ in 0..times {
                    coroutine::yield_now();
                    yields += 1;
                }
                yields
            })
        })
        .collect();
    let yields: usize = handles.into_iter().map(|handle| handle.join().expect("no panic")).sum();
    let elapsed = start.elapsed();
    assert_eq!(yields, coroutines * times, "a coroutine stopped before its last yield");
    elapsed
}

/// A tree of coroutines; see `on_fibra::skynet`.
fn skynet(leaves: usize) -> Duration {
    let start = Instant::now();
    let (tx, rx) = mpmc::channel();
    go!(move || node(0, leaves, tx));
    let sum = rx.recv().expect("the root sends one sum");
    let elapsed = start.elapsed();
    assert_eq!(sum, sum_below(leaves), "a leaf is missing");
    elapsed
}

fn node(first: usize, leaves: usize, parent: Sender<usize>) {
    let sum = if leaves == 1 {
        first
    } else {
        let (tx, rx) = mpmc::channel();
        let each = leaves / CHILDREN;
        for child in 0..CHILDREN {
            let tx = tx.clone();
            go!(move || node(first + child * each, each, tx));
        }
        (0..CHILDREN).map(|_| rx.recv().expect("each child sends one sum")).sum()
    };
    parent.send(sum).expect("the parent waits for all its children");
}

/// Of the two parts of a Fibonacci number the first is forked.
fn fib(n: u32) -> u64 {
    if n <= fibonacci::CUT {
        return fibonacci::alone(n);
    }
    let left = go!(move || fib(n - 1));
    let right = fib(n - 2);
    left.join().expect("no panic") + right
}

/// The main coroutine and another one send a number there and back, `count` times.
fn ping_pong(count: usize) -> Duration {
    let (ping, pings) = mpsc::channel();
    let (pong, pongs) = mpsc::channel();
    let start = Instant::now();
    let other = go!(move || {
        for number in pings.iter() {
            pong.send(number + 1).expect("the main coroutine waits for it");
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
fn among_many(parties: usize, each: usize) -> Duration {
    let (tx, rx) = mpmc::channel();
    let start = Instant::now();
    let receivers: Vec<_> = (0..parties)
        .map(|_| {
            let rx = rx.clone();
            go!(move || {
                let mut count = 0;
                let mut sum = 0;
                for number in rx.iter() {
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
        go!(move || {
            for number in sender * each..(sender + 1) * each {
                tx.send(number).expect("there are receivers");
            }
        });
    }
    drop(tx);
    let results: Vec<_> = receivers.into_iter().map(|one| one.join().expect("no panic")).collect();
    let elapsed = start.elapsed();
    let received: usize = results.iter().map(|(count, _)| count).sum();
    let sum: usize = results.iter().map(|(_, sum)| sum).sum();
    assert_eq!(received, parties * each, "a message was lost");
    assert_eq!(sum, sum_below(received), "a message came twice, and another not");
    elapsed
}

/// `coroutines` coroutines lock one mutex, add one and unlock it, `times` times each.
fn mutex_among(coroutines: usize, times: usize) -> Duration {
    let total: &Mutex<usize> = Box::leak(Box::new(Mutex::new(0)));
    let start = Instant::now();
    let handles: Vec<_> = (0..coroutines)
        .map(|_| {
            go!(move || {
                for _ in 0..times {
                    *total.lock().expect("no panic") += 1;
                }
            })
        })
        .collect();
    handles.into_iter().for_each(|handle| handle.join().expect("no panic"));
    let elapsed = start.elapsed();
    assert_eq!(*total.lock().expect("no panic"), coroutines * times, "two held the lock at once");
    elapsed
}

/// `count` coroutines sleep, for different times.
fn all_sleepers(count: usize) -> Lateness {
    let handles: Vec<_> = (0..count)
        .map(|i| {
            go!(move || {
                let wanted = sleepers::duration(i);
                let start = Instant::now();
                coroutine::sleep(wanted);
                sleepers::lateness(start, wanted)
            })
        })
        .collect();
    let mut all = Lateness::default();
    handles.into_iter().for_each(|handle| all.add(handle.join().expect("no panic")));
    assert_eq!(all.woken, count, "somebody sleeps still");
    all
}

/// Spawns `count` coroutines that park for ever.
fn park_all(count: usize) {
    for _ in 0..count {
        go!(|| {
            parked::arrive();
            loop {
                coroutine::park();
            }
        });
    }
}
