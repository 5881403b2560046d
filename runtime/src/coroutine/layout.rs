//! Where the parts of a coroutine lie on its stack; the picture is at the head of `mod.rs`.
//!
//! Stacks lie at equal distances, so equal places on two stacks compete for the same few cache lines. Each
//! stack therefore starts at another *colour*, up to half a page further down.

use super::Link;
use crate::stack::Stack;
use std::ptr::{self, NonNull};

const CACHE_LINE: usize = 64;
/// All of them leave the first frames in the first page.
const COLOURS: usize = 32;

/// Closures up to this size live on the coroutine's own stack; larger ones are boxed, so that they do
/// not eat the stack.
const INLINE_CLOSURE: usize = 1024;

/// How much of the stack to leave unused, see the head of this file.
pub(super) fn colour(stack: &Stack) -> usize {
    // Neighbours differ in the low bits of the slot's number. Their sizes are powers of two, so a shift does.
    let slot = stack.limit().addr() >> stack.size().bytes().trailing_zeros();
    slot % COLOURS * CACHE_LINE
}

/// The highest place for `size` bytes below `address`.
pub(super) fn below(address: *mut u8, size: usize, align: usize) -> *mut u8 {
    address.map_addr(|a| (a - size) & !(align - 1))
}

/// At a cache line: but for `fp-env` it begins with the one that a switch uses.
pub(super) fn link_below(top: *mut u8) -> *mut Link {
    const { assert!(align_of::<Link>() <= CACHE_LINE) };
    below(top, size_of::<Link>(), CACHE_LINE).cast()
}

pub(super) const fn is_inline<F>() -> bool {
    size_of::<F>() <= INLINE_CLOSURE && align_of::<F>() <= 64
}

/// Where the closure, or the box with it, lies.
pub(super) fn closure_below<F>(link: *mut Link) -> *mut u8 {
    if is_inline::<F>() {
        below(link.cast(), size_of::<F>(), align_of::<F>())
    } else {
        below(link.cast(), size_of::<Box<F>>(), align_of::<Box<F>>())
    }
}

/// # Safety
/// `link` is that of a coroutine with a closure of type `F` that was neither run nor dropped.
pub(super) unsafe fn drop_closure<F>(link: NonNull<Link>) {
    let place = closure_below::<F>(link.as_ptr());
    // SAFETY: by the contract above; the place is where `on_stack` wrote it.
    unsafe {
        if is_inline::<F>() {
            ptr::drop_in_place(place.cast::<F>());
        } else {
            ptr::drop_in_place(place.cast::<Box<F>>());
        }
    }
}
