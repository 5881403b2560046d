//! Guards: the bytes below a stack that fault when they are touched.
//!
//! Two ways to make one, with one meaning:
//!
//! * [`GuardKind::Install`]: `MADV_GUARD_INSTALL` marks the pages in the page table. It costs no
//!   memory map, so that a million stacks need a few dozen. Linux 6.13.
//! * [`GuardKind::Mprotect`]: `PROT_NONE`. It splits the map the guard lies in, which costs two
//!   maps a stack out of `vm.max_map_count` (65530) for the whole process. When those run out,
//!   `malloc`, `mmap` and `pthread_create` fail everywhere, so we stop early, at a budget.
//!
//! Rejected: to unmap the guard (other code's `mmap` would land in the hole), and to share one
//! guard between neighbours (needs stacks that grow towards each other).

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use super::region::{GUARD, Slot};

#[cfg(test)]
mod tests;

/// Linux 6.13, `include/uapi/asm-generic/mman-common.h`; not in the libc crate yet.
const MADV_GUARD_INSTALL: libc::c_int = 102;

/// Maps that one `mprotect` guard costs: itself, and the other half of what it splits.
const MAPS_PER_GUARD: usize = 2;

/// How a guard is made; the head of this file compares them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum GuardKind {
    /// `madvise(MADV_GUARD_INSTALL)`.
    Install = 1,
    /// `mprotect(PROT_NONE)`.
    Mprotect = 2,
}

/// A [`GuardKind`] that may not be known yet.
struct KindCell(AtomicU8);

impl KindCell {
    const fn new(kind: Option<GuardKind>) -> Self {
        Self(AtomicU8::new(match kind {
            None => 0,
            Some(kind) => kind as u8,
        }))
    }

    fn get(&self) -> Option<GuardKind> {
        // Relaxed: the kind is a fact of its own and publishes no other memory.
        match self.0.load(Ordering::Relaxed) {
            1 => Some(GuardKind::Install),
            2 => Some(GuardKind::Mprotect),
            _ => None,
        }
    }

    fn set(&self, kind: GuardKind) {
        self.0.store(kind as u8, Ordering::Relaxed);
    }
}

/// Makes guards, of the kind that was demanded or else the best that works, within the budget.
pub(super) struct Guards {
    /// Demanded by the program: an error if it does not work.
    forced: KindCell,
    /// Found to work here; what is used when nobody demanded a kind.
    found: KindCell,
    /// Maps used by `mprotect` guards.
    maps: AtomicUsize,
    /// Maps they may use; determined when the first one is made.
    budget: OnceLock<usize>,
}

impl Guards {
    pub(super) const fn new() -> Self {
        Self {
            forced: KindCell::new(None),
            found: KindCell::new(None),
            maps: AtomicUsize::new(0),
            budget: OnceLock::new(),
        }
    }

    pub(super) fn force(&self, kind: GuardKind) {
        self.forced.set(kind);
    }

    /// As if these had been demanded by the program and the environment.
    #[cfg(test)]
    pub(super) fn with(kind: GuardKind, budget: usize) -> Self {
        Self {
            forced: KindCell::new(Some(kind)),
            found: KindCell::new(None),
            maps: AtomicUsize::new(0),
            budget: OnceLock::from(budget),
        }
    }

    /// The kind in use; none before the first guard.
    pub(super) fn kind(&self) -> Option<GuardKind> {
        self.demanded().ok().flatten().or(self.found.get())
    }

    pub(super) fn maps(&self) -> usize {
        self.maps.load(Ordering::Relaxed)
    }

    /// The budget of maps; none before the first `mprotect` guard.
    pub(super) fn budget(&self) -> Option<usize> {
        self.budget.get().copied()
    }

    fn demanded(&self) -> io::Result<Option<GuardKind>> {
        let settings = settings()?;
        Ok(self.forced.get().or(settings.guard))
    }

    /// Guards a slot that has no guard yet. After an error it still has none.
    pub(super) fn protect(&self, slot: Slot) -> io::Result<()> {
        match self.demanded()? {
            Some(GuardKind::Mprotect) => self.mprotect(slot),
            Some(GuardKind::Install) => self.install(slot).map_err(|error| explain(slot, error)),
            None if self.found.get() == Some(GuardKind::Mprotect) => self.mprotect(slot),
            None => match self.install(slot) {
                Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                    self.found.set(GuardKind::Mprotect);
                    self.mprotect(slot)
                }
                result => result.map_err(|error| explain(slot, error)),
            },
        }
    }

    /// The error's kind is `Unsupported` when the kernel has no such thing for this memory.
    fn install(&self, slot: Slot) -> io::Result<()> {
        let guard = slot.guard();
        // SAFETY: the guard is part of a mapped slot, and no `Stack` owns that slot yet, so that
        // the pages it throws away are nobody's.
        if unsafe { libc::madvise(guard.cast(), GUARD, MADV_GUARD_INSTALL) } != 0 {
            let error = io::Error::last_os_error();
            return Err(match error.raw_os_error() {
                // Before Linux 6.13, in locked memory (`mlockall`), or in a sandbox.
                Some(libc::EINVAL | libc::ENOSYS | libc::EPERM) => unsupported(),
                _ => error,
            });
        }
        // Emulated kernels may answer unknown advice with success, so the first guard is tried
        // out. Not each: the fault it costs takes longer than the advice.
        if self.found.get() != Some(GuardKind::Install) {
            if readable(guard) {
                return Err(unsupported());
            }
            self.found.set(GuardKind::Install);
        }
        Ok(())
    }

    fn mprotect(&self, slot: Slot) -> io::Result<()> {
        let budget = self.map_budget()?;
        // Relaxed: a counter, no other memory depends on it.
        let taken = self.maps.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |maps| {
            maps.checked_add(MAPS_PER_GUARD).filter(|&maps| maps <= budget)
        });
        if let Err(maps) = taken {
            return Err(out_of_maps(&format!("{maps} of a budget of {budget} are taken")));
        }
        // SAFETY: the guard is part of a mapped slot, and no `Stack` owns that slot yet, so that
        // nobody's memory becomes unreadable.
        let failed = unsafe { libc::mprotect(slot.guard().cast(), GUARD, libc::PROT_NONE) } != 0;
        if !failed {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        self.maps.fetch_sub(MAPS_PER_GUARD, Ordering::Relaxed);
        if error.raw_os_error() == Some(libc::ENOMEM) {
            return Err(out_of_maps("the kernel refused one more"));
        }
        Err(explain(slot, error))
    }

    fn map_budget(&self) -> io::Result<usize> {
        let configured = settings()?.map_budget;
        Ok(*self.budget.get_or_init(|| configured.unwrap_or_else(default_map_budget)))
    }
}

fn unsupported() -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        "MADV_GUARD_INSTALL does not work here (it needs Linux 6.13 and memory that is not \
         locked); FIBRA_STACK_GUARD=mprotect does",
    )
}

/// Whether the 8 bytes at `address` can be read: asked of the kernel, so that nothing faults.
///
/// `rt_sigprocmask` copies the set before it looks at `how`, and no `how` is -1: EFAULT means
/// unreadable, EINVAL readable, and nothing changes. (Seen in Abseil's `AddressIsReadable`.)
pub(super) fn readable(address: *const u8) -> bool {
    let none = ptr::null_mut::<u8>();
    // SAFETY: the kernel validates the address, and with an invalid `how` writes nothing.
    let result = unsafe { libc::syscall(libc::SYS_rt_sigprocmask, -1, address, none, 8_usize) };
    !(result == -1 && io::Error::last_os_error().raw_os_error() == Some(libc::EFAULT))
}

fn explain(slot: Slot, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot guard a stack of {}: {error}", slot.size()))
}

#[cold]
fn out_of_maps(why: &str) -> io::Error {
    let text = format!(
        "out of memory maps for stack guards: {why}. Without MADV_GUARD_INSTALL (Linux 6.13) each \
         stack needs {MAPS_PER_GUARD}; raise the sysctl vm.max_map_count, and FIBRA_MAP_BUDGET \
         if it is set"
    );
    io::Error::new(io::ErrorKind::OutOfMemory, text)
}

/// Three quarters of what the kernel allows, less what the process has already; the last quarter
/// is for everybody else.
fn default_map_budget() -> usize {
    let allowed = fs::read_to_string("/proc/sys/vm/max_map_count")
        .ok()
        .and_then(|text| text.trim().parse::<usize>().ok())
        // The kernel's default, for a process that may not see /proc.
        .unwrap_or(65530);
    let present = fs::read("/proc/self/maps")
        .map_or(0, |maps| maps.iter().filter(|&&byte| byte == b'\n').count());
    (allowed / 4 * 3).saturating_sub(present)
}

/// What the environment says about stacks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Settings {
    guard: Option<GuardKind>,
    map_budget: Option<usize>,
}

impl Settings {
    fn parse(guard: Option<&OsStr>, budget: Option<&OsStr>) -> Result<Self, String> {
        let guard = match guard {
            None => None,
            Some(word) if word == "install" => Some(GuardKind::Install),
            Some(word) if word == "mprotect" => Some(GuardKind::Mprotect),
            Some(word) => {
                return Err(format!("FIBRA_STACK_GUARD={word:?}: want `install` or `mprotect`"));
            }
        };
        let map_budget = match budget {
            None => None,
            Some(word) => match word.to_str().and_then(|word| word.parse().ok()) {
                Some(number) => Some(number),
                None => return Err(format!("FIBRA_MAP_BUDGET={word:?}: want a number of maps")),
            },
        };
        Ok(Self { guard, map_budget })
    }
}

fn settings() -> io::Result<Settings> {
    static SETTINGS: OnceLock<Result<Settings, String>> = OnceLock::new();
    let settings = SETTINGS.get_or_init(|| {
        let variable = |name| -> Option<OsString> { std::env::var_os(name) };
        Settings::parse(
            variable("FIBRA_STACK_GUARD").as_deref(),
            variable("FIBRA_MAP_BUDGET").as_deref(),
        )
    });
    settings.clone().map_err(|text| io::Error::new(io::ErrorKind::InvalidInput, text))
}

/// Checks `FIBRA_STACK_GUARD` (`install` or `mprotect`) and `FIBRA_MAP_BUDGET` (how many memory
/// maps `mprotect` guards may use). They are read once in the life of the process.
///
/// # Errors
///
/// [`InvalidInput`](io::ErrorKind::InvalidInput), each time, when one of them is malformed.
pub(crate) fn check_environment() -> io::Result<()> {
    settings().map(|_| ())
}
