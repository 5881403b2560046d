//! Random programs over channels, selects, time limits, cancels and locks, for as long as one likes.
//!
//! A program is made from a seed (`program.rs`, `make.rs`): a few channels and locks, and goroutines and threads with lists of
//! things to do to them. It runs (`party.rs`, `select.rs`, `locks.rs`) under a supervisor that keeps it from
//! standing still (`supervisor.rs`). Every value that is sent has an entry in a ledger (`ledger.rs`), from which
//! it is found out in the end whether all that has happened can have happened (`history.rs`). Nothing may be left:
//! no value, channel end, goroutine, stack, thread or descriptor.
//!
//! What is wrong ends the process with an account of the program and of where everybody was, and with the seed.
//! A seed says what the program is. How its parties interleave it does not say, so a failure may need
//! many runs: `stress --seed 7 --seconds 60`.

mod ends;
mod history;
mod ledger;
mod locks;
mod make;
mod party;
mod program;
mod random;
mod report;
mod select;
mod supervisor;
mod world;

use std::panic;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Parser;
use fibra_tests::at;

use crate::party::is_expected;
use crate::program::Program;

/// Runs random programs over channels and locks, and checks that nothing is lost and nothing comes twice.
#[derive(Parser)]
struct Arguments {
    /// How long to go on.
    #[arg(long, env = "FIBRA_STRESS_SECONDS", default_value_t = 2)]
    seconds: u64,
    /// Runs this program only, again and again.
    #[arg(long, env = "FIBRA_STRESS_SEED")]
    seed: Option<u64>,
    /// How many workers, instead of what the program says.
    #[arg(long)]
    workers: Option<usize>,
    /// Ends after so many runs of each program; without a seed each runs once unless this is set.
    #[arg(long)]
    repeat: Option<u64>,
    /// Prints each program's seed before it runs.
    #[arg(long)]
    verbose: bool,
}

fn main() {
    let arguments = Arguments::parse();
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if !is_expected(info.payload(), true) {
            report(info);
        }
    }));
    thread::spawn(|| report::watch(3 * supervisor::limit()));
    let end = Instant::now() + Duration::from_secs(arguments.seconds);
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970");
    let first = arguments.seed.unwrap_or(clock.as_micros() as u64);
    println!("stress: the first seed is {first}");
    let (mut seed, mut runs) = (first, 0u64);
    loop {
        let repeat =
            arguments.repeat.unwrap_or(if arguments.seed.is_some() { u64::MAX } else { 1 });
        for _ in 0..repeat {
            if arguments.verbose {
                println!("stress: seed {seed}");
            }
            run(seed, arguments.workers);
            runs += 1;
            if Instant::now() >= end && arguments.repeat.is_none() {
                break;
            }
        }
        if arguments.seed.is_some() || Instant::now() >= end {
            break;
        }
        seed += 1;
    }
    println!("stress: {runs} runs, seeds {first} to {seed}, all as they should be");
}

fn run(seed: u64, workers: Option<usize>) {
    let _told = TellOnPanic(seed);
    let program = Arc::new(Program::new(seed));
    let workers = workers.unwrap_or(program.workers);
    at(&[workers], &[program.migratable], 6 * supervisor::limit(), |setup| {
        supervisor::run(seed, &program, setup);
    });
}

/// Says which program it was when a check of `at` fails.
struct TellOnPanic(u64);

impl Drop for TellOnPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("stress: replay with --seed {}", self.0);
        }
    }
}
