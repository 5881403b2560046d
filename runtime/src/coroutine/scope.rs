//! Coroutines that borrow from their maker's frame.
//!
//! What a coroutine borrows must outlive its frames. Its owner's lifetime does not see to that, because an owner
//! may be forgotten. So the scope keeps a list of its coroutines, and unwinds what is left of them before it
//! returns.
//!
//! At that time none of them is active. Whoever resumed one waits for it, in frames that are part of the scope's
//! closure, which has returned, or of a coroutine that cannot stop while it waits. (A goroutine can, but a
//! scoped coroutine cannot be sent to another one.)
//!
//! A coroutine that the scope unwinds may drop its own owner on the way. It is left to the scope then.

use super::link::{self, Link};
use super::{
    Builder, Coroutine, Handle, ResumeError, Status, Step, Yielder, cannot_make, go_on_with,
};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::iter::FusedIterator;
use std::marker::PhantomData;
use std::mem;
use std::mem::ManuallyDrop;
use std::panic::{self, AssertUnwindSafe};
use std::ptr::NonNull;
use std::thread;

/// Where scoped coroutines are made; see [`scope`].
pub struct Scope<'scope, 'env: 'scope> {
    members: Members,
    /// Invariant, as in std: a longer or shorter scope is another scope.
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

struct Members {
    list: RefCell<List>,
    /// The one that the scope unwinds at the moment, behind its owner's back; else [`NOBODY`].
    unwinding: Cell<usize>,
}

const NOBODY: usize = usize::MAX;

#[derive(Default)]
struct List {
    /// By number; the free ones are `None`.
    all: Vec<Option<Entry>>,
    free: Vec<usize>,
    /// The scope is at its end: numbers are not used again.
    ending: bool,
}

#[derive(Clone, Copy)]
struct Entry {
    link: NonNull<Link>,
    /// [`link::close`] with the right types.
    close: unsafe fn(NonNull<Link>) -> thread::Result<()>,
}

impl Members {
    fn new() -> Members {
        Members { list: RefCell::default(), unwinding: Cell::new(NOBODY) }
    }

    fn add(&self, entry: Entry) -> usize {
        let List { all, free, ending, .. } = &mut *self.list.borrow_mut();
        match free.pop().filter(|_| !*ending) {
            Some(number) => {
                all[number] = Some(entry);
                number
            }
            None => {
                all.push(Some(entry));
                all.len() - 1
            }
        }
    }

    fn remove(&self, number: usize) {
        let mut list = self.list.borrow_mut();
        list.all[number] = None;
        list.free.push(number);
    }

    /// Whether the scope unwinds that one: its frames are active, and whatever its owner would do comes from
    /// them or from what they have resumed.
    #[inline]
    fn is_unwinding(&self, number: usize) -> bool {
        self.unwinding.get() == number
    }

    fn len(&self) -> usize {
        self.list.borrow().all.len()
    }

    /// Unwinds all that are left, the newest first, and those that are made meanwhile; then gives back what
    /// nobody has given back. The first panic on the way.
    fn end(&self) -> thread::Result<()> {
        self.list.borrow_mut().ending = true;
        let mut result = Ok(());
        let mut unwound = 0;
        while unwound < self.len() {
            let until = self.len();
            for number in (unwound..until).rev() {
                let Some(entry) = self.list.borrow().all[number] else { continue };
                self.unwinding.set(number);
                // SAFETY: it is on this thread and not active, see the head of this file. Its owner neither
                // resumes, closes nor releases it meanwhile (`is_unwinding`).
                match unsafe { (entry.close)(entry.link) } {
                    Err(payload) if result.is_err() => mem::forget(payload),
                    Err(payload) => result = Err(payload),
                    Ok(()) => {}
                }
            }
            unwound = until;
        }
        self.unwinding.set(NOBODY);
        let all = mem::take(&mut self.list.borrow_mut().all);
        for entry in all.into_iter().flatten() {
            // SAFETY: it is dead. Its owner was forgotten, or was dropped while we unwound it: all frames that
            // could use an owner are gone.
            unsafe { link::release(entry.link) };
        }
        result
    }
}

/// Runs `f` with a scope: coroutines made there with [`Scope::coroutine`] may borrow whatever outlives the call of
/// `scope`. Before it returns, those that are left are unwound, whether they were forgotten or not.
///
/// # Panics
/// When `f` panics, with its panic; else when one that is left panics while it is unwound.
///
/// ```
/// use fibra::coroutine;
///
/// let words = vec![String::from("one"), String::from("two")];
/// let mut lengths = Vec::new();
/// coroutine::scope(|s| {
///     let letters = s.coroutine(|y, ()| {
///         for word in &words {
///             word.chars().for_each(|c| y.suspend(c));
///             lengths.push(word.len());
///         }
///     });
///     assert_eq!(letters.collect::<String>(), "onetwo");
/// });
/// assert_eq!(lengths, [3, 3]);
/// ```
pub fn scope<'env, F, T>(f: F) -> T
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
{
    let scope = Scope { members: Members::new(), scope: PhantomData, env: PhantomData };
    let result = panic::catch_unwind(AssertUnwindSafe(|| f(&scope)));
    let end = scope.members.end();
    match (result, end) {
        (Ok(value), Ok(())) => value,
        (Err(payload), end) => {
            mem::forget(end);
            panic::resume_unwind(payload)
        }
        (Ok(value), Err(payload)) => {
            drop(value);
            panic::resume_unwind(payload)
        }
    }
}

impl<'scope> Scope<'scope, '_> {
    /// A coroutine whose body may borrow from outside the scope. Otherwise as [`Coroutine::new`].
    ///
    /// # Panics
    /// If no stack can be had; [`build`](Self::build) returns that as an error.
    pub fn coroutine<In, Yield, Out, F>(
        &'scope self,
        body: F,
    ) -> ScopedCoroutine<'scope, In, Yield, Out>
    where
        F: FnOnce(&Yielder<In, Yield>, In) -> Out + 'scope,
        In: 'scope,
        Yield: 'scope,
        Out: 'scope,
    {
        match self.build(Coroutine::builder(), body) {
            Ok(coroutine) => coroutine,
            Err(error) => cannot_make(&error),
        }
    }

    /// The same with settings.
    ///
    /// # Errors
    /// As [`Builder::build`].
    pub fn build<In, Yield, Out, F>(
        &'scope self,
        builder: Builder,
        body: F,
    ) -> io::Result<ScopedCoroutine<'scope, In, Yield, Out>>
    where
        F: FnOnce(&Yielder<In, Yield>, In) -> Out + 'scope,
        In: 'scope,
        Yield: 'scope,
        Out: 'scope,
    {
        let link = builder.place(body)?;
        let number = self.members.add(Entry { link, close: link::close::<Yield, Out> });
        // SAFETY: it was just made from a body of these types. What that borrows outlives 'scope, and `scope`
        // does not return before the frames are gone.
        let coroutine = ManuallyDrop::new(unsafe { Coroutine::from_link(link) });
        Ok(ScopedCoroutine { coroutine, members: &self.members, number, scope: PhantomData })
    }
}

/// A coroutine that borrows, made by [`Scope::coroutine`]. Its methods are those of [`Coroutine`].
pub struct ScopedCoroutine<'scope, In, Yield, Out> {
    /// Released by our destructor, or by the scope.
    coroutine: ManuallyDrop<Coroutine<In, Yield, Out>>,
    members: &'scope Members,
    number: usize,
    scope: PhantomData<&'scope mut &'scope ()>,
}

impl<In, Yield, Out> ScopedCoroutine<'_, In, Yield, Out> {
    /// As [`Coroutine::resume`].
    ///
    /// # Panics
    /// When it is dead or being unwound by the scope, and with its own panic when it panics.
    #[inline]
    pub fn resume(&mut self, input: In) -> Step<Yield, Out> {
        assert!(!self.is_unwinding(), "resumed a coroutine that its scope unwinds");
        self.coroutine.resume(input)
    }

    /// As [`Coroutine::try_resume`].
    ///
    /// # Errors
    /// [`ResumeError::Dead`] when it has returned or panicked, or was closed; [`ResumeError::Running`] while the scope
    /// unwinds it.
    ///
    /// # Panics
    /// With its own panic when it panics.
    #[inline]
    pub fn try_resume(&mut self, input: In) -> Result<Step<Yield, Out>, ResumeError<In>> {
        if self.is_unwinding() {
            return Err(ResumeError::Running(input));
        }
        self.coroutine.try_resume(input)
    }

    /// As [`Coroutine::close`].
    ///
    /// # Errors
    /// The payload of a panic on the way.
    ///
    /// # Panics
    /// While the scope unwinds it.
    pub fn close(&mut self) -> thread::Result<()> {
        assert!(!self.is_unwinding(), "closed a coroutine that its scope unwinds");
        self.coroutine.close()
    }

    #[inline]
    fn is_unwinding(&self) -> bool {
        self.members.is_unwinding(self.number)
    }

    /// As [`Coroutine::status`].
    pub fn status(&self) -> Status {
        self.coroutine.status()
    }

    /// As [`Coroutine::handle`]. It may leave the scope, after which the coroutine is dead.
    pub fn handle(&self) -> Handle {
        self.coroutine.handle()
    }
}

impl<'scope, In: 'scope, Yield: 'scope, Out: 'scope> ScopedCoroutine<'scope, In, Yield, Out> {
    /// As [`Coroutine::wrap`].
    pub fn wrap(
        mut self,
    ) -> impl FnMut(In) -> Result<Step<Yield, Out>, ResumeError<In>> + use<'scope, In, Yield, Out>
    {
        move |input| self.try_resume(input)
    }
}

impl<In, Yield, Out> Drop for ScopedCoroutine<'_, In, Yield, Out> {
    fn drop(&mut self) {
        if self.is_unwinding() {
            // This may be one of its own frames.
            return;
        }
        let result = self.coroutine.close();
        self.members.remove(self.number);
        // SAFETY: it is dead, this was the last use, and the scope does not know it any more.
        unsafe { link::release(self.coroutine.link) };
        go_on_with(result);
    }
}

impl<Yield, Out> Iterator for ScopedCoroutine<'_, (), Yield, Out> {
    type Item = Yield;

    fn next(&mut self) -> Option<Yield> {
        self.try_resume(()).ok().and_then(Step::yielded)
    }
}

impl<Yield, Out> FusedIterator for ScopedCoroutine<'_, (), Yield, Out> {}

impl fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").finish_non_exhaustive()
    }
}

impl<In, Yield, Out> fmt::Debug for ScopedCoroutine<'_, In, Yield, Out> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopedCoroutine").field("status", &self.status()).finish_non_exhaustive()
    }
}
