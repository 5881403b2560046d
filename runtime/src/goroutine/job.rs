//! A goroutine's closure and result: one place, first the one, then the other.

use super::{
    Affinity, Extra, FRESH, FreeSlot, GoroutineRef, Header, Rest, SLOT, Vtable, WaitReason, joiner,
};
use crate::primitive::atomic::Ordering;
use std::any::Any;
use std::marker::PhantomData;
use std::mem::{self, ManuallyDrop};
use std::panic::{self, AssertUnwindSafe, Location};
use std::ptr::{self, NonNull};

type Outcome<T> = Result<T, Box<dyn Any + Send>>;

/// Which of the two is there follows from the goroutine's stage.
union Payload<F, T> {
    closure: ManuallyDrop<F>,
    outcome: ManuallyDrop<Outcome<T>>,
}

/// Whether spawning such a goroutine needs no allocation.
pub(super) const fn fits_slot<F, T>() -> bool {
    size_of::<Header>() + size_of::<Payload<F, T>>() <= SLOT
        && align_of::<Payload<F, T>>() <= align_of::<Header>()
}

/// The place of the payload: the rest of the slot, or what a pointer there points to.
///
/// # Safety
/// `header` was made by [`new`] for these types.
unsafe fn payload<F, T>(header: NonNull<Header>) -> *mut Payload<F, T> {
    // SAFETY: the slot is larger than the header.
    let rest = unsafe { header.as_ptr().add(1) };
    if fits_slot::<F, T>() {
        rest.cast()
    } else {
        // SAFETY: `new` put a box's pointer there.
        unsafe { rest.cast::<*mut Payload<F, T>>().read() }
    }
}

/// Gives the box back, if there is one. The payload was moved out.
///
/// # Safety
/// As for [`payload`], and nobody uses the payload again.
unsafe fn free_payload<F, T>(header: NonNull<Header>) {
    if !fits_slot::<F, T>() {
        // SAFETY: it came from a box; dropping a union drops none of its fields.
        drop(unsafe { Box::from_raw(payload::<F, T>(header)) });
    }
}

struct Types<F, T>(PhantomData<(F, T)>);

impl<F: FnOnce() -> T, T> Types<F, T> {
    const VTABLE: Vtable = Vtable {
        run: run::<F, T>,
        refuse: refuse::<F, T>,
        drop_result: drop_result::<F, T>,
        take_result: take_result::<F, T>,
    };
}

/// A fresh goroutine in a free slot, with one reference for the runtime and one for the handle.
#[inline]
pub(crate) fn new<F, T>(
    slot: FreeSlot,
    closure: F,
    id: u64,
    affinity: Affinity,
    extra: Option<Box<Extra>>,
    site: &'static Location<'static>,
) -> GoroutineRef
where
    F: FnOnce() -> T,
{
    let goroutine = slot.0;
    let header = goroutine.header();
    header.parker.reuse();
    header.affinity.set(affinity);
    header.reason.store(WaitReason::None as u8, Ordering::Relaxed);
    header.uncancellable.set(0);
    // Release: a visitor that sees it alive comes after the end of whoever was here before.
    header.stage.store(FRESH, Ordering::Release);
    header.vtable.set(Some(&Types::<F, T>::VTABLE));
    header.site.set(site);
    header.id.set(id);
    header.home.store(ptr::null_mut(), Ordering::Relaxed);
    header.join.store(joiner::NOBODY, Ordering::Relaxed);
    header.extra.store(extra.map_or(ptr::null_mut(), Box::into_raw), Ordering::Relaxed);
    let payload = Payload::<F, T> { closure: ManuallyDrop::new(closure) };
    // SAFETY: the slot is ours, and the rest of it is large and aligned enough for the payload or for
    // a pointer.
    unsafe {
        let rest = goroutine.0.as_ptr().add(1);
        if fits_slot::<F, T>() {
            rest.cast::<Payload<F, T>>().write(payload);
        } else {
            rest.cast::<*mut Payload<F, T>>().write(Box::into_raw(Box::new(payload)));
        }
    }
    // Release: a visitor may find the slot by its address.
    header.references.store(2, Ordering::Release);
    goroutine
}

/// See [`GoroutineRef::run`].
unsafe fn run<F: FnOnce() -> T, T>(header: NonNull<Header>) -> Rest {
    // SAFETY: the closure is there, and is moved out once; the outcome takes its place.
    unsafe {
        let payload = payload::<F, T>(header);
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| {
            let closure = ManuallyDrop::take(&mut (*payload).closure);
            closure()
        }));
        let forgettable = fits_slot::<F, T>() && !mem::needs_drop::<T>() && outcome.is_ok();
        (*payload).outcome = ManuallyDrop::new(outcome);
        if forgettable { Rest::Nothing } else { Rest::Result }
    }
}

/// See [`GoroutineRef::refuse`].
unsafe fn refuse<F: FnOnce() -> T, T>(header: NonNull<Header>, reason: Box<dyn Any + Send>) {
    // SAFETY: as in `run`. A destructor of the captures that panics takes the place of the reason.
    unsafe {
        let payload = payload::<F, T>(header);
        let dropped = panic::catch_unwind(AssertUnwindSafe(|| {
            ManuallyDrop::drop(&mut (*payload).closure);
        }));
        (*payload).outcome = ManuallyDrop::new(Err(dropped.err().unwrap_or(reason)));
    }
}

/// See [`GoroutineRef::drop_result`].
unsafe fn drop_result<F, T>(header: NonNull<Header>) -> Option<Box<dyn Any + Send>> {
    // SAFETY: the outcome is there and is moved out once.
    let outcome = unsafe { take_outcome::<F, T>(header) };
    match outcome {
        Ok(value) => panic::catch_unwind(AssertUnwindSafe(|| drop(value))).err(),
        Err(payload) => Some(payload),
    }
}

/// Moves the outcome out and frees its place.
///
/// # Safety
/// The header was made by [`new`] for these types, the outcome is there and is not used again.
unsafe fn take_outcome<F, T>(header: NonNull<Header>) -> Outcome<T> {
    // SAFETY: by the contract above.
    unsafe {
        let payload = payload::<F, T>(header);
        let outcome = ManuallyDrop::take(&mut (*payload).outcome);
        free_payload::<F, T>(header);
        outcome
    }
}

/// See [`GoroutineRef::take_result`].
unsafe fn take_result<F, T>(header: NonNull<Header>, place: *mut ()) {
    // SAFETY: the caller's contract; the place is for an `Outcome<T>`.
    unsafe { place.cast::<Outcome<T>>().write(take_outcome::<F, T>(header)) }
}

/// Bytes of stack that the closure and the result may need over a usual stack, because they are moved
/// through it several times. Zero for small ones.
pub(crate) const fn needed_stack<F, T>() -> usize {
    let size = size_of::<F>() + size_of::<Outcome<T>>();
    if size <= 4096 { 0 } else { 8 * size }
}

/// A header that has never held a goroutine, for a slot that was just carved.
pub(super) fn vacant() -> Header {
    use super::*;
    Header {
        parker: Parker::new(crate::ticket::Kind::Goroutine),
        affinity: Cell::new(Affinity::Worker),
        reason: AtomicU8::new(WaitReason::None as u8),
        uncancellable: Cell::new(0),
        references: AtomicU32::new(0),
        stage: AtomicU8::new(GONE),
        next: Cell::new(None),
        vtable: Cell::new(None),
        site: Cell::new(Location::caller()),
        id: Cell::new(0),
        home: AtomicPtr::new(ptr::null_mut()),
        join: AtomicPtr::new(joiner::DONE),
        join_generation: AtomicU64::new(0),
        coroutine: Cell::new(None),
        extra: AtomicPtr::new(ptr::null_mut()),
    }
}
