//! The fault handler: it turns an overflow into a message that names the goroutine.
//!
//! # When a fault is an overflow
//!
//! Both must hold, or we touch nothing and pass the fault on:
//!
//! * the kernel reports the fault (nobody sent the signal), at an address in the guard of a slot;
//! * the thread's stack pointer lies in that same slot, guard included. Otherwise it is a wild
//!   pointer of somebody who runs elsewhere, for example on the slot below and wrote past its
//!   top, and the slot's label would accuse the wrong goroutine.
//!
//! # What the handler may do
//!
//! It interrupts any instruction, on a thread that may hold any lock, and runs on the alternate
//! stack (`alternate.rs`), which may be 8 KiB small. So: no locks, no allocation, no std I/O. It
//! reads the list of regions (append-only, never freed), the label of one slot, and calls
//! `write`, `sigaction`, `raise` and `abort`, which POSIX lists as async-signal-safe.
//!
//! # Why the label can be read
//!
//! The label is two words at the top of the slot: a [`Describe`] and its subject. The thread that
//! faults is running on that stack, so it cannot be inside `set_label` for it, which is called
//! from the stack that resumes; and it sees the stores of whichever thread resumed it. A stack
//! that has no label reads null: fresh and trimmed pages are zero, and `release` clears it.
//!
//! # Neighbours
//!
//! std has a handler of its own, which names *threads* that overflow. Ours is installed above
//! whatever is there when the first region is made, and passes on what it does not know with the
//! meaning it would have had. A handler installed over ours later must do the same for us.

use std::mem;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Once, OnceLock};

use super::region::{Region, Slot};
use super::signal_writer::SignalWriter;

#[cfg(test)]
mod tests;

/// Writes who runs on a stack, as in `goroutine 42 'parser' (spawned at src/x.rs:10:5)`.
///
/// # Safety
///
/// * `subject` must be what was given to `set_label` together with this function, and still
///   alive. The function runs in a signal handler: it must be async-signal-safe.
pub(crate) type Describe = unsafe fn(subject: *const (), out: &mut SignalWriter);

/// A guard faults with SIGSEGV; SIGBUS is what other kernels and full backing stores send.
const SIGNALS: [libc::c_int; 2] = [libc::SIGSEGV, libc::SIGBUS];

/// What each of [`SIGNALS`] did before us.
static PREVIOUS: [OnceLock<libc::sigaction>; 2] = [const { OnceLock::new() }; 2];

type Handler = extern "C" fn(libc::c_int);
type InfoHandler = extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);

/// Puts the label of `slot` in place.
///
/// # Safety
///
/// * The caller owns the slot's memory.
/// * `describe` is null, or a [`Describe`] that may be called with `subject` as
///   [`Stack::set_label`](super::Stack::set_label) says.
#[inline]
pub(super) unsafe fn set_label(slot: Slot, describe: *const (), subject: *const ()) {
    let label = slot.label();
    // Relaxed: see "Why the label can be read".
    // SAFETY: a label is two aligned words of mapped memory, reserved for this.
    unsafe {
        (*label).store(describe.cast_mut(), Ordering::Relaxed);
        (*label.add(1)).store(subject.cast_mut(), Ordering::Relaxed);
    }
}

/// Whoever calls this runs on that stack: the thread that faults, or one that asks who it is.
pub(super) fn label(slot: Slot) -> Option<(Describe, *const ())> {
    let label: *mut AtomicPtr<()> = slot.label();
    // SAFETY: as in `set_label`; pages never written read as zeros.
    let (describe, subject) =
        unsafe { ((*label).load(Ordering::Relaxed), (*label.add(1)).load(Ordering::Relaxed)) };
    // SAFETY: the word is null, or a function pointer stored by `set_label`; `Option` of a
    // function pointer has exactly these values.
    let describe = unsafe { mem::transmute::<*mut (), Option<Describe>>(describe) };
    describe.map(|describe| (describe, subject.cast_const()))
}

/// Installs the handler, once in the life of the process.
pub(super) fn install_handler() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        for (&signal, previous) in SIGNALS.iter().zip(&PREVIOUS) {
            // Remembered first: the handler may run as soon as it is installed.
            install_above(signal, previous.get_or_init(|| action(signal)));
        }
    });
}

fn install_above(signal: libc::c_int, previous: &libc::sigaction) {
    // What we pass on should run under the mask its handler asked for.
    let mut ours = *previous;
    ours.sa_flags &= libc::SA_NODEFER | libc::SA_RESTART;
    ours.sa_flags |= libc::SA_SIGINFO | libc::SA_ONSTACK;
    ours.sa_sigaction = on_fault as InfoHandler as usize;
    // SAFETY: `ours` is a valid action whose handler has the signature SA_SIGINFO asks for. It
    // cannot fail for a signal that can be caught.
    unsafe { libc::sigaction(signal, &ours, ptr::null_mut()) };
}

fn action(signal: libc::c_int) -> libc::sigaction {
    // SAFETY: all zeros is a valid `sigaction`: default action, empty mask, no flags.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    // SAFETY: `action` is writable, and a null new action changes nothing.
    unsafe { libc::sigaction(signal, ptr::null(), &mut action) };
    action
}

extern "C" fn on_fault(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    // SAFETY: the kernel passes a valid `siginfo_t` and `ucontext_t` to a SA_SIGINFO handler.
    let fault = unsafe { Fault::read(&*info, &*context.cast::<libc::ucontext_t>()) };
    match fault.overflowed() {
        Some(slot) => report(slot),
        None => pass_on(signal, &fault, info, context),
    }
}

/// What the kernel says about a signal.
struct Fault {
    /// False: sent by `kill` or its kin, so that it will not recur when the handler returns.
    is_real: bool,
    address: usize,
    stack_pointer: usize,
}

impl Fault {
    /// # Safety
    ///
    /// * `info` is of a SIGSEGV or SIGBUS.
    unsafe fn read(info: &libc::siginfo_t, context: &libc::ucontext_t) -> Self {
        Self {
            is_real: info.si_code > 0,
            // SAFETY: the field is valid for faults, and some number otherwise.
            address: unsafe { info.si_addr() }.addr(),
            stack_pointer: context.uc_mcontext.gregs[libc::REG_RSP as usize] as usize,
        }
    }

    /// The slot whose stack is too small, if that is what happened.
    fn overflowed(&self) -> Option<Slot> {
        let slot = Region::slot_at(self.address).filter(|_| self.is_real)?;
        (slot.guard_contains(self.address) && slot.contains(self.stack_pointer)).then_some(slot)
    }
}

/// Names the culprit and ends the process.
#[cold]
fn report(slot: Slot) -> ! {
    let mut out = SignalWriter::new(libc::STDERR_FILENO);
    match label(slot) {
        // SAFETY: the label was set together with its subject, on the terms of `set_label`: both
        // are good while something runs on this stack, which it does: it just overflowed it.
        Some((describe, subject)) => unsafe { describe(subject, &mut out) },
        None => out.str("a coroutine"),
    }
    let (count, unit) = slot.size().human();
    out.str(" overflowed its stack of ");
    out.number(count as u64);
    out.str(" ");
    out.str(unit);
    out.str(
        "; give it more with `stack = <bytes>` in go!, Builder::stack_size or \
         Runtime::builder().stack_size\n",
    );
    out.flush();
    // SAFETY: `abort` has no preconditions, and is async-signal-safe.
    unsafe { libc::abort() }
}

/// Does what would have happened without us.
fn pass_on(
    signal: libc::c_int,
    fault: &Fault,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    let previous =
        SIGNALS.iter().zip(&PREVIOUS).find(|(it, _)| **it == signal).and_then(|(_, it)| it.get());
    match previous {
        Some(previous) if previous.sa_sigaction == libc::SIG_IGN && !fault.is_real => {}
        // A real fault cannot be ignored: the kernel takes the default action.
        Some(previous)
            if previous.sa_sigaction != libc::SIG_IGN && previous.sa_sigaction != libc::SIG_DFL =>
        {
            if previous.sa_flags & libc::SA_RESETHAND != 0 {
                restore_default(signal);
            }
            // SAFETY: `previous` is an installed action with a handler, and these are the
            // arguments the kernel made for it.
            unsafe { call(previous, signal, info, context) };
        }
        _ => {
            restore_default(signal);
            // A real fault recurs when we return, with its own registers in the core file.
            if !fault.is_real {
                // SAFETY: `raise` has no preconditions; the signal arrives when we return.
                unsafe { libc::raise(signal) };
            }
        }
    }
}

/// # Safety
///
/// * `action` was installed for `signal`, and its handler is neither SIG_DFL nor SIG_IGN.
/// * `info` and `context` are those of this signal.
unsafe fn call(
    action: &libc::sigaction,
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    let handler = action.sa_sigaction as *const ();
    if action.sa_flags & libc::SA_SIGINFO != 0 {
        // SAFETY: with SA_SIGINFO the word is a handler of three arguments.
        let handler = unsafe { mem::transmute::<*const (), InfoHandler>(handler) };
        handler(signal, info, context);
    } else {
        // SAFETY: without SA_SIGINFO it is a handler of one argument.
        let handler = unsafe { mem::transmute::<*const (), Handler>(handler) };
        handler(signal);
    }
}

fn restore_default(signal: libc::c_int) {
    // SAFETY: all zeros is a valid `sigaction`, and its handler is SIG_DFL.
    let default: libc::sigaction = unsafe { mem::zeroed() };
    // SAFETY: `default` is a valid action; the old one is not wanted.
    unsafe { libc::sigaction(signal, &default, ptr::null_mut()) };
}
