//! From a closure to a fresh goroutine in a queue.

use super::runner::forget_payload;
use super::worker::foreign_id;
use super::{Refusal, Shared, current, default};
use crate::goroutine::{self, Affinity, Cancelled, Extra, GoroutineRef, Observer, pool};
use crate::stack::StackSize;
use std::io;
use std::panic::Location;
use std::ptr;
use std::sync::Arc;

/// What a goroutine may be spawned with.
#[derive(Default)]
pub(crate) struct Settings {
    pub(crate) name: Option<Box<str>>,
    /// In bytes.
    pub(crate) stack_size: Option<usize>,
    /// The runtime's unless set.
    pub(crate) affinity: Option<Affinity>,
    pub(crate) observer: Option<Arc<dyn Observer>>,
}

/// Spawns on `runtime`; without one on the caller's, else on the default runtime. The caller gets a
/// reference to the goroutine, which is that of the handle.
///
/// # Errors
/// A stack size that cannot be; a runtime that is shutting down, or has no stacks left; a default runtime
/// that cannot be started. The closure is dropped then.
///
/// # Safety
/// The closure may run on another thread, as far as its captures and its result are concerned, and
/// whatever it borrows lives until the goroutine has ended.
#[inline]
pub(crate) unsafe fn spawn<F, T>(
    runtime: Option<&Arc<Shared>>,
    settings: Option<Settings>,
    site: &'static Location<'static>,
    closure: F,
) -> io::Result<GoroutineRef>
where
    F: FnOnce() -> T,
{
    let worker = current::worker();
    let worker = match (worker, runtime) {
        (Some(worker), Some(runtime)) if !ptr::eq(&**worker.shared(), &**runtime) => None,
        (worker, _) => worker,
    };
    let shared = match (worker, runtime) {
        (Some(worker), _) => worker.shared(),
        (None, Some(runtime)) => runtime,
        (None, None) => default::runtime()?,
    };
    let (affinity, extra) = match settings {
        None if const { goroutine::needed_stack::<F, T>() } == 0 => (shared.config.affinity, None),
        settings => {
            let settings = settings.unwrap_or_default();
            let affinity = settings.affinity.unwrap_or(shared.config.affinity);
            (affinity, extra::<F, T>(settings, shared)?)
        }
    };
    let (slot, id) = match worker {
        Some(worker) => (worker.take_slot()?, worker.next_id()),
        None => (pool::take()?, foreign_id()),
    };
    let goroutine = goroutine::new(slot, closure, id, affinity, extra, site);
    let pushed = match worker {
        Some(worker) => worker.spawn(goroutine),
        None => shared.inject(goroutine),
    };
    match pushed {
        Ok(()) => Ok(goroutine),
        Err(refusal) => Err(take_back(goroutine, refusal)),
    }
}

fn extra<F, T>(settings: Settings, shared: &Shared) -> io::Result<Option<Box<Extra>>> {
    let Settings { name, stack_size, observer, .. } = settings;
    let more = const { goroutine::needed_stack::<F, T>() };
    if name.is_none() && stack_size.is_none() && observer.is_none() && more == 0 {
        return Ok(None);
    }
    let stack_size = match stack_size {
        None if more == 0 => None,
        None => Some(StackSize::new(shared.config.stack_size.bytes() + more)?),
        Some(bytes) => Some(StackSize::new(match bytes {
            0 => 0,
            bytes => bytes.saturating_add(more),
        })?),
    };
    Ok(Some(Box::new(Extra { name, stack_size, observer, ..Extra::default() })))
}

/// Undoes what was made of a goroutine that nobody took.
#[cold]
fn take_back(goroutine: GoroutineRef, refusal: Refusal) -> io::Error {
    // SAFETY: it is fresh and in no queue; then finished, with nobody to look at the result; and both
    // references are ours.
    unsafe {
        goroutine.refuse(Box::new(Cancelled(())));
        goroutine.drop_result().into_iter().for_each(forget_payload);
        let _none = goroutine.release();
        if let Some(slot) = goroutine.release() {
            pool::give(slot);
        }
    }
    refusal.into()
}
