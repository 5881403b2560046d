//! Pulls a thread that waits for a processor to the one that its caller is about to leave.
//!
//! The system itself moves a waiting thread to a processor that has nothing to do. But not one that ran a moment ago,
//! which the caches of its own processor may still be warm for; and not for the few microseconds for which the worker of
//! a busy server is out of work. So one worker may wait for long behind a client, while another one sleeps between any
//! two of its messages.
//!
//! To pull a thread is to narrow the processors on which it may run to this one, and to allow all of them again at once:
//! the system moves it here, and is free to move it on. What was allowed before cannot be restored otherwise. If the
//! program limits the thread, that has to stay; if its container does, that must not, or the thread would not follow when
//! the container is given more, and nobody can tell the one from the other. So only a thread is pulled that may run on
//! every processor that the machine can have. (That some are missing may be a limit, too: up to Linux 6.1 a thread that
//! was pulled would not use those that come later.) A limit that somebody sets between the two calls is lost.

use super::policy;
use std::fs;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// Of processors, a bit each. On a machine with more of them nothing is pulled.
type Set = [u64; 16];

/// As if there were no limit.
const ALL: Set = [u64::MAX; 16];

/// Every processor that the machine can have, if that is known.
static POSSIBLE: OnceLock<Option<Set>> = OnceLock::new();

/// For [`pull`], which should need no descriptor.
pub(super) fn prepare() {
    POSSIBLE.get_or_init(|| {
        let list = fs::read_to_string("/sys/devices/system/cpu/possible").ok()?;
        parse(list.trim_end())
    });
}

/// Pulls a thread of this process, if it may be. Meanwhile the thread must be kept from ending, and from starting others,
/// which would inherit the limit.
pub(super) fn pull(thread: libc::pid_t) {
    // By a security module, which would note each try in its log.
    static REFUSED: AtomicBool = AtomicBool::new(false);
    if REFUSED.load(Ordering::Relaxed) || policy::is_filtered() || !may_run_everywhere(thread) {
        return;
    }
    let Some(here) = only_here() else { return };
    if allow(thread, &here) {
        // The system has just done as much. It fails if the container is limited at the same moment, and leaves `here`.
        let _allowed = (0..3).any(|_| allow(thread, &ALL));
    } else {
        REFUSED.store(true, Ordering::Relaxed);
    }
}

fn may_run_everywhere(thread: libc::pid_t) -> bool {
    let possible = POSSIBLE.get().copied().flatten();
    possible.is_some() && allowed(thread) == possible
}

/// A list like `0-3,5`.
fn parse(list: &str) -> Option<Set> {
    let mut set: Set = [0; 16];
    for range in list.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        (first <= last).then_some(())?;
        for processor in first..=last {
            add(&mut set, processor)?;
        }
    }
    Some(set)
}

fn add(set: &mut Set, processor: usize) -> Option<()> {
    *set.get_mut(processor / 64)? |= 1 << (processor % 64);
    Some(())
}

/// Where that thread may run.
fn allowed(thread: libc::pid_t) -> Option<Set> {
    let mut set: Set = [0; 16];
    // SAFETY: writes to a local variable, no more than its size, and any bits are a `Set`.
    let result =
        unsafe { libc::sched_getaffinity(thread, size_of::<Set>(), (&raw mut set).cast()) };
    (result == 0).then_some(set)
}

/// It may run there. Whether the system has accepted that.
fn allow(thread: libc::pid_t, set: &Set) -> bool {
    // SAFETY: reads no more than a `Set`.
    unsafe { libc::sched_setaffinity(thread, size_of::<Set>(), (&raw const *set).cast()) == 0 }
}

/// The processor that runs the caller.
fn only_here() -> Option<Set> {
    let mut set: Set = [0; 16];
    // SAFETY: it has no preconditions.
    let here = unsafe { libc::sched_getcpu() };
    add(&mut set, usize::try_from(here).ok()?)?;
    Some(set)
}

#[cfg(all(test, not(loom)))]
pub(super) mod tests;
