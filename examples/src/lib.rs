//! The examples stand beside `src/`, one program each: `cargo run --release --example digest`.
