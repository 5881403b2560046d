//! What the benchmarks of Fibra share.
//!
//! * [`on_fibra`], [`on_tokio`], [`on_rayon`]: the same work on each; `go/` and `may/` have it for Go and may;
//! * [`conversation`]: what all servers say;
//! * [`job`]: computing that takes a certain time, and the least that can be spent on it;
//! * [`fibonacci`]: computing that is forked;
//! * [`arguments`]: of the programs;
//! * [`crowd`], [`parked`]: many parked goroutines, looked at from inside and from outside;
//! * [`process`]: what the kernel says of this process;
//! * [`report`], [`round`]: numbers for people and for scripts.
//!
//! Work returns the time that it took, and panics if it was not all done.

pub mod arguments;
pub mod conversation;
pub mod crowd;
pub mod fibonacci;
pub mod job;
pub mod on_fibra;
pub mod on_rayon;
pub mod on_tokio;
pub mod parked;
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
