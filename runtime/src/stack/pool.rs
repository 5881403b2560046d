//! The pool: stacks that wait to be used again. The states of a slot are tabled in `mod.rs`.
//!
//! Reuse is last in, first out, over all threads: the stack released last is the one whose pages
//! are in the cache. That also sorts the pool by age, oldest in front, which is what lets `trim`
//! find the idle ones without looking at the others.
//!
//! No system call runs under the lock but the `mmap` of a new region, which happens about ten
//! times on the way to 1 GiB of stacks and once per GiB from there.

use std::collections::VecDeque;
use std::io;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use crate::arch::valgrind;

use super::guard::{GuardKind, Guards};
use super::region::{Region, Slot};
use super::size::StackSize;
use super::{Stack, lock};

#[cfg(test)]
mod tests;

/// Slots of a class's first region.
const FIRST_REGION: usize = 16;

/// Bytes at which regions stop to grow, unless one slot is larger.
const LARGEST_REGION: usize = 1 << 30;

/// Stacks that `trim` takes out at a time; meanwhile nobody can acquire those.
const TRIM_BATCH: usize = 32;

/// Stacks of all sizes.
pub(super) struct Pool {
    classes: [Mutex<Class>; StackSize::CLASSES],
    guards: Guards,
}

/// Stacks of one size.
struct Class {
    /// Stacks that hold memory, the one released last at the back.
    warm: VecDeque<Warm>,
    /// Stacks whose memory was given back.
    cold: Vec<Slot>,
    /// Slots that could not be guarded.
    bare: Vec<Slot>,
    /// The newest region, and how many of its slots were carved.
    region: Option<&'static Region>,
    carved: usize,
    /// Slots in all regions.
    reserved: usize,
    /// Slots that are guarded, or are just about to be: in use, warm, cold or resting.
    guarded: usize,
    /// Slots that `trim` holds.
    resting: usize,
}

struct Warm {
    slot: Slot,
    released_at: Duration,
}

/// How many stacks there are, of all sizes together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Census {
    /// Slots that address space is reserved for.
    pub(crate) reserved: usize,
    /// Stacks handed out and not released.
    pub(crate) in_use: usize,
    /// Stacks that wait in the pool.
    pub(crate) pooled: usize,
    /// Those of `pooled` that still hold memory.
    pub(crate) warm: usize,
    /// How guards are made; none before the first stack.
    pub(crate) guard: Option<GuardKind>,
    /// Memory maps spent on `mprotect` guards.
    pub(crate) guard_maps: usize,
    /// How many they may spend; none before the first such guard.
    pub(crate) map_budget: Option<usize>,
}

impl Pool {
    pub(super) const fn new() -> Self {
        Self {
            classes: [const { Mutex::new(Class::new()) }; StackSize::CLASSES],
            guards: Guards::new(),
        }
    }

    pub(super) fn guards(&self) -> &Guards {
        &self.guards
    }

    fn class(&self, size: StackSize) -> MutexGuard<'_, Class> {
        lock(&self.classes[size.class()])
    }

    pub(super) fn acquire(&self, size: StackSize) -> io::Result<Stack> {
        let mut class = self.class(size);
        match class.pop() {
            Some(slot) => Ok(Stack(slot)),
            None => self.make(class, size),
        }
    }

    /// Guards a slot that never was a stack. The system call runs without the lock, so that
    /// workers that start at the same time do not wait for each other.
    #[cold]
    fn make(&self, mut class: MutexGuard<'_, Class>, size: StackSize) -> io::Result<Stack> {
        let slot = class.carve(size)?;
        class.guarded += 1;
        drop(class);

        let Err(error) = self.guards.protect(slot) else {
            let stack = Stack(slot);
            // For good: slots stay stacks for the life of the process.
            let _ = valgrind::register_stack(stack.limit(), stack.top());
            return Ok(stack);
        };
        let mut class = self.class(size);
        class.guarded -= 1;
        class.bare.push(slot);
        // What ran out may be limited for good; a stack released meanwhile will do.
        class.pop().map(Stack).ok_or(error)
    }

    /// Not inlined: most of the time a thread keeps the stack itself.
    #[cold]
    #[inline(never)]
    pub(super) fn release(&self, stack: Stack) {
        self.release_batch([stack]);
    }

    pub(super) fn release_batch(&self, stacks: impl IntoIterator<Item = Stack>) {
        let released_at = now();
        let mut held: Option<(StackSize, MutexGuard<'_, Class>)> = None;
        for stack in stacks {
            // The subject of the label dies with its goroutine; the next user may set none.
            stack.clear_label();
            let size = stack.size();
            let mut class = match held.take() {
                Some((same, class)) if same == size => class,
                other => {
                    drop(other); // One lock at a time: there is no order among classes.
                    self.class(size)
                }
            };
            class.warm.push_back(Warm { slot: stack.0, released_at });
            held = Some((size, class));
        }
    }

    /// See [`super::trim`].
    pub(super) fn trim(&self, keep_idle_for: Duration) -> bool {
        match now().checked_sub(keep_idle_for) {
            Some(idle_since) => self.trim_released_by(idle_since),
            // The machine has not been up for that long.
            None => self.census().warm > 0,
        }
    }

    /// One pass: what is released after it started is left for the next, so that it ends.
    fn trim_released_by(&self, idle_since: Duration) -> bool {
        let mut still_warm = false;
        let mut batch = Vec::with_capacity(TRIM_BATCH);
        for class in &self.classes {
            still_warm |= loop {
                let mut class_now = lock(class);
                class_now.take_idle(idle_since, &mut batch);
                if batch.is_empty() {
                    break !class_now.warm.is_empty();
                }
                drop(class_now);
                batch.iter().for_each(|&slot| give_memory_back(slot));
                lock(class).put_cold(&mut batch);
            };
        }
        still_warm
    }

    pub(super) fn census(&self) -> Census {
        let mut census = Census {
            reserved: 0,
            in_use: 0,
            pooled: 0,
            warm: 0,
            guard: self.guards.kind(),
            guard_maps: self.guards.maps(),
            map_budget: self.guards.budget(),
        };
        for class in &self.classes {
            let class = lock(class);
            let pooled = class.warm.len() + class.cold.len() + class.resting;
            census.reserved += class.reserved;
            census.in_use += class.guarded - pooled;
            census.pooled += pooled;
            census.warm += class.warm.len();
        }
        census
    }
}

impl Class {
    const fn new() -> Self {
        Self {
            warm: VecDeque::new(),
            cold: Vec::new(),
            bare: Vec::new(),
            region: None,
            carved: 0,
            reserved: 0,
            guarded: 0,
            resting: 0,
        }
    }

    /// A guarded stack, the hottest first.
    fn pop(&mut self) -> Option<Slot> {
        match self.warm.pop_back() {
            Some(warm) => Some(warm.slot),
            None => self.cold.pop(),
        }
    }

    /// A slot without a guard; no other caller gets it.
    fn carve(&mut self, size: StackSize) -> io::Result<Slot> {
        if let Some(slot) = self.bare.pop() {
            return Ok(slot);
        }
        let region = match self.region {
            Some(region) if self.carved < region.slots() => region,
            _ => self.grow(size)?,
        };
        let slot = region.slot(self.carved);
        self.carved += 1;
        Ok(slot)
    }

    /// Reserves as many slots as there are already, or fewer if so many do not fit.
    fn grow(&mut self, size: StackSize) -> io::Result<&'static Region> {
        let most = (LARGEST_REGION / Region::stride(size)).max(1);
        let mut slots = self.reserved.max(FIRST_REGION).min(most);
        let region = loop {
            match Region::reserve(size, slots) {
                Ok(region) => break region,
                Err(_) if slots > 1 => slots /= 2,
                Err(error) => return Err(cannot_reserve(size, &error)),
            }
        };
        self.region = Some(region);
        self.carved = 0;
        self.reserved += slots;
        Ok(region)
    }

    /// Moves some of the stacks that were released before `idle_since` into `batch`.
    fn take_idle(&mut self, idle_since: Duration, batch: &mut Vec<Slot>) {
        while batch.len() < TRIM_BATCH
            && let Some(oldest) = self.warm.front()
            && oldest.released_at <= idle_since
        {
            batch.push(oldest.slot);
            self.warm.pop_front();
        }
        self.resting += batch.len();
    }

    fn put_cold(&mut self, batch: &mut Vec<Slot>) {
        self.resting -= batch.len();
        self.cold.append(batch);
    }
}

/// Frees the pages of a stack that `trim` holds. They read as zeros from now on.
fn give_memory_back(slot: Slot) {
    // It fails only in locked memory, which its owner wants to keep; then there is nothing to do.
    // SAFETY: the usable part of a slot is mapped, and a resting slot's bytes are nobody's.
    unsafe { libc::madvise(slot.limit().cast(), slot.size().bytes(), libc::MADV_DONTNEED) };
}

#[cold]
fn cannot_reserve(size: StackSize, error: &io::Error) -> io::Error {
    let text = format!(
        "cannot reserve address space for a stack of {size}: {error}. See `ulimit -v`, and the \
         sysctls vm.max_map_count and vm.overcommit_memory"
    );
    io::Error::new(error.kind(), text)
}

/// Time since boot, a few milliseconds coarse: cheap enough for each release.
fn now() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is writable. The clock exists since Linux 2.6.32.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &mut time) };
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}
