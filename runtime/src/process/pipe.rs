//! The pipes to and from a child.

use super::Stdio;
use crate::io::Io;
use crate::poll::Direction;
use std::fmt;
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::process;

/// A pipe, whose calls park the goroutine.
struct Pipe(Io);

impl Pipe {
    fn new(fd: OwnedFd) -> Pipe {
        match Io::new(fd) {
            Ok(io) => Pipe(io),
            Err(error) => unreachable!("a pipe can be made non-blocking: {error}"),
        }
    }

    /// Calls `attempt` until it does not say `WouldBlock`, and waits in between.
    fn run<T>(
        &self,
        direction: Direction,
        mut attempt: impl FnMut(&File) -> io::Result<T>,
    ) -> io::Result<T> {
        // SAFETY: the descriptor is open for as long as `self` is borrowed, and is not closed by this.
        let file = ManuallyDrop::new(unsafe { File::from_raw_fd(self.0.raw()) });
        self.0.run(direction, || attempt(&file))
    }
}

/// What both ends have.
macro_rules! pipe {
    ($type:ident) => {
        impl From<process::$type> for $type {
            /// Copies of the descriptor become non-blocking, too.
            fn from(pipe: process::$type) -> $type {
                $type(Pipe::new(pipe.into()))
            }
        }

        impl From<OwnedFd> for $type {
            /// Copies of the descriptor become non-blocking, too.
            fn from(fd: OwnedFd) -> $type {
                $type(Pipe::new(fd))
            }
        }

        impl From<$type> for OwnedFd {
            /// The descriptor, blocking.
            fn from(pipe: $type) -> OwnedFd {
                pipe.0.0.into_fd()
            }
        }

        /// So that it can be another child's.
        impl From<$type> for Stdio {
            fn from(pipe: $type) -> Stdio {
                OwnedFd::from(pipe).into()
            }
        }

        impl AsFd for $type {
            /// It is non-blocking.
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.0.0.show()
            }
        }

        impl AsRawFd for $type {
            /// It is non-blocking.
            fn as_raw_fd(&self) -> RawFd {
                self.0.0.show().as_raw_fd()
            }
        }

        impl IntoRawFd for $type {
            /// The descriptor, blocking.
            fn into_raw_fd(self) -> RawFd {
                OwnedFd::from(self).into_raw_fd()
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($type)).finish_non_exhaustive()
            }
        }
    };
}

macro_rules! readable {
    ($type:ident) => {
        pipe!($type);

        impl Read for &$type {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                self.0.run(Direction::Read, |mut pipe| pipe.read(buf))
            }

            fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                self.0.run(Direction::Read, |mut pipe| pipe.read_vectored(bufs))
            }
        }

        impl Read for $type {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                (&*self).read(buf)
            }

            fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                (&*self).read_vectored(bufs)
            }
        }
    };
}

/// Reads what a child writes to its stdout.
pub struct ChildStdout(Pipe);

/// Reads what a child writes to its stderr.
pub struct ChildStderr(Pipe);

/// Writes what a child reads from its stdin. Dropping it is the end of the child's input.
pub struct ChildStdin(Pipe);

readable!(ChildStdout);
readable!(ChildStderr);
pipe!(ChildStdin);

impl Write for &ChildStdin {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.run(Direction::Write, |mut pipe| pipe.write(buf))
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.run(Direction::Write, |mut pipe| pipe.write_vectored(bufs))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for ChildStdin {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self).write(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
