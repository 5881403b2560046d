//! A process that was started.

use super::{ChildStderr, ChildStdin, ChildStdout, ExitStatus, Output};
use crate::blocking::blocking;
use crate::io::Io;
use crate::park;
use crate::poll::Direction;
use crate::scope::scope;
use std::fmt;
use std::io::{self, Read};
use std::os::fd::{FromRawFd, OwnedFd};
use std::panic;
use std::process;

/// A process that was started by a [`Command`](super::Command): [`std::process::Child`], method for method.
///
/// Dropping it neither ends the process nor waits for it. Who never waits leaves a zombie behind.
pub struct Child {
    /// Writes to its stdin, if that is a pipe.
    pub stdin: Option<ChildStdin>,
    /// Reads from its stdout, if that is a pipe.
    pub stdout: Option<ChildStdout>,
    /// Reads from its stderr, if that is a pipe.
    pub stderr: Option<ChildStderr>,
    std: process::Child,
    /// Becomes readable when the process has ended. Made for the first goroutine that waits.
    pidfd: Option<Io>,
}

impl Child {
    /// Its process id.
    pub fn id(&self) -> u32 {
        self.std.id()
    }

    /// Ends it with SIGKILL; nothing happens if it has ended. It is still to be waited for.
    ///
    /// # Errors
    /// It may not be ended, because it runs as another user by now.
    pub fn kill(&mut self) -> io::Result<()> {
        self.std.kill()
    }

    /// Waits until it has ended. Closes its stdin first, if that is still here, so that it does not wait for more
    /// input.
    ///
    /// A goroutine that is cancelled while it waits unwinds; the child goes on, and can be waited for by others.
    /// (Before Linux 5.3, or when there is no descriptor left, a blocking thread waits, which is not cancelled.)
    ///
    /// # Errors
    /// Somebody else has waited for it, or the process ignores SIGCHLD.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        drop(self.stdin.take());
        if let Some(status) = self.std.try_wait()? {
            return Ok(status);
        }
        if park::may_run_in_place().is_none() {
            return self.std.wait();
        }
        if self.pidfd.is_none() {
            self.pidfd = pidfd_open(self.id()).ok();
        }
        let std = &mut self.std;
        match &self.pidfd {
            Some(pidfd) => pidfd.run(Direction::Read, || match std.try_wait() {
                Ok(Some(status)) => Ok(status),
                Ok(None) => Err(io::ErrorKind::WouldBlock.into()),
                Err(error) => Err(error),
            }),
            None => blocking(|| std.wait()),
        }
    }

    /// How it has ended; `None`: it has not. Never waits.
    ///
    /// # Errors
    /// Those of [`wait`](Self::wait).
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.std.try_wait()
    }

    /// Waits until it has ended, and gives what it has written to stdout and stderr, as far as these are pipes still
    /// here. Closes its stdin first.
    ///
    /// A goroutine that is cancelled meanwhile loses the output, and the child, which goes on.
    ///
    /// # Errors
    /// Those of [`wait`](Self::wait), or a pipe cannot be read.
    ///
    /// # Panics
    /// When a goroutine that reads stderr beside stdout cannot be spawned.
    pub fn wait_with_output(mut self) -> io::Result<Output> {
        drop(self.stdin.take());
        if park::may_run_in_place().is_none() {
            // No goroutines for what a plain thread does by itself.
            return self.into_std().wait_with_output();
        }
        let (stdout, stderr) = match (self.stdout.take(), self.stderr.take()) {
            (None, None) => (Vec::new(), Vec::new()),
            (Some(stdout), None) => (all(stdout)?, Vec::new()),
            (None, Some(stderr)) => (Vec::new(), all(stderr)?),
            (Some(stdout), Some(stderr)) => {
                // The child may wait for either of them to be read.
                let (stdout, stderr) = scope(|s| {
                    let stderr = s.go(|| all(stderr));
                    (all(stdout), stderr.join())
                });
                (stdout?, stderr.unwrap_or_else(|payload| panic::resume_unwind(payload))?)
            }
        };
        Ok(Output { status: self.wait()?, stdout, stderr })
    }

    /// Makes std's of it.
    pub fn into_std(self) -> process::Child {
        let mut std = self.std;
        std.stdin = self.stdin.map(|pipe| OwnedFd::from(pipe).into());
        std.stdout = self.stdout.map(|pipe| OwnedFd::from(pipe).into());
        std.stderr = self.stderr.map(|pipe| OwnedFd::from(pipe).into());
        std
    }
}

fn all(mut pipe: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    pipe.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A descriptor for a child that nobody has waited for.
fn pidfd_open(id: u32) -> io::Result<Io> {
    // SAFETY: takes numbers only.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, id, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it was opened just now, and nobody else knows it.
    Io::new(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

impl From<process::Child> for Child {
    fn from(mut std: process::Child) -> Child {
        Child {
            stdin: std.stdin.take().map(ChildStdin::from),
            stdout: std.stdout.take().map(ChildStdout::from),
            stderr: std.stderr.take().map(ChildStderr::from),
            std,
            pidfd: None,
        }
    }
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child")
            .field("id", &self.id())
            .field("stdin", &self.stdin)
            .field("stdout", &self.stdout)
            .field("stderr", &self.stderr)
            .finish_non_exhaustive()
    }
}
