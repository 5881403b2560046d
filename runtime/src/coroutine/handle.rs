//! Looking at a coroutine from wherever one is.
//!
//! Which coroutine the caller runs on follows from the stack pointer: each stack carries a label that says
//! who runs there (`stack/overflow.rs`), and each coroutine's label has the link as its subject. The link knows
//! where its resumer waits, so that the stack pointer of the next one out is found there, and so on: the chain of
//! active coroutines. So nobody keeps a record of it, and a switch costs nothing for it.

use super::link::{self, Link, Resumer};
use super::{Coroutine, Status, Yielder, memory};
use crate::arch;
use crate::stack::{self, Describe, SignalWriter};
use std::cell::Cell;
use std::fmt;
use std::num::NonZeroU64;
use std::ptr::{self, NonNull};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The number of a coroutine. None is given twice in one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CoroutineId(NonZeroU64);

impl CoroutineId {
    fn next() -> CoroutineId {
        static LAST: AtomicU64 = AtomicU64::new(0);
        // 2⁶⁴ do not happen.
        let next = LAST.fetch_add(1, Ordering::Relaxed) + 1;
        CoroutineId(NonZeroU64::new(next).unwrap_or(NonZeroU64::MAX))
    }
}

impl fmt::Display for CoroutineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a coroutine's handles share.
pub(super) struct Life {
    /// Until the coroutine is gone.
    link: Cell<Option<NonNull<Link>>>,
    id: CoroutineId,
    name: Option<Rc<str>>,
}

impl Life {
    pub(super) fn end(&self) {
        self.link.set(None);
    }
}

/// A way to look at a coroutine, also from inside it and after its end. A clone of it is cheap; it stays on
/// its thread.
///
/// ```
/// use fibra::coroutine::{self, Coroutine, Status};
///
/// let outer = coroutine::running();
/// assert!(outer.is_none(), "this is no coroutine");
///
/// let mut c = Coroutine::new(|y, ()| {
///     let me = coroutine::running().unwrap();
///     let nested = me.clone();
///     let mut inner = Coroutine::new(move |_: &coroutine::Yielder<(), ()>, ()| nested.status());
///     y.suspend(me.status());
///     let coroutine::Step::Returned(from_inside) = inner.resume(()) else { unreachable!() };
///     y.suspend(from_inside);
/// });
/// let handle = c.handle();
/// assert_eq!(handle.status(), Status::Suspended);
/// assert_eq!(c.next(), Some(Status::Running));
/// assert_eq!(c.next(), Some(Status::Normal));
/// drop(c);
/// assert_eq!(handle.status(), Status::Dead);
/// ```
#[derive(Clone)]
pub struct Handle(Rc<Life>);

impl Handle {
    pub(super) fn of(link: &Link) -> Handle {
        let extra = link.extra();
        let life = extra.life.get_or_init(|| {
            Rc::new(Life {
                link: Cell::new(Some(NonNull::from(link))),
                id: CoroutineId::next(),
                name: extra.name.clone(),
            })
        });
        Handle(life.clone())
    }

    /// What the coroutine is doing. Looks from one's own goroutine, or thread: one that is active in another
    /// goroutine, which is parked, is taken for suspended.
    pub fn status(&self) -> Status {
        match self.0.link.get() {
            // SAFETY: the link is valid until the coroutine is released, which empties the cell first. Both
            // happen on this thread: neither a coroutine nor a handle can be sent.
            Some(link) => status_of(unsafe { link.as_ref() }),
            None => Status::Dead,
        }
    }

    /// Its number, for the life of the process.
    pub fn id(&self) -> CoroutineId {
        self.0.id
    }

    /// The name that was given to its builder.
    pub fn name(&self) -> Option<&str> {
        self.0.name.as_deref()
    }
}

/// Handles of the same coroutine are equal.
impl PartialEq for Handle {
    fn eq(&self, other: &Handle) -> bool {
        self.id() == other.id()
    }
}

impl Eq for Handle {}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("id", &self.id())
            .field("name", &self.name())
            .field("status", &self.status())
            .finish()
    }
}

impl<In, Yield, Out> Coroutine<In, Yield, Out> {
    /// A way to look at it from elsewhere.
    pub fn handle(&self) -> Handle {
        Handle::of(self.link())
    }
}

impl<In, Yield> Yielder<In, Yield> {
    /// A way to look at the coroutine from elsewhere.
    pub fn handle(&self) -> Handle {
        Handle::of(self.link())
    }
}

/// The coroutine that the caller runs in, the innermost one; `None` in a goroutine or on a thread outside any
/// coroutine. Takes no longer than a short walk over a few regions of memory, so it is not for the innermost
/// loop.
pub fn running() -> Option<Handle> {
    // SAFETY: it runs, so its link is valid; the reference does not leave this expression.
    running_link().map(|link| Handle::of(unsafe { link.as_ref() }))
}

/// Whether the caller runs in a coroutine, so that somebody there could suspend.
pub fn is_yieldable() -> bool {
    running_link().is_some()
}

/// The link of the coroutine that the caller runs on.
pub(super) fn running_link() -> Option<NonNull<Link>> {
    link_at(arch::stack_pointer())
}

/// The link of the coroutine on whose stack this is, the caller's stack pointer or that of one who waits.
fn link_at(stack_pointer: usize) -> Option<NonNull<Link>> {
    let link = match stack::label_at(stack_pointer) {
        Some((describe, link)) => ptr::fn_addr_eq(describe, label()).then_some(link)?,
        None => memory::link_at(stack_pointer)?,
    };
    NonNull::new(link.cast_mut().cast())
}

pub(super) fn status_of(link: &Link) -> Status {
    if link.dead.get() {
        return Status::Dead;
    }
    let wanted = NonNull::from(link);
    let running = running_link();
    let mut active = running;
    while let Some(link) = active {
        if link == wanted {
            return if active == running { Status::Running } else { Status::Normal };
        }
        // SAFETY: whoever is in the chain is active, so its link is valid, and its resumer waits.
        active = match unsafe { link::resumer(link) } {
            Resumer::At(stack_pointer) => link_at(stack_pointer),
            Resumer::Coroutine(link) => Some(link),
        };
    }
    Status::Suspended
}

/// The label of a coroutine's stack.
// One place only takes the function's address: that of two copies would differ.
#[inline(never)]
pub(super) fn label() -> Describe {
    describe
}

/// # Safety
/// `subject` is the [`Link`] of the coroutine on the stack that carries the label.
unsafe fn describe(subject: *const (), out: &mut SignalWriter) {
    // SAFETY: by the contract above; the name is not changed after the label was set.
    let extra = unsafe { (*subject.cast::<Link>()).extra.get() };
    match extra.and_then(|extra| extra.name.as_deref()) {
        Some(name) => {
            out.str("coroutine '");
            out.str(name);
            out.str("'");
        }
        None => out.str("a coroutine"),
    }
}
