//! Values that each goroutine has one of.

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
