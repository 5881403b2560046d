//! The machine: contexts and the switch between them.
//!
//! This is the only module that knows the processor. `build.rs` stops the build on any other.

pub(crate) mod valgrind;
mod x86_64;
pub(crate) use x86_64::{Arrival, go_on, jump, jump_on_top};
pub(crate) use x86_64::{
    Context, Pair, Word, depth_below, pass, prefetch_for_write, resume, stack_pointer,
};
pub(crate) use x86_64::{suspend, system_call, thread_pointer};

#[cfg(test)]
mod tests;
