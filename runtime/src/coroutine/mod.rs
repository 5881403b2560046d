//! Coroutines: functions that stop in the middle and go on later, each on a stack of its own.
//!
//! A [`Coroutine`] is asymmetric: [`resume`](Coroutine::resume) runs it until it
//! [`suspend`](Yielder::suspend)s or returns, on the calling thread. Typed values travel both ways. It
//! needs no runtime, and works inside goroutines, too; a goroutine is made of one.
//!
//! * [`Coroutine`]: one owner resumes it. One that takes nothing is an iterator.
//! * [`RcCoroutine`]: several share it; resuming one that is active is an error.
//! * [`scope`]: coroutines that borrow from the caller's frame.
//! * [`Group`]: symmetric ones, which transfer control to one another, each with a successor.
//! * [`running`], [`is_yieldable`], [`Handle`]: who runs, and what others do.
//! * [`coroutine_local!`](crate::coroutine_local): values that each coroutine has one of.
//! * [`Stack`]: memory of the caller's for a stack.
//! * [`SharedStack`]: many that take turns on one stack, each a few hundred bytes while it is suspended.
//! * [`raw`]: the unsafe core, contexts and jumps between them.
//!
//! # Rules
//!
//! * A panic in a coroutine goes on in whoever resumed it.
//! * Dropping or [closing](Coroutine::close) one that is suspended unwinds it, so that its destructors run. If
//!   it catches that and suspends again, it is unwound again. A destructor that suspends while its coroutine
//!   unwinds, and is then dropped, ends the process, as any panic does that leaves a destructor at such a time.
//! * A recursion that is too deep ends the process with a message that names the coroutine.
//! * A coroutine stays on its thread: it is not `Send`, whatever it captures, because its frames may hold
//!   what is not (an `Rc` that was made inside) and types do not tell. So there is no bound under which it
//!   could be. To have work done elsewhere, send a closure that makes the coroutine there, or use a goroutine.
//!
//! # As a source
//!
//! A coroutine that takes nothing is a pull source: each [`next`](Iterator::next) runs it to its next value. As
//! it has a stack of its own, it may block on the way as any other code of its goroutine does: receive from
//! channels, read from sockets, [`block_on`](crate::block_on) a future. Where a `Stream` is wanted,
//! `futures_util::stream::iter(coroutine)` is one, in tasks that stay on one thread.
//!
//! ```
//! use fibra::chan::bounded;
//! use fibra::coroutine::{Coroutine, Yielder};
//!
//! let (tx, rx) = bounded(0);
//! fibra::go!(move || (1..=3).for_each(|n| tx.send(n).unwrap()));
//! let squares = Coroutine::new(move |y: &Yielder<(), u32>, ()| {
//!     for n in rx {
//!         y.suspend(fibra::block_on(async { n * n })); // `rx` and the future park the caller
//!     }
//! });
//! assert_eq!(squares.collect::<Vec<_>>(), [1, 4, 9]);
//! ```
//!
//! # Stackful and stackless
//!
//! Any function that a coroutine calls can suspend it, given the [`Yielder`], with no `async` on the way: in a
//! comparison function that `sort_by` calls, in a `Drop`, below C code. For that each has a stack: address space, of
//! which at least one page is in memory once it has run. A future has exactly the size of what lives across its
//! awaits, and each of them goes through all callers. Side by side, with a body that passes a number out and takes the
//! next one in, optimised, in instructions as callgrind counts them:
//!
//! | | coroutine | on a [`SharedStack`] | `async`, boxed |
//! |---|---|---|---|
//! | suspended, in memory | 4096 bytes | about 530 bytes | 24 bytes, and 40 for each boxed caller |
//! | there and back, directly below the body | 36 | 225, if another one was there in between | 23 |
//! | the same, eight calls deeper | 38 | 405 | 268 |
//! | create, run to the end, drop | 168 | | |
//! | who may suspend | whatever it calls | whatever it calls | `async` functions |
//! | recursion | as in any function | as in any function | each level boxed |
//! | goes to another thread | no | no | if it is `Send` |
//! | borrows across a suspension | as in any function | within its own frames | as in any function, pinned |
//!
//! The compiler sees through a future that is neither boxed nor recursive and may leave nothing of it; it never sees
//! through a switch of stacks. So a generator in an inner loop, or a million tiny state machines, is better off
//! stackless, and everything that calls deeply, recurses, or must not change what lies between is better off stackful.
//! [Raw contexts](raw) take 31 instructions there and back.
//!
//! # How it is laid out
//!
//! ```text
//!   high  +---------------------+
//!         | label (stack.rs)    |  who runs here, for the overflow message and `running`
//!         +---------------------+ <- Stack::top
//!         | Link                |  contexts of both sides, state, the Stack itself
//!         +---------------------+ <- what a Coroutine points to
//!         | closure             |  if small; else a box
//!         +---------------------+ <- first stack pointer
//!         | enter               |  catches panics
//!         |   closure's frames  |
//!   low   |     suspend         |
//! ```
//!
//! So a `Coroutine` is one word, and everything about it lies in the page that its frames touch anyway.
//!
//! Files: `link.rs` (resume, suspend and the end: the unsafe core), `word.rs` (how values travel), `layout.rs` and
//! `extra.rs` (where things lie), `active.rs` (the runtime's view), `handle.rs` (who runs), `memory.rs` (stacks of the
//! caller's), `shared.rs` and `saved.rs` (stacks that are shared), `raw.rs` (contexts alone), `annotate.rs` (sanitizers).
//! Above them, `builder.rs`, `rc.rs`, `scope.rs`, and in safe code `group.rs`.

mod active;
mod annotate;
mod builder;
mod extra;
mod group;
mod handle;
mod layout;
mod link;
mod locals;
mod memory;
pub mod raw;
mod rc;
mod saved;
mod scope;
mod shared;
mod status;
mod word;
mod yielder;

pub(crate) use active::Active;
pub use builder::Builder;
pub use group::{Group, Me, Member};
pub use handle::{CoroutineId, Handle, is_yieldable, running};
pub(crate) use locals::{Locals, running_locals};
pub use memory::Stack;
pub use rc::RcCoroutine;
pub use scope::{Scope, ScopedCoroutine, scope};
pub use shared::SharedStack;
pub use status::{ResumeError, Status, Step};
pub use yielder::Yielder;

use crate::arch;
use crate::stack::{self, StackSize};
use link::Link;
use std::any::Any;
use std::fmt;
use std::iter::FusedIterator;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::panic;
use std::ptr::NonNull;
use std::thread;

type Payload = Box<dyn Any + Send>;

/// A function with a stack of its own that can stop in the middle.
///
/// Dropping a suspended coroutine unwinds it: its destructors run. A panic inside goes on in whoever
/// resumed it.
///
/// ```
/// use fibra::coroutine::{Coroutine, Step};
///
/// let mut sum = Coroutine::new(|y, first: i32| {
///     let mut total = first;
///     while total < 10 {
///         total += y.suspend(total);
///     }
///     "done"
/// });
/// assert_eq!(sum.resume(3), Step::Yielded(3));
/// assert_eq!(sum.resume(4), Step::Yielded(7));
/// assert_eq!(sum.resume(5), Step::Returned("done"));
/// ```
pub struct Coroutine<In, Yield, Out> {
    link: NonNull<Link>,
    types: PhantomData<Types<In, Yield, Out>>,
}

/// Neither these nor the link make it `Send`: its frames may hold anything.
type Types<In, Yield, Out> = fn(In) -> (Yield, Out);

impl<In, Yield, Out> Coroutine<In, Yield, Out> {
    /// A coroutine on a default stack of 256 KiB. Nothing of `body` runs before the first `resume`,
    /// whose input is its second argument.
    ///
    /// # Panics
    /// If no stack can be had; [`Builder::build`] returns that as an error.
    pub fn new<F>(body: F) -> Self
    where
        F: FnOnce(&Yielder<In, Yield>, In) -> Out + 'static,
        In: 'static,
        Yield: 'static,
        Out: 'static,
    {
        match Coroutine::builder().build(body) {
            Ok(coroutine) => coroutine,
            Err(error) => cannot_make(&error),
        }
    }

    /// # Safety
    /// The link is that of a coroutine of these types, nobody else uses it, and what its body borrows outlives
    /// what is returned here.
    unsafe fn from_link(link: NonNull<Link>) -> Self {
        Coroutine { link, types: PhantomData }
    }

    /// The same on a given stack, which it owns from now on, and without a label.
    pub(crate) fn on_stack<F>(stack: stack::Stack, body: F) -> Self
    where
        F: FnOnce(&Yielder<In, Yield>, In) -> Out + 'static,
    {
        let link = Link::place(stack, body);
        // SAFETY: it was just made, from a body of these types that borrows nothing.
        unsafe { Coroutine::from_link(link) }
    }

    fn link(&self) -> &Link {
        // SAFETY: the link lives as long as the coroutine; its mutable parts are cells or contexts,
        // which are reached through raw pointers.
        unsafe { self.link.as_ref() }
    }

    /// What it is doing. Whoever owns it sees it suspended or dead only; see [`handle`](Self::handle) for the
    /// view of others.
    pub fn status(&self) -> Status {
        handle::status_of(self.link())
    }

    /// Runs it until it suspends or returns.
    ///
    /// # Panics
    /// When it is dead, and with its own panic when it panics.
    #[inline]
    pub fn resume(&mut self, input: In) -> Step<Yield, Out> {
        match self.try_resume(input) {
            Ok(step) => step,
            Err(error) => refuse(&error),
        }
    }

    /// Runs it until it suspends or returns, or says why it cannot.
    ///
    /// # Errors
    /// [`ResumeError::Dead`] when it has returned or panicked, or was closed.
    ///
    /// # Panics
    /// With its own panic when it panics.
    #[inline]
    pub fn try_resume(&mut self, input: In) -> Result<Step<Yield, Out>, ResumeError<In>> {
        // SAFETY: it is one of these types, and cannot be sent to another thread. It is borrowed mutably until
        // it stops, so it is neither active now nor released meanwhile; or until another one stops that it passed to,
        // for which this value stands then (`swap`).
        unsafe { link::resume(&mut self.link, input) }
    }

    /// Unwinds it unless it is dead: the destructors of its frames run now. It is dead then.
    ///
    /// # Panics
    /// When another coroutine is active on the [shared stack](SharedStack) that it needs.
    ///
    /// # Errors
    /// The payload of a panic on the way; dropping it instead would let that panic go on.
    ///
    /// ```
    /// use fibra::coroutine::{Coroutine, Status, Yielder};
    ///
    /// struct Sulky;
    /// impl Drop for Sulky {
    ///     fn drop(&mut self) {
    ///         panic!("do not disturb");
    ///     }
    /// }
    ///
    /// let mut c = Coroutine::new(|y: &Yielder<(), ()>, ()| {
    ///     let _sulky = std::panic::AssertUnwindSafe(());
    ///     y.suspend(());
    /// });
    /// c.next();
    /// assert!(c.close().is_ok());
    /// assert_eq!(c.status(), Status::Dead);
    ///
    /// let sulky = Sulky;
    /// let mut never_started = Coroutine::new(move |_: &Yielder<(), ()>, ()| drop(sulky));
    /// assert_eq!(never_started.close().unwrap_err().downcast_ref(), Some(&"do not disturb"));
    /// ```
    pub fn close(&mut self) -> thread::Result<()> {
        // SAFETY: as in `try_resume`.
        unsafe { link::close::<Yield, Out>(self.link) }
    }

    /// The coroutine as a function that resumes it: Lua's `coroutine.wrap`.
    ///
    /// The function's errors and panics are those of [`try_resume`](Self::try_resume).
    ///
    /// ```
    /// use fibra::coroutine::{Coroutine, ResumeError, Step};
    ///
    /// let mut next = Coroutine::new(|y, n: u32| y.suspend(n + 1) * 10).wrap();
    /// assert_eq!(next(1), Ok(Step::Yielded(2)));
    /// assert_eq!(next(3).map(Step::into_value), Ok(30));
    /// assert_eq!(next(4), Err(ResumeError::Dead(4)));
    /// ```
    pub fn wrap(mut self) -> impl FnMut(In) -> Result<Step<Yield, Out>, ResumeError<In>> {
        move |input| self.try_resume(input)
    }

    /// Gives the stack back without running the destructors of the frames on it.
    ///
    /// # Safety
    /// * It is suspended, and its frames may be forgotten: they own nothing, and nothing points to them.
    /// * It was made by [`on_stack`](Self::on_stack).
    pub(crate) unsafe fn abandon(self) -> stack::Stack {
        let this = ManuallyDrop::new(self);
        // SAFETY: the link is valid, and read once: `this` is not used again.
        let link = unsafe { this.link.as_ptr().read() };
        link.fiber.forget(&link.stack);
        link.stack
    }

    pub(crate) fn stack_size(&self) -> StackSize {
        self.link().stack.size()
    }

    pub(crate) fn as_active(&self) -> Active {
        Active(self.link)
    }

    /// The value of the active coroutine, in exchange for this one, which is about to go on in its place: the value that
    /// was resumed stands for this one then.
    ///
    /// # Safety
    /// It [passes](Active::pass) to the other one, as it may, before anything else happens to either.
    #[inline]
    pub(crate) unsafe fn swap(self, active: Active) -> (Self, Active) {
        let this = ManuallyDrop::new(self);
        // SAFETY: by the contract above. The value that was resumed gets the link of `this` when it comes back.
        (unsafe { Coroutine::from_link(active.0) }, Active(this.link))
    }

    /// Bytes from its innermost frame to the top of its stack. It is suspended.
    #[inline]
    pub(crate) fn depth(&self) -> usize {
        // SAFETY: the coroutine is borrowed and not active, so nobody switches.
        let innermost = unsafe { (*(*self.link.as_ptr()).pair.get()).stack_pointer() };
        self.link.addr().get().wrapping_sub(innermost)
    }

    /// It will soon be resumed: has the address of its stack translated, and the link brought here. A read, because
    /// processors drop a prefetch whose translation takes long. Nothing waits for it, so several run at the same time.
    #[inline]
    pub(crate) fn fetch(&self) {
        // SAFETY: the coroutine is borrowed and not active, so nobody writes to its link.
        unsafe { self.link.as_ptr().cast_const().cast::<u8>().read_volatile() };
    }

    /// It will be resumed next, or next but one, and most likely is as deep as this: has both ends of its frames brought
    /// here.
    #[inline]
    pub(crate) fn prefetch(&self, depth: usize) {
        let top: *const u8 = self.link.as_ptr().cast_const().cast();
        arch::prefetch_for_write(top);
        // From below where it stopped: its next calls go there.
        let lowest = top.wrapping_sub(depth).wrapping_sub(CACHE_LINE);
        for line in (0..INNERMOST_FRAMES).step_by(2 * CACHE_LINE) {
            arch::prefetch_for_write(lowest.wrapping_add(line));
        }
    }
}

const CACHE_LINE: usize = 64;
/// Bytes of frames that a goroutine usually touches when it goes on.
const INNERMOST_FRAMES: usize = 512;

#[cold]
fn refuse<In>(error: &ResumeError<In>) -> ! {
    panic!("{error}")
}

#[cold]
fn cannot_make(error: &std::io::Error) -> ! {
    panic!("cannot make a coroutine: {error}")
}

impl<In, Yield, Out> Drop for Coroutine<In, Yield, Out> {
    fn drop(&mut self) {
        // SAFETY: nobody uses the link after this, and these are its types.
        go_on_with(unsafe { link::end::<Yield, Out>(self.link) });
    }
}

/// The end of a destructor in which something panicked. If that runs because of another panic, there is one
/// already.
fn go_on_with(result: thread::Result<()>) {
    if let Err(payload) = result
        && !thread::panicking()
    {
        panic::resume_unwind(payload);
    }
}

impl<Yield, Out> Iterator for Coroutine<(), Yield, Out> {
    type Item = Yield;

    fn next(&mut self) -> Option<Yield> {
        self.try_resume(()).ok().and_then(Step::yielded)
    }
}

impl<Yield, Out> FusedIterator for Coroutine<(), Yield, Out> {}

impl<In, Yield, Out> fmt::Debug for Coroutine<In, Yield, Out> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Coroutine").field("status", &self.status()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
