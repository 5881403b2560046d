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
//! every processor that there is. A limit that somebody sets in these very microseconds is lost.

use super::policy;
use std::fs;
use std::sync::OnceLock;

/// Of processors, a bit each. On a machine with more of them the system does not tell, and nothing is pulled.
type Set = [u64; 16];

/// As if there were no limit, for processors that come later, too.
const ALL: Set = [u64::MAX; 16];

/// Pulls a thread of this process. Whether that was possible. Meanwhile the thread is kept from ending, and from starting
/// others, which would inherit the limit (`away.rs`).
pub(super) fn pull(thread: libc::pid_t) -> bool {
    !policy::is_filtered()
        && may_run_everywhere(thread)
        && only_here().is_some_and(|here| allow(thread, &here))
        // The system did as much a moment ago.
        && allow(thread, &ALL)
}

fn may_run_everywhere(thread: libc::pid_t) -> bool {
    static PROCESSORS: OnceLock<Option<u32>> = OnceLock::new();
    let processors = PROCESSORS.get_or_init(|| {
        let online = fs::read_to_string("/sys/devices/system/cpu/online");
        count_processors(online.ok()?.trim_end())
    });
    allowed(thread)
        .is_some_and(|set| Some(set.iter().map(|bits| bits.count_ones()).sum()) == *processors)
}

/// In a list like `0-3,5`.
fn count_processors(list: &str) -> Option<u32> {
    let count = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let distance = last.parse::<u32>().ok()?.checked_sub(first.parse().ok()?)?;
        distance.checked_add(1)
    };
    list.split(',').map(count).sum()
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
    // SAFETY: it has no preconditions.
    let here = usize::try_from(unsafe { libc::sched_getcpu() }).ok()?;
    let mut set: Set = [0; 16];
    *set.get_mut(here / 64)? |= 1 << (here % 64);
    Some(set)
}

#[cfg(all(test, not(loom)))]
pub(super) mod tests;
