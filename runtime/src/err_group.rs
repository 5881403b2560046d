//! Goroutines that work on one thing, and the first error of any of them.

use crate::chan::{self, Receiver, Sender};
use crate::context::{CancelGuard, CancelHandle, Cause, Context};
use crate::goroutine::Cancelled;
use crate::primitive::Locked;
use crate::primitive::atomic::{AtomicBool, Ordering};
use crate::sync::WaitGroup;
use std::any::Any;
use std::error::Error;
use std::fmt;
use std::mem;
use std::panic::{self, AssertUnwindSafe, RefUnwindSafe, UnwindSafe};
use std::sync::Arc;

type Payload = Box<dyn Any + Send>;

/// A group of goroutines, its members, that work on one thing: [`wait`](Self::wait) waits for all of them, and
/// gives the first error.
///
/// Members must not borrow: for that there is [`scope`](crate::scope). They are not cancelled by one another's
/// errors, but they may watch a [context](Self::with_context) that is.
///
/// Dropping a group without waiting leaves its members running. Their errors are lost then, and their panics are
/// reported like that of any goroutine that nobody joins.
///
/// ```
/// use fibra::ErrGroup;
///
/// let group = ErrGroup::new();
/// for text in ["1", "2", "three"] {
///     group.go(move || text.parse::<u32>().map(|number| println!("{number}")));
/// }
/// assert_eq!(group.wait().unwrap_err().to_string(), "invalid digit found in string");
/// ```
pub struct ErrGroup<E = Box<dyn Error + Send + Sync>> {
    shared: Arc<Shared<E>>,
    /// A bounded channel: whoever begins puts something in, and takes something out at its end.
    places: Option<(Sender<()>, Receiver<()>)>,
}

/// What the members share with the group.
struct Shared<E> {
    members: WaitGroup,
    failures: Locked<Failures<E>>,
    context: Option<Watched<E>>,
    /// Nobody waits any more.
    dropped: AtomicBool,
}

/// The first of each.
struct Failures<E> {
    error: Option<E>,
    panic: Option<Payload>,
}

/// A context to be cancelled, and how to tell why.
struct Watched<E> {
    handle: CancelHandle,
    cause: fn(&E) -> Cause,
}

impl<E: Send + 'static> ErrGroup<E> {
    /// A group without members.
    #[must_use]
    pub fn new() -> ErrGroup<E> {
        ErrGroup::with(None)
    }

    fn with(context: Option<Watched<E>>) -> ErrGroup<E> {
        ErrGroup {
            shared: Arc::new(Shared {
                members: WaitGroup::new(),
                failures: Locked::new(Failures { error: None, panic: None }),
                context,
                dropped: AtomicBool::new(false),
            }),
            places: None,
        }
    }

    /// Lets at most so many members run at the same time: [`go`](Self::go) then waits for a free place. To be
    /// called first: members that were added before do not count.
    ///
    /// # Panics
    /// When `places` is zero: nobody could ever begin.
    ///
    /// ```
    /// use std::sync::atomic::{AtomicU32, Ordering};
    ///
    /// static RUNNING: AtomicU32 = AtomicU32::new(0);
    ///
    /// let group = fibra::ErrGroup::new().limit(4);
    /// for _ in 0..100 {
    ///     group.go(|| {
    ///         assert!(RUNNING.fetch_add(1, Ordering::SeqCst) < 4);
    ///         fibra::yield_now();
    ///         RUNNING.fetch_sub(1, Ordering::SeqCst);
    ///         Ok::<(), ()>(())
    ///     });
    /// }
    /// group.wait().unwrap();
    /// ```
    #[must_use]
    pub fn limit(mut self, places: usize) -> ErrGroup<E> {
        assert!(places > 0, "an ErrGroup without a place for a member");
        self.places = Some(chan::bounded(places));
        self
    }

    /// Adds a member: spawns a goroutine that runs `f`. With a [limit](Self::limit) this waits for a free place.
    ///
    /// A goroutine that is cancelled while it waits unwinds, and `f` is dropped.
    ///
    /// # Panics
    /// When it cannot be spawned: see [`spawn`](crate::spawn).
    #[track_caller]
    pub fn go<F>(&self, f: F)
    where
        F: FnOnce() -> Result<(), E> + Send + 'static,
    {
        let place = self.places.as_ref().map(|(begins, ends)| match begins.send(()) {
            Ok(()) => Place(ends.clone()),
            Err(_closed) => unreachable!("both ends are here"),
        });
        self.start(place, f);
    }

    /// [`go`](Self::go) that does not wait: when no place is free, `f` is dropped, and this gives false.
    ///
    /// # Panics
    /// As for [`go`](Self::go).
    ///
    /// ```
    /// let group = fibra::ErrGroup::<()>::new().limit(1);
    /// let (tx, rx) = fibra::chan::bounded::<()>(0);
    /// assert!(group.try_go(move || rx.recv().map_err(|_| ())));
    /// assert!(!group.try_go(|| Ok(()))); // the first one waits
    /// tx.send(()).unwrap();
    /// group.wait().unwrap();
    /// ```
    #[track_caller]
    #[must_use = "says whether there was a free place"]
    pub fn try_go<F>(&self, f: F) -> bool
    where
        F: FnOnce() -> Result<(), E> + Send + 'static,
    {
        let place = match &self.places {
            None => None,
            Some((begins, ends)) if begins.try_send(()).is_ok() => Some(Place(ends.clone())),
            Some(_) => return false,
        };
        self.start(place, f);
        true
    }

    #[track_caller]
    fn start<F>(&self, place: Option<Place>, f: F)
    where
        F: FnOnce() -> Result<(), E> + Send + 'static,
    {
        let member = Member { shared: self.shared.clone(), ended: false, _place: place };
        let job = Job { f, member };
        self.shared.members.go(|| job.run());
    }

    /// Waits until all members have ended. A context made with the group is cancelled when this returns.
    ///
    /// A goroutine that is cancelled while it waits unwinds. The members go on, but their context is cancelled.
    ///
    /// # Errors
    /// The first error of a member.
    ///
    /// # Panics
    /// When a member panicked, with the first such panic, rather than an error. A member that was cancelled,
    /// because its runtime shut down, counts as one that panicked with [`Cancelled`].
    pub fn wait(self) -> Result<(), E> {
        let handle = self.shared.context.as_ref().map(|context| context.handle.clone());
        let _cancel: Option<CancelGuard> = handle.map(CancelHandle::into_guard);
        self.shared.members.wait();
        let none = Failures { error: None, panic: None };
        let failures = mem::replace(&mut *self.shared.failures.lock(), none);
        match failures {
            Failures { panic: Some(payload), .. } => panic::resume_unwind(payload),
            Failures { error: Some(error), .. } => Err(error),
            _ => Ok(()),
        }
    }
}

impl<E: fmt::Display + Send + 'static> ErrGroup<E> {
    /// A group, and a context derived from `cx` for its members to watch. The first error or panic of a member
    /// cancels it, with that error as its [cause](Context::cause), and so does the end of [`wait`](Self::wait).
    ///
    /// The error itself goes to who waits; the cause says the same. Only an `E` that is a [`Cause`] is shared.
    ///
    /// ```
    /// use fibra::ErrGroup;
    /// use fibra::context::Context;
    ///
    /// let (group, cx) = ErrGroup::with_context(&Context::background());
    /// let watching = cx.clone();
    /// group.go(move || {
    ///     let _ended = watching.done().recv(); // instead of working for ever
    ///     Ok(())
    /// });
    /// group.go(|| Err("out of paper"));
    /// assert_eq!(group.wait(), Err("out of paper"));
    /// assert_eq!(cx.cause().unwrap().to_string(), "out of paper");
    /// ```
    #[must_use]
    pub fn with_context(cx: &Context) -> (ErrGroup<E>, Context) {
        let (context, handle) = cx.with_cancel();
        (ErrGroup::with(Some(Watched { handle, cause: cause_of })), context)
    }
}

/// The cause that says what the error says.
fn cause_of<E: fmt::Display + 'static>(error: &E) -> Cause {
    match (error as &dyn Any).downcast_ref::<Cause>() {
        Some(cause) => cause.clone(),
        None => text_cause(error.to_string()),
    }
}

fn text_cause(text: String) -> Cause {
    Cause::from(Box::<dyn Error + Send + Sync>::from(text))
}

/// What the goroutine of a member runs. By the order of the fields the member ends last.
struct Job<F, E> {
    f: F,
    member: Member<E>,
}

impl<F: FnOnce() -> Result<(), E>, E> Job<F, E> {
    fn run(self) {
        let Job { f, mut member } = self;
        member.ended = true;
        let shared = &*member.shared;
        // What the error says is asked here, so that a panic in that is one of the member, too.
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| {
            f().map_err(|error| {
                let cause = shared.context.as_ref().map(|context| (context.cause)(&error));
                (error, cause)
            })
        }));
        match outcome {
            Ok(Ok(())) => {}
            Ok(Err((error, cause))) => shared.failed(error, cause),
            Err(payload) => {
                if let Some(payload) = shared.panicked(payload) {
                    drop(member);
                    panic::resume_unwind(payload);
                }
            }
        }
    }
}

impl<E> Shared<E> {
    fn failed(&self, error: E, cause: Option<Cause>) {
        let mut failures = self.failures.lock();
        if failures.error.is_none() {
            failures.error = Some(error);
            drop(failures);
            self.cancel(cause);
        } else {
            drop(failures);
            // Not the first one: it is dropped, but not under the lock.
            drop(error);
        }
    }

    /// Gives the payload back when nobody will get it from `wait`.
    fn panicked(&self, payload: Payload) -> Option<Payload> {
        self.cancel(self.context.as_ref().map(|_| panic_cause(&*payload)));
        let mut failures = self.failures.lock();
        if failures.panic.is_some() || self.dropped.load(Ordering::Relaxed) {
            return Some(payload);
        }
        failures.panic = Some(payload);
        None
    }

    fn cancel(&self, cause: Option<Cause>) {
        if let (Some(context), Some(cause)) = (&self.context, cause) {
            context.handle.cancel_cause(cause);
        }
    }
}

fn panic_cause(payload: &(dyn Any + Send)) -> Cause {
    let text = payload.downcast_ref::<&str>().copied();
    text_cause(match text.or_else(|| payload.downcast_ref().map(String::as_str)) {
        Some(text) => format!("a member of the group panicked: {text}"),
        None if payload.is::<Cancelled>() => String::from("a member of the group was cancelled"),
        None => String::from("a member of the group panicked"),
    })
}

/// One member, until its end.
struct Member<E> {
    shared: Arc<Shared<E>>,
    /// It was run, and tells itself how that ended.
    ended: bool,
    _place: Option<Place>,
}

impl<E> Drop for Member<E> {
    fn drop(&mut self) {
        if !self.ended {
            // Its closure is dropped instead of being run.
            let _nobody_waits = self.shared.panicked(Box::new(Cancelled(())));
        }
    }
}

/// A place that is taken.
struct Place(Receiver<()>);

impl Drop for Place {
    fn drop(&mut self) {
        let _taken = self.0.try_recv();
    }
}

impl<E: Send + 'static> Default for ErrGroup<E> {
    fn default() -> ErrGroup<E> {
        ErrGroup::new()
    }
}

impl<E> Drop for ErrGroup<E> {
    fn drop(&mut self) {
        self.shared.dropped.store(true, Ordering::Relaxed);
    }
}

impl<E> fmt::Debug for ErrGroup<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ErrGroup { .. }")
    }
}

impl<E> UnwindSafe for ErrGroup<E> {}
impl<E> RefUnwindSafe for ErrGroup<E> {}
