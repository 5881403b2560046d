use super::super::socket::{Socket, socket};
use super::stream::UnixStream;
use crate::poll::Direction;
use std::fmt;
use std::io;
use std::iter::FusedIterator;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::time::Instant;

/// A socket that others on this machine connect to: [`std::os::unix::net::UnixListener`], whose calls park the
/// goroutine.
pub struct UnixListener(Socket<std::os::unix::net::UnixListener>);

socket!(UnixListener, std::os::unix::net::UnixListener);

impl UnixListener {
    /// Listens at that path, which must not exist.
    ///
    /// # Errors
    /// Those of the system.
    pub fn bind(path: impl AsRef<Path>) -> io::Result<UnixListener> {
        Ok(std::os::unix::net::UnixListener::bind(path)?.into())
    }

    /// The same for an address, which may be an abstract one.
    ///
    /// # Errors
    /// Those of the system.
    pub fn bind_addr(addr: &SocketAddr) -> io::Result<UnixListener> {
        Ok(std::os::unix::net::UnixListener::bind_addr(addr)?.into())
    }

    /// Where it listens.
    ///
    /// # Errors
    /// Those of the system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.as_std().local_addr()
    }

    /// Blocks until somebody connects. Several may wait; they get connections in turn.
    ///
    /// # Errors
    /// Those of the system; see [`TcpListener::accept`](crate::net::TcpListener::accept).
    pub fn accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        let (stream, addr) = self.0.run(Direction::Read, |listener| listener.accept())?;
        // Nobody else has seen the descriptor.
        stream.set_nonblocking(true)?;
        Ok((UnixStream(Socket::of_nonblocking(stream)), addr))
    }

    /// [`accept`](Self::accept) again and again. It ends when the listener is [closed](Self::close).
    pub fn incoming(&self) -> UnixIncoming<'_> {
        UnixIncoming(self)
    }
}

impl<'a> IntoIterator for &'a UnixListener {
    type Item = io::Result<UnixStream>;
    type IntoIter = UnixIncoming<'a>;

    fn into_iter(self) -> UnixIncoming<'a> {
        self.incoming()
    }
}

/// The connections of a listener, until it is closed; see [`UnixListener::incoming`].
#[derive(Debug)]
pub struct UnixIncoming<'a>(&'a UnixListener);

impl Iterator for UnixIncoming<'_> {
    type Item = io::Result<UnixStream>;

    fn next(&mut self) -> Option<io::Result<UnixStream>> {
        match self.0.accept() {
            Ok((stream, _)) => Some(Ok(stream)),
            Err(_) if self.0.0.io.is_closed() => None,
            Err(error) => Some(Err(error)),
        }
    }
}

impl FusedIterator for UnixIncoming<'_> {}
