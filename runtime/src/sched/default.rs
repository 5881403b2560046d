//! The runtime of `go!` outside any runtime: started when first needed, never stopped.

use super::{Config, Shared, Station};
use crate::goroutine::Affinity;
use crate::stack::{self, StackSize};
use crate::ticket::Ticket;
use crate::timer::Key;
use std::env;
use std::ffi::OsStr;
use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

/// Spare workers of a runtime that does not say otherwise.
pub(crate) const SPARES: usize = 64;

static DEFAULT: OnceLock<Arc<Shared>> = OnceLock::new();
/// One starts it; a failure is not kept.
static STARTING: Mutex<()> = Mutex::new(());

impl Config {
    /// As many workers as `FIBRA_WORKERS` says, else as many as there are cores.
    ///
    /// # Errors
    /// A malformed environment variable.
    pub(crate) fn from_environment() -> io::Result<Config> {
        Config::with_workers(match env::var_os("FIBRA_WORKERS") {
            None => num_cpus::get(),
            Some(text) => parse_workers(&text)?,
        })
    }

    /// # Errors
    /// A malformed environment variable.
    pub(crate) fn with_workers(workers: usize) -> io::Result<Config> {
        stack::check_environment()?;
        Ok(Config {
            workers,
            spares: SPARES,
            stack_size: StackSize::DEFAULT,
            thread_name: "fibra".into(),
            affinity: Affinity::Worker,
            report_stalls: false,
        })
    }
}

/// The most workers that a runtime may have.
pub(crate) const MOST_WORKERS: usize = 4096;

fn parse_workers(text: &OsStr) -> io::Result<usize> {
    text.to_str()
        .and_then(|text| text.trim().parse().ok())
        .filter(|workers| (1..=MOST_WORKERS).contains(workers))
        .ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("FIBRA_WORKERS must be a number from 1 to {MOST_WORKERS}, not {text:?}"),
            )
        })
}

/// The default runtime, started with `config` if it is not there yet.
pub(crate) fn runtime_with(
    config: impl FnOnce() -> io::Result<Config>,
) -> io::Result<&'static Arc<Shared>> {
    if let Some(shared) = DEFAULT.get() {
        return Ok(shared);
    }
    let _starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(shared) = DEFAULT.get() {
        return Ok(shared);
    }
    let shared = Shared::start(config()?)?;
    Ok(DEFAULT.get_or_init(|| shared))
}

/// The default runtime.
pub(crate) fn runtime() -> io::Result<&'static Arc<Shared>> {
    runtime_with(Config::from_environment)
}

/// A deadline for the park of an async task, which has no worker of its own: one of the default runtime
/// keeps it. Dropped, it takes the deadline back.
pub(crate) struct TaskDeadline {
    station: &'static Station,
    key: Key,
}

impl TaskDeadline {
    /// # Panics
    /// The default runtime cannot be started.
    pub(crate) fn set(deadline: Instant, ticket: Ticket) -> TaskDeadline {
        let shared = match runtime() {
            Ok(shared) => shared,
            Err(error) => panic!("cannot start the default runtime: {error}"),
        };
        let station = &shared.stations[0];
        let key = station.insert_timer(deadline, ticket);
        // It may sleep towards a later one.
        station.wake();
        TaskDeadline { station, key }
    }
}

impl Drop for TaskDeadline {
    fn drop(&mut self) {
        self.station.cancel_timer(self.key);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn worker_counts() {
        for (text, expected) in [("1", Some(1)), (" 8 ", Some(8)), ("4096", Some(4096))] {
            assert_eq!(parse_workers(OsStr::new(text)).ok(), expected);
        }
        for text in ["", "0", "-1", "abc", "4097", "99999999999999999999"] {
            let error = parse_workers(OsStr::new(text)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            assert!(error.to_string().contains("FIBRA_WORKERS"), "{error}");
        }
    }
}
