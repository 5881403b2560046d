//! A fence between two threads, paid for by one of them.
//!
//! Where each of two threads writes something and then looks at what the other one writes, at least one must see the
//! other's. For that both need a full fence between the two steps, a locked instruction of 20 cycles. Where the one
//! comes by all the time and the other once in a while, the first one calls [`light`], which costs nothing, and the
//! second one [`heavy`], a system call during which each running thread of the process executes a fence
//! (`membarrier(2)`). It takes some hundred nanoseconds if no other thread runs, and some microseconds if others must be
//! interrupted.
//!
//! A light one comes before or after that fence on its thread. If before, what was written before it is visible to
//! whoever made the heavy one. If after, whatever is read after it sees what was written before the heavy one. That is
//! what two full fences give.
//!
//! Where the system does not have it, both are full fences. loom's model has only those, too: the weaker `light` is what
//! the system call makes up for.

#[cfg(loom)]
use super::atomic::{Ordering, fence};
#[cfg(not(loom))]
use std::io::{self, Write};
#[cfg(not(loom))]
use std::sync::Once;
#[cfg(not(loom))]
use std::sync::atomic::{AtomicBool, Ordering, compiler_fence, fence};
#[cfg(not(loom))]
use std::{process, thread};

/// Whether the system makes the fence. Changes once, to true, before the first heavy one.
#[cfg(not(loom))]
static REGISTERED: AtomicBool = AtomicBool::new(false);

/// The side that comes by all the time.
#[inline(always)]
pub(crate) fn light() {
    if is_registered() {
        light_as_registered();
    } else {
        fence(Ordering::SeqCst);
    }
}

/// Whether a light one costs nothing, from now on for ever.
pub(crate) fn is_registered() -> bool {
    #[cfg(not(loom))]
    return REGISTERED.load(Ordering::Relaxed);
    #[cfg(loom)]
    true
}

/// A light one of a thread that has found that it costs nothing ([`is_registered`]).
#[inline(always)]
pub(crate) fn light_as_registered() {
    #[cfg(not(loom))]
    compiler_fence(Ordering::SeqCst);
    #[cfg(loom)]
    fence(Ordering::SeqCst);
}

/// The other side.
#[cfg(not(loom))]
pub(crate) fn heavy() {
    // Before the look: whoever finds it registered in `light` relies on this.
    register();
    fence(Ordering::SeqCst);
    if REGISTERED.load(Ordering::Relaxed) {
        fence_everywhere();
    }
}

#[cfg(not(loom))]
fn fence_everywhere() {
    let mut registered_again = false;
    while !call(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED) {
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            // The kernel is short of memory.
            Some(libc::ENOMEM) => thread::yield_now(),
            // A process that was restored from a checkpoint may have lost it.
            Some(libc::EPERM) if !registered_again => {
                registered_again = true;
                call(libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED);
            }
            // A filter for system calls that was installed after the start. Others rely on this fence by now.
            _ => {
                let _nobody =
                    writeln!(io::stderr(), "fibra: membarrier(2) has ceased to work: {error}");
                process::abort();
            }
        }
    }
}

#[cfg(loom)]
pub(crate) fn heavy() {
    fence(Ordering::SeqCst);
}

/// Makes the light ones light. Once is enough; the first time is best before there are other threads, for which the
/// kernel has to wait then.
#[cfg(not(loom))]
pub(crate) fn register() {
    static ASKED: Once = Once::new();
    ASKED.call_once(|| {
        let registered = call(libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED)
            && call(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED);
        REGISTERED.store(registered, Ordering::Relaxed);
    });
}

#[cfg(not(loom))]
fn call(command: libc::c_int) -> bool {
    // SAFETY: the call takes two numbers and touches no memory.
    unsafe { libc::syscall(libc::SYS_membarrier, command, 0_u32, 0_i32) == 0 }
}

#[cfg(loom)]
pub(crate) fn register() {}
