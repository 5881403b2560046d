//! Symmetric coroutines: control goes from one to another, as with ucontext's `swapcontext`.
//!
//! They are made of asymmetric ones and a loop, the trampoline, in [`Group::enter`]: who transfers control suspends
//! with the name of the next one, and the loop resumes that. So a transfer costs a suspend, a resume and a
//! look-up, and all of this is safe code.

use super::{Coroutine, Handle, ResumeError, Status, Step, Yielder};
use std::cell::RefCell;
use std::fmt;
use std::mem;
use std::rc::{Rc, Weak};
use std::sync::atomic::{AtomicU64, Ordering};

/// Symmetric coroutines that transfer control to one another, with a value of type `T`.
///
/// What ucontext has stands here beside it:
///
/// | ucontext | here |
/// |---|---|
/// | `getcontext` | [`declare`](Group::declare) |
/// | `makecontext` | [`define`](Group::define), or [`repeat`](Group::repeat) for one that is started again and again |
/// | `uc_link` | [`link`](Group::link) |
/// | `swapcontext` outside any coroutine | [`enter`](Group::enter) |
/// | `swapcontext` inside one | [`Me::transfer`]; [`Me::leave`] goes back to whoever entered |
///
/// Dropping a group unwinds its members that are suspended.
///
/// ```
/// use fibra::coroutine::Group;
///
/// let group = Group::new();
/// let (ping, pong) = (group.declare(), group.declare());
/// group.define(ping, move |me, n: u32| {
///     let n = me.transfer(pong, n + 1).unwrap();
///     n * 10
/// });
/// group.define(pong, move |me, n| {
///     me.transfer(ping, n + 1).unwrap()
/// });
/// // ping has no successor: when it returns, whoever entered goes on.
/// assert_eq!(group.enter(ping, 1), Ok(30));
/// ```
pub struct Group<T: 'static>(Rc<Inner<T>>);

/// Names a coroutine of a [`Group`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Member {
    group: u64,
    number: usize,
}

/// What a member's body holds to transfer control.
pub struct Me<'a, T: 'static> {
    yielder: &'a Yielder<T, Request<T>>,
    group: &'a Weak<Inner<T>>,
    member: Member,
}

/// Who is to go on, or whoever entered.
struct Request<T> {
    to: Option<Member>,
    value: T,
}

type Symmetric<T> = Coroutine<T, Request<T>, T>;
type Again<T> = Rc<RefCell<dyn FnMut(&Me<'_, T>, T) -> T>>;

struct Inner<T: 'static> {
    id: u64,
    slots: RefCell<Vec<Slot<T>>>,
}

struct Slot<T: 'static> {
    coroutine: Alive<T>,
    again: Option<Again<T>>,
    successor: Option<Member>,
}

/// A member's coroutine.
enum Alive<T: 'static> {
    Dead,
    Suspended(Symmetric<T>),
    /// Whoever entered has it.
    Active(Handle),
}

impl<T: 'static> Group<T> {
    /// A group without members.
    pub fn new() -> Group<T> {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let id = LAST.fetch_add(1, Ordering::Relaxed);
        Group(Rc::new(Inner { id, slots: RefCell::default() }))
    }

    /// A member without a body: dead until it gets one.
    pub fn declare(&self) -> Member {
        let mut slots = self.0.slots.borrow_mut();
        slots.push(Slot { coroutine: Alive::Dead, again: None, successor: None });
        Member { group: self.0.id, number: slots.len() - 1 }
    }

    /// Gives a body to a member that is dead. Nothing of it runs before control comes to it.
    ///
    /// # Panics
    /// When the member is not dead, is of another group, or no stack can be had.
    pub fn define<F>(&self, member: Member, body: F)
    where
        F: FnOnce(&Me<'_, T>, T) -> T + 'static,
    {
        self.assert_dead(member);
        let coroutine = self.0.start(Rc::downgrade(&self.0), member, body);
        let old = self.0.with(member, |slot| {
            slot.coroutine = Alive::Suspended(coroutine);
            slot.again.take()
        });
        drop(old);
    }

    /// Gives a body to a member that is dead, which is started anew each time that control comes to it after it
    /// has returned. It runs on a stack of the pool each time: most likely that of the one that has ended last.
    ///
    /// # Panics
    /// When the member is not dead, or is of another group.
    pub fn repeat<F>(&self, member: Member, body: F)
    where
        F: FnMut(&Me<'_, T>, T) -> T + 'static,
    {
        self.assert_dead(member);
        let again: Again<T> = Rc::new(RefCell::new(body));
        let old = self.0.with(member, |slot| slot.again.replace(again));
        drop(old);
    }

    /// A new member with a body.
    ///
    /// # Panics
    /// When no stack can be had.
    pub fn add<F>(&self, body: F) -> Member
    where
        F: FnOnce(&Me<'_, T>, T) -> T + 'static,
    {
        let member = self.declare();
        self.define(member, body);
        member
    }

    /// Who goes on, with what it has returned, when `member` returns. Without a successor, which is how members
    /// begin, that is whoever entered.
    ///
    /// # Panics
    /// When one of them is of another group.
    pub fn link(&self, member: Member, successor: impl Into<Option<Member>>) {
        self.0.link(member, successor.into());
    }

    /// What a member is doing.
    ///
    /// # Panics
    /// When it is of another group.
    pub fn status(&self, member: Member) -> Status {
        self.0.status(member)
    }

    /// Transfers control to a member. Returns when one of them [leaves](Me::leave) or the last of a chain of
    /// successors returns, with the value of that one.
    ///
    /// # Errors
    /// [`ResumeError`], with the value, when control cannot go to `to`, or to the successor of one that returned.
    ///
    /// # Panics
    /// With the panic of a member; and when `to` is of another group.
    pub fn enter(&self, to: Member, value: T) -> Result<T, ResumeError<T>> {
        let (mut to, mut value) = (to, value);
        loop {
            let next;
            (next, value) = match self.0.run(to, value)? {
                Step::Yielded(Request { to, value }) => (to, value),
                Step::Returned(value) => (self.0.with(to, |slot| slot.successor), value),
            };
            match next {
                Some(member) => to = member,
                None => return Ok(value),
            }
        }
    }

    fn assert_dead(&self, member: Member) {
        assert!(self.status(member) == Status::Dead, "the member has a body that has not ended");
    }
}

impl<T: 'static> Default for Group<T> {
    fn default() -> Self {
        Group::new()
    }
}

impl<T: 'static> Inner<T> {
    /// No user code runs in `f`.
    fn with<R>(&self, member: Member, f: impl FnOnce(&mut Slot<T>) -> R) -> R {
        assert!(member.group == self.id, "the member is of another group");
        f(&mut self.slots.borrow_mut()[member.number])
    }

    fn status(&self, member: Member) -> Status {
        self.with(member, |slot| match &slot.coroutine {
            Alive::Dead => Status::Dead,
            Alive::Suspended(_) => Status::Suspended,
            Alive::Active(handle) if handle.status() == Status::Running => Status::Running,
            Alive::Active(_) => Status::Normal,
        })
    }

    fn link(&self, member: Member, successor: Option<Member>) {
        assert!(
            successor.is_none_or(|it| it.group == self.id),
            "the successor is of another group"
        );
        self.with(member, |slot| slot.successor = successor);
    }

    fn start<F>(&self, group: Weak<Self>, member: Member, body: F) -> Symmetric<T>
    where
        F: FnOnce(&Me<'_, T>, T) -> T + 'static,
    {
        Coroutine::new(move |yielder, value| body(&Me { yielder, group: &group, member }, value))
    }

    /// The value back, unless control can go to `member`.
    fn check(&self, member: Member, value: T) -> Result<T, ResumeError<T>> {
        match self.status(member) {
            Status::Dead if self.with(member, |slot| slot.again.is_some()) => Ok(value),
            status => ResumeError::unless_suspended(status, value),
        }
    }

    fn run(
        self: &Rc<Self>,
        member: Member,
        value: T,
    ) -> Result<Step<Request<T>, T>, ResumeError<T>> {
        let value = self.check(member, value)?;
        let coroutine = self.take(member);
        let mut running = Running { coroutine: Some(coroutine), group: self, member };
        match &mut running.coroutine {
            Some(coroutine) => coroutine.try_resume(value),
            None => unreachable!("it is put back at the end only"),
        }
    }

    /// The coroutine of a member that control can go to.
    fn take(self: &Rc<Self>, member: Member) -> Symmetric<T> {
        let again = self.with(member, |slot| slot.again.clone());
        let fresh = again.filter(|_| self.status(member) == Status::Dead).map(|again| {
            let body = move |me: &Me<'_, T>, value| again.borrow_mut()(me, value);
            self.start(Rc::downgrade(self), member, body)
        });
        self.with(member, |slot| match (fresh, mem::replace(&mut slot.coroutine, Alive::Dead)) {
            (Some(coroutine), _) | (None, Alive::Suspended(coroutine)) => {
                slot.coroutine = Alive::Active(coroutine.handle());
                coroutine
            }
            (None, Alive::Dead | Alive::Active(_)) => unreachable!("control cannot go there"),
        })
    }
}

/// A member's coroutine while it is resumed; goes back to its slot then, unless it is dead.
struct Running<'a, T: 'static> {
    coroutine: Option<Symmetric<T>>,
    group: &'a Inner<T>,
    member: Member,
}

impl<T: 'static> Drop for Running<'_, T> {
    fn drop(&mut self) {
        let (alive, dead): (Option<_>, Option<_>) = match self.coroutine.take() {
            Some(coroutine) if coroutine.status() != Status::Dead => (Some(coroutine), None),
            dead => (None, dead),
        };
        self.group.with(self.member, |slot| {
            slot.coroutine = alive.map_or(Alive::Dead, Alive::Suspended);
        });
        drop(dead);
    }
}

impl<T: 'static> Me<'_, T> {
    /// The name of this member.
    pub fn member(&self) -> Member {
        self.member
    }

    /// Stops here and transfers control to another member; goes on when control comes back, from whomever, with
    /// the value that came along.
    ///
    /// # Errors
    /// [`ResumeError`], with the value and at once, unless `to` is suspended.
    ///
    /// # Panics
    /// When `to` is of another group, or the caller does not run on this member's own frames.
    pub fn transfer(&self, to: Member, value: T) -> Result<T, ResumeError<T>> {
        let value = match self.group.upgrade() {
            Some(group) => group.check(to, value)?,
            // It is being dropped.
            None => return Err(ResumeError::Dead(value)),
        };
        Ok(self.yielder.suspend(Request { to: Some(to), value }))
    }

    /// Stops here and gives `value` to whoever entered the group; goes on as after [`transfer`](Self::transfer).
    ///
    /// # Panics
    /// When the caller does not run on this member's own frames.
    pub fn leave(&self, value: T) -> T {
        self.yielder.suspend(Request { to: None, value })
    }

    /// Sets this member's successor, as [`Group::link`].
    ///
    /// # Panics
    /// When that is of another group.
    pub fn link(&self, successor: impl Into<Option<Member>>) {
        if let Some(group) = self.group.upgrade() {
            group.link(self.member, successor.into());
        }
    }
}

impl<T: 'static> fmt::Debug for Group<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group")
            .field("members", &self.0.slots.borrow().len())
            .finish_non_exhaustive()
    }
}

impl<T: 'static> fmt::Debug for Me<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Me").field("member", &self.member).finish_non_exhaustive()
    }
}
