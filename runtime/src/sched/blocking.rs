//! Threads for calls that block: grown on demand to a cap, shrunk when idle, shared by all runtimes.

use super::policy;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// As many calls as can block at once; more of them queue.
const MOST_THREADS: usize = 512;
/// A thread without work for so long ends.
const KEEP: Duration = Duration::from_secs(10);

/// One call. The pointer belongs to whoever waits for it.
struct Job {
    run: unsafe fn(*mut ()),
    argument: *mut (),
}

// SAFETY: by the contract of `submit`.
unsafe impl Send for Job {}

struct Pool {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
}

static POOL: Mutex<Pool> = Mutex::new(Pool { jobs: VecDeque::new(), threads: 0, idle: 0 });
static CHANGED: Condvar = Condvar::new();

fn pool() -> MutexGuard<'static, Pool> {
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has `run(argument)` called on a blocking thread, once. False: there is no thread, and none can be
/// started; nothing was called.
///
/// # Safety
/// * Calling `run(argument)` on another thread is sound, until it returns.
/// * It does not unwind.
pub(crate) unsafe fn submit(run: unsafe fn(*mut ()), argument: *mut ()) -> bool {
    let mut pool = pool();
    // An idle thread may already be spoken for by a job in the queue.
    if pool.idle <= pool.jobs.len() && pool.threads < MOST_THREADS {
        let thread = policy::start_thread("fibra-blocking".into(), work);
        match thread {
            Ok(_) => pool.threads += 1,
            Err(_) if pool.threads == 0 => return false,
            // The job waits for one of those there are.
            Err(_) => {}
        }
    }
    pool.jobs.push_back(Job { run, argument });
    drop(pool);
    CHANGED.notify_one();
    true
}

fn work() {
    let mut pool = pool();
    loop {
        if let Some(job) = pool.jobs.pop_front() {
            drop(pool);
            // SAFETY: by the contract of `submit`; each job is taken once.
            unsafe { (job.run)(job.argument) };
            pool = self::pool();
            continue;
        }
        let deadline = Instant::now() + KEEP;
        pool.idle += 1;
        while pool.jobs.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                pool.idle -= 1;
                pool.threads -= 1;
                return;
            }
            pool = CHANGED.wait_timeout(pool, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        pool.idle -= 1;
    }
}
