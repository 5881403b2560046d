//! Fan-out and join: ten goroutines count primes, the main goroutine prints what they found.
//!
//! `cargo run --release --example hello`

use fibra::go;

#[fibra::main]
fn main() {
    let counts: Vec<_> = (0..10).map(|i| go!(primes(i * 10_000, (i + 1) * 10_000))).collect();
    for (i, count) in counts.into_iter().enumerate() {
        let count = count.join().expect("counting does not panic");
        println!("{count} primes from {} up", i * 10_000);
    }
}

/// How many primes there are from `low` up to, not including, `high`.
fn primes(low: u32, high: u32) -> usize {
    let divisors = |n: u32| (2..).take_while(move |d| d * d <= n);
    let is_prime = |n: &u32| *n > 1 && !divisors(*n).any(|d| n.is_multiple_of(d));
    (low..high).filter(is_prime).count()
}
