//! Select: of several sends and receives, exactly one goes ahead.
//!
//! * *Lock*: the locks of all channels are taken, in the order of their addresses. So a select sees all its
//!   channels at one moment: if at any moment one of them is ready, it does not take its default.
//! * *Try*: the arms are tried in random order; the first that can, goes ahead.
//! * *Enlist*: else each arm leaves a waiter with the same ticket, in random order, too, so that arms of one
//!   channel take turns. Then the locks are given back, and the goroutine parks.
//! * *Serve*: whoever comes to one of the channels claims the ticket. The first claim wins, whatever arm it
//!   is for; the others find that it is lost, and take their verdict back.
//! * *Leave*: it takes each lock once more, removes the waiter, and sees whether its verdict stands. None
//!   does, if the time was over: then it begins again, and that round is the last.
//!
//! Arms of time have no lock and no waiter: they are a deadline of the park, and are tried like the others
//! when it is over.

mod arm;
mod dynamic;
mod small;

pub(crate) use arm::{Arm, RecvArm, Sealed, SendArm, Sink, Source};
pub use dynamic::{Select, SelectedOperation};

use crate::chan::core::sooner;
use crate::chan::lock::ChanLock;
use crate::goroutine::WaitReason;
use crate::park::{self, Parking};
use crate::primitive::RawLock;
use crate::sched::current;
use smallvec::SmallVec;
use std::ptr;
use std::time::{Duration, Instant};

/// Arms for which there is room without an allocation.
const FEW: usize = 8;

/// What `select!` expands to.
pub mod macros {
    pub use super::arm::{Arm, RecvArm, SendArm, Sink, Source};
    use super::{Duration, Instant};

    /// What a select does when no arm can go ahead.
    pub enum Otherwise {
        /// Wait.
        Wait,
        /// Go on at once.
        Default,
        /// Wait so long.
        After(Duration),
    }

    /// A receive arm.
    #[inline]
    pub fn recv<T, S: Source<Item = T> + ?Sized>(source: &S) -> RecvArm<'_, T> {
        source.arm()
    }

    /// A send arm.
    #[inline]
    pub fn send<T, S: Sink<Item = T> + ?Sized>(sink: &S, value: T) -> SendArm<'_, T> {
        sink.arm(value)
    }

    /// Which arm has gone ahead; `None`: the default.
    pub fn run(arms: &mut [&mut dyn Arm], otherwise: Otherwise) -> Option<usize> {
        let limit = match otherwise {
            Otherwise::Wait => super::Limit::Never,
            Otherwise::Default => super::Limit::Now,
            Otherwise::After(limit) => super::Limit::after(Instant::now().checked_add(limit)),
        };
        super::run(arms.len(), |index| &*arms[index], limit)
    }

    /// A select without arms.
    pub fn forever() -> ! {
        match run(&mut [], Otherwise::Wait) {
            None | Some(_) => unreachable!("there is nothing that could go ahead"),
        }
    }
}

/// When a select stops waiting.
#[derive(Clone, Copy)]
enum Limit {
    Never,
    At(Instant),
    Now,
}

impl Limit {
    fn after(deadline: Option<Instant>) -> Limit {
        deadline.map_or(Limit::Never, Limit::At)
    }
}

/// An arm at work.
struct Entry<'a> {
    arm: &'a dyn Arm,
    lock: Option<&'a ChanLock>,
    index: usize,
}

/// Lets one of `count` arms go ahead, and says which; `None` when none could within the limit.
fn run<'a>(count: usize, arm: impl Fn(usize) -> &'a dyn Arm, limit: Limit) -> Option<usize> {
    // Filled where they stay: they are too large to be moved for nothing.
    let mut entries: SmallVec<[Entry<'a>; FEW]> = SmallVec::new();
    entries.extend((0..count).map(|index| {
        let arm = arm(index);
        Entry { arm, lock: arm.lock(), index }
    }));
    let mut locks: SmallVec<[&ChanLock; FEW]> = SmallVec::new();
    locks.extend(entries.iter().filter_map(|entry| entry.lock));
    sort_and_dedup(&mut locks);
    run_entries(&mut entries, &locks, limit)
}

fn run_entries(entries: &mut [Entry<'_>], locks: &[&ChanLock], limit: Limit) -> Option<usize> {
    let mut limit = limit;
    loop {
        shuffle(entries);
        let locked = Locks::take(locks);
        for entry in &*entries {
            // SAFETY: all locks are held. None has gone ahead, or this would be over.
            if let Some(wake) = unsafe { entry.arm.attempt() } {
                drop(locked);
                wake.wake();
                return Some(entry.index);
            }
        }
        let deadline = match limit {
            Limit::Now => return None,
            Limit::At(deadline) => Some(deadline),
            Limit::Never => None,
        };
        let first = entries.iter().map(|entry| entry.arm.due()).fold(deadline, sooner);
        let parking = Parking::open();
        for Entry { arm, .. } in &*entries {
            // SAFETY: as above. They are borrowed until this returns, and delisted before: nothing in between
            // unwinds.
            unsafe { arm.enlist(parking.ticket()) };
        }
        drop(locked);
        let cause = parking.wait(WaitReason::Select, first);
        let mut served = None;
        for &Entry { arm, lock, index } in &*entries {
            if delist(arm, lock) {
                served = Some(index);
            }
        }
        if served.is_some() {
            return served;
        }
        park::unwind_if_cancelled(cause);
        if let Limit::At(deadline) = limit
            && deadline <= Instant::now()
        {
            limit = Limit::Now;
        }
    }
}

/// Takes an arm back, whose lock that is; true when it has gone ahead.
pub(crate) fn delist(arm: &dyn Arm, lock: Option<&ChanLock>) -> bool {
    let _locked = ArmLock::take(lock);
    // SAFETY: its lock is held.
    unsafe { arm.delist() }
}

/// Fisher and Yates: every order is as likely as any other.
fn shuffle(entries: &mut [Entry<'_>]) {
    if entries.len() < 2 {
        return;
    }
    let mut random = current::random();
    for last in (1..entries.len()).rev() {
        // The whole part of a fraction of the bound, which is cheaper than a remainder.
        let chosen = (u128::from(random) * (last as u128 + 1)) >> 64;
        entries.swap(last, chosen as usize);
        random = random.rotate_left(29).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

/// In the order of their addresses, each once.
fn sort_and_dedup(locks: &mut SmallVec<[&ChanLock; FEW]>) {
    let address = |lock: &ChanLock| ptr::from_ref(lock).addr();
    // Most selects have two channels.
    match locks.as_mut_slice() {
        [] | [_] => return,
        [a, b] if address(a) < address(b) => return,
        [a, b] if address(a) > address(b) => return std::mem::swap(a, b),
        _ => locks.sort_unstable_by_key(|lock| address(lock)),
    }
    locks.dedup_by_key(|lock| address(lock));
}

/// The lock of one arm, held, if it has one.
pub(crate) struct ArmLock<'a>(Option<&'a ChanLock>);

impl<'a> ArmLock<'a> {
    #[inline]
    pub(crate) fn take(lock: Option<&'a ChanLock>) -> ArmLock<'a> {
        if let Some(lock) = lock {
            lock.lock();
        }
        ArmLock(lock)
    }
}

impl Drop for ArmLock<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(lock) = self.0 {
            // SAFETY: locked in `take`; whoever used what it protects does not any more.
            unsafe { lock.unlock() };
        }
    }
}

/// The locks of all arms, held.
struct Locks<'a>(&'a [&'a ChanLock]);

impl<'a> Locks<'a> {
    /// Takes them one after the other.
    fn take(locks: &'a [&'a ChanLock]) -> Locks<'a> {
        for (index, lock) in locks.iter().enumerate() {
            // The first one need not hurry; after that others wait for it.
            if index == 0 { lock.lock() } else { lock.lock_eagerly() }
        }
        Locks(locks)
    }
}

impl Drop for Locks<'_> {
    fn drop(&mut self) {
        for lock in self.0 {
            // SAFETY: locked in `take`; whoever used what it protects does not any more.
            unsafe { lock.unlock() };
        }
    }
}
