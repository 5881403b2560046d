//! One work at one size, once: prints what an operation costs. `scaling.sh` runs it at all sizes.
//!
//! The size is the number of workers, or the amount of what lies around meanwhile. Each work is done once before it
//! counts, so that memory is touched and pools are full.

mod connections;
mod parked;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use fibra::chan::bounded;
use fibra_benches::arguments;
use fibra_benches::on_fibra::{self, Affinity};
use fibra_benches::round::Round;

const USAGE: &str = "\
usage: scaling spawn|skynet|many-to-many|ping-pong|mutex WORKERS COUNT
       scaling parked|timers|connections|channel AMOUNT COUNT";

/// As in `rounds`: how many goroutines lock one mutex, and how many send into one channel.
const CROWD: usize = 100;
const PARTIES: usize = 4;

/// How often the two numbers are taken of which a timer is the difference.
const DIFFERENCES: usize = 5;

/// Of goroutines that only sleep: a page is enough, and page tables are smaller like this.
const DOZING_STACK: usize = 64 * 1024;

/// A deadline among those of the goroutines that sleep.
const FAR: Duration = Duration::from_secs(90 * 60);

fn main() -> ExitCode {
    match (arguments::text(1).as_deref(), arguments::text(2), arguments::number(3)) {
        (Some(connections::HOLD), Some(server), Some(count)) => connections::hold(&server, count),
        _ => arguments::run(USAGE, run),
    }
}

fn run() -> Option<()> {
    let work = arguments::text(1)?;
    let size: usize = arguments::number(2)?;
    let count: usize = arguments::number(3)?;
    if size == 0 || count == 0 {
        return None;
    }
    match work.as_str() {
        "parked" => println!("{}", parked::parked(size, count)),
        "timers" => println!("{}", timers(size, count)),
        "connections" => println!("{}", connections::connections(size, count)),
        "channel" => println!("{}", channel(size, count)),
        _ => println!("{}", on_workers(&work, size, count)?),
    }
    Some(())
}

fn on_workers(work: &str, workers: usize, count: usize) -> Option<Round> {
    let work: fn(usize) -> Duration = match work {
        "spawn" => on_fibra::spawn_all,
        "skynet" => on_fibra::skynet,
        "many-to-many" => |count| on_fibra::among_many(PARTIES, count / PARTIES),
        "ping-pong" => on_fibra::ping_pong,
        "mutex" => |count| on_fibra::mutex_among(CROWD, count / CROWD),
        _ => return None,
    };
    let runtime = on_fibra::runtime(workers, Affinity::Worker, None);
    let warm_and_measured = [(); 2].map(|()| runtime.run(|| work(count)));
    Some(Round::new(warm_and_measured[1], count))
}

/// A timer goes in and comes out beside `amount` others, all on one worker: what a park with a deadline takes longer
/// than one without.
fn timers(amount: usize, count: usize) -> Round {
    let runtime = on_fibra::runtime(1, Affinity::Worker, Some(DOZING_STACK));
    runtime.run(|| on_fibra::doze(amount));
    let mut differences = [(); DIFFERENCES].map(|()| {
        let plain = runtime.run(|| on_fibra::hand_over(count, None));
        let timed = runtime.run(|| on_fibra::hand_over(count, Some(FAR)));
        timed.as_nanos() as f64 - plain.as_nanos() as f64
    });
    differences.sort_by(f64::total_cmp);
    Round::of(differences[DIFFERENCES / 2] / count as f64)
}

/// A goroutine sends into a channel that holds `length` values, and receives the oldest one.
fn channel(length: usize, count: usize) -> Round {
    let measure = move || {
        let (tx, rx) = bounded(length + 1);
        let send = |number| tx.send(number).expect("there is a receiver");
        (0..length).for_each(send);
        let turns = |first: usize, count: usize| {
            for oldest in first..first + count {
                send(oldest + length);
                assert_eq!(rx.recv(), Ok(oldest), "out of order");
            }
        };
        // Once round the buffer, so that all of it was written to.
        let warm = length + 1;
        turns(0, warm);
        let start = Instant::now();
        turns(warm, count);
        start.elapsed()
    };
    Round::new(on_fibra::runtime(1, Affinity::Worker, None).run(measure), count)
}
