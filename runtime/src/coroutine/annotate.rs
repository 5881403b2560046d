//! Tells AddressSanitizer that the stack changes (feature `asan`); otherwise nothing, at no cost.
//!
//! The sanitizer keeps the bounds of the current stack for each thread. Whoever leaves a stack announces
//! the bounds of the next one, and whoever arrives confirms and learns the bounds of the one it came
//! from. A stack that is given back has its shadow cleared: frames that were forgotten leave red zones.
//!
//! What Valgrind wants to know of stacks is in `arch/valgrind.rs`; here is only what shared stacks add.

use crate::arch::valgrind;
use crate::stack::Stack;

#[cfg(feature = "asan")]
mod imp {
    use crate::stack::Stack;
    use std::cell::Cell;
    use std::ffi::c_void;
    use std::ptr;

    unsafe extern "C" {
        fn __sanitizer_start_switch_fiber(
            save: *mut *mut c_void,
            bottom: *const c_void,
            size: usize,
        );
        fn __sanitizer_finish_switch_fiber(
            save: *mut c_void,
            bottom_old: *mut *const c_void,
            size_old: *mut usize,
        );
        fn __asan_unpoison_memory_region(address: *const c_void, size: usize);
    }

    /// Frames on `stack` are about to be copied out, red zones and all. Those are lost thereby.
    pub(crate) fn will_copy_from(stack: &Stack) {
        let size = stack.top().addr() - stack.limit().addr();
        // SAFETY: the region is the usable part of a mapped stack.
        unsafe { __asan_unpoison_memory_region(stack.limit().cast(), size) };
    }

    pub(super) fn will_copy_to(stack: &Stack) {
        will_copy_from(stack);
    }

    pub(crate) struct Fiber {
        /// Where the coroutine stopped. That is another coroutine's stack if a goroutine parks in that one.
        own: Bounds,
        /// Where the resumer waits.
        resumer: Bounds,
        /// Who passed to this one, which has not arrived yet; else null.
        passed_by: Cell<*const Fiber>,
    }

    /// The bounds of a stack.
    struct Bounds {
        bottom: Cell<*const c_void>,
        size: Cell<usize>,
    }

    impl Bounds {
        fn unknown() -> Bounds {
            Bounds { bottom: Cell::new(ptr::null()), size: Cell::new(0) }
        }

        fn set(&self, bottom: *const c_void, size: usize) {
            self.bottom.set(bottom);
            self.size.set(size);
        }
    }

    /// Held across a switch.
    #[must_use]
    pub(crate) struct Switching {
        fake: *mut c_void,
    }

    impl Fiber {
        pub(crate) fn new() -> Fiber {
            Fiber {
                own: Bounds::unknown(),
                resumer: Bounds::unknown(),
                passed_by: Cell::new(ptr::null()),
            }
        }

        /// The resumer is about to switch to the coroutine on `stack`.
        #[inline(always)]
        pub(crate) fn enter(&self, stack: &Stack) -> Switching {
            if self.own.size.get() == 0 {
                self.own.set(stack.limit().cast(), stack.top().addr() - stack.limit().addr());
            }
            Switching::to(&self.own)
        }

        /// The coroutine is about to switch to its resumer.
        #[inline(always)]
        pub(crate) fn leave(&self) -> Switching {
            Switching::to(&self.resumer)
        }

        /// The same, never to come back: the fake stack is freed.
        #[inline(always)]
        pub(crate) fn leave_for_good(&self) {
            // SAFETY: as in `leave`; a null place means that this stack is finished.
            unsafe {
                __sanitizer_start_switch_fiber(
                    ptr::null_mut(),
                    self.resumer.bottom.get(),
                    self.resumer.size.get(),
                );
            }
        }

        /// The coroutine is about to switch to another one, which stopped before, and gets its resumer.
        #[inline(always)]
        pub(crate) fn pass(&self, next: &Fiber) -> Switching {
            next.resumer.set(self.resumer.bottom.get(), self.resumer.size.get());
            next.passed_by.set(self);
            Switching::to(&next.own)
        }

        /// The coroutine runs for the first time.
        #[inline(always)]
        pub(crate) fn arrived(&self) {
            Switching { fake: ptr::null_mut() }.back_on(self);
        }

        /// The frames on `stack` are gone.
        pub(crate) fn forget(&self, stack: &Stack) {
            let size = stack.top().addr() - stack.limit().addr();
            // SAFETY: the region is the usable part of a mapped stack without live frames.
            unsafe { __asan_unpoison_memory_region(stack.limit().cast(), size) };
        }
    }

    impl Switching {
        /// About to switch to the stack with these bounds.
        #[inline(always)]
        fn to(next: &Bounds) -> Switching {
            let mut fake = ptr::null_mut();
            // SAFETY: the bounds were noted when that stack was left, or are those of a new one.
            unsafe {
                __sanitizer_start_switch_fiber(&mut fake, next.bottom.get(), next.size.get());
            }
            Switching { fake }
        }

        /// The resumer runs again: the coroutine of this fiber has stopped.
        #[inline(always)]
        pub(crate) fn back_from(self, fiber: &Fiber) {
            self.back(&fiber.own);
        }

        /// The coroutine of this fiber runs again: its resumer waits, or whoever passed to it has stopped.
        #[inline(always)]
        pub(crate) fn back_on(self, fiber: &Fiber) {
            // SAFETY: whoever passed to it has just stopped, so it is still there.
            match unsafe { fiber.passed_by.replace(ptr::null()).as_ref() } {
                Some(other) => self.back(&other.own),
                None => self.back(&fiber.resumer),
            }
        }

        /// Notes from which stack the switch came.
        #[inline(always)]
        fn back(self, other: &Bounds) {
            let (mut bottom, mut size) = (ptr::null(), 0);
            // SAFETY: the fake stack is the one that was saved when this side left.
            unsafe { __sanitizer_finish_switch_fiber(self.fake, &mut bottom, &mut size) };
            other.set(bottom, size);
        }
    }

    /// What the sanitizer has to know of a raw context that stopped: the bounds of its stack, and its fake
    /// stack.
    pub(crate) struct Place {
        bottom: Cell<*const c_void>,
        size: Cell<usize>,
        fake: Cell<*mut c_void>,
        /// False on arrival: somebody has run on top of the context and has told the sanitizer already.
        away: Cell<bool>,
    }

    impl Place {
        /// For a context that is about to stop.
        #[inline(always)]
        pub(crate) fn empty() -> Place {
            Place::fresh(ptr::null(), 0)
        }

        /// For one that has not started.
        pub(crate) fn fresh(bottom: *const u8, size: usize) -> Place {
            Place {
                bottom: Cell::new(bottom.cast()),
                size: Cell::new(size),
                fake: Cell::new(ptr::null_mut()),
                away: Cell::new(true),
            }
        }

        /// The context of this place is about to switch to that of another.
        #[inline(always)]
        pub(crate) fn leave(&self, to: &Place) {
            // SAFETY: the bounds were given to `fresh`, or noted when the context was left.
            unsafe {
                __sanitizer_start_switch_fiber(self.fake.as_ptr(), to.bottom.get(), to.size.get());
            }
        }

        /// The current context is about to switch to that of this place, never to come back.
        pub(crate) fn leave_for_good(&self) {
            // SAFETY: as in `leave`; a null place means that the current stack is finished.
            unsafe {
                __sanitizer_start_switch_fiber(ptr::null_mut(), self.bottom.get(), self.size.get());
            }
        }

        /// The context of this place runs again, or something on top of it.
        #[inline(always)]
        pub(crate) fn arrive(&self, from: Option<&Place>) {
            if !self.away.replace(false) {
                return;
            }
            let (mut bottom, mut size) = (ptr::null(), 0);
            // SAFETY: the fake stack is the one that was saved when this side left.
            unsafe { __sanitizer_finish_switch_fiber(self.fake.get(), &mut bottom, &mut size) };
            if let Some(from) = from {
                from.bottom.set(bottom);
                from.size.set(size);
            }
        }
    }
}

#[cfg(not(feature = "asan"))]
mod imp {
    use crate::stack::Stack;

    pub(crate) fn will_copy_from(_: &Stack) {}

    pub(super) fn will_copy_to(_: &Stack) {}

    pub(crate) struct Fiber;

    #[must_use]
    pub(crate) struct Switching;

    impl Fiber {
        pub(crate) fn new() -> Fiber {
            Fiber
        }

        #[inline(always)]
        pub(crate) fn enter(&self, _: &Stack) -> Switching {
            Switching
        }

        #[inline(always)]
        pub(crate) fn leave(&self) -> Switching {
            Switching
        }

        #[inline(always)]
        pub(crate) fn pass(&self, _: &Fiber) -> Switching {
            Switching
        }

        #[inline(always)]
        pub(crate) fn leave_for_good(&self) {}

        #[inline(always)]
        pub(crate) fn arrived(&self) {}

        pub(crate) fn forget(&self, _: &Stack) {}
    }

    impl Switching {
        #[inline(always)]
        pub(crate) fn back_from(self, _: &Fiber) {}

        #[inline(always)]
        pub(crate) fn back_on(self, _: &Fiber) {}
    }

    pub(crate) struct Place;

    impl Place {
        #[inline(always)]
        pub(crate) fn empty() -> Place {
            Place
        }

        pub(crate) fn fresh(_: *const u8, _: usize) -> Place {
            Place
        }

        #[inline(always)]
        pub(crate) fn leave(&self, _: &Place) {}

        pub(crate) fn leave_for_good(&self) {}

        #[inline(always)]
        pub(crate) fn arrive(&self, _: Option<&Place>) {}
    }
}

pub(crate) use imp::{Fiber, Place, Switching, will_copy_from};

/// Somebody has switched to a coroutine, which turns back on the threshold.
pub(crate) fn turn_back(fiber: &Fiber) {
    fiber.arrived();
    let _never_back = fiber.leave();
}

/// The frames on `stack` are nobody's any more, and others are about to be copied there.
pub(crate) fn will_copy_to(stack: &Stack) {
    imp::will_copy_to(stack);
    // For Valgrind what lies below the frames of whoever ran there last is no memory.
    valgrind::make_undefined(stack.limit(), stack.top().addr() - stack.limit().addr());
}
