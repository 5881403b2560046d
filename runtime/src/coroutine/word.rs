//! How a value travels with a switch: in the word, if it is small enough, else as its address.
//!
//! One that travels as its address stays on the frame of the side that stops, and the other side moves it out before
//! anything else.

use crate::arch::Word;
use std::mem::ManuallyDrop;
use std::ptr;

/// The word when there is nothing to tell. A null address, so that nobody takes it for that of a value.
pub(super) const NOTHING: Word = Word::new(ptr::null_mut());

/// Whether a `T` travels as its address.
pub(super) const fn is_address<T>() -> bool {
    size_of::<T>() > size_of::<Word>()
}

/// A value on its way. It moves with its word, but its bytes stay.
#[repr(C)]
pub(super) union Traveller<T> {
    value: ManuallyDrop<T>,
    /// If it travels like that. A small value leaves some of it as it is.
    word: Word,
}

impl<T> Traveller<T> {
    #[inline]
    pub(super) fn new(value: T) -> Traveller<T> {
        Traveller { value: ManuallyDrop::new(value) }
    }

    #[inline]
    pub(super) fn word(&self) -> Word {
        if is_address::<T>() {
            Word::new(ptr::from_ref(self).cast_mut().cast())
        } else {
            // SAFETY: it is as large as the union, or lies in it, and its bytes may be anything.
            unsafe { self.word }
        }
    }

    /// It did not travel after all.
    ///
    /// # Safety
    /// Nobody has [taken](take) it.
    pub(super) unsafe fn back(self) -> T {
        // SAFETY: made from a value, which is still there.
        ManuallyDrop::into_inner(unsafe { self.value })
    }
}

/// The value that a word stands for.
///
/// # Safety
/// The word is that of a [`Traveller`] of this type, whose value is moved out here, and only here. If it travels as its
/// address, it is still there, or a copy of it (`shared.rs`).
#[inline]
pub(super) unsafe fn take<T>(word: Word) -> T {
    // SAFETY: by the contract above.
    unsafe {
        if is_address::<T>() {
            word.assume_init().cast::<T>().read()
        } else {
            ManuallyDrop::into_inner(Traveller { word }.value)
        }
    }
}
