//! Coroutines with several owners.

use super::{Coroutine, Handle, ResumeError, Status, Step, link};
use std::cell::Cell;
use std::fmt;
use std::rc::Rc;
use std::thread;

/// A coroutine that several share, and that may be its own owner: any of them may resume it when it is
/// suspended. As it is not borrowed meanwhile, resuming one that is active must be possible, and is an error.
///
/// One that owns itself is never dropped, as always with [`Rc`].
///
/// ```
/// use fibra::coroutine::{Coroutine, RcCoroutine, ResumeError, Status, Step};
/// use std::cell::OnceCell;
/// use std::rc::Rc;
///
/// let itself = Rc::new(OnceCell::<RcCoroutine<u32, u32, ()>>::new());
/// let inside = Rc::downgrade(&itself);
/// let c = RcCoroutine::from(Coroutine::new(move |y, _| {
///     let me = inside.upgrade().unwrap();
///     assert_eq!(me.get().unwrap().resume(7), Err(ResumeError::Running(7)));
///     drop(me);
///     y.suspend(1);
/// }));
/// itself.set(c.clone()).unwrap();
/// assert_eq!(c.resume(0), Ok(Step::Yielded(1)));
/// assert_eq!(c.resume(0), Ok(Step::Returned(())));
/// assert_eq!(c.resume(3), Err(ResumeError::Dead(3)));
/// assert_eq!(c.status(), Status::Dead);
/// ```
pub struct RcCoroutine<In, Yield, Out>(Rc<Shared<In, Yield, Out>>);

struct Shared<In, Yield, Out> {
    coroutine: Coroutine<In, Yield, Out>,
    /// It is being resumed or closed.
    active: Cell<bool>,
}

/// The right to run the coroutine, which it keeps alive: it may drop its other owners.
struct Running<In, Yield, Out>(Rc<Shared<In, Yield, Out>>);

impl<In, Yield, Out> Running<In, Yield, Out> {
    /// The caller has seen that it is not active.
    fn begin(shared: &Rc<Shared<In, Yield, Out>>) -> Self {
        shared.active.set(true);
        Running(shared.clone())
    }
}

impl<In, Yield, Out> Drop for Running<In, Yield, Out> {
    fn drop(&mut self) {
        self.0.active.set(false);
    }
}

impl<In, Yield, Out> RcCoroutine<In, Yield, Out> {
    /// Runs it until it suspends or returns, or says why it cannot.
    ///
    /// # Errors
    /// [`ResumeError`], with the input, unless it is suspended.
    ///
    /// # Panics
    /// With its own panic when it panics.
    pub fn resume(&self, input: In) -> Result<Step<Yield, Out>, ResumeError<In>> {
        let input = ResumeError::unless_suspended(self.status(), input)?;
        let running = Running::begin(&self.0);
        // SAFETY: it is one of these types, and cannot be sent to another thread. It was not active, nobody else
        // can make it so, and we own it until it stops.
        unsafe { link::resume(&mut { running.0.coroutine.link }, input) }
    }

    /// Unwinds it unless it is dead, as [`Coroutine::close`]. `None` when it is active: nobody can unwind
    /// frames that run or wait.
    pub fn close(&self) -> Option<thread::Result<()>> {
        match self.status() {
            Status::Running | Status::Normal => None,
            Status::Suspended | Status::Dead => {
                let running = Running::begin(&self.0);
                // SAFETY: as in `resume`.
                Some(unsafe { link::close::<Yield, Out>(running.0.coroutine.link) })
            }
        }
    }

    /// What it is doing.
    pub fn status(&self) -> Status {
        match self.0.coroutine.status() {
            // In another goroutine, which is parked; or it has not begun to unwind.
            Status::Suspended if self.0.active.get() => Status::Normal,
            status => status,
        }
    }

    /// A way to look at it that does not keep it.
    pub fn handle(&self) -> Handle {
        self.0.coroutine.handle()
    }
}

impl<In, Yield, Out> From<Coroutine<In, Yield, Out>> for RcCoroutine<In, Yield, Out> {
    fn from(coroutine: Coroutine<In, Yield, Out>) -> Self {
        RcCoroutine(Rc::new(Shared { coroutine, active: Cell::new(false) }))
    }
}

impl<In, Yield, Out> Clone for RcCoroutine<In, Yield, Out> {
    fn clone(&self) -> Self {
        RcCoroutine(self.0.clone())
    }
}

impl<In, Yield, Out> fmt::Debug for RcCoroutine<In, Yield, Out> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RcCoroutine").field("status", &self.status()).finish_non_exhaustive()
    }
}
