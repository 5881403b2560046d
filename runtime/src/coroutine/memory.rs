//! Stacks in memory that somebody else provides.
//!
//! The pool's stacks are found by their address (`stack/region.rs`). Those here are kept in a list, so that
//! [`running`](super::running) finds them, too.

use super::link::Link;
use crate::arch::valgrind::{self, StackId};
use crate::stack;
use std::collections::BTreeMap;
use std::io;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The least that [`Builder::stack`](super::Builder::stack) takes.
const LEAST: usize = 16 << 10;

/// Memory for the stack of a coroutine, given to it with [`Builder::stack`](super::Builder::stack); it is
/// dropped when the coroutine is.
///
/// # Safety
/// From the call of `Builder::stack` until the value is dropped:
///
/// * Both functions give the same addresses again and again, do not panic, and `limit` is below `top`.
/// * The bytes from `limit` to `top` can be read and written by these pointers, and nobody else uses them. Moving
///   the value does not move them.
/// * Dropping the value does not panic. It happens wherever the coroutine is dropped.
/// * There is a guard of a page or more below `limit`, an access to which faults: that is what stops a
///   recursion that is too deep. Fibra does not know this guard, so the fault is not reported with a name. C
///   code may jump over a guard of one page.
///
/// ```
/// use fibra::coroutine::{Coroutine, Stack, Step};
/// use std::ptr;
///
/// const PAGE: usize = 4096;
///
/// /// 64 KiB above a guard of one page.
/// struct Mapped(*mut u8);
///
/// impl Mapped {
///     const BYTES: usize = PAGE + 64 * 1024;
///
///     fn new() -> Mapped {
///         // SAFETY: a new mapping at an address of the kernel's choice replaces nothing, and its lowest
///         // page is not used yet.
///         unsafe {
///             let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
///             let base = libc::mmap(ptr::null_mut(), Mapped::BYTES, access, kind, -1, 0);
///             assert!(base != libc::MAP_FAILED);
///             assert_eq!(libc::mprotect(base, PAGE, libc::PROT_NONE), 0);
///             Mapped(base.cast())
///         }
///     }
/// }
///
/// impl Drop for Mapped {
///     fn drop(&mut self) {
///         // SAFETY: the mapping is ours, and the coroutine on it is gone.
///         unsafe { libc::munmap(self.0.cast(), Mapped::BYTES) };
///     }
/// }
///
/// // SAFETY: the mapping is used for nothing else, stays in place, and has a guard.
/// unsafe impl Stack for Mapped {
///     fn limit(&self) -> *mut u8 {
///         self.0.wrapping_add(PAGE)
///     }
///
///     fn top(&self) -> *mut u8 {
///         self.0.wrapping_add(Mapped::BYTES)
///     }
/// }
///
/// let mut c = Coroutine::builder().stack(Mapped::new()).build(|y, n: u32| n + y.suspend(n)).unwrap();
/// assert_eq!(c.resume(1), Step::Yielded(1));
/// assert_eq!(c.resume(2), Step::Returned(3));
/// ```
pub unsafe trait Stack: 'static {
    /// The lowest byte that may be used.
    fn limit(&self) -> *mut u8;

    /// The end of the memory: the byte above the highest one that may be used.
    fn top(&self) -> *mut u8;
}

/// The coroutines on such memory, by the end of the stack.
static OTHERS: Mutex<BTreeMap<usize, Other>> = Mutex::new(BTreeMap::new());
/// How many those are: most programs have none, and need not lock.
static COUNT: AtomicUsize = AtomicUsize::new(0);

#[derive(Clone, Copy)]
struct Other {
    /// Addresses: of the lowest byte, and of the link.
    limit: usize,
    link: usize,
    /// For Valgrind.
    stack: StackId,
}

fn others() -> MutexGuard<'static, BTreeMap<usize, Other>> {
    OTHERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The stack in this memory.
pub(super) fn stack_in(memory: &dyn Stack) -> io::Result<stack::Stack> {
    let (limit, top) = (memory.limit(), memory.top());
    if top.addr().saturating_sub(limit.addr()) < LEAST {
        let text = format!("a coroutine's stack takes {LEAST} bytes at least");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    // SAFETY: the implementor of the trait vouches for the memory; it is long enough.
    Ok(unsafe { stack::Stack::from_memory(limit, top) })
}

/// A coroutine lives on such a stack from now on.
pub(super) fn register(stack: &stack::Stack, link: NonNull<Link>) {
    let other = Other {
        limit: stack.limit().addr(),
        link: link.as_ptr().expose_provenance(),
        stack: valgrind::register_stack(stack.limit(), stack.top()),
    };
    others().insert(stack.top().addr(), other);
    COUNT.fetch_add(1, Ordering::Relaxed);
}

/// It is gone.
pub(super) fn release(stack: stack::Stack, memory: Box<dyn Stack>) {
    COUNT.fetch_sub(1, Ordering::Relaxed);
    if let Some(other) = others().remove(&stack.top().addr()) {
        valgrind::deregister_stack(other.stack);
    }
    drop(memory);
}

/// The coroutine on the stack that `here`, the caller's stack pointer, lies in.
pub(super) fn link_at(here: usize) -> Option<*const ()> {
    // Whoever runs on such a stack sees that it was counted.
    if COUNT.load(Ordering::Relaxed) == 0 {
        return None;
    }
    let others = others();
    let (_, &Other { limit, link, .. }) = others.range(here..).next()?;
    (limit <= here).then(|| ptr::with_exposed_provenance(link))
}
