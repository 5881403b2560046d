//! Faults end the process, so each case runs in a child.

use std::arch::asm;
use std::hint::black_box;
use std::os::unix::process::ExitStatusExt;
use std::process::Output;
use std::thread;

use super::super::tests::child;
use super::super::{GuardKind, Stack, StackSize, acquire, ensure_alternate_stack, force_guard};
use super::*;

fn in_child(test: &str, body: fn()) -> (Output, String) {
    child::run(module_path!(), test, &[], body)
}

/// Calls `f` on `stack`.
fn run_on(stack: &Stack, f: extern "C" fn()) {
    // SAFETY: `top` is the aligned end of memory that nobody else uses, and `f` returns to here,
    // with the stack pointer that r12, which a call preserves, kept.
    unsafe {
        asm!(
            "mov r12, rsp",
            "mov rsp, {top}",
            "call {f}",
            "mov rsp, r12",
            top = in(reg) stack.top(),
            f = in(reg) f,
            out("r12") _,
            clobber_abi("C"),
        );
    }
}

#[inline(never)]
fn recurse<const FRAME: usize>(depth: usize) -> usize {
    let frame = black_box([depth as u8; FRAME]);
    // Not a tail call, and not known to be endless.
    if depth == usize::MAX {
        0
    } else {
        recurse::<FRAME>(depth + 1) + frame[depth % FRAME] as usize
    }
}

extern "C" fn overflow_small_frames() {
    black_box(recurse::<100>(0));
}

extern "C" fn overflow_large_frames() {
    black_box(recurse::<100_000>(0));
}

/// # Safety
///
/// * `subject` points to a `&str`.
unsafe fn describe(subject: *const (), out: &mut SignalWriter) {
    out.str("goroutine ");
    out.number(42);
    // SAFETY: our caller's bullet.
    out.str(unsafe { *subject.cast::<&str>() });
}

fn overflow_with_label(f: extern "C" fn()) {
    static NAME: &str = " 'parser' (spawned at src/x.rs:10:5)";
    let stack = acquire(StackSize::DEFAULT).unwrap();
    stack.set_label(describe, ptr::from_ref(&NAME).cast());
    run_on(&stack, f);
}

const NAMED: &str = "goroutine 42 'parser' (spawned at src/x.rs:10:5) overflowed its stack of \
     256 KiB; give it more with `stack = <bytes>` in go!, Builder::stack_size or \
     Runtime::builder().stack_size\n";

fn assert_aborts_with(output: &Output, stderr: &str, line: &str) {
    assert!(stderr.ends_with(line), "{stderr}");
    assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{stderr}");
}

#[test]
fn an_overflow_names_the_goroutine() {
    let (output, stderr) =
        in_child("an_overflow_names_the_goroutine", || overflow_with_label(overflow_small_frames));
    assert_aborts_with(&output, &stderr, NAMED);
}

#[test]
fn a_frame_larger_than_the_guard_cannot_jump_it() {
    let (output, stderr) = in_child("a_frame_larger_than_the_guard_cannot_jump_it", || {
        overflow_with_label(overflow_large_frames);
    });
    assert_aborts_with(&output, &stderr, NAMED);
}

#[test]
fn an_mprotect_guard_reports_the_same() {
    let (output, stderr) = in_child("an_mprotect_guard_reports_the_same", || {
        force_guard(GuardKind::Mprotect);
        overflow_with_label(overflow_small_frames);
    });
    assert_aborts_with(&output, &stderr, NAMED);
}

#[test]
fn a_stack_without_a_label_is_a_coroutine() {
    let (output, stderr) = in_child("a_stack_without_a_label_is_a_coroutine", || {
        run_on(&acquire(StackSize::new(1 << 20).unwrap()).unwrap(), overflow_small_frames);
    });
    let line = "a coroutine overflowed its stack of 1 MiB; give it more with";
    assert!(stderr.contains(line), "{stderr}");
    assert_eq!(output.status.signal(), Some(libc::SIGABRT));
}

#[test]
fn a_thread_that_std_did_not_create_reports_the_same() {
    extern "C" fn thread(_: *mut libc::c_void) -> *mut libc::c_void {
        ensure_alternate_stack();
        overflow_with_label(overflow_small_frames);
        ptr::null_mut()
    }
    let (output, stderr) = in_child("a_thread_that_std_did_not_create_reports_the_same", || {
        let mut id = 0;
        // SAFETY: `thread` has the right signature and ignores its argument.
        let failed = unsafe { libc::pthread_create(&mut id, ptr::null(), thread, ptr::null_mut()) };
        assert_eq!(failed, 0);
        // SAFETY: the thread was created, and is joined once.
        unsafe { libc::pthread_join(id, ptr::null_mut()) };
    });
    assert_aborts_with(&output, &stderr, NAMED);
}

#[test]
fn std_still_names_threads_that_overflow() {
    let (output, stderr) = in_child("std_still_names_threads_that_overflow", || {
        let _ours = acquire(StackSize::DEFAULT).unwrap();
        let thread = thread::Builder::new().name("plain".into());
        _ = thread.spawn(|| overflow_small_frames()).unwrap().join();
    });
    assert!(stderr.contains("thread 'plain'") && stderr.contains("overflowed its stack"));
    assert!(!stderr.contains("Builder::stack_size"), "{stderr}");
    assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{stderr}");
}

#[test]
fn other_faults_stay_what_they_were() {
    let (output, stderr) = in_child("other_faults_stay_what_they_were", || {
        extern "C" fn wild_write() {
            // SAFETY: none: it is the fault under test.
            unsafe { ptr::without_provenance_mut::<u8>(black_box(8)).write_volatile(1) };
        }
        run_on(&acquire(StackSize::DEFAULT).unwrap(), wild_write);
    });
    assert_eq!(output.status.signal(), Some(libc::SIGSEGV), "{stderr}");
    assert!(!stderr.contains("overflowed"), "{stderr}");
}

#[test]
fn a_wild_pointer_into_a_guard_accuses_nobody() {
    let (output, stderr) = in_child("a_wild_pointer_into_a_guard_accuses_nobody", || {
        let stack = acquire(StackSize::DEFAULT).unwrap();
        // SAFETY: none: it is the fault under test.
        unsafe { stack.limit().wrapping_sub(8).write_volatile(1) };
    });
    assert_eq!(output.status.signal(), Some(libc::SIGSEGV), "{stderr}");
    assert!(!stderr.contains("overflowed"), "{stderr}");
}

fn handle(signal: libc::c_int, handler: usize, flags: libc::c_int) {
    let mut action = action(signal);
    action.sa_sigaction = handler;
    action.sa_flags = flags;
    // SAFETY: each caller passes a handler that fits the flags.
    unsafe { libc::sigaction(signal, &action, ptr::null_mut()) };
}

#[test]
fn an_older_handler_with_information_gets_its_faults() {
    extern "C" fn older(_: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
        // SAFETY: the kernel's information about a fault; `_exit` has no preconditions.
        unsafe { libc::_exit(if (*info).si_addr().addr() == 8 { 71 } else { 1 }) };
    }
    let (output, stderr) = in_child("an_older_handler_with_information_gets_its_faults", || {
        handle(libc::SIGSEGV, older as InfoHandler as usize, libc::SA_SIGINFO);
        let _ours = acquire(StackSize::DEFAULT).unwrap();
        // SAFETY: none: it is the fault under test.
        unsafe { ptr::without_provenance_mut::<u8>(black_box(8)).write_volatile(1) };
    });
    assert_eq!(output.status.code(), Some(71), "{stderr}");
}

#[test]
fn an_older_handler_without_information_gets_its_signals() {
    extern "C" fn older(signal: libc::c_int) {
        // SAFETY: `_exit` has no preconditions.
        unsafe { libc::_exit(60 + signal) };
    }
    let (output, stderr) =
        in_child("an_older_handler_without_information_gets_its_signals", || {
            handle(libc::SIGBUS, older as Handler as usize, 0);
            let _ours = acquire(StackSize::DEFAULT).unwrap();
            // SAFETY: `raise` has no preconditions.
            unsafe { libc::raise(libc::SIGBUS) };
        });
    assert_eq!(output.status.code(), Some(60 + libc::SIGBUS), "{stderr}");
}

#[test]
fn a_signal_that_was_ignored_is_ignored_and_a_real_fault_is_not() {
    let name = "a_signal_that_was_ignored_is_ignored_and_a_real_fault_is_not";
    let (output, stderr) = in_child(name, || {
        handle(libc::SIGSEGV, libc::SIG_IGN, 0);
        let _ours = acquire(StackSize::DEFAULT).unwrap();
        // SAFETY: `raise` has no preconditions.
        unsafe { libc::raise(libc::SIGSEGV) };
        eprintln!("went on");
        // SAFETY: none: it is the fault under test.
        unsafe { ptr::without_provenance_mut::<u8>(black_box(8)).write_volatile(1) };
    });
    assert!(stderr.contains("went on"), "{stderr}");
    assert_eq!(output.status.signal(), Some(libc::SIGSEGV), "{stderr}");
}

#[test]
fn a_signal_that_was_sent_takes_the_default_action() {
    let (output, stderr) = in_child("a_signal_that_was_sent_takes_the_default_action", || {
        handle(libc::SIGSEGV, libc::SIG_DFL, 0);
        let _ours = acquire(StackSize::DEFAULT).unwrap();
        // SAFETY: `raise` has no preconditions.
        unsafe { libc::raise(libc::SIGSEGV) };
    });
    assert_eq!(output.status.signal(), Some(libc::SIGSEGV), "{stderr}");
}
