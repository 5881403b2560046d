//! The work on Fibra. All of it runs inside a goroutine, that is in [`Runtime::run`].

mod channels;
mod goroutines;
mod servers;
mod waits;

pub use channels::{among_many, ping_pong, pool, select_of_two};
pub use goroutines::{
    Countdown, fork_join, skynet, spawn_all, spawn_counted, spawn_join, yield_among,
};
pub use servers::{converse, echo, serve};
pub use waits::{doze, hand_over, mutex_among, park_all, sleepers};

use fibra::Runtime;

/// Where started goroutines may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Affinity {
    /// On the worker that started them: Fibra's default.
    Worker,
    /// On any worker, as in Go.
    Any,
}

impl Affinity {
    /// Both, for benchmarks that run in both.
    pub const ALL: [Affinity; 2] = [Affinity::Worker, Affinity::Any];

    /// How a runtime with this affinity is called in results.
    pub fn label(self) -> &'static str {
        match self {
            Affinity::Worker => "fibra",
            Affinity::Any => "fibra-migratable",
        }
    }

    /// What `label` stands for.
    pub fn from_label(label: &str) -> Option<Affinity> {
        Affinity::ALL.into_iter().find(|affinity| affinity.label() == label)
    }
}

/// A runtime with `workers` workers and stacks of `stack_size` bytes, or the default.
pub fn runtime(workers: usize, affinity: Affinity, stack_size: Option<usize>) -> Runtime {
    let mut builder = Runtime::builder().workers(workers);
    if let Some(bytes) = stack_size {
        builder = builder.stack_size(bytes);
    }
    if affinity == Affinity::Any {
        // SAFETY: the goroutines of these benchmarks block only in what Fibra offers: `park`, `yield_now`,
        // `sleep`, `join`, channels, `select!`, its mutex and its sockets. They hold nothing there that belongs
        // to a thread: no thread-local, no lock guard, no `!Send`. The CPU time of a thread is read at both ends
        // of a job, in which nothing blocks.
        builder = unsafe { builder.migratable() };
    }
    builder.build().expect("a runtime")
}
