//! The first prime numbers, from a chain of goroutines.
//!
//! `cargo run --release --example prime_sieve -- 100`
//!
//! A goroutine sends 2, 3, 4, … into a channel. The first number to come out of the chain is a prime, and
//! gets a goroutine that drops its multiples and passes everything else on; so what comes out of the
//! longer chain first is the next prime. It is a poor way to find primes and a good way to see many goroutines
//! wait for one another: each number goes through a rendezvous with every filter on its way.
//!
//! Nobody counts to the end and no goroutine is told to stop. When `main` drops the last receiver, the
//! last filter cannot send any more and returns, which drops its receiver, and so on to the front.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use fibra::chan::{Receiver, Sender, bounded};
use fibra::go;

/// Print the first prime numbers.
#[derive(Parser)]
#[command(name = "prime_sieve")]
struct Args {
    /// How many; each takes a goroutine
    #[arg(default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    count: u32,
}

#[fibra::main]
fn main() -> ExitCode {
    let Args { count } = Args::parse();
    fibra_examples::finish("prime_sieve", print_primes(count))
}

fn print_primes(count: u32) -> io::Result<()> {
    let (numbers, mut candidates) = bounded(0);
    go!(count_from_two(numbers));
    for _ in 0..count {
        let prime = candidates.recv().expect("there is always another prime");
        writeln!(io::stdout(), "{prime}")?;
        let (passed, next) = bounded(0);
        go!(filter(prime, candidates, passed));
        candidates = next;
    }
    Ok(())
}

/// Sends 2, 3, 4, … for as long as somebody receives.
fn count_from_two(numbers: Sender<u64>) {
    for n in 2.. {
        if numbers.send(n).is_err() {
            return;
        }
    }
}

/// Passes on what `prime` does not divide.
fn filter(prime: u64, candidates: Receiver<u64>, passed: Sender<u64>) {
    for n in candidates.iter().filter(|n| !n.is_multiple_of(prime)) {
        if passed.send(n).is_err() {
            return;
        }
    }
}
