//! The context switch for x86-64, System V ABI.
//!
//! A [`Context`] is where a flow of control stopped: stack pointer, address to go on at, and the two
//! callee-saved registers that inline assembly cannot name as clobbers (LLVM keeps rbx and rbp for
//! itself). All other registers are declared clobbered, so the compiler saves those that are live at
//! the place of the switch and no others.
//!
//! A [`Pair`] holds both sides of a coroutine. rdx points to it on both sides of a switch, so whoever goes
//! on has its address in a register, and a loop that resumes need not load it from a frame whose address
//! was only just loaded itself: a cycle of each resume and suspend hangs on that.
//!
//! The registers are moved into the context rather than pushed: the stack pointer stays where the
//! compiler's unwind tables say it is until the one instruction that replaces it, and the same code
//! serves both directions.
//!
//! ```text
//!   rdx -> +0   rsp   own context            resume:  saves into the resumer's context,
//!          +8   rip                                   loads the coroutine's own
//!          +16  rbp                          suspend: the other way round
//!          +24  rbx
//!          (+32 mxcsr, x87 control word: feature fp-env)
//!          +32  the same, resumer's context
//! ```
//!
//! A coroutine can also stop and have another one go on in its place (*pass*): it saves into its own context, gives its
//! resumer's to the other one's pair, and loads that one's own.
//!
//! The last step is an indirect `jmp`, not a `ret`: a `ret` would be predicted to go to the caller of
//! the resumer and miss every time, while the indirect predictor learns the few places a program
//! switches at. One [`Word`] travels along in rdi, which the switch does not touch.
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
use std::io;
use std::mem::{self, MaybeUninit, offset_of};
use std::ptr;

mod symmetric;
pub(crate) use symmetric::{Arrival, go_on, jump, jump_on_top};

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

/// What travels along with a switch. It may hold a pointer, or any bytes, or be less than full of them.
pub(crate) type Word = MaybeUninit<*mut ()>;

/// What a fresh context runs: the word of the first switch, then the `argument` of [`Context::new`].
/// It must never return; leaving is a switch.
pub(crate) type Entry = unsafe extern "sysv64" fn(word: Word, argument: usize) -> !;

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
    ".cfi_startproc",
    ".cfi_undefined rip", // the outermost frame
    // What runs on top of a context that has not started (`symmetric.rs`) looks as if it were called from here.
    "nop",
    "fibra_context_root:",
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

    /// A context that will call `entry(word, argument)` on the stack that ends at `top`, which must be
    /// 16-aligned. With `fp-env` it inherits the creator's floating-point environment.
    pub(crate) fn new(top: *mut u8, entry: Entry, argument: usize) -> Context {
        Context::at_root(top, entry as *const () as usize, argument)
    }

    /// Its stack pointer, while it is stopped.
    pub(crate) fn stack_pointer(&self) -> usize {
        self.rsp
    }

    fn at_root(top: *mut u8, entry: usize, argument: usize) -> Context {
        debug_assert!(top.addr().is_multiple_of(16));
        #[cfg(feature = "fp-env")]
        let (mxcsr, x87) = fp_environment();
        Context {
            rsp: top.expose_provenance(),
            rip: fibra_context_root as *const () as usize,
            rbp: entry,
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

/// Both sides of a coroutine.
#[repr(C)]
pub(crate) struct Pair {
    /// Where the coroutine stopped.
    own: Context,
    /// Where its resumer waits.
    resumer: Context,
}

impl Pair {
    /// For a coroutine that has not started.
    pub(crate) fn new(own: Context) -> Pair {
        Pair { own, resumer: Context::empty() }
    }

    /// Its stack pointer, while it is stopped.
    pub(crate) fn stack_pointer(&self) -> usize {
        self.own.stack_pointer()
    }

    /// The stack pointer of its resumer, who waits if the coroutine is active.
    pub(crate) fn resumer_stack_pointer(&self) -> usize {
        self.resumer.rsp
    }

    /// Where its resumer waits.
    pub(crate) fn resumer(&self) -> *const Context {
        &raw const self.resumer
    }

    /// Has another context go on instead of the coroutine's own, which is returned, at the next switch to it.
    pub(crate) fn replace_own(&mut self, context: Context) -> Context {
        mem::replace(&mut self.own, context)
    }

    /// Has another context go on instead of the resumer's, which is returned, at the next switch to it.
    pub(crate) fn replace_resumer(&mut self, context: Context) -> Context {
        mem::replace(&mut self.resumer, context)
    }

    /// Whether it was ever resumed.
    pub(crate) fn was_resumed(&self) -> bool {
        self.resumer.rip != 0
    }
}

/// The switch: saves into the pair that a register points to, and loads from the one in rdx, each at the place of one of
/// its contexts. Where it arrives is aligned to what a processor fetches at once: the padding is jumped over.
macro_rules! switch {
    ($to:expr, $word:expr, save $from:literal + $saved:expr, load $loaded:expr $(, $operand:tt)*) => {
        switch!(@ $to, $word, $from, $saved, $loaded, [
            concat!("stmxcsr [", $from, " + {saved} + 32]"),
            concat!("fnstcw [", $from, " + {saved} + 36]"),
            "ldmxcsr [rdx + {loaded} + 32]",
            "fldcw [rdx + {loaded} + 36]"
        ] $(, $operand)*)
    };
    (@ $to:expr, $word:expr, $from:literal, $saved:expr, $loaded:expr, [$($fp:expr),*]
     $(, {$($operand:tt)*})*) => {{
        let (mut pair, mut word): (*mut Pair, Word) = ($to, $word);
        asm!(
            "lea rax, [rip + 2f]",
            concat!("mov [", $from, " + {saved}], rsp"),
            concat!("mov [", $from, " + {saved} + 8], rax"),
            concat!("mov [", $from, " + {saved} + 16], rbp"),
            concat!("mov [", $from, " + {saved} + 24], rbx"),
            $(#[cfg(feature = "fp-env")] $fp,)*
            "mov rsp, [rdx + {loaded}]",
            "mov rbp, [rdx + {loaded} + 16]",
            "mov rbx, [rdx + {loaded} + 24]",
            "jmp qword ptr [rdx + {loaded} + 8]",
            ".p2align 5",
            "2:",
            saved = const $saved,
            loaded = const $loaded,
            $($($operand)*,)*
            inlateout("rdi") word,
            inlateout("rdx") pair,
            lateout("r12") _, lateout("r13") _, lateout("r14") _, lateout("r15") _,
            clobber_abi("sysv64"),
        );
        (word, pair)
    }};
}

const OWN: usize = offset_of!(Pair, own);
const RESUMER: usize = offset_of!(Pair, resumer);

const _: () = assert!(
    offset_of!(Context, rsp) == 0
        && offset_of!(Context, rip) == 8
        && offset_of!(Context, rbp) == 16
        && offset_of!(Context, rbx) == 24
);
#[cfg(feature = "fp-env")]
const _: () = assert!(offset_of!(Context, mxcsr) == 32 && offset_of!(Context, x87) == 36);

/// Stops here and goes on in the coroutine. Returns, with the word that it sends, when it stops; the
/// pointer that comes back is `pair`, see the head of this file. If it [passes](pass), it is the other one that stops,
/// and whose pair comes back.
///
/// # Safety
/// * The coroutine's own context was made by [`Context::new`] or filled by [`suspend`] or [`pass`], and nobody has
///   resumed it since, or passed to it.
/// * Its stack is mapped, and no other thread runs on it.
/// * The caller's frames stay until it stops; if it never does, they are forgotten without running their
///   destructors.
/// * It stops on a thread where the caller's frames may go on.
#[inline(always)]
pub(crate) unsafe fn resume(pair: *mut Pair, word: Word) -> (Word, *mut Pair) {
    // SAFETY: the caller vouches for the pair. rbx, rbp and rsp are saved and restored by hand; every
    // other register is declared clobbered. The direction flag is clear on both sides, as the ABI demands
    // at every call.
    unsafe { switch!(pair, word, save "rdx" + RESUMER, load OWN) }
}

/// Stops the coroutine that the caller runs on, and goes on where it was resumed. Returns, with the word
/// that was passed, when it is resumed again; the pointer that comes back is `pair`.
///
/// # Safety
/// * The caller runs on the coroutine that `pair` belongs to, or on one resumed from it.
/// * Whoever resumes it does so on a thread where the caller's frames may go on; if nobody does, they are
///   forgotten without running their destructors.
#[inline(always)]
pub(crate) unsafe fn suspend(pair: *mut Pair, word: Word) -> (Word, *mut Pair) {
    // SAFETY: as in `resume`; whoever resumed the coroutine left its context in the pair, or whoever passed to it put that
    // context there.
    unsafe { switch!(pair, word, save "rdx" + OWN, load RESUMER) }
}

/// Stops the coroutine that the caller runs on, and goes on in the coroutine of `to`, for which the resumer of `from`
/// waits from now on. Returns, with the word that was passed, when that of `from` is resumed again, or passed to; the
/// pointer that comes back is `from`.
///
/// # Safety
/// * As for [`suspend`], of `from`; and as for [`resume`], of `to`.
/// * They are two coroutines.
#[inline(always)]
pub(crate) unsafe fn pass(from: *mut Pair, to: *mut Pair, word: Word) -> (Word, *mut Pair) {
    // SAFETY: as in `resume`. Whoever resumed the one left its context in its pair, and is to find it in the other one's.
    unsafe {
        ptr::copy_nonoverlapping(&raw const (*from).resumer, &raw mut (*to).resumer, 1);
        switch!(to, word, save "rcx" + OWN, load OWN, { inlateout("rcx") from => _ })
    }
}

/// About where the stack pointer is: to see how much of a stack is left.
#[inline(always)]
pub(crate) fn stack_pointer() -> usize {
    let rsp: usize;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, rsp", out(reg) rsp, options(nomem, nostack, preserves_flags)) };
    rsp
}

/// How far below an address the stack pointer is, or a number that is larger than any stack.
#[inline(always)]
pub(crate) fn depth_below(address: *const u8) -> usize {
    let mut depth = address.addr();
    // SAFETY: reads a register, and changes the flags.
    unsafe { asm!("sub {}, rsp", inout(reg) depth, options(nomem, nostack)) };
    depth
}

/// Where the calling thread's own data is: no two threads that live at the same time have it at the same place. It is a
/// multiple of 16. Not taken for constant within a function (no `pure`): a goroutine may go on at another thread.
#[inline(always)]
pub(crate) fn thread_pointer() -> usize {
    let pointer: usize;
    // SAFETY: by the ABI this word holds its own address, and nobody writes to it.
    unsafe { asm!("mov {}, fs:[0]", out(reg) pointer, options(nostack, preserves_flags, nomem)) };
    pointer
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

/// A call of the Linux kernel, inlined: libc's `syscall` is one more line of code and one more return, after which errors
/// come from a thread-local.
///
/// # Errors
/// That of the kernel.
///
/// # Safety
/// What the kernel does for that number with these arguments is sound.
#[inline(always)]
pub(crate) unsafe fn system_call(number: libc::c_long, arguments: [usize; 6]) -> io::Result<usize> {
    let [first, second, third, fourth, fifth, sixth] = arguments;
    let result: isize;
    // SAFETY: the caller vouches for what the kernel does. Beside that it writes to the result, rcx and r11 only. It may
    // read and write memory, and keeps the stack, the red zone included.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") first,
            in("rsi") second,
            in("rdx") third,
            in("r10") fourth,
            in("r8") fifth,
            in("r9") sixth,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    // An error is its number, negated.
    usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result as i32))
}
