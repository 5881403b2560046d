//! Spawning: settings for one goroutine.

use crate::goroutine::Affinity;
use crate::join::JoinHandle;
use crate::sched::{self, Settings};
use std::io;
use std::panic::Location;

/// Settings for one goroutine.
///
/// ```
/// let reader = fibra::Builder::new().name("reader").stack_size(64 * 1024).spawn(|| 1 + 1)?;
/// assert_eq!(reader.name(), Some("reader"));
/// assert_eq!(reader.join().unwrap(), 2);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Default)]
#[must_use = "a builder spawns nothing until `spawn`"]
pub struct Builder {
    name: Option<Box<str>>,
    stack_size: Option<usize>,
    affinity: Option<Affinity>,
}

impl Builder {
    /// The settings of a plain [`spawn`].
    pub fn new() -> Builder {
        Builder::default()
    }

    /// A name, shown in messages about the goroutine.
    pub fn name(mut self, name: impl Into<String>) -> Builder {
        self.name = Some(name.into().into_boxed_str());
        self
    }

    /// Stack size in bytes, rounded up to a power of two, at least 16 KiB and at most 64 GiB. Only the
    /// pages that are touched cost memory. Without it the goroutine has a default stack, or at least three quarters of
    /// one when it runs on the stack of whoever [joins](crate::JoinHandle::join) it.
    pub fn stack_size(mut self, bytes: usize) -> Builder {
        self.stack_size = Some(bytes);
        self
    }

    /// Lets the goroutine go on at another worker after it parked, as in Go; otherwise it stays on the
    /// worker that starts it.
    ///
    /// # Safety
    /// Nothing that is bound to a thread may live across anything that parks or yields, in the goroutine or
    /// in what it calls: no reference into a `thread_local!`, no `Rc` or other `!Send` value that is
    /// shared with such a place, no guard of a `std::sync` lock, no C library that keeps state for each
    /// thread.
    pub unsafe fn migratable(mut self) -> Builder {
        self.affinity = Some(Affinity::Any);
        self
    }

    /// Spawns a goroutine on the caller's runtime; from a plain thread, on the default runtime, which this
    /// starts if need be. Never blocks and never switches.
    ///
    /// # Errors
    /// * `InvalidInput`: the stack size cannot be, or an environment variable is malformed.
    /// * `OutOfMemory`: goroutines that were spawned earlier still wait for a stack, because there is no
    ///   memory, or there are no memory maps, for more.
    /// * Otherwise: the runtime is shutting down, or the default runtime's threads cannot be started.
    #[track_caller]
    pub fn spawn<F, T>(self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let settings = self.into_settings();
        // SAFETY: the closure and its result are `Send` and borrow nothing. The reference is the handle's.
        unsafe {
            let goroutine = sched::spawn(None, Some(settings), Location::caller(), f)?;
            Ok(JoinHandle::new(goroutine))
        }
    }

    pub(crate) fn into_settings(self) -> Settings {
        Settings {
            name: self.name,
            stack_size: self.stack_size,
            affinity: self.affinity,
            observer: None,
        }
    }
}

/// Spawns a goroutine that runs `f`, on the caller's runtime; from a plain thread, on the default one,
/// which this starts if need be. Never blocks and never switches: `f` runs later.
///
/// # Panics
/// Where [`Builder::spawn`] gives an error.
///
/// ```
/// let handle = fibra::spawn(|| "hello");
/// assert_eq!(handle.join().unwrap(), "hello");
/// ```
#[inline]
#[track_caller]
pub fn spawn<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    // SAFETY: as in `Builder::spawn`.
    match unsafe { sched::spawn(None, None, Location::caller(), f) } {
        // SAFETY: as in `Builder::spawn`.
        Ok(goroutine) => unsafe { JoinHandle::new(goroutine) },
        Err(error) => fail(&error),
    }
}

#[cold]
#[track_caller]
pub(crate) fn fail(error: &io::Error) -> ! {
    panic!("cannot spawn a goroutine: {error}")
}
