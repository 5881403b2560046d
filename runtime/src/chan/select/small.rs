//! A box for an arm of any type, without an allocation if the arm is small.

use super::dynamic::DynamicArm;
use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, MaybeUninit, align_of, size_of};

/// Room for an arm whose value has up to eight words.
const WORDS: usize = 24;

/// Owns one arm. It may be moved as long as nobody has left the arm's address anywhere.
pub(super) struct SmallArm<'a> {
    /// In a cell, as others write to arms that are shared.
    words: UnsafeCell<[MaybeUninit<usize>; WORDS]>,
    /// Finds the arm in `words`.
    find: unsafe fn(*mut ()) -> *mut (dyn DynamicArm<'a> + 'a),
    /// It lies in a box of its own, and `words` has that.
    boxed: bool,
    owns: PhantomData<Box<dyn DynamicArm<'a> + 'a>>,
}

/// # Safety
/// There is a `T` at the address, and it is used only while that is so.
unsafe fn find_inline<'a, T: DynamicArm<'a> + 'a>(
    words: *mut (),
) -> *mut (dyn DynamicArm<'a> + 'a) {
    words.cast::<T>()
}

/// # Safety
/// There is a pointer to a `T` at the address, and the `T` is used only while it is there.
unsafe fn find_boxed<'a, T: DynamicArm<'a> + 'a>(words: *mut ()) -> *mut (dyn DynamicArm<'a> + 'a) {
    // SAFETY: by the contract above.
    unsafe { words.cast::<*mut T>().read() }
}

impl<'a> SmallArm<'a> {
    pub(super) fn new<T: DynamicArm<'a> + 'a>(arm: T) -> SmallArm<'a> {
        let mut words = [MaybeUninit::<usize>::uninit(); WORDS];
        let boxed =
            size_of::<T>() > size_of::<[usize; WORDS]>() || align_of::<T>() > align_of::<usize>();
        let find = if boxed {
            let arm = Box::into_raw(Box::new(arm));
            // SAFETY: a pointer fits, and is as aligned as a word.
            unsafe { words.as_mut_ptr().cast::<*mut T>().write(arm) };
            find_boxed::<T>
        } else {
            // SAFETY: it fits, and is aligned.
            unsafe { words.as_mut_ptr().cast::<T>().write(arm) };
            find_inline::<T>
        };
        SmallArm { words: UnsafeCell::new(words), find, boxed, owns: PhantomData }
    }

    pub(super) fn get(&self) -> &(dyn DynamicArm<'a> + 'a) {
        // SAFETY: what `new` put there, which lives as long as this.
        unsafe { &*(self.find)(self.words.get().cast()) }
    }

    /// The arm by value.
    ///
    /// # Safety
    /// It is a `T`.
    pub(super) unsafe fn take<T: DynamicArm<'a> + 'a>(self) -> T {
        let this = ManuallyDrop::new(self);
        // SAFETY: by the contract above it was put there by `new::<T>`; `this` is not used again.
        let arm = unsafe { (this.find)(this.words.get().cast()) }.cast::<T>();
        if this.boxed {
            // SAFETY: from a box of `new`.
            *unsafe { Box::from_raw(arm) }
        } else {
            // SAFETY: it is there, and moves out.
            unsafe { arm.read() }
        }
    }
}

impl Drop for SmallArm<'_> {
    fn drop(&mut self) {
        // SAFETY: what `new` put there; nobody uses it after this.
        let arm = unsafe { (self.find)(self.words.get().cast()) };
        if self.boxed {
            // SAFETY: from a box of `new`.
            drop(unsafe { Box::from_raw(arm) });
        } else {
            // SAFETY: it is there, and dropped once.
            unsafe { arm.drop_in_place() };
        }
    }
}
