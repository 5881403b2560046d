//! The stack that the fault handler runs on: a thread that has overflowed has no other.
//!
//! std gives one to every thread it creates, but only if the process started in Rust's `main`;
//! threads of C programs, of `pthread_create`, and std's own in a C program, have none.

use std::ptr::{self, NonNull};

#[cfg(test)]
mod tests;

/// The kernel's signal frame (up to 11 KiB with AMX), the handler, and a handler it chains to.
const SIZE: usize = 64 << 10;

/// One page below it that faults.
const GUARD: usize = 4 << 10;

/// Gives this thread an alternate signal stack if it has none; it is freed when the thread ends.
///
/// Call it from a thread's own stack before it runs goroutines. Later calls are cheap. Should
/// memory run out, an overflow on this thread still ends the process, only without our message:
/// the kernel kills it, because the handler cannot run.
// Not inlined, and the address of the thread-local does not leave it: a caller may be code that
// changes threads.
#[inline(never)]
pub(crate) fn ensure_alternate_stack() {
    thread_local! {
        static ALTERNATE: Option<AlternateStack> = AlternateStack::install_if_missing();
    }
    // A thread that already runs its destructors is past running goroutines.
    let _ = ALTERNATE.try_with(|_| ());
}

/// An alternate stack that this thread uses because of us.
///
/// Holding one means: `base` is a mapping of `GUARD + SIZE` bytes that only we unmap.
struct AlternateStack {
    base: NonNull<libc::c_void>,
}

impl AlternateStack {
    fn install_if_missing() -> Option<Self> {
        if current().ss_flags & libc::SS_DISABLE == 0 {
            return None;
        }
        // SAFETY: a new anonymous mapping at an address of the kernel's choice replaces nothing.
        let base = unsafe {
            libc::mmap(
                ptr::null_mut(),
                GUARD + SIZE,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_STACK,
                -1,
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return None;
        }
        let this = Self { base: NonNull::new(base)? };
        // Without its guard it would be worse than none.
        // SAFETY: the page is ours, and unused so far.
        let guarded = unsafe { libc::mprotect(base, GUARD, libc::PROT_NONE) } == 0;
        // On any failure the drop of `this` unmaps it.
        (guarded && set(&this.description())).then_some(this)
    }

    fn description(&self) -> libc::stack_t {
        libc::stack_t {
            // SAFETY: the mapping is longer than its guard.
            ss_sp: unsafe { self.base.as_ptr().byte_add(GUARD) },
            ss_flags: 0,
            ss_size: SIZE,
        }
    }
}

impl Drop for AlternateStack {
    fn drop(&mut self) {
        let now = current();
        if now.ss_sp == self.description().ss_sp && now.ss_flags & libc::SS_DISABLE == 0 {
            let none = libc::stack_t {
                ss_sp: ptr::null_mut(),
                ss_flags: libc::SS_DISABLE,
                // musl rejects a smaller size even here.
                ss_size: SIZE,
            };
            if !set(&none) {
                return; // We run on it at this moment: leak it.
            }
        }
        // SAFETY: the mapping is ours, and the kernel no longer has its address as this thread's
        // alternate stack; no other thread ever had.
        unsafe { libc::munmap(self.base.as_ptr(), GUARD + SIZE) };
    }
}

/// This thread's alternate stack; `SS_DISABLE` in its flags if it has none.
fn current() -> libc::stack_t {
    let mut now = libc::stack_t { ss_sp: ptr::null_mut(), ss_flags: libc::SS_DISABLE, ss_size: 0 };
    // SAFETY: `now` is writable, and a null new stack changes nothing.
    unsafe { libc::sigaltstack(ptr::null(), &mut now) };
    now
}

/// Whether the kernel accepted it.
fn set(stack: &libc::stack_t) -> bool {
    // SAFETY: `stack` is disabled, or describes memory that its owner keeps mapped while it is
    // this thread's alternate stack (see `Drop`).
    unsafe { libc::sigaltstack(stack, ptr::null_mut()) == 0 }
}
