//! Coroutines on a shared stack, for several files.

use fibra::coroutine::{Coroutine, SharedStack, Yielder};

/// A stack to share.
pub(crate) fn stack() -> SharedStack {
    SharedStack::new(128 << 10).unwrap()
}

/// A coroutine on a shared stack.
pub(crate) fn on<In, Yield, Out, F>(stack: &SharedStack, body: F) -> Coroutine<In, Yield, Out>
where
    F: FnOnce(&Yielder<In, Yield>, In) -> Out + 'static,
    In: 'static,
    Yield: 'static,
    Out: 'static,
{
    // SAFETY: in these tests nothing outside of the frames points into them, and nobody hands a yielder on.
    unsafe { Coroutine::on_shared_stack(stack, body) }
}
