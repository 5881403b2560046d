//! What all sockets have in common.

use crate::io::Io;
use crate::poll::Direction;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};
use std::sync::Arc;

/// A socket of which `S` is std's type.
pub(super) struct Socket<S> {
    pub(super) io: Arc<Io>,
    std: PhantomData<fn() -> S>,
}

/// The same socket as std's type, for its non-blocking calls.
pub(super) struct AsStd<'a, S> {
    socket: ManuallyDrop<S>,
    owner: PhantomData<&'a Io>,
}

impl<S> Deref for AsStd<'_, S> {
    type Target = S;

    #[inline]
    fn deref(&self) -> &S {
        &self.socket
    }
}

impl<S: FromRawFd + Into<OwnedFd>> Socket<S> {
    /// For a descriptor that is non-blocking already.
    pub(super) fn of_nonblocking(fd: impl Into<OwnedFd>) -> Socket<S> {
        Socket { io: Arc::new(Io::of_nonblocking(fd.into())), std: PhantomData }
    }

    pub(super) fn new(fd: impl Into<OwnedFd>) -> Socket<S> {
        match Io::new(fd.into()) {
            Ok(io) => Socket { io: Arc::new(io), std: PhantomData },
            Err(error) => panic!("the descriptor is not that of a socket: {error}"),
        }
    }

    #[inline]
    pub(super) fn as_std(&self) -> AsStd<'_, S> {
        // SAFETY: the descriptor is open for as long as `self` is borrowed, and is not closed by this.
        let socket = ManuallyDrop::new(unsafe { S::from_raw_fd(self.io.raw()) });
        AsStd { socket, owner: PhantomData }
    }

    /// Calls `attempt` until it does not say `WouldBlock`, and waits in between.
    pub(super) fn run<T>(
        &self,
        direction: Direction,
        mut attempt: impl FnMut(&S) -> io::Result<T>,
    ) -> io::Result<T> {
        let socket = self.as_std();
        self.io.run(direction, || attempt(&socket))
    }

    pub(super) fn same(&self) -> Socket<S> {
        Socket { io: self.io.clone(), std: PhantomData }
    }

    /// # Errors
    /// While there are clones, because they would block their threads.
    pub(super) fn into_std(self) -> io::Result<S> {
        match Arc::try_unwrap(self.io) {
            // SAFETY: the descriptor was made from an `S` or for one, and is nobody else's.
            Ok(io) => Ok(unsafe { S::from_raw_fd(io.into_fd().into_raw_fd()) }),
            Err(_) => Err(io::Error::other("clones of this socket are in use")),
        }
    }

    /// The descriptor itself, or a copy if there are clones.
    pub(super) fn into_fd(self) -> OwnedFd {
        match Arc::try_unwrap(self.io) {
            Ok(io) => io.into_fd(),
            Err(shared) => match shared.show().try_clone_to_owned() {
                Ok(copy) => copy,
                Err(error) => panic!("cannot copy the descriptor of a cloned socket: {error}"),
            },
        }
    }
}

impl<S: FromRawFd + fmt::Debug> fmt::Debug for Socket<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // SAFETY: as in `as_std`.
        let socket = ManuallyDrop::new(unsafe { S::from_raw_fd(self.io.raw()) });
        (*socket).fmt(f)
    }
}

/// What every socket type has: cloning, limits, closing, and conversions from and to descriptors.
macro_rules! socket {
    ($type:ident, $std:ty) => {
        impl $type {
            /// Another handle to the same socket; limits and `close` count for both. Takes no descriptor.
            ///
            /// # Errors
            /// None; std's may fail.
            pub fn try_clone(&self) -> io::Result<$type> {
                Ok($type(self.0.same()))
            }

            /// From when on every call fails with `TimedOut`, also one that waits already or that would not
            /// have to wait; `None` for never. One that has passed ends calls at once.
            ///
            /// # Errors
            /// `NotConnected` after [`close`](Self::close).
            pub fn set_deadline(&self, deadline: Option<Instant>) -> io::Result<()> {
                self.0.io.set_deadline(deadline)
            }

            /// Closes the socket now, for all clones. Whoever waits for it gets an error of the kind
            /// `NotConnected`, and so does every later call that could wait; calls about addresses and options fail,
            /// too. The other side sees the end. Does not block. A second time it does nothing.
            pub fn close(&self) {
                self.0.io.close();
            }

            /// With `true`, calls that would have to wait fail with `WouldBlock` instead.
            ///
            /// # Errors
            /// None; std's may fail.
            pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
                self.0.io.set_nonblocking(nonblocking);
                Ok(())
            }

            /// The pending error of the socket, which is cleared.
            ///
            /// # Errors
            /// Those of the system call.
            pub fn take_error(&self) -> io::Result<Option<io::Error>> {
                self.0.as_std().take_error()
            }

            /// The std socket; blocking, unless [`set_nonblocking`](Self::set_nonblocking) says otherwise. That is a
            /// property of the socket, which copies of its descriptor share: calls of a Fibra socket that was made
            /// from such a copy would block their threads.
            ///
            /// # Errors
            /// While there are clones, because their calls would block their threads.
            pub fn into_std(self) -> io::Result<$std> {
                self.0.into_std()
            }
        }

        impl From<$std> for $type {
            /// Copies of the descriptor become non-blocking, too.
            fn from(socket: $std) -> $type {
                $type(Socket::new(socket))
            }
        }

        impl From<OwnedFd> for $type {
            /// # Panics
            /// When the descriptor is not that of a socket.
            fn from(fd: OwnedFd) -> $type {
                $type(Socket::new(fd))
            }
        }

        impl From<$type> for OwnedFd {
            /// The descriptor, blocking. While there are clones it is a copy, and non-blocking.
            ///
            /// # Panics
            /// When there is no descriptor left for a copy.
            fn from(socket: $type) -> OwnedFd {
                socket.0.into_fd()
            }
        }

        impl AsFd for $type {
            /// It is non-blocking.
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.0.io.show()
            }
        }

        impl AsRawFd for $type {
            /// It is non-blocking.
            fn as_raw_fd(&self) -> RawFd {
                self.0.io.show().as_raw_fd()
            }
        }

        impl IntoRawFd for $type {
            fn into_raw_fd(self) -> RawFd {
                OwnedFd::from(self).into_raw_fd()
            }
        }

        impl FromRawFd for $type {
            unsafe fn from_raw_fd(fd: RawFd) -> $type {
                // SAFETY: by the contract of this function, which is the same.
                unsafe { OwnedFd::from_raw_fd(fd) }.into()
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

/// For sockets that read and write: their timeouts.
macro_rules! timeouts {
    ($type:ident) => {
        impl $type {
            /// How long a call may wait until there is something to read; `None` for ever. It counts from when the
            /// call began to wait; for one that waits already without a timeout, from now on.
            ///
            /// # Errors
            /// `InvalidInput` for zero.
            pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
                self.0.io.set_timeout(Direction::Read, timeout)
            }

            /// The same for writing.
            ///
            /// # Errors
            /// `InvalidInput` for zero.
            pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
                self.0.io.set_timeout(Direction::Write, timeout)
            }

            /// What was set.
            ///
            /// # Errors
            /// None; std's may fail.
            pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
                Ok(self.0.io.timeout(Direction::Read))
            }

            /// What was set.
            ///
            /// # Errors
            /// None; std's may fail.
            pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
                Ok(self.0.io.timeout(Direction::Write))
            }
        }
    };
}

/// `Read` and `Write` for a stream and for a reference to it.
macro_rules! stream {
    ($type:ident, $read:ident) => {
        impl Read for &$type {
            #[inline]
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                self.0.io.$read(buf.len(), || sys::recv(self.0.io.raw(), buf))
            }

            fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                let socket = self.0.as_std();
                // The system looks at no more of them.
                let wanted = bufs.iter().take(1024).map(|buf| buf.len()).sum();
                self.0.io.$read(wanted, || (&*socket).read_vectored(bufs))
            }
        }

        impl Write for &$type {
            #[inline]
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                self.0.io.run(Direction::Write, || sys::send(self.0.io.raw(), buf))
            }

            fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
                self.0.run(Direction::Write, |mut socket| socket.write_vectored(bufs))
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }

        impl Read for $type {
            #[inline]
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                (&*self).read(buf)
            }

            fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                (&*self).read_vectored(bufs)
            }
        }

        impl Write for $type {
            #[inline]
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
    };
}

pub(super) use {socket, stream, timeouts};
