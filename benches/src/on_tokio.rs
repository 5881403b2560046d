//! The same work on tokio.

mod channels;
mod servers;
mod tasks;
mod waits;

pub use channels::{among_many, ping_pong, select_of_two};
pub use servers::serve;
pub use tasks::{skynet, spawn_all, spawn_join, yield_among};
pub use waits::{mutex_among, park_all, sleepers};

use tokio::runtime::{Builder, Runtime};
use tokio::task;

/// A runtime with [`WORKERS`](crate::WORKERS) workers. It cannot sleep: what does not has not to pay for
/// it.
pub fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(crate::WORKERS).build().expect("a runtime")
}

/// One that can sleep.
pub fn runtime_with_time() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(crate::WORKERS).enable_time().build().expect("a runtime")
}

/// One that can read and write sockets.
pub fn runtime_with_io() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(crate::WORKERS).enable_io().build().expect("a runtime")
}

/// Runs `work` as a task, hence on a worker: `block_on` alone would poll it on the calling thread, and
/// each of its spawns would go through the shared queue.
pub fn run<F>(runtime: &Runtime, work: F) -> F::Output
where
    F: Future<Output: Send> + Send + 'static,
{
    runtime.block_on(async { task::spawn(work).await.expect("no panic") })
}
