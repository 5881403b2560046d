//! The arguments of a program.

use std::env;
use std::process::ExitCode;
use std::str::FromStr;

/// Runs a program. `None` says that it does not understand its arguments: then stderr gets its `usage`.
pub fn run(usage: &str, program: impl FnOnce() -> Option<()>) -> ExitCode {
    match program() {
        Some(()) => ExitCode::SUCCESS,
        None => refuse(usage),
    }
}

/// Tells stderr how a program is used; the exit code of one that was not understood.
pub fn refuse(usage: &str) -> ExitCode {
    eprintln!("{usage}");
    ExitCode::FAILURE
}

/// Argument number `index`; 1 is the first.
pub fn text(index: usize) -> Option<String> {
    env::args().nth(index)
}

/// The same as a number; `None` also when it is none.
pub fn number<T: FromStr>(index: usize) -> Option<T> {
    text(index)?.parse().ok()
}
