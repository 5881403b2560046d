//! What is computed in `fork-join`, in the simplest way: the cost of forking is what counts.

use std::hint::black_box;
use std::time::{Duration, Instant};

/// Which Fibonacci number is computed.
pub const N: u32 = 35;

/// Up to this one nobody forks.
pub const CUT: u32 = 12;

const RESULT: u64 = 9_227_465;

/// Fibonacci number `n`, by one thread.
pub fn alone(n: u32) -> u64 {
    if n < 2 { u64::from(n) } else { alone(n - 1) + alone(n - 2) }
}

/// How long `fib` takes to compute number [`N`], `times` times.
pub fn timed(times: usize, fib: impl Fn(u32) -> u64) -> Duration {
    let start = Instant::now();
    for _ in 0..times {
        assert_eq!(fib(black_box(N)), RESULT, "a part is missing");
    }
    start.elapsed()
}
