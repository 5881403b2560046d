//! Values of `goroutine_local!` statics.

pub(crate) use crate::coroutine::Locals;
