//! The switch between any two contexts, for those that are used without a coroutine (`coroutine/raw.rs`).
//!
//! It saves and loads what the switch in `x86_64.rs` does. Only, nothing joins the two contexts, so each side
//! gets to know where the other one stopped:
//!
//! ```text
//!   rdi   the word that travels
//!   rdx   the context that was left; null if it was left for good
//!   rcx   the context that goes on
//! ```
//!
//! A function that is run on top of a context finds the stack as if that context had called it at the place
//! where it stopped, so that a backtrace goes on there:
//!
//! ```text
//!   high   |  the context's frames |
//!          +-----------------------+ <- rsp of the context, 16-aligned
//!          |  its rip              |  return address of the trampoline below
//!          |  ...                  |
//!          |  function's frames    |
//!   low    +-----------------------+
//! ```

use super::{Context, Word};
use std::arch::{asm, global_asm};

/// What a fresh context runs: the word and the context of the first switch to it, and the `argument` of
/// [`Context::symmetric`] between them. It must never return; leaving is a switch.
pub(crate) type Entry =
    unsafe extern "sysv64" fn(word: *mut (), argument: usize, from: *mut Context) -> !;

/// What runs on top of the context `to`. It returns what that gets: a word and a context.
pub(crate) type OnTop = unsafe extern "sysv64" fn(
    word: *mut (),
    argument: usize,
    from: *mut Context,
    to: *const Context,
) -> Arrival;

/// With what a context goes on; returned in rax and rdx.
#[repr(C)]
pub(crate) struct Arrival {
    pub(crate) word: *mut (),
    pub(crate) from: *mut Context,
}

unsafe extern "C" {
    fn fibra_context_on_top();
}

// rsi, rdi, rdx and rcx hold the arguments of r8, the function. It keeps rbp and rbx, which belong to the
// context.
global_asm!(
    ".pushsection .text.fibra_context_on_top,\"ax\",@progbits",
    ".p2align 4",
    ".hidden fibra_context_on_top",
    ".globl fibra_context_on_top",
    ".type fibra_context_on_top,@function",
    "fibra_context_on_top:",
    ".cfi_startproc",
    "sub rsp, 8", // aligns the call
    ".cfi_adjust_cfa_offset 8",
    "call r8",
    "mov rdi, rax",
    "add rsp, 8",
    ".cfi_adjust_cfa_offset -8",
    "pop rax",
    ".cfi_adjust_cfa_offset -8",
    "jmp rax", // not a `ret`: nobody called
    ".cfi_endproc",
    ".size fibra_context_on_top, . - fibra_context_on_top",
    ".popsection",
);

impl Context {
    /// As [`Context::new`], for a context that is reached by [`jump`] and its kin.
    pub(crate) fn symmetric(top: *mut u8, entry: Entry, argument: usize) -> Context {
        Context::at_root(top, entry as *const () as usize, argument)
    }
}

/// The switch, up to its last instructions.
macro_rules! switch {
    ($here:ident, $to:ident, $word:ident, [$($last:literal),*] $(, $operands:tt)*) => {
        switch!(@ $here, $to, $word, [$($last),*], [
            "stmxcsr [rdx + 32]",
            "fnstcw [rdx + 36]",
            "ldmxcsr [rcx + 32]",
            "fldcw [rcx + 36]"
        ] $(, $operands)*)
    };
    (@ $here:ident, $to:ident, $word:ident, [$($last:literal),*], [$($fp:literal),*]
     $(, {$($operand:tt)*})*) => {{
        let (mut from, mut word): (*mut Context, *mut ()) = ($here, $word);
        asm!(
            "lea rax, [rip + 2f]",
            "mov [rdx], rsp",
            "mov [rdx + 8], rax",
            "mov [rdx + 16], rbp",
            "mov [rdx + 24], rbx",
            $(#[cfg(feature = "fp-env")] $fp,)*
            "mov rsp, [rcx]",
            "mov rbp, [rcx + 16]",
            "mov rbx, [rcx + 24]",
            $($last,)*
            "2:",
            $($($operand)*,)*
            inlateout("rdi") word,
            inlateout("rdx") from,
            inlateout("rcx") $to => _,
            lateout("r12") _, lateout("r13") _, lateout("r14") _, lateout("r15") _,
            clobber_abi("sysv64"),
        );
        Arrival { word, from }
    }};
}

/// Stops in `here` and goes on in `to`. Returns when somebody switches to `here`: with that one's word, and
/// where it stopped.
///
/// # Safety
/// * `to` was made by [`Context::symmetric`] or filled by a switch of this file, and nobody has switched to
///   it since. It is readable until then.
/// * Its stack is mapped, and no other thread runs on it. Its frames may go on on this thread.
/// * `here` is writable, and stays in place until somebody switches to it. Whoever does so does it on a
///   thread where the caller's frames may go on; if nobody does, they are forgotten without running their
///   destructors.
#[inline(always)]
pub(crate) unsafe fn jump(here: *mut Context, to: *const Context, word: *mut ()) -> Arrival {
    // SAFETY: the caller vouches for the contexts. rbx, rbp and rsp are saved and restored by hand; every other
    // register is declared clobbered. The direction flag is clear on both sides, as the ABI demands at
    // every call.
    unsafe { switch!(here, to, word, ["jmp qword ptr [rcx + 8]"]) }
}

/// As [`jump`], but first runs `function(word, argument, here, to)` on the stack of `to`, which goes on with
/// what that returns.
///
/// # Safety
/// As for [`jump`]; and `function` keeps its own contract, whatever it may be.
#[inline(always)]
pub(crate) unsafe fn jump_on_top(
    here: *mut Context,
    to: *const Context,
    word: *mut (),
    function: OnTop,
    argument: usize,
) -> Arrival {
    // SAFETY: as in `jump`. Nothing below the stack pointer of a context that stopped is in use: the `asm!` by
    // which it did so may push.
    unsafe {
        switch!(here, to, word, ["push qword ptr [rcx + 8]", "jmp {trampoline}"],
            {trampoline = sym fibra_context_on_top},
            {inlateout("r8") function => _},
            {inlateout("rsi") argument => _})
    }
}

/// Goes on in `to`, with rdx as it says, and forgets the caller's frames without running their destructors.
///
/// # Safety
/// As for [`jump`], where it speaks of `to`; and `from` is what `to` wants to find in rdx.
#[inline(always)]
pub(crate) unsafe fn go_on(to: *const Context, word: Word, from: *mut ()) -> ! {
    macro_rules! go_on {
        ($($fp:literal),*) => {
            asm!(
                $(#[cfg(feature = "fp-env")] $fp,)*
                "mov rsp, [rcx]",
                "mov rbp, [rcx + 16]",
                "mov rbx, [rcx + 24]",
                "jmp qword ptr [rcx + 8]",
                in("rdi") word,
                in("rdx") from,
                in("rcx") to,
            )
        };
    }
    // SAFETY: the caller vouches for the context; nothing of this side is wanted any more.
    unsafe { go_on!("ldmxcsr [rcx + 32]", "fldcw [rcx + 36]") }
    // Not `options(noreturn)`: AddressSanitizer would be told that the frames of the current stack end here, at a
    // moment when it takes another one for the current stack.
    unreachable!("a context that was left for good went on")
}
