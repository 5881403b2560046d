//! What the benchmarks of Fibra share.
//!
//! * [`on_fibra`], [`on_tokio`]: the same work on both runtimes; `go/` has it for Go;
//! * [`conversation`]: what all servers say;
//! * [`job`]: computing that takes a certain time, and the least that can be spent on it;
//! * [`arguments`]: of the programs;
//! * [`crowd`]: many parked goroutines;
//! * [`process`]: what the kernel says of this process;
//! * [`report`], [`round`]: numbers for people and for scripts.
//!
//! Work returns the time that it took, and panics if it was not all done.

pub mod arguments;
pub mod conversation;
pub mod crowd;
pub mod job;
pub mod on_fibra;
pub mod on_tokio;
pub mod process;
pub mod report;
pub mod round;
pub mod sleepers;

/// Worker threads of every runtime that is compared with another.
pub const WORKERS: usize = 2;

/// What the channel of several senders and receivers holds.
pub const CAPACITY: usize = 128;

/// Children of a node of `skynet`.
pub const CHILDREN: usize = 10;

/// `0 + 1 + … + (count - 1)`: what the results of `count` spawned functions add up to.
fn sum_below(count: usize) -> usize {
    count * count.saturating_sub(1) / 2
}
