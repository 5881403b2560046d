//! Values that each goroutine, or each coroutine, has one of.

use crate::coroutine;
use crate::goroutine::locals::Locals;
use crate::sched::current;
use std::fmt;
use std::ptr;
use std::rc::Rc;

/// Declares values that each goroutine has one of, like `thread_local!` for threads.
///
/// A value is made when its goroutine first asks for it, and dropped on its worker when the goroutine ends,
/// newest first. Plain threads have values of their own.
///
/// ```
/// use std::cell::Cell;
///
/// fibra::goroutine_local! {
///     /// How deep the caller is.
///     static DEPTH: Cell<u32> = Cell::new(1);
/// }
///
/// DEPTH.with(|depth| depth.set(5));
/// let theirs = fibra::go!(|| DEPTH.with(Cell::get)).join().unwrap();
/// assert_eq!((theirs, DEPTH.with(Cell::get)), (1, 5));
/// ```
#[macro_export]
macro_rules! goroutine_local {
    ($($(#[$attribute:meta])* $visibility:vis static $name:ident : $type:ty = $init:expr);* $(;)?) => {
        $(
            $(#[$attribute])*
            $visibility static $name: $crate::LocalKey<$type> = {
                fn init() -> $type {
                    $init
                }
                $crate::LocalKey::__new(init)
            };
        )*
    };
}

/// Access to a value declared with [`goroutine_local!`](crate::goroutine_local).
pub struct LocalKey<T: 'static> {
    init: fn() -> T,
}

impl<T: 'static> LocalKey<T> {
    #[doc(hidden)]
    pub const fn __new(init: fn() -> T) -> Self {
        LocalKey { init }
    }

    /// Calls `f` with the calling goroutine's value, making it first if there is none.
    ///
    /// # Panics
    /// On a plain thread that has already destroyed its own values.
    pub fn with<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        let value = match current::goroutine() {
            Some(goroutine) => self.value(|| goroutine.locals_or_new()),
            None => match current::thread_locals() {
                Some(locals) => self.value(|| &*locals),
                None => panic!("a goroutine-local value was asked for at the end of a thread"),
            },
        };
        f(&value)
    }

    fn value<'a>(&'static self, locals: impl Fn() -> &'a Locals) -> Rc<T> {
        // A static of this type has an address of its own.
        let key = ptr::from_ref(self).addr();
        if let Some(value) = locals().get(key) {
            return value;
        }
        // No borrow is held while this runs: it may park, or ask for other values.
        let value = Rc::new((self.init)());
        if let Some(value) = locals().get(key) {
            // It asked for itself.
            return value;
        }
        locals().set(key, value.clone());
        value
    }
}

impl<T: 'static> fmt::Debug for LocalKey<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalKey").finish_non_exhaustive()
    }
}

/// Declares values that each coroutine has one of, like [`goroutine_local!`](crate::goroutine_local) for
/// goroutines.
///
/// A value is made when its coroutine first asks for it, and dropped, newest first, when the coroutine ends: on its
/// stack, after everything else. Outside any coroutine, goroutines and plain threads have values of their own.
/// A coroutine's end with a panic in such a destructor is one with that panic.
///
/// ```
/// use fibra::coroutine::Coroutine;
/// use std::cell::Cell;
///
/// fibra::coroutine_local! {
///     /// How many values the caller has seen.
///     static SEEN: Cell<u32> = Cell::new(0);
/// }
///
/// fn see() -> u32 {
///     SEEN.with(|seen| {
///         seen.set(seen.get() + 1);
///         seen.get()
///     })
/// }
///
/// let counter = || Coroutine::new(|y, ()| -> () {
///     loop {
///         y.suspend(see());
///     }
/// });
/// let (mut a, mut b) = (counter(), counter());
/// assert_eq!([a.next(), a.next(), b.next(), a.next()], [1, 2, 1, 3].map(Some));
/// assert_eq!(see(), 1);
/// ```
#[macro_export]
macro_rules! coroutine_local {
    ($($(#[$attribute:meta])* $visibility:vis static $name:ident : $type:ty = $init:expr);* $(;)?) => {
        $(
            $(#[$attribute])*
            $visibility static $name: $crate::CoroutineLocalKey<$type> = {
                fn init() -> $type {
                    $init
                }
                $crate::CoroutineLocalKey::__new(init)
            };
        )*
    };
}

/// Access to a value declared with [`coroutine_local!`](crate::coroutine_local).
pub struct CoroutineLocalKey<T: 'static>(LocalKey<T>);

impl<T: 'static> CoroutineLocalKey<T> {
    #[doc(hidden)]
    pub const fn __new(init: fn() -> T) -> Self {
        CoroutineLocalKey(LocalKey::__new(init))
    }

    /// Calls `f` with the value of the coroutine that the caller runs in, the innermost one; outside any, with
    /// that of the goroutine or thread. Makes it first if there is none.
    ///
    /// # Panics
    /// On a plain thread that has already destroyed its own values.
    pub fn with<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        match coroutine::running_locals() {
            Some(locals) => f(&self.0.value(|| locals)),
            None => self.0.with(f),
        }
    }
}

impl<T: 'static> fmt::Debug for CoroutineLocalKey<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CoroutineLocalKey").finish_non_exhaustive()
    }
}
