//! White-box tests and loom models of channels and select.

#[cfg(loom)]
mod model;
