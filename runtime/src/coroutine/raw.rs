//! Contexts without a coroutine around them: the unsafe core, for those who build a thing of their own.
//!
//! A [`Context`] is a place where a flow of control stopped. There are three operations, those of Boost.Context's
//! `fcontext_t`:
//!
//! | here | there | what |
//! |---|---|---|
//! | [`make`] | `make_fcontext` | a context that will call a function, on memory of the caller's |
//! | [`jump`] | `jump_fcontext` | stop here, go on there, with a word |
//! | [`ontop`] | `ontop_fcontext` | the same, and first call a function over there |
//!
//! There is no resumer and no coroutine: any context may jump to any other one. Nobody catches panics, unwinds
//! what is dropped, counts, or guards a stack. A [`Coroutine`](super::Coroutine) does all of this, switches as
//! fast, and is safe; take it unless there is a reason not to. (The module is not called `context` because
//! [`fibra::context`](crate::context) is about time limits and cancellation, as Go's package is.)
//!
//! ```
//! use fibra::coroutine::raw::{self, Transfer};
//! use std::ptr::{self, NonNull};
//!
//! /// Counts what comes in, and ends with the one that jumped to it last.
//! fn count(mut transfer: Transfer) -> Transfer {
//!     for n in 1..=3 {
//!         let there = transfer.context.take().unwrap();
//!         // SAFETY: `there` waits in `main`, and this context's memory stays until it has ended.
//!         transfer = unsafe { raw::jump(there, ptr::without_provenance_mut(n)) };
//!     }
//!     transfer
//! }
//!
//! let mut memory = vec![0u8; 64 * 1024];
//! // SAFETY: nobody else uses the memory, and it stays until `count` has returned.
//! let mut next = unsafe { raw::make(NonNull::from(&mut memory[..]), count) };
//! for n in 1..=3 {
//!     // SAFETY: `count` waits, and jumps back.
//!     let transfer = unsafe { raw::jump(next, ptr::null_mut()) };
//!     assert_eq!(transfer.data.addr(), n);
//!     next = transfer.context.unwrap();
//! }
//! // SAFETY: the same; it returns now, with this context as the one that goes on.
//! let last = unsafe { raw::jump(next, ptr::null_mut()) };
//! assert!(last.context.is_none(), "it has ended");
//! ```
//!
//! # What a switch keeps
//!
//! What the System V ABI says that a call keeps: rbx, rbp, rsp, r12 to r15. The feature `fp-env` adds MXCSR and
//! the x87 control word, which Rust code must not change, but C code may; [`make`] hands those of its caller on
//! to the new context.
//!
//! # Goroutines
//!
//! A goroutine that stays on its worker, which is the default, may jump to contexts, and park or yield in one: the
//! goroutine waits as a whole, and goes on in that context.
//!
//! # Sanitizers
//!
//! With the feature `asan` AddressSanitizer gets to know of each switch, and with `valgrind` Valgrind gets to know
//! that the memory given to [`make`] is a stack, until the context's entry function returns. Of one that nobody
//! jumps to any more it goes on to believe so, which does no harm.

use super::annotate::Place;
use crate::arch::valgrind::{self, StackId};
use crate::arch::{self, Arrival, Word};
use crate::stack::SignalWriter;
use std::cell::UnsafeCell;
use std::fmt;
use std::mem::{self, MaybeUninit};
use std::ptr::{self, NonNull};

/// The least memory that [`make`] takes, in bytes. It is enough for an entry function that does next to nothing;
/// a panic, or `println!`, takes several KiB.
pub const MIN_STACK: usize = 2048;

/// A flow of control that stopped, and can be continued once.
///
/// One that is dropped is forgotten: its frames stay where they are, and their destructors do not run.
#[must_use = "a context that nobody jumps to never goes on"]
pub struct Context(NonNull<Stopped>);

/// What is noted of a context where it stopped: on its own stack, at the top of it before it has started.
#[repr(C)]
struct Stopped {
    /// Comes first: its address is that of the whole.
    registers: UnsafeCell<MaybeUninit<arch::Context>>,
    place: Place,
}

/// At the top of a fresh context's memory.
#[repr(C, align(16))]
struct Start {
    /// Comes first: its address is that of the whole.
    stopped: Stopped,
    entry: Entry,
    /// For Valgrind.
    stack: StackId,
}

/// What arrives with a jump.
#[derive(Debug)]
pub struct Transfer {
    /// Who jumped; `None` if it has ended.
    ///
    /// As the result of an entry function: who is to go on.
    pub context: Option<Context>,
    /// The word that the other side gave: an address or any number
    /// ([`without_provenance_mut`](ptr::without_provenance_mut)).
    pub data: *mut (),
}

/// What a context runs. It gets what came with the first jump; what it returns says who goes on, with which
/// word, and that one gets a [`Transfer`] without a context.
///
/// If it returns without a context to go on with, the process ends with a message on stderr, and so it does if
/// the function panics.
pub type Entry = unsafe fn(Transfer) -> Transfer;

/// What [`ontop`] runs. It gets what would have come with the jump, and what it returns comes instead.
pub type OnTop = unsafe fn(Transfer) -> Transfer;

impl Context {
    fn place(&self) -> &Place {
        // SAFETY: the notes stay where they are until somebody has jumped there; nobody writes to this part of
        // them but through its cells.
        unsafe { &(*self.0.as_ptr()).place }
    }

    fn registers(&self) -> *mut arch::Context {
        // The registers come first.
        self.0.as_ptr().cast()
    }

    fn from_registers(registers: *mut arch::Context) -> Option<Context> {
        NonNull::new(registers.cast()).map(Context)
    }

    fn into_registers(context: Option<Context>) -> *mut arch::Context {
        context.map_or(ptr::null_mut(), |context| context.registers())
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Context").field(&self.0).finish()
    }
}

impl Stopped {
    /// For a context that is about to stop.
    fn here() -> Stopped {
        Stopped { registers: UnsafeCell::new(MaybeUninit::uninit()), place: Place::empty() }
    }

    /// The other side of a switch, on the stack of this one.
    ///
    #[inline(always)]
    fn arrive(&self, arrival: Arrival) -> Transfer {
        let context = Context::from_registers(arrival.from);
        self.place.arrive(context.as_ref().map(Context::place));
        Transfer { context, data: arrival.word }
    }
}

/// A context that will call `entry` with what comes with the first jump to it, on the stack that `stack` is used
/// for: from its end downwards.
///
/// The memory should lie above a guard page, as nothing else stops a recursion that is too deep. A backtrace in
/// the context ends below `entry`.
///
/// # Panics
/// If there are less than [`MIN_STACK`] bytes.
///
/// # Safety
/// * The memory can be read and written, and nobody else uses it until the context has ended: until its entry
///   function has returned and the context that it named goes on, or until nobody will ever jump to it again.
/// * It is enough for everything that runs there. One who overflows it, without a guard below, overwrites what
///   lies there.
/// * `entry` keeps its own contract when it is called with what the first jump, or a function
///   [on top](ontop) of the context, brings. The context that it returns is one that the caller of
///   [`jump`] could jump to at that moment.
/// * The context stays on this thread, unless everything on its stack may go to another one.
pub unsafe fn make(stack: NonNull<[u8]>, entry: Entry) -> Context {
    assert!(stack.len() >= MIN_STACK, "a context takes {MIN_STACK} bytes at least");
    let bottom = stack.cast::<u8>().as_ptr();
    let end = bottom.wrapping_add(stack.len());
    let start =
        end.map_addr(|end| (end - size_of::<Start>()) & !(align_of::<Start>() - 1)).cast::<Start>();
    let registers = arch::Context::symmetric(start.cast(), enter, start.expose_provenance());
    // SAFETY: the place lies in the memory, which is ours, and is aligned for it.
    unsafe {
        start.write(Start {
            stopped: Stopped {
                registers: UnsafeCell::new(MaybeUninit::new(registers)),
                place: Place::fresh(bottom, start.addr() - bottom.addr()),
            },
            entry,
            stack: valgrind::register_stack(bottom, end),
        });
        Context(NonNull::new_unchecked(start.cast()))
    }
}

/// Stops here and goes on in `to`, which gets `data`. Returns when somebody jumps to this context: with that one
/// and its word.
///
/// # Safety
/// * The stack of `to` is still there, and its frames may go on on this thread.
/// * The caller's frames stay until somebody jumps back. If nobody ever does, they are forgotten, without
///   running their destructors: then nothing may rely on those (a scope of threads does, and so does a pinned
///   value).
/// * The thread does not unwind at the moment, as std counts panics for each thread; or else the other side, and
///   whoever it jumps to, does not mind.
/// * A jump out of a [`Coroutine`](super::Coroutine) or goroutine does not end it: it counts as running until
///   there is a jump back into it, which must happen before its resumer goes on.
#[inline(always)]
pub unsafe fn jump(to: Context, data: *mut ()) -> Transfer {
    let here = Stopped::here();
    // SAFETY: `to` was made by `make` or is where somebody stopped, and as it is no copy, nobody has jumped to it
    // since; the rest is the caller's promise. `here` stays on this frame until somebody jumps to it.
    unsafe {
        here.place.leave(to.place());
        here.arrive(arch::jump(here.registers.get().cast(), to.registers(), data))
    }
}

/// As [`jump`], but first runs `function` on the stack of `to`, as if `to` had called it at the place where it
/// stopped. `to` gets what `function` returns, instead of `data` and this context.
///
/// That is how one does something over there without its help: leave it something, look around, or end it.
///
/// # Safety
/// * As for [`jump`].
/// * `function` keeps its own contract when it is called with `data`, there and then. If it panics, the process
///   ends.
/// * A context that it returns is one that the caller of [`jump`] could jump to at that moment.
#[inline(always)]
pub unsafe fn ontop(to: Context, data: *mut (), function: OnTop) -> Transfer {
    let here = Stopped::here();
    // SAFETY: as in `jump`; `on_top` wants the address of such a function.
    unsafe {
        here.place.leave(to.place());
        let (here_registers, to) = (here.registers.get().cast(), to.registers());
        let function = (function as *const ()).expose_provenance();
        here.arrive(arch::jump_on_top(here_registers, to, data, on_top, function))
    }
}

/// The first function on a fresh stack.
///
/// # Safety
/// Called by the context root, with the address of the [`Start`] that `make` wrote.
unsafe extern "sysv64" fn enter(word: *mut (), start: usize, from: *mut arch::Context) -> ! {
    let start: *const Start = ptr::with_exposed_provenance(start);
    // SAFETY: the start stays at the top of the stack that this runs on. Whoever made the context vouches for
    // the entry function and for what it returns.
    unsafe {
        let transfer = (*start).stopped.arrive(Arrival { word, from });
        let last = ((*start).entry)(transfer);
        valgrind::deregister_stack((*start).stack);
        match last.context {
            Some(next) => {
                next.place().leave_for_good();
                arch::go_on(next.registers(), Word::new(last.data), ptr::null_mut())
            }
            None => end(),
        }
    }
}

/// Calls the function of [`ontop`].
///
/// # Safety
/// Called on the stack of `to`, a context that nobody has jumped to, with the address of an [`OnTop`].
unsafe extern "sysv64" fn on_top(
    word: *mut (),
    function: usize,
    from: *mut arch::Context,
    to: *const arch::Context,
) -> Arrival {
    // SAFETY: by the contract above; the registers come first.
    unsafe {
        let function = ptr::with_exposed_provenance(function);
        let function = mem::transmute::<*const (), OnTop>(function);
        let transfer = (*to.cast::<Stopped>()).arrive(Arrival { word, from });
        let Transfer { context, data } = function(transfer);
        Arrival { word: data, from: Context::into_registers(context) }
    }
}

/// There is nobody to go on with.
#[cold]
fn end() -> ! {
    let mut out = SignalWriter::new(libc::STDERR_FILENO);
    out.str(
        "fibra: the entry function of a raw context returned without a context to go on with\n",
    );
    out.flush();
    std::process::abort()
}
