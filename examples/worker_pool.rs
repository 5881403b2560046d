//! A pool of workers: any number of jobs, a few goroutines that do them, results in order.
//!
//! `cargo run --release --example worker_pool -- 20 --workers 4`
//!
//! All workers receive from one channel of jobs, so whoever is free takes the next; that balances
//! jobs of different length, such as these. Both channels are bounded: jobs are made as fast as they are done,
//! and done as fast as somebody takes the results. The results come in any order, so each carries
//! the number of its job, and they are sorted at the end.
//!
//! Nobody counts. The jobs end when their only sender is dropped, with that the workers return, and the results
//! end when the last worker has dropped its sender.
//!
//! A job is to count the steps of the Collatz sequence: n/2 if n is even, else 3n+1, until it is 1.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use fibra::chan::{Receiver, Sender, bounded};
use fibra::go;

/// Print how many Collatz steps each number takes to reach 1.
#[derive(Parser)]
#[command(name = "worker_pool")]
struct Args {
    /// The numbers from 1 up to this one
    #[arg(default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    jobs: u64,
    /// Goroutines that share the jobs
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    workers: u64,
}

/// The number of a job, and what came out.
struct Outcome {
    job: u64,
    steps: u64,
}

#[fibra::main]
fn main() -> ExitCode {
    let args = Args::parse();
    let (to_do, jobs) = bounded(16);
    let (done, outcomes) = bounded(16);

    go!(move || (1..=args.jobs).try_for_each(|job| to_do.send(job)));
    for _ in 0..args.workers {
        go!(work(jobs.clone(), done.clone()));
    }
    drop(done); // so that only the workers have it

    let mut outcomes: Vec<Outcome> = outcomes.iter().collect();
    outcomes.sort_unstable_by_key(|outcome| outcome.job);
    fibra_examples::finish("worker_pool", print(&outcomes))
}

/// Does jobs until there are none left.
fn work(jobs: Receiver<u64>, done: Sender<Outcome>) {
    for job in jobs {
        let outcome = Outcome { job, steps: collatz_steps(job) };
        if done.send(outcome).is_err() {
            return; // nobody wants to know
        }
    }
}

fn collatz_steps(n: u64) -> u64 {
    let step = |n: &u64| match n {
        1 => None,
        n if n.is_multiple_of(2) => Some(n / 2),
        n => Some(3 * n + 1),
    };
    std::iter::successors(Some(n), step).count() as u64 - 1
}

fn print(outcomes: &[Outcome]) -> io::Result<()> {
    let mut out = fibra_examples::stdout();
    for Outcome { job, steps } in outcomes {
        writeln!(out, "{job} {steps}")?;
    }
    out.flush()
}
