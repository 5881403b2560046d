//! Coroutines: functions that stop in the middle and go on later, each on a stack of its own.
//!
//! A [`Coroutine`] is asymmetric: [`resume`](Coroutine::resume) runs it until it
//! [`suspend`](Yielder::suspend)s or returns, on the calling thread. Typed values travel both ways. It
//! needs no runtime; a goroutine is made of one.
//!
//! # How it is laid out
//!
//! ```text
//!   high  +---------------------+
//!         | label (stack.rs)    |  who runs here, for the overflow message
//!         +---------------------+ <- Stack::top
//!         | Link                |  contexts of both sides, status, the Stack itself
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
//! A value that travels stays on the frame of the side that stops, and its address is the word of the
//! switch; the other side moves it out before anything else. Whether the resumer gets what was yielded or
//! what was returned follows from the status.

mod active;
mod annotate;
mod builder;
mod layout;

pub(crate) use active::Active;
pub use builder::Builder;

use layout::{below, closure_below, colour, drop_closure, is_inline, link_below};
use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::panic::{self, AssertUnwindSafe};
use std::ptr::{self, NonNull};
use std::thread;

use crate::arch::{self, Context, Pair};
use crate::stack::{self, Stack, StackSize};

type Payload = Box<dyn Any + Send>;

/// What a [`Coroutine`] is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It has not started, or stopped in [`Yielder::suspend`]; it can be resumed.
    Suspended,
    /// Its code is being executed.
    Running,
    /// It is active but has resumed another coroutine, and waits for that one.
    Normal,
    /// It returned or panicked.
    Dead,
}

/// Why [`Coroutine::resume`] came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<Yield, Out> {
    /// It suspended itself with this value.
    Yielded(Yield),
    /// It returned this value and is dead.
    Returned(Out),
}

/// The coroutine could not be resumed; the input is handed back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResumeError<In> {
    /// It has returned or panicked.
    Dead(In),
    /// It is running: this is a resume from inside itself.
    Running(In),
}

impl<In> fmt::Display for ResumeError<In> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ResumeError::Dead(_) => "cannot resume a dead coroutine",
            ResumeError::Running(_) => "cannot resume a coroutine from inside itself",
        })
    }
}

impl<In: fmt::Debug> std::error::Error for ResumeError<In> {}

/// What lies at the top of a coroutine's stack.
#[repr(C)]
struct Link {
    /// Comes first: its address is that of the link.
    pair: UnsafeCell<Pair>,
    status: Cell<Status>,
    fiber: annotate::Fiber,
    /// Drops a closure that never ran.
    drop_closure: unsafe fn(NonNull<Link>),
    stack: Stack,
    name: Option<Box<str>>,
}

/// The word that tells a suspended coroutine to unwind; no value has this address.
const UNWIND: usize = 0;

/// The word for a value on the caller's frame.
#[inline(always)]
fn address_of<T>(value: &ManuallyDrop<T>) -> usize {
    ptr::from_ref(value).expose_provenance()
}

/// The payload that unwinds a dropped coroutine.
struct Unwinding;

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

/// Not `Send`: its frames may hold anything.
type Types<In, Yield, Out> = (*mut (), fn(In) -> (Yield, Out));

/// The coroutine's own end: it suspends.
///
/// It is the link under another name, so that its address is all that a suspend needs.
#[repr(transparent)]
pub struct Yielder<In, Yield> {
    link: Link,
    types: PhantomData<fn(Yield) -> In>,
}

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
            Err(error) => panic!("cannot make a coroutine: {error}"),
        }
    }

    /// The same on a given stack, which it owns from now on.
    pub(crate) fn on_stack<F>(stack: Stack, body: F) -> Self
    where
        F: FnOnce(&Yielder<In, Yield>, In) -> Out,
    {
        let top = stack.top().wrapping_sub(colour(&stack));
        let link = link_below(top);
        let place = closure_below::<F>(link);
        // SAFETY: the link and a closure of at most INLINE_CLOSURE bytes fit the smallest stack, which
        // is writable, unused and now ours; both places are aligned by `below`.
        unsafe {
            if is_inline::<F>() {
                place.cast::<F>().write(body);
            } else {
                place.cast::<Box<F>>().write(Box::new(body));
            }
            link.write(Link {
                pair: UnsafeCell::new(Pair::new(Context::new(
                    below(place, 0, 16),
                    enter::<In, Yield, Out, F>,
                    link.expose_provenance(),
                ))),
                status: Cell::new(Status::Suspended),
                fiber: annotate::Fiber::new(),
                drop_closure: drop_closure::<F>,
                stack,
                name: None,
            });
            Coroutine { link: NonNull::new_unchecked(link), types: PhantomData }
        }
    }

    fn link(&self) -> &Link {
        // SAFETY: the link lives as long as the coroutine; its mutable parts are cells or contexts,
        // which are reached through raw pointers.
        unsafe { self.link.as_ref() }
    }

    /// What it is doing.
    pub fn status(&self) -> Status {
        self.link().status.get()
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
    /// [`ResumeError::Dead`] when it has returned or panicked.
    ///
    /// # Panics
    /// With its own panic when it panics.
    #[inline]
    pub fn try_resume(&mut self, input: In) -> Result<Step<Yield, Out>, ResumeError<In>> {
        // It does not run: that would be a resume from inside itself, and `self` is borrowed mutably
        // meanwhile.
        if self.status() == Status::Dead {
            return Err(ResumeError::Dead(input));
        }
        let input = ManuallyDrop::new(input);
        // SAFETY: it is suspended, and moves the input out. It stops with what its new status says, and
        // that place stays untouched until it is resumed or dropped.
        unsafe {
            let word = self.switch_to(address_of(&input));
            if self.status() == Status::Suspended {
                return Ok(Step::Yielded(ptr::with_exposed_provenance::<Yield>(word).read()));
            }
            match ptr::with_exposed_provenance::<thread::Result<Out>>(word).read() {
                Ok(value) => Ok(Step::Returned(value)),
                Err(payload) => panic::resume_unwind(payload),
            }
        }
    }

    /// Switches to the coroutine until it stops; the word it stops with.
    ///
    /// # Safety
    /// The status is `Suspended`. `word` is the address of an input, whose value is moved out, or
    /// [`UNWIND`].
    #[inline(always)]
    unsafe fn switch_to(&mut self, word: usize) -> usize {
        let link = self.link.as_ptr();
        // SAFETY: the own context was made by `Context::new` or filled when the coroutine suspended, and this is
        // the only switch to it since, because `self` is borrowed mutably until it stops again. The stack belongs to the coroutine, which is borrowed mutably and cannot be sent to
        // another thread. `resumer` lives in the link and is switched to exactly once, when the
        // coroutine stops.
        unsafe {
            let switching = (*link).fiber.enter(&(*link).stack);
            let (word, pair) = arch::resume((*link).pair.get(), word);
            switching.back();
            // The same as before, but at hand for a loop that resumes next.
            self.link = NonNull::new_unchecked(pair.cast());
            word
        }
    }

    /// Gives the stack back without running the destructors of the frames on it.
    ///
    /// # Safety
    /// It is suspended, and its frames may be forgotten: they own nothing, and nothing points to them.
    pub(crate) unsafe fn abandon(self) -> Stack {
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
}

#[cold]
fn refuse<In>(error: &ResumeError<In>) -> ! {
    panic!("{error}")
}

/// The first function on a coroutine's stack.
///
/// # Safety
/// Called by the context root, with the address of the first input, and that of the `Link`, whose closure
/// is of type `F`.
unsafe extern "sysv64" fn enter<In, Yield, Out, F>(word: usize, argument: usize) -> !
where
    F: FnOnce(&Yielder<In, Yield>, In) -> Out,
{
    let link: *mut Link = ptr::with_exposed_provenance_mut(argument);
    // SAFETY: the input is ours to move out, and so is the closure. Both contexts lie in the link; the
    // resumer's was filled by the switch that brought us here. The outcome stays where it is: nobody
    // switches to this coroutine again, and its stack is kept until the resumer has moved it out.
    unsafe {
        (*link).fiber.arrived();
        let yielder = &*link.cast::<Yielder<In, Yield>>();
        let input = ptr::with_exposed_provenance::<In>(word).read();
        let place = closure_below::<F>(link);
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| {
            if is_inline::<F>() {
                place.cast::<F>().read()(yielder, input)
            } else {
                (*place.cast::<Box<F>>().read())(yielder, input)
            }
        }));
        let outcome: ManuallyDrop<thread::Result<Out>> = ManuallyDrop::new(outcome);
        (*link).status.set(Status::Dead);
        (*link).fiber.leave_for_good();
        arch::suspend((*link).pair.get(), address_of(&outcome));
    }
    unreachable!("a dead coroutine was resumed")
}

/// Stops the coroutine that the caller runs on.
///
/// # Safety
/// The two types are those of the coroutine that `link` belongs to, and the caller runs on it.
#[inline(always)]
unsafe fn suspend<In, Yield>(link: NonNull<Link>, value: Yield) -> In {
    let link = link.as_ptr();
    let value = ManuallyDrop::new(value);
    // SAFETY: the coroutine runs, so the resumer waits in its context, and moves the value out of this
    // frame. We go on when somebody resumes it, with the address of an input for us.
    unsafe {
        let switching = (*link).fiber.leave();
        let (word, _) = arch::suspend((*link).pair.get(), address_of(&value));
        switching.back();
        if word == UNWIND {
            unwind();
        }
        ptr::with_exposed_provenance::<In>(word).read()
    }
}

#[cold]
fn unwind() -> ! {
    panic::resume_unwind(Box::new(Unwinding))
}

impl<In, Yield> Yielder<In, Yield> {
    /// Stops here and gives `value` to whoever resumed; goes on with the next input.
    ///
    /// When the coroutine is dropped while it is suspended, this unwinds.
    #[inline]
    pub fn suspend(&self, value: Yield) -> In {
        // Somebody may have smuggled the reference out of the coroutine's frames, with scoped_tls say.
        // The link lies at the top of the stack, all frames below it.
        let depth = ptr::from_ref(self).addr().wrapping_sub(arch::stack_pointer());
        assert!(
            depth < self.link.stack.size().bytes(),
            "a coroutine can be suspended from its own frames only"
        );
        // SAFETY: the types are those that `enter` was made for, and the caller runs on its stack.
        unsafe { suspend(NonNull::from(&self.link), value) }
    }
}

impl<In, Yield> Yielder<In, Yield> {
    pub(crate) fn as_active(&self) -> Active {
        Active(NonNull::from(&self.link))
    }
}

impl<In, Yield, Out> Drop for Coroutine<In, Yield, Out> {
    fn drop(&mut self) {
        let mut payload: Option<Payload> = None;
        // SAFETY: `Context::new` leaves the resumer's context empty, and the first switch fills it, so
        // this tells whether the closure was ever started.
        let started = unsafe { (*(*self.link.as_ptr()).pair.get()).was_resumed() };
        if !started {
            // SAFETY: it never ran and is dropped once.
            unsafe { (self.link().drop_closure)(self.link) };
            self.link().status.set(Status::Dead);
        }
        // A body that catches the unwinding and suspends again is unwound again.
        while self.status() == Status::Suspended {
            // SAFETY: it is suspended, and stops with what its new status says.
            unsafe {
                let word = self.switch_to(UNWIND);
                if self.status() == Status::Suspended {
                    drop(ptr::with_exposed_provenance::<Yield>(word).read());
                } else if let Err(p) =
                    ptr::with_exposed_provenance::<thread::Result<Out>>(word).read()
                    && !p.is::<Unwinding>()
                {
                    payload = Some(p);
                }
            }
        }
        // SAFETY: the coroutine is dead, and the link is read once.
        let link = unsafe { self.link.as_ptr().read() };
        link.fiber.forget(&link.stack);
        stack::release(link.stack);
        if let Some(payload) = payload
            && !thread::panicking()
        {
            panic::resume_unwind(payload);
        }
    }
}

impl<Yield, Out> Iterator for Coroutine<(), Yield, Out> {
    type Item = Yield;

    fn next(&mut self) -> Option<Yield> {
        match self.try_resume(()) {
            Ok(Step::Yielded(value)) => Some(value),
            Ok(Step::Returned(_)) | Err(_) => None,
        }
    }
}

impl<In, Yield, Out> fmt::Debug for Coroutine<In, Yield, Out> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Coroutine").field("status", &self.status()).finish_non_exhaustive()
    }
}

impl<In, Yield> fmt::Debug for Yielder<In, Yield> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Yielder").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
