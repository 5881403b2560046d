//! What the benchmarks of Fibra share.
//!
//! * [`on_fibra`], [`on_tokio`]: the same work on both runtimes; `go/main.go` has it for Go;
//! * [`arguments`]: of the programs;
//! * [`crowd`]: many parked goroutines;
//! * [`process`]: what the kernel says of this process;
//! * [`report`]: numbers for people and for scripts.
//!
//! Work returns the time that it took, and panics if it was not all done.

pub mod arguments;
pub mod crowd;
pub mod on_fibra;
pub mod on_tokio;
pub mod process;
pub mod report;

/// Worker threads of every runtime that is compared with another.
pub const WORKERS: usize = 2;

/// `0 + 1 + … + (count - 1)`: what the results of `count` spawned functions add up to.
fn sum_below(count: usize) -> usize {
    count * count.saturating_sub(1) / 2
}
