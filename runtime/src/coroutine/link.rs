//! What lies at the top of a coroutine's stack, and the two ends of a switch.
//!
//! A value travels in the word of the switch, or stays on the frame of the side that stops (`word.rs`). Whether the
//! resumer gets what was yielded or what was returned follows from whether the coroutine is dead, and whether that one
//! gets an input or unwinds, from whether it is being closed.
//!
//! # What is noted, and what is not
//!
//! The link says whether the coroutine is dead: its frames are gone then, and only the outcome is still to be
//! moved out. It does not say whether it is active; that would cost two stores for each resume. It need not,
//! for whoever resumes, because the coroutine is borrowed mutably until it stops, or another one in its place (shared
//! owners note it themselves, see `rc.rs`). Those who only want to look find the active ones from the stack pointer, see
//! `handle.rs`.

use super::extra::Extra;
use super::layout::{below, closure_below, is_inline, link_below};
use super::word::{self, Traveller};
use super::{Payload, ResumeError, Step, Yielder, annotate, layout, memory, shared};
use crate::arch::{self, Context, Pair, Word};
use crate::stack::{self, Stack};
use std::cell::{Cell, OnceCell, UnsafeCell};
use std::mem;
use std::panic::{self, AssertUnwindSafe};
use std::ptr::{self, NonNull};
use std::rc::Rc;
use std::thread;

/// What lies at the top of a coroutine's stack. A switch uses all of the pair.
#[repr(C)]
pub(super) struct Link {
    /// Comes first: its address is that of the link.
    pub(super) pair: UnsafeCell<Pair>,
    pub(super) dead: Cell<bool>,
    /// It unwinds whenever it goes on.
    closing: Cell<bool>,
    /// Whether it is the link of a [`shared::Member`].
    pub(super) shared: bool,
    pub(super) fiber: annotate::Fiber,
    /// Drops a closure that never ran.
    drop_closure: unsafe fn(NonNull<Link>),
    pub(super) stack: Stack,
    /// What few coroutines have.
    pub(super) extra: OnceCell<Box<Extra>>,
}

/// The word that a coroutine on a shared stack stops with if it could not go on. It counts as dead until that is
/// noticed, so that nobody who resumes has to look for it: an outcome travels as its address, which is not null.
pub(super) const REFUSED: Word = word::NOTHING;

/// The payload that unwinds a coroutine that is closed.
struct Unwinding;

impl Link {
    /// Makes a suspended coroutine on `stack`: its link and its closure.
    pub(super) fn place<In, Yield, Out, F>(stack: Stack, body: F) -> NonNull<Link>
    where
        F: FnOnce(&Yielder<In, Yield>, In) -> Out,
    {
        let top = stack.top().wrapping_sub(layout::colour(&stack));
        let link = link_below(top);
        // SAFETY: the link and a closure of at most INLINE_CLOSURE bytes fit the smallest stack, which
        // is writable, unused and now ours; both places are aligned by `below`.
        unsafe { Link::place_at(link, below(closure_below::<F>(link), 0, 16), stack, body) }
    }

    /// The same with the link at a given place, the closure below it, and the first frame below `first`.
    ///
    /// # Safety
    /// * There is room for link and closure; the places are aligned and ours.
    /// * `first` is 16-aligned and lies in the stack, which is ours whenever the coroutine goes on there.
    #[inline(always)]
    pub(super) unsafe fn place_at<In, Yield, Out, F>(
        link: *mut Link,
        first: *mut u8,
        stack: Stack,
        body: F,
    ) -> NonNull<Link>
    where
        F: FnOnce(&Yielder<In, Yield>, In) -> Out,
    {
        let place = closure_below::<F>(link);
        // SAFETY: by the contract above.
        unsafe {
            if is_inline::<F>() {
                place.cast::<F>().write(body);
            } else {
                place.cast::<Box<F>>().write(Box::new(body));
            }
            link.write(Link {
                pair: UnsafeCell::new(Pair::new(Context::new(
                    first,
                    enter::<In, Yield, Out, F>,
                    link.expose_provenance(),
                ))),
                dead: Cell::new(false),
                closing: Cell::new(false),
                shared: false,
                fiber: annotate::Fiber::new(),
                drop_closure: layout::drop_closure::<F>,
                stack,
                extra: OnceCell::new(),
            });
            NonNull::new_unchecked(link)
        }
    }

    pub(super) fn set_name(&mut self, name: Rc<str>) {
        self.extra = Box::new(Extra { name: Some(name), ..Extra::default() }).into();
    }

    /// What few coroutines have, made when it is first needed.
    pub(super) fn extra(&self) -> &Extra {
        self.extra.get_or_init(Box::default)
    }

    /// Whether the caller runs on this coroutine's frames, and not on those of one that it resumed.
    pub(super) fn is_here(&self) -> bool {
        self.stack.is_here()
    }

    /// The outcome once the locals are gone, too. Not part of `enter`, whose frame is there all the time.
    #[inline]
    fn finish<Out>(&self, outcome: thread::Result<Out>) -> thread::Result<Out> {
        match self.extra.get().map(|extra| extra.drop_locals()) {
            Some(Err(payload)) => {
                let outcome = either(outcome, payload);
                // The destructor of a result may have made new ones.
                if let Some(Err(another)) = self.extra.get().map(|extra| extra.drop_locals()) {
                    mem::forget(another);
                }
                outcome
            }
            _ => outcome,
        }
    }
}

/// Who waits for a coroutine: somebody whose stack pointer this is, or a coroutine on the same stack.
pub(super) enum Resumer {
    At(usize),
    Coroutine(NonNull<Link>),
}

/// Who waits for a coroutine that is active.
///
/// # Safety
/// The link is valid.
pub(super) unsafe fn resumer(link: NonNull<Link>) -> Resumer {
    // SAFETY: by the contract above; nobody switches meanwhile.
    unsafe {
        if link.as_ref().shared {
            return shared::resumer(link);
        }
        Resumer::At((*link.as_ref().pair.get()).resumer_stack_pointer())
    }
}

/// Runs the coroutine until it suspends or returns. `link` is the same afterwards, but at hand for a loop that
/// resumes next; or that of another one, to which it [passed](pass).
///
/// # Panics
/// With the coroutine's own panic.
///
/// # Safety
/// * The link is that of a coroutine of these types, on this thread, and it is not active.
/// * It is not released meanwhile.
#[inline(always)]
pub(super) unsafe fn resume<In, Yield, Out>(
    link: &mut NonNull<Link>,
    input: In,
) -> Result<Step<Yield, Out>, ResumeError<In>> {
    // SAFETY: the link is valid. Unless it is dead, it is suspended, and moves the input out. It stops with what
    // `dead` says then, and that place stays untouched until it is resumed or released.
    unsafe {
        if link.as_ref().dead.get() {
            return Err(ResumeError::Dead(input));
        }
        let input = Traveller::new(input);
        let stopped_with = switch_to(link, input.word());
        if !link.as_ref().dead.get() {
            return Ok(Step::Yielded(word::take(stopped_with)));
        }
        if is_refusal(stopped_with) {
            shared::was_refused(*link);
            return Err(ResumeError::StackInUse(input.back()));
        }
        match word::take::<thread::Result<Out>>(stopped_with) {
            Ok(value) => Ok(Step::Returned(value)),
            Err(payload) => panic::resume_unwind(payload),
        }
    }
}

/// Whether the coroutine could not go on.
///
/// # Safety
/// It counts as dead, and stopped with this word.
#[inline(always)]
unsafe fn is_refusal(word: Word) -> bool {
    // SAFETY: by the contract above it is the address of an outcome, or `REFUSED`.
    unsafe { word.assume_init() }.is_null()
}

/// Switches to the coroutine until it stops; the word it stops with.
///
/// # Safety
/// * The coroutine lives on this thread, is suspended, and not released before it stops. If it [passes](pass), the same
///   holds for the other one.
/// * `word` is that of an input, which is moved out unless the coroutine is being closed, or refused.
#[inline(always)]
unsafe fn switch_to(place: &mut NonNull<Link>, word: Word) -> Word {
    let link = place.as_ptr();
    // SAFETY: the own context was made by `Context::new` or filled when the coroutine stopped, and this is
    // the only switch to it since, because it is active until it stops again. The stack belongs to the
    // coroutine, which lives on this thread. `resumer` lies in the link, or in that of another one by then, and is
    // switched to exactly once, when that one stops. The pair is the first field of the link.
    unsafe {
        let switching = (*link).fiber.enter(&(*link).stack);
        let (word, pair) = arch::resume(link.cast(), word);
        *place = NonNull::new_unchecked(pair.cast());
        switching.back_from(&place.as_ref().fiber);
        word
    }
}

/// The first function on a coroutine's stack.
///
/// # Safety
/// Called by the context root, with the word of the first input, and the address of the `Link`, whose closure
/// is of type `F`.
unsafe extern "sysv64" fn enter<In, Yield, Out, F>(word: Word, argument: usize) -> !
where
    F: FnOnce(&Yielder<In, Yield>, In) -> Out,
{
    let link: *mut Link = ptr::with_exposed_provenance_mut(argument);
    // SAFETY: the input is ours to move out, and so is the closure. The resumer's context was filled by
    // the switch that brought us here. The outcome stays where it is: this frame is never left, and the
    // stack is kept until the resumer has moved it out.
    unsafe {
        (*link).fiber.arrived();
        let yielder = &*link.cast::<Yielder<In, Yield>>();
        let input = word::take::<In>(word);
        let place = closure_below::<F>(link);
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| {
            if is_inline::<F>() {
                place.cast::<F>().read()(yielder, input)
            } else {
                (*place.cast::<Box<F>>().read())(yielder, input)
            }
        }));
        let outcome: Traveller<thread::Result<Out>> = Traveller::new((*link).finish(outcome));
        (*link).dead.set(true);
        (*link).fiber.leave_for_good();
        const { assert!(word::is_address::<thread::Result<Out>>(), "see `REFUSED`") };
        arch::suspend((*link).pair.get(), outcome.word());
    }
    unreachable!("a dead coroutine was resumed")
}

/// The outcome when the destructor of a local panics, too. Only one panic can go on.
#[cold]
fn either<Out>(outcome: thread::Result<Out>, panicked: Payload) -> thread::Result<Out> {
    match outcome {
        Err(first) if !first.is::<Unwinding>() => {
            mem::forget(panicked);
            Err(first)
        }
        other => {
            mem::forget(drop_caught(other));
            Err(panicked)
        }
    }
}

/// Stops the coroutine that the caller runs on.
///
/// # Safety
/// The two types are those of the coroutine that `link` belongs to, and the caller runs on it.
#[inline(always)]
pub(super) unsafe fn suspend<In, Yield>(link: NonNull<Link>, value: Yield) -> In {
    let link = link.as_ptr();
    let value = Traveller::new(value);
    // SAFETY: the coroutine runs, so the resumer waits in its context, and moves the value out. We go on when
    // somebody resumes it, with an input for us, or closes it. The pair is the first field of the link.
    unsafe {
        let switching = (*link).fiber.leave();
        let (word, pair) = arch::suspend(link.cast(), value.word());
        go_on(switching, word, pair.cast())
    }
}

/// Stops the coroutine that the caller runs on and has another one go on in its place, with an input.
///
/// # Safety
/// * As for [`suspend`]; `In` is the input of both.
/// * The other one lives on this thread, was resumed before, is suspended, and not dead.
/// * Neither is shared, or being closed.
#[inline(always)]
pub(super) unsafe fn pass<In>(link: NonNull<Link>, next: NonNull<Link>, input: In) -> In {
    let (link, next) = (link.as_ptr(), next.as_ptr());
    let input = Traveller::new(input);
    // SAFETY: the coroutine runs, so the resumer waits in its context, and from now on in the other one's. That one moves
    // the input out. We go on as in `suspend`. The pairs are the first fields of the links.
    unsafe {
        let switching = (*link).fiber.pass(&(*next).fiber);
        let (word, pair) = arch::pass(link.cast(), next.cast(), input.word());
        go_on(switching, word, pair.cast())
    }
}

/// Somebody has resumed the coroutine of `link`, on which the caller runs.
///
/// # Safety
/// The word is that of an input of this type.
#[inline(always)]
unsafe fn go_on<In>(switching: annotate::Switching, word: Word, link: *mut Link) -> In {
    // SAFETY: the link is valid as long as the coroutine runs; the input is moved out here only.
    unsafe {
        switching.back_on(&(*link).fiber);
        if (*link).closing.get() {
            unwind();
        }
        word::take(word)
    }
}

#[cold]
fn unwind() -> ! {
    panic::resume_unwind(Box::new(Unwinding))
}

fn drop_caught<T>(value: T) -> thread::Result<()> {
    panic::catch_unwind(AssertUnwindSafe(|| drop(value)))
}

/// Unwinds the coroutine unless it is dead: the first panic of what is dropped thereby.
///
/// One that catches the unwinding and suspends again is unwound again.
///
/// # Errors
/// The first panic that is not the unwinding itself.
///
/// # Safety
/// As for [`resume`]: these are the last two of its types.
#[cold]
pub(super) unsafe fn close<Yield, Out>(mut link: NonNull<Link>) -> thread::Result<()> {
    // SAFETY: the link is valid as long as it is not released.
    let this = unsafe { &*link.as_ptr() };
    if this.dead.get() {
        return Ok(());
    }
    // SAFETY: nobody switches meanwhile. `Context::new` leaves the resumer's context empty, and the first
    // switch fills it, so this tells whether the closure was ever started.
    if unsafe { !(*this.pair.get()).was_resumed() } {
        this.dead.set(true);
        // SAFETY: it never ran, and now never will; as it is dead, this happens once.
        return panic::catch_unwind(AssertUnwindSafe(|| unsafe { (this.drop_closure)(link) }));
    }
    // SAFETY: the link is that of a member.
    if this.shared && !unsafe { shared::is_free(link) } {
        panic!("cannot close a coroutine while another one is active on its shared stack");
    }
    this.closing.set(true);
    // Dropped when it is dead: a destructor could suspend us, and then others could resume it.
    let mut yielded: Vec<Yield> = Vec::new();
    // SAFETY: it is suspended, and nobody else runs until it stops for good; it stops with what `dead` says then.
    let outcome = unsafe {
        loop {
            let stopped_with = switch_to(&mut link, word::NOTHING);
            if !this.dead.get() {
                yielded.push(word::take(stopped_with));
                continue;
            }
            if is_refusal(stopped_with) {
                unreachable!("nobody has taken the stack meanwhile");
            }
            break word::take::<thread::Result<Out>>(stopped_with);
        }
    };
    let mut result = match outcome {
        Ok(value) => drop_caught(value),
        Err(payload) if payload.is::<Unwinding>() => Ok(()),
        Err(payload) => Err(payload),
    };
    for value in yielded {
        match drop_caught(value) {
            Err(payload) if result.is_err() => mem::forget(payload),
            Err(payload) => result = Err(payload),
            Ok(()) => {}
        }
    }
    result
}

/// Closes the coroutine and gives back all that it has.
///
/// # Errors
/// As [`close`].
///
/// # Safety
/// As for [`close`]; and the link is not used again.
// Not inlined: what follows the loops that resume should not decide how registers are used in them.
#[inline(never)]
pub(super) unsafe fn end<Yield, Out>(link: NonNull<Link>) -> thread::Result<()> {
    // SAFETY: by the contract above; it is dead in the end.
    unsafe {
        if link.as_ref().shared {
            return end_shared::<Yield, Out>(link);
        }
        if !link.as_ref().dead.get() {
            return end_alive::<Yield, Out>(link);
        }
        release(link);
    }
    Ok(())
}

/// [`end`], of one that is not dead.
///
/// # Safety
/// As for [`end`].
#[cold]
#[inline(never)]
unsafe fn end_alive<Yield, Out>(link: NonNull<Link>) -> thread::Result<()> {
    // SAFETY: by the contract above; it is dead before it is released.
    unsafe {
        let result = close::<Yield, Out>(link);
        release(link);
        result
    }
}

/// [`end`], on a shared stack: at once, or later.
///
/// # Safety
/// As for [`end`], and the link is that of a [`shared::Member`].
#[cold]
unsafe fn end_shared<Yield, Out>(link: NonNull<Link>) -> thread::Result<()> {
    // SAFETY: by the contract above; it is dead before it is released.
    unsafe {
        if shared::put_off(link, end_shared::<Yield, Out>) {
            return Ok(());
        }
        let result = close::<Yield, Out>(link);
        shared::release(link);
        result
    }
}

/// Gives back all that a dead coroutine has.
///
/// # Safety
/// It is dead, and the link is not used again.
// Inlined: what is usual calls nothing, so that `end` saves no more registers than it needs itself.
#[inline(always)]
pub(super) unsafe fn release(link: NonNull<Link>) {
    // SAFETY: by the contract above it is read once. What lies on the stack is not touched any more.
    let Link { fiber, stack, extra, .. } = unsafe { link.as_ptr().read() };
    fiber.forget(&stack);
    match extra.into_inner() {
        None => stack::release(stack),
        Some(extra) => release_with(extra, stack),
    }
}

#[cold]
#[inline(never)]
#[expect(clippy::boxed_local, reason = "moved out of its box here, and not by the caller")]
fn release_with(extra: Box<Extra>, stack: Stack) {
    match extra.end() {
        None => stack::release(stack),
        Some(memory) => memory::release(stack, memory),
    }
}
