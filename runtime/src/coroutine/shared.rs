//! Coroutines that take turns on one stack: what each has on it is copied out when another one needs the place.
//!
//! A suspended coroutine has few frames, a few hundred bytes of them, but its stack takes a page at least. With a
//! shared stack it takes those bytes. The idea and the laziness are libco's: nothing is copied before another
//! coroutine comes, so one that is resumed again and again stays where it is.
//!
//! # How it is laid out
//!
//! ```text
//!   heap                                    shared stack          mover's stack
//!         | saved frames |  <-- copies -->  | label     |         | come, go  |
//!                                           | enter     |
//!         | Member       |  Rc to the stack |  closure's|
//!         |   Link       | <- Coroutine     |  frames   |
//!         | closure      |                  |           |
//! ```
//!
//! # Who copies
//!
//! Whoever resumes or suspends does not know of any of this. The contexts that they switch to are replaced: in
//! place of a member's own stands [`come`], in place of its resumer's [`go`]. Both run on a small stack of their
//! own, the mover's, because frames cannot be copied by somebody who stands on them. They put things in order and
//! go on where the switch should have led to.
//!
//! # Who may be there
//!
//! | | its frames | the stack's `occupant`, `active` |
//! |---|---|---|
//! | not started | none | |
//! | away | in `saved` | |
//! | suspended in place | on the stack | it, nobody |
//! | active | on the stack | it, it |
//! | waits for its guest | in `saved` | the guest, the guest |
//!
//! An active coroutine must stay in place, with one exception: when it resumes another one on the same stack, its
//! *guest*, it cannot go on before that one stops, and is moved out until then. Its frames then begin at the
//! stack pointer of the guest's resumer. If it waits in any other way (its goroutine is parked, or it resumed a
//! coroutine elsewhere which now resumes one here), nobody notes where its frames begin or when it goes on; so
//! the stack is in use. Whoever would come is refused: [`come`] turns back. One that is dropped then is put off, and
//! unwound when the next one goes for good and nobody is active.
//!
//! # Values that travel
//!
//! Large ones lie on the frames of the side that stops, and the other side moves them out before anything else. That
//! side's frames are in place at this moment, as nobody else can have come; but for a guest and its host, who
//! have the same place. There the copy is read instead: the movers put the word right, if it is an address, and see
//! to it that the copy is aligned.

use super::builder::Builder;
use super::layout::{closure_below, is_inline};
use super::link::{Link, REFUSED, Resumer};
use super::saved::Saved;
use super::{Coroutine, Yielder, annotate, go_on_with, handle, word};
use crate::arch::{self, Context, Pair, Word};
use crate::stack::{self, Stack, StackSize};
use std::alloc::{self, Layout};
use std::cell::{Cell, RefCell, UnsafeCell};
use std::fmt;
use std::io;
use std::mem;
use std::ptr::{self, NonNull};
use std::rc::Rc;
use std::thread;

/// As the System V ABI aligns a stack.
const FRAME_ALIGN: usize = 16;
/// More than any type in practice wants; what lies on a host's or guest's frames is read from the copy.
const VALUE_ALIGN: usize = 128;

/// A stack for any number of coroutines that are not active at the same time.
///
/// Made for many that are suspended for long: each takes a few hundred bytes instead of a page or more. A resume
/// costs some tens of nanoseconds, and two copies of as much memory as the frames take when it was another
/// coroutine's turn before. Coroutines may be spread over several such stacks, so that those which often take
/// turns do not get into each other's way.
///
/// Clones stand for the same stack. It belongs to the thread that made it. It goes back to the pool with its last
/// clone and its last coroutine.
///
/// See [`Coroutine::on_shared_stack`].
#[derive(Clone)]
pub struct SharedStack(Rc<Shared>);

struct Shared {
    stack: Stack,
    mover: Stack,
    /// Whose frames lie on the stack.
    occupant: Cell<Option<NonNull<Member>>>,
    /// Who runs or waits on it.
    active: Cell<Option<NonNull<Member>>>,
    /// Coroutines that were dropped while the stack was in use.
    put_off: RefCell<Vec<PutOff>>,
    /// Those are being ended.
    catching_up: Cell<bool>,
}

struct PutOff {
    link: NonNull<Link>,
    end: unsafe fn(NonNull<Link>) -> thread::Result<()>,
}

/// A coroutine on a shared stack, apart from its frames.
#[repr(C)]
pub(super) struct Member {
    /// Comes first: its address is that of the member.
    link: Link,
    shared: Rc<Shared>,
    /// Where the coroutine stopped; its link has [`come`] there.
    own: UnsafeCell<Context>,
    /// Where its resumer waits, while it is active; its link has [`go`] there.
    resumer: UnsafeCell<Context>,
    /// The coroutine on the same stack that resumed it, if it is one.
    host: Cell<Option<NonNull<Member>>>,
    saved: UnsafeCell<Saved>,
    /// Whether inputs travel as their addresses.
    input_is_address: bool,
    /// Whether what it yields does.
    yield_is_address: bool,
    /// The heap block that the member and its closure lie in.
    block: NonNull<u8>,
    layout: Layout,
}

impl SharedStack {
    /// A stack of so many bytes, rounded up to a power of two. It comes from the pool that all coroutines and
    /// goroutines have.
    ///
    /// # Errors
    /// `InvalidInput` for a size that cannot be, and what the system says when no stack can be had.
    pub fn new(bytes: usize) -> io::Result<SharedStack> {
        let size = StackSize::new(bytes)?;
        stack::ensure_alternate_stack();
        let stack = stack::acquire(size)?;
        let mover = match stack::acquire(StackSize::MIN) {
            Ok(mover) => mover,
            Err(error) => {
                stack::release_batch(Some(stack));
                return Err(error);
            }
        };
        Ok(SharedStack(Rc::new(Shared {
            stack,
            mover,
            occupant: Cell::new(None),
            active: Cell::new(None),
            put_off: RefCell::default(),
            catching_up: Cell::new(false),
        })))
    }
}

impl fmt::Debug for SharedStack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedStack").field("size", &self.0.stack.size()).finish_non_exhaustive()
    }
}

impl<In, Yield, Out> Coroutine<In, Yield, Out> {
    /// A coroutine on a shared stack. While it is suspended, its frames give way to those of others: then they are
    /// copied out, and back to the same addresses before it goes on.
    ///
    /// It behaves as any other one. Only, while a coroutine of the same stack is active, it cannot be resumed by
    /// anybody but that one: [`ResumeError::StackInUse`](super::ResumeError::StackInUse). If it is dropped then,
    /// it is unwound later: when a coroutine of this stack is dropped and none is active.
    ///
    /// ```
    /// use fibra::coroutine::{Coroutine, SharedStack, Step, Yielder};
    ///
    /// let stack = SharedStack::new(64 * 1024)?;
    /// let mut counters: Vec<_> = (0..1000)
    ///     .map(|i| {
    ///         let body = move |y: &Yielder<u32, u32>, mut n: u32| {
    ///             while n < 100 {
    ///                 n += y.suspend(n + i);
    ///             }
    ///         };
    ///         // SAFETY: nothing but the body's own frames points into them.
    ///         unsafe { Coroutine::on_shared_stack(&stack, body) }
    ///     })
    ///     .collect();
    /// for n in 1..10 {
    ///     for (i, counter) in (0..).zip(&mut counters) {
    ///         assert_eq!(counter.resume(1), Step::Yielded(n + i));
    ///     }
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Safety
    /// From when it suspends until it goes on, and while it waits for a coroutine on the same stack that it has
    /// resumed itself, its frames may lie elsewhere, and others in their place:
    ///
    /// * Nothing outside of its frames uses a pointer or reference into them then. Pointers within them are good,
    ///   and so are those into memory that the frames own, such as a `Vec`'s. Examples of what points into
    ///   frames from outside: what a scope of threads, goroutines or coroutines lends (`fibra::scope`,
    ///   [`coroutine::scope`](super::scope)); a future in a `pin!` whose wakers, lists or I/O know its address; a
    ///   wait that another thread or signal handler ends through a node on the frame; an address that was
    ///   yielded or put into a static.
    /// * The coroutine's [`Yielder`] is used on its own frames only: nobody hands the reference to another
    ///   coroutine on the same stack.
    ///
    /// While it is parked *inside* a goroutine (it sleeps, receives, locks), it is active and stays in place: this
    /// is no suspension.
    pub unsafe fn on_shared_stack<F>(stack: &SharedStack, body: F) -> Self
    where
        F: FnOnce(&Yielder<In, Yield>, In) -> Out + 'static,
        In: 'static,
        Yield: 'static,
        Out: 'static,
    {
        // SAFETY: by the contract above.
        unsafe { Coroutine::builder().build_on_shared_stack(stack, body) }
    }
}

impl Builder {
    /// As [`Coroutine::on_shared_stack`], with the builder's name. Its stack and stack size do not count.
    ///
    /// # Safety
    /// As for [`Coroutine::on_shared_stack`].
    pub unsafe fn build_on_shared_stack<In, Yield, Out, F>(
        self,
        stack: &SharedStack,
        body: F,
    ) -> Coroutine<In, Yield, Out>
    where
        F: FnOnce(&Yielder<In, Yield>, In) -> Out + 'static,
        In: 'static,
        Yield: 'static,
        Out: 'static,
    {
        stack::ensure_alternate_stack();
        let link = Member::place_new(stack.0.clone(), body);
        if let Some(name) = self.name {
            // SAFETY: the link was just written, and nothing else refers to it yet.
            let link = unsafe { &mut *link.as_ptr() };
            link.set_name(name.into());
        }
        // SAFETY: it was just made, from a body of these types that borrows nothing.
        unsafe { Coroutine::from_link(link) }
    }
}

/// Whether the caller could bring the coroutine to its stack now.
///
/// # Safety
/// The link is valid, and that of a member.
pub(super) unsafe fn is_free(link: NonNull<Link>) -> bool {
    // SAFETY: by the contract above.
    let shared = unsafe { &link.cast::<Member>().as_ref().shared };
    shared.is_free(arch::stack_pointer())
}

/// The resumer has noticed that the coroutine could not go on: it is suspended as before.
///
/// # Safety
/// The link is valid, and the coroutine stopped with [`REFUSED`].
#[cold]
pub(super) unsafe fn was_refused(link: NonNull<Link>) {
    // SAFETY: by the contract above; nobody switches meanwhile.
    unsafe {
        let member = link.cast::<Member>().as_ref();
        member.link.dead.set(false);
        if (*member.own.get()).stack_pointer() == member.shared.stack.top().addr() {
            // It has not started, and should not look as if it had been resumed.
            (*member.link.pair.get()).replace_resumer(Context::empty());
        }
    }
}

/// Has a coroutine that is being dropped ended later, if it must be unwound and cannot be now.
///
/// # Safety
/// * The link is valid, that of a member, and fit for `end`.
/// * After `true` nobody else uses it.
pub(super) unsafe fn put_off(
    link: NonNull<Link>,
    end: unsafe fn(NonNull<Link>) -> thread::Result<()>,
) -> bool {
    // SAFETY: by the contract above.
    let member = unsafe { link.cast::<Member>().as_ref() };
    // SAFETY: the same; nobody switches meanwhile.
    unsafe {
        let has_frames = !member.link.dead.get() && (*member.link.pair.get()).was_resumed();
        if !has_frames || is_free(link) {
            return false;
        }
    }
    member.shared.put_off.borrow_mut().push(PutOff { link, end });
    true
}

/// Gives back all that a dead coroutine has.
///
/// # Safety
/// It is dead and a member, and the link is not used again.
pub(super) unsafe fn release(link: NonNull<Link>) {
    let place = link.cast::<Member>();
    // SAFETY: by the contract above it is read once.
    let Member { link, shared, saved, block, layout, .. } = unsafe { place.as_ptr().read() };
    if shared.occupant.get() == Some(place) {
        shared.occupant.set(None);
        shared.stack.clear_label();
    }
    let memory = link.extra.into_inner().and_then(|extra| extra.end());
    debug_assert!(memory.is_none(), "its stack is the shared one");
    drop(saved);
    // SAFETY: the block was allocated with this layout, and what lay in it was moved out above or run.
    unsafe { alloc::dealloc(block.as_ptr(), layout) };
    shared.catch_up();
}

/// Who waits for a member that is active.
///
/// # Safety
/// The link is valid, and that of a member.
pub(super) unsafe fn resumer(link: NonNull<Link>) -> Resumer {
    // SAFETY: by the contract above; nobody switches meanwhile.
    unsafe {
        let member = link.cast::<Member>().as_ref();
        match member.host.get() {
            Some(host) => Resumer::Coroutine(host.cast()),
            None => Resumer::At((*member.resumer.get()).stack_pointer()),
        }
    }
}

impl Shared {
    /// Whether somebody can come who is resumed with this stack pointer: the one that is active and would have to
    /// give way must be the one that resumes.
    fn is_free(&self, resumer: usize) -> bool {
        self.active.get().is_none() || self.stack.holds(resumer)
    }

    /// Ends those that were put off, if nobody is active any more.
    fn catch_up(&self) {
        if self.put_off.borrow().is_empty() || self.catching_up.replace(true) {
            return;
        }
        let mut result = Ok(());
        while self.active.get().is_none() {
            let Some(PutOff { link, end }) = self.put_off.borrow_mut().pop() else { break };
            // SAFETY: it was dropped by its owner, and nobody has used it since.
            match unsafe { end(link) } {
                // Only one panic can go on.
                Err(payload) if result.is_err() => mem::forget(payload),
                Err(payload) => result = Err(payload),
                Ok(()) => {}
            }
        }
        self.catching_up.set(false);
        go_on_with(result);
    }

    /// A context that will call one of the movers for this member.
    fn mover(
        &self,
        mover: unsafe extern "sysv64" fn(Word, usize) -> !,
        member: *const Member,
    ) -> Context {
        Context::new(self.mover.top(), mover, member.expose_provenance())
    }

    /// The member's frames are on the stack from now on.
    fn install(&self, member: NonNull<Member>) {
        self.occupant.set(Some(member));
        self.stack.set_label(handle::label(), member.as_ptr().cast_const().cast());
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Nobody lives on them any more: a coroutine has a share.
        // SAFETY: each is read once.
        let both = unsafe { [&self.mover, &self.stack].map(|it| ptr::from_ref(it).read()) };
        // Not one by one: `release` is for ordinary coroutines, and inlined while they alone use it.
        stack::release_batch(both);
    }
}

impl Member {
    fn place_new<In, Yield, Out, F>(shared: Rc<Shared>, body: F) -> NonNull<Link>
    where
        F: FnOnce(&Yielder<In, Yield>, In) -> Out + 'static,
    {
        const {
            assert!(
                align_of::<In>() <= VALUE_ALIGN
                    && align_of::<Yield>() <= VALUE_ALIGN
                    && align_of::<std::thread::Result<Out>>() <= VALUE_ALIGN,
                "values that pass a shared stack are aligned to 128 bytes at most"
            );
        }
        let closure = if is_inline::<F>() { Layout::new::<F>() } else { Layout::new::<Box<F>>() };
        let align = closure.align().max(align_of::<Member>());
        // The link comes right above the closure.
        let offset = closure.size().next_multiple_of(align);
        let Ok(layout) = Layout::from_size_align(offset + size_of::<Member>(), align) else {
            unreachable!("a closure in place is small");
        };
        // SAFETY: the layout has room for a member.
        let Some(block) = NonNull::new(unsafe { alloc::alloc(layout) }) else {
            alloc::handle_alloc_error(layout)
        };
        // SAFETY: the block is ours. The offset is a multiple of both alignments and leaves room for the closure
        // below. The stack's memory is there as long as the member has its share of it, and `come` makes room on
        // it. The member is written around its link, which is the last of its fields to be written.
        unsafe {
            let place = block.add(offset).cast::<Member>();
            let link = place.as_ptr().cast::<Link>();
            debug_assert!(closure_below::<F>(link) >= block.as_ptr());
            let top = shared.stack.top();
            Link::place_at(link, top, shared.stack.share(), body);
            (*link).shared = true;
            let own = (*(*link).pair.get()).replace_own(shared.mover(come, place.as_ptr()));
            (&raw mut (*place.as_ptr()).own).write(UnsafeCell::new(own));
            (&raw mut (*place.as_ptr()).resumer).write(UnsafeCell::new(Context::empty()));
            (&raw mut (*place.as_ptr()).host).write(Cell::new(None));
            (&raw mut (*place.as_ptr()).saved).write(UnsafeCell::new(Saved::new()));
            (&raw mut (*place.as_ptr()).input_is_address).write(word::is_address::<In>());
            (&raw mut (*place.as_ptr()).yield_is_address).write(word::is_address::<Yield>());
            (&raw mut (*place.as_ptr()).block).write(block);
            (&raw mut (*place.as_ptr()).layout).write(layout);
            (&raw mut (*place.as_ptr()).shared).write(shared);
            place.cast()
        }
    }

    fn place(&self) -> NonNull<Member> {
        NonNull::from(self)
    }

    /// Copies the frames from `at` upwards out.
    ///
    /// # Safety
    /// The member's frames are on the stack and begin there; nobody runs on them.
    unsafe fn save(&self, at: usize, align: usize) {
        // SAFETY: by the contract above. Nobody else looks at what is saved: this and the next two are the only ways
        // to it, and none calls another.
        unsafe { (*self.saved.get()).copy_out(&self.shared.stack, at, align) };
    }

    /// The word that is an address, after the frames were saved in which it may lie.
    ///
    /// # Safety
    /// It is an address, or null.
    unsafe fn put_right(&self, word: Word) -> Word {
        // SAFETY: by the contract above, and as in `save`.
        unsafe { (*self.saved.get()).put_right(word) }
    }

    /// Copies the frames that were saved back; none if it never ran.
    ///
    /// # Safety
    /// The frames on the stack are nobody's.
    unsafe fn restore(&self) {
        // SAFETY: by the contract above, and as in `save`.
        unsafe { (*self.saved.get()).copy_back(&self.shared.stack) };
    }
}

/// Goes on instead of a member: brings its frames to the stack, then goes on with the member.
///
/// # Safety
/// Called by the context root on the mover's stack, at a switch to the member whose address `member` is.
unsafe extern "sysv64" fn come(word: Word, member: usize) -> ! {
    let place: *mut Member = ptr::with_exposed_provenance_mut(member);
    // SAFETY: the member is suspended, so nobody else uses it or its pair; its resumer waits. The stack's active
    // coroutine, if there is one, is that resumer, and waits, too; else the occupant is suspended. Whatever was
    // switched to goes on in the end, once.
    unsafe {
        let this = &*place;
        let shared = &*this.shared;
        let pair: *mut Pair = this.link.pair.get();
        if !shared.is_free((*pair).resumer_stack_pointer()) {
            this.link.dead.set(true);
            annotate::turn_back(&this.link.fiber);
            arch::go_on((*pair).resumer(), REFUSED, place.cast());
        }
        let resumer = (*pair).replace_resumer(shared.mover(go, place));
        let mut word = word;
        if let Some(host) = shared.active.get() {
            host.as_ref().save(resumer.stack_pointer(), VALUE_ALIGN);
            if this.input_is_address {
                word = host.as_ref().put_right(word);
            }
            this.host.set(Some(host));
            shared.occupant.set(None);
        }
        if shared.occupant.get() != Some(this.place()) {
            if let Some(other) = shared.occupant.get() {
                let at = (*other.as_ref().own.get()).stack_pointer();
                other.as_ref().save(at, FRAME_ALIGN);
            }
            this.restore();
            shared.install(this.place());
        }
        shared.active.set(Some(this.place()));
        *this.resumer.get() = resumer;
        arch::go_on(this.own.get(), word, place.cast())
    }
}

/// Goes on instead of a member's resumer: notes that the member has stopped, then goes on with the resumer.
///
/// # Safety
/// Called by the context root on the mover's stack, when the member whose address `member` is stops.
unsafe extern "sysv64" fn go(word: Word, member: usize) -> ! {
    let place: *mut Member = ptr::with_exposed_provenance_mut(member);
    // SAFETY: the member has just stopped, and its own context was filled thereby; its resumer waits, where `come`
    // noted it. A host's frames were saved when the member came.
    unsafe {
        let this = &*place;
        let shared = &*this.shared;
        let pair: *mut Pair = this.link.pair.get();
        *this.own.get() = (*pair).replace_own(shared.mover(come, place));
        let resumer = mem::replace(&mut *this.resumer.get(), Context::empty());
        (*pair).replace_resumer(resumer);
        let mut word = word;
        let host = this.host.take();
        shared.active.set(host);
        if let Some(host) = host {
            let at = (*this.own.get()).stack_pointer();
            this.save(at, VALUE_ALIGN);
            if this.yield_is_address || this.link.dead.get() {
                word = this.put_right(word);
            }
            host.as_ref().restore();
            shared.install(host);
        } else if this.link.dead.get() {
            // Only the outcome is still wanted, and moved out before anybody else can come.
            shared.occupant.set(None);
        }
        arch::go_on((*pair).resumer(), word, place.cast())
    }
}
