//! The frames of a coroutine that were copied out of its shared stack.

use super::annotate;
use crate::arch::Word;
use crate::stack::Stack;
use std::alloc::{self, Layout};
use std::ptr::{self, NonNull};

/// Frames that were copied out. The memory is kept for the next time.
pub(super) struct Saved {
    block: NonNull<u8>,
    layout: Layout,
    /// In the block.
    frames: *mut u8,
    /// Where they belong: the address of the lowest, and how many bytes.
    at: usize,
    len: usize,
}

impl Saved {
    pub(super) fn new() -> Saved {
        Saved {
            block: NonNull::dangling(),
            layout: Layout::new::<()>(),
            frames: ptr::null_mut(),
            at: 0,
            len: 0,
        }
    }

    /// Copies the frames from `at` upwards out.
    ///
    /// # Safety
    /// Frames are on the stack and begin there; nobody runs on them.
    pub(super) unsafe fn copy_out(&mut self, stack: &Stack, at: usize, align: usize) {
        let top = stack.top();
        let len = top.addr() - at;
        self.make_room(at, len, align);
        annotate::will_copy_from(stack);
        // SAFETY: the frames lie on the stack, which is mapped, and the room was made for them. Some bytes of
        // frames are not initialised; they are copied as they are.
        unsafe {
            ptr::copy_nonoverlapping(top.with_addr(at), self.frames, len);
        }
    }

    /// The word that is an address, which may be that of something in the frames, now that they are here.
    ///
    /// # Safety
    /// It is an address, or null.
    pub(super) unsafe fn put_right(&self, word: Word) -> Word {
        // SAFETY: by the contract above.
        let offset = unsafe { word.assume_init() }.addr().wrapping_sub(self.at);
        if offset < self.len { Word::new(self.frames.wrapping_add(offset).cast()) } else { word }
    }

    /// Copies the frames back to where they belong; none if there never were any.
    ///
    /// # Safety
    /// They come from this stack, and the frames that are there are nobody's.
    pub(super) unsafe fn copy_back(&mut self, stack: &Stack) {
        annotate::will_copy_to(stack);
        // SAFETY: the frames come from there.
        unsafe {
            ptr::copy_nonoverlapping(self.frames, stack.top().with_addr(self.at), self.len);
        }
        self.len = 0;
    }

    /// Room for `len` bytes whose addresses have the remainder of `at` when divided by `align`.
    fn make_room(&mut self, at: usize, len: usize, align: usize) {
        let phase = at % align;
        let size = phase + len;
        let fits = size <= self.layout.size()
            && self.layout.size() / 2 <= size
            && align <= self.layout.align();
        if !fits {
            self.free();
            let Ok(layout) = Layout::from_size_align(size, align) else {
                unreachable!("frames are smaller than their stack");
            };
            // SAFETY: there are frames, so the size is not zero.
            match NonNull::new(unsafe { alloc::alloc(layout) }) {
                Some(block) => (self.block, self.layout) = (block, layout),
                None => alloc::handle_alloc_error(layout),
            }
        }
        (self.at, self.len) = (at, len);
        self.frames = self.block.as_ptr().wrapping_add(phase);
    }

    fn free(&mut self) {
        if self.layout.size() > 0 {
            // SAFETY: the block was allocated with this layout, and is forgotten now.
            unsafe { alloc::dealloc(self.block.as_ptr(), self.layout) };
        }
        self.layout = Layout::new::<()>();
    }
}

impl Drop for Saved {
    fn drop(&mut self) {
        self.free();
    }
}
