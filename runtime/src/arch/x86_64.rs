//! The context switch for x86-64, System V ABI.
//!
//! A [`Context`] is where a flow of control stopped: stack pointer, address to go on at, and the two
//! callee-saved registers that inline assembly cannot name as clobbers (LLVM keeps rbx and rbp for
//! itself). All other registers are declared clobbered, so the compiler saves those that are live at
//! the place of the switch and no others.
//!
//! The registers are moved into the context rather than pushed: the stack pointer stays where the
//! compiler's unwind tables say it is until the one instruction that replaces it, and the same code
//! serves both directions.
//!
//! ```text
//!   from: *mut Context (rsi)         to: *const Context (rdx)
//!   +0   rsp     <- saved            +0   rsp     -> loaded
//!   +8   rip     <- label 2          +8   rip     -> jumped to
//!   +16  rbp     <- saved            +16  rbp     -> loaded
//!   +24  rbx     <- saved            +24  rbx     -> loaded
//!   +32  mxcsr, x87 control word (feature fp-env)
//! ```
//!
//! The last step is an indirect `jmp`, not a `ret`: a `ret` would be predicted to go to the caller of
//! the resumer and miss every time, while the indirect predictor learns the few places a program
//! switches at. One word travels along in rdi, which the switch does not touch.
//!
//! A fresh stack looks like this when it is switched to for the first time:
//!
//! ```text
//!   high   |  Link, closure    |   (coroutine.rs)
//!          +-------------------+ <- rsp of the new context, 16-aligned
//!          |  return address   |   pushed by the call in the root below
//!          |  entry's frame    |
//!   low    |  ...              |
//! ```
//!
//! The root has unwind information that calls its own return address undefined. That is how an
//! unwinder (and gdb) recognises the outermost frame: a backtrace inside a coroutine ends there.
//!
//! MXCSR and the x87 control word are not saved by default, because Rust code must not change them.
//! The feature `fp-env` saves them, for programs whose C code does.

use std::arch::{asm, global_asm};
use std::mem::offset_of;

/// A place where a flow of control stopped and can be continued, once.
#[repr(C)]
pub(crate) struct Context {
    rsp: usize,
    rip: usize,
    rbp: usize,
    rbx: usize,
    #[cfg(feature = "fp-env")]
    mxcsr: u32,
    #[cfg(feature = "fp-env")]
    x87: u16,
}

/// What a fresh context runs: the word of the first switch, then the `argument` of [`Context::new`].
/// It must never return; leaving is a switch.
pub(crate) type Entry = unsafe extern "sysv64" fn(word: usize, argument: usize) -> !;

unsafe extern "C" {
    fn fibra_context_root();
}

// rbp and rbx come out of the context: the entry function and its argument.
global_asm!(
    ".pushsection .text.fibra_context_root,\"ax\",@progbits",
    ".p2align 4",
    ".hidden fibra_context_root",
    ".globl fibra_context_root",
    ".type fibra_context_root,@function",
    "fibra_context_root:",
    ".cfi_startproc",
    ".cfi_undefined rip", // the outermost frame
    "mov rax, rbp",
    "mov rsi, rbx",
    "xor ebp, ebp", // a walk along frame pointers ends here, too
    "call rax",
    "ud2", // the entry does not return; this keeps the return address inside the root
    ".cfi_endproc",
    ".size fibra_context_root, . - fibra_context_root",
    ".popsection",
);

impl Context {
    /// A context that is filled in by the first switch away from it.
    pub(crate) const fn empty() -> Context {
        Context {
            rsp: 0,
            rip: 0,
            rbp: 0,
            rbx: 0,
            #[cfg(feature = "fp-env")]
            mxcsr: 0,
            #[cfg(feature = "fp-env")]
            x87: 0,
        }
    }

    /// Whether a switch has ever left from here.
    pub(crate) fn is_filled(&self) -> bool {
        self.rip != 0
    }

    /// A context that will call `entry(word, argument)` on the stack that ends at `top`, which must be
    /// 16-aligned. With `fp-env` it inherits the creator's floating-point environment.
    pub(crate) fn new(top: *mut u8, entry: Entry, argument: usize) -> Context {
        debug_assert!(top.addr().is_multiple_of(16));
        #[cfg(feature = "fp-env")]
        let (mxcsr, x87) = fp_environment();
        Context {
            rsp: top.expose_provenance(),
            rip: fibra_context_root as *const () as usize,
            rbp: entry as *const () as usize,
            rbx: argument,
            #[cfg(feature = "fp-env")]
            mxcsr,
            #[cfg(feature = "fp-env")]
            x87,
        }
    }
}

#[cfg(feature = "fp-env")]
fn fp_environment() -> (u32, u16) {
    let (mut mxcsr, mut x87) = (0u32, 0u16);
    // SAFETY: both instructions store the control word to the given place and change nothing else.
    unsafe {
        asm!("stmxcsr [{}]", "fnstcw [{}]", in(reg) &raw mut mxcsr, in(reg) &raw mut x87,
             options(nostack, preserves_flags));
    }
    (mxcsr, x87)
}

/// Stops here, leaves a context in `from`, goes on at `to`. Returns, with the word that the other side
/// passed, when somebody switches to `from`.
///
/// # Safety
/// * `to` was made by [`Context::new`] or filled by a switch, and nobody has switched to it since.
/// * The stack of `to` is mapped, and no other thread runs on it.
/// * `from` stays valid until it has been switched to, or is never switched to again; then the frames
///   it stands for are forgotten without running their destructors.
/// * Whoever switches back does so on a thread where the caller's frames may go on.
#[inline(always)]
pub(crate) unsafe fn switch(from: *mut Context, to: *const Context, word: usize) -> usize {
    let mut word = word;
    macro_rules! switch {
        ($($fp:literal),*) => {
            // SAFETY: the caller vouches for `to` and `from`. rbx, rbp and rsp are saved and restored
            // by hand; every other register is declared clobbered. The direction flag is clear on both
            // sides, as the ABI demands at every call.
            unsafe {
                asm!(
                    "lea rax, [rip + 2f]",
                    "mov [rsi + {rsp}], rsp",
                    "mov [rsi + {rip}], rax",
                    "mov [rsi + {rbp}], rbp",
                    "mov [rsi + {rbx}], rbx",
                    $($fp,)*
                    "mov rsp, [rdx + {rsp}]",
                    "mov rbp, [rdx + {rbp}]",
                    "mov rbx, [rdx + {rbx}]",
                    "jmp qword ptr [rdx + {rip}]",
                    "2:",
                    rsp = const offset_of!(Context, rsp),
                    rip = const offset_of!(Context, rip),
                    rbp = const offset_of!(Context, rbp),
                    rbx = const offset_of!(Context, rbx),
                    inlateout("rdi") word,
                    inlateout("rsi") from => _,
                    inlateout("rdx") to => _,
                    lateout("r12") _, lateout("r13") _, lateout("r14") _, lateout("r15") _,
                    clobber_abi("sysv64"),
                )
            }
        };
    }
    #[cfg(not(feature = "fp-env"))]
    switch!();
    #[cfg(feature = "fp-env")]
    {
        const {
            assert!(offset_of!(Context, mxcsr) == 32 && offset_of!(Context, x87) == 36);
        }
        switch!(
            "stmxcsr [rsi + 32]",
            "fnstcw [rsi + 36]",
            "ldmxcsr [rdx + 32]",
            "fldcw [rdx + 36]"
        );
    }
    word
}

/// About where the stack pointer is: to see how much of a stack is left.
#[inline(always)]
pub(crate) fn stack_pointer() -> usize {
    let rsp: usize;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, rsp", out(reg) rsp, options(nomem, nostack, preserves_flags)) };
    rsp
}

/// Has the two cache lines at `address` brought here, to be written to. Any address will do.
#[inline(always)]
pub(crate) fn prefetch_for_write(address: *const u8) {
    // SAFETY: a prefetch reads and writes nothing, and does not fault.
    unsafe {
        asm!("prefetchw [{0}]", "prefetchw [{0} + 64]", in(reg) address,
             options(nostack, preserves_flags, readonly));
    }
}
