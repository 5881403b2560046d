//! White-box tests and loom models of the wait queue.

#[cfg(loom)]
mod model;
