//! One work on one runtime, several rounds: prints a line for each, the nanoseconds per operation and what
//! else there is to know of it.
//!
//! `go/` does the same in Go, `may/` on may, and `against-go.sh` runs all in turn.

use std::process::ExitCode;
use std::time::Duration;

use fibra_benches::job::{self, Pooled};
use fibra_benches::on_fibra::{self, Affinity};
use fibra_benches::round::Round;
use fibra_benches::sleepers::Lateness;
use fibra_benches::{WORKERS, arguments, on_rayon, on_tokio, parked};

const USAGE: &str = "\
usage: rounds fibra|fibra-migratable WORK COUNT ROUNDS
       rounds tokio WORK COUNT ROUNDS          but for fork-join, pool and timer
       rounds rayon spawn|skynet|fork-join|pool COUNT ROUNDS
       rounds threads pool COUNT ROUNDS
       rounds fibra|tokio parked COUNT 1       prints `parked`, stays until it is ended
       rounds fibra parked-64k COUNT 1         the same with stacks of 64 KiB
WORK:  spawn|spawn-join|yield|skynet|fork-join|ping-pong|many-to-many|select|mutex|sleepers|pool|timer";

/// How many goroutines yield, or lock.
const CROWD: usize = 100;

/// How many goroutines send into one channel; as many receive.
const PARTIES: usize = 4;

/// How many goroutines do jobs.
const POOL: usize = 8;

/// How many goroutines sleep while timers are measured, and the size of their stacks: a page is enough, and
/// page tables are smaller like this.
const DOZING: usize = 1_000_000;
const DOZING_STACK: usize = 64 * 1024;

/// A deadline among those of the goroutines that sleep.
const FAR: Duration = Duration::from_secs(90 * 60);

fn main() -> ExitCode {
    arguments::run(USAGE, run)
}

fn run() -> Option<()> {
    let contestant = arguments::text(1)?;
    let work = arguments::text(2)?;
    let count: usize = arguments::number(3)?;
    let rounds: usize = arguments::number(4)?;
    match contestant.as_str() {
        _ if work.starts_with("parked") => park(&contestant, &work, count),
        "tokio" => tokio(&work, count, rounds),
        "rayon" => rayon(&work, count, rounds),
        "threads" if work == "pool" => {
            (0..rounds).for_each(|_| println!("{}", of_pool(job::on_threads(count), count)));
            Some(())
        }
        _ => fibra(Affinity::from_label(&contestant)?, &work, count, rounds),
    }
}

fn fibra(affinity: Affinity, work: &str, count: usize, rounds: usize) -> Option<()> {
    let runtime = match work {
        "timer" => {
            // All timers on one worker.
            let runtime = on_fibra::runtime(1, affinity, Some(DOZING_STACK));
            runtime.run(|| on_fibra::doze(DOZING));
            runtime
        }
        _ => on_fibra::runtime(WORKERS, affinity, None),
    };
    for _ in 0..rounds {
        println!("{}", runtime.run(|| on_fibra(work, count))?);
    }
    Some(())
}

fn on_fibra(work: &str, count: usize) -> Option<Round> {
    let elapsed = match work {
        "spawn" => on_fibra::spawn_all(count),
        "spawn-join" => on_fibra::spawn_join(count),
        "yield" => on_fibra::yield_among(CROWD, share(count, CROWD)),
        "skynet" => on_fibra::skynet(count),
        "fork-join" => on_fibra::fork_join(count),
        "ping-pong" => on_fibra::ping_pong(count),
        "many-to-many" => on_fibra::among_many(PARTIES, share(count, PARTIES)),
        "select" => on_fibra::select_of_two(count),
        "mutex" => on_fibra::mutex_among(CROWD, share(count, CROWD)),
        "sleepers" => return Some(of_sleepers(on_fibra::sleepers(count))),
        "pool" => return Some(of_pool(on_fibra::pool(POOL, count), count)),
        "timer" => return Some(timer(count)),
        _ => return None,
    };
    Some(Round::new(elapsed, count))
}

fn tokio(work: &str, count: usize, rounds: usize) -> Option<()> {
    let runtime = match work {
        "sleepers" => on_tokio::runtime_with_time(),
        _ => on_tokio::runtime(),
    };
    for _ in 0..rounds {
        println!("{}", on_tokio::run(&runtime, on_tokio(work.to_owned(), count))?);
    }
    Some(())
}

async fn on_tokio(work: String, count: usize) -> Option<Round> {
    let elapsed = match work.as_str() {
        "spawn" => on_tokio::spawn_all(count).await,
        "spawn-join" => on_tokio::spawn_join(count).await,
        "yield" => on_tokio::yield_among(CROWD, share(count, CROWD)).await,
        "skynet" => on_tokio::skynet(count).await,
        "ping-pong" => on_tokio::ping_pong(count).await,
        "many-to-many" => on_tokio::among_many(PARTIES, share(count, PARTIES)).await,
        "select" => on_tokio::select_of_two(count).await,
        "mutex" => on_tokio::mutex_among(CROWD, share(count, CROWD)).await,
        "sleepers" => return Some(of_sleepers(on_tokio::sleepers(count).await)),
        _ => return None,
    };
    Some(Round::new(elapsed, count))
}

fn rayon(work: &str, count: usize, rounds: usize) -> Option<()> {
    let threads = on_rayon::threads();
    for _ in 0..rounds {
        println!("{}", threads.install(|| on_rayon(work, count))?);
    }
    Some(())
}

fn on_rayon(work: &str, count: usize) -> Option<Round> {
    let elapsed = match work {
        "spawn" => on_rayon::spawn_all(count),
        "skynet" => on_rayon::skynet(count),
        "fork-join" => on_rayon::fork_join(count),
        "pool" => return Some(of_pool(on_rayon::pool(count), count)),
        _ => return None,
    };
    Some(Round::new(elapsed, count))
}

fn park(contestant: &str, work: &str, count: usize) -> Option<()> {
    match (contestant, work) {
        ("tokio", "parked") => {
            let runtime = on_tokio::runtime();
            on_tokio::run(&runtime, on_tokio::park_all(count));
            parked::hold(count)
        }
        ("fibra", _) => {
            let stack = match work {
                "parked" => None,
                "parked-64k" => Some(64 * 1024),
                _ => return None,
            };
            let runtime = on_fibra::runtime(WORKERS, Affinity::Worker, stack);
            runtime.run(|| on_fibra::park_all(count));
            parked::hold(count)
        }
        _ => None,
    }
}

/// What each of `among` does, if they do `count` together.
fn share(count: usize, among: usize) -> usize {
    assert!(count.is_multiple_of(among), "{count} operations cannot be shared by {among}");
    count / among
}

fn of_sleepers(late: Lateness) -> Round {
    Round::new(late.sum, late.woken).with("worst", late.worst.as_nanos() as f64)
}

/// The ideal is that all workers compute all the time.
fn of_pool(pool: Pooled, jobs: usize) -> Round {
    Round::new(pool.elapsed, jobs).with_each("ideal", pool.computed / WORKERS as u32, jobs)
}

/// What an insertion and a cancellation of a timer cost: what a park with a deadline takes longer than one
/// without, the two clock readings for the deadline included.
fn timer(count: usize) -> Round {
    let plain = on_fibra::hand_over(count, None);
    let timed = on_fibra::hand_over(count, Some(FAR));
    let pair = (timed.as_nanos() as f64 - plain.as_nanos() as f64) / count as f64;
    Round::of(pair).with_each("park", plain, count).with_each("park-timeout", timed, count)
}
