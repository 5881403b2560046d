use super::super::addr::ToSocketAddrs;
use super::super::socket::{Socket, socket};
use super::builder::TcpListenerBuilder;
use super::stream::TcpStream;
use crate::poll::Direction;
use socket2::SockRef;
use std::fmt;
use std::io;
use std::iter::FusedIterator;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::time::Instant;

/// A TCP socket that others connect to: [`std::net::TcpListener`], whose calls park the goroutine.
pub struct TcpListener(pub(super) Socket<std::net::TcpListener>);

socket!(TcpListener, std::net::TcpListener);

impl TcpListener {
    /// Listens at the first address that can be had, with `SO_REUSEADDR` and as many pending connections as the
    /// system allows, up to 4096. A host name is looked up on a blocking thread.
    ///
    /// # Errors
    /// That of the last address; `InvalidInput` if there is none.
    pub fn bind(addrs: impl ToSocketAddrs) -> io::Result<TcpListener> {
        TcpListener::builder().bind(addrs)
    }

    /// A listener with options.
    pub fn builder() -> TcpListenerBuilder {
        TcpListenerBuilder::new()
    }

    /// Where it listens: port 0 was replaced by a real one.
    ///
    /// # Errors
    /// Those of the system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.as_std().local_addr()
    }

    /// Blocks until somebody connects. Several may wait; they get connections in turn.
    ///
    /// # Errors
    /// Those of the system. When the process has no descriptors left the connection stays pending: try again
    /// once there is one. [`set_deadline`](Self::set_deadline) and [`close`](Self::close) end it, too.
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        let (socket, addr) =
            self.0.run(Direction::Read, |listener| SockRef::from(listener).accept4(flags))?;
        match addr.as_socket() {
            Some(addr) => Ok((TcpStream(Socket::of_nonblocking(socket)), addr)),
            None => Err(io::Error::other("a connection from no internet address")),
        }
    }

    /// [`accept`](Self::accept) again and again. It ends when the listener is [closed](Self::close).
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming(self)
    }

    /// The time to live of packets, in hops.
    ///
    /// # Errors
    /// Those of the system.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.0.as_std().set_ttl(ttl)
    }

    /// What was set.
    ///
    /// # Errors
    /// Those of the system.
    pub fn ttl(&self) -> io::Result<u32> {
        self.0.as_std().ttl()
    }
}

/// The connections of a listener, until it is closed; see [`TcpListener::incoming`].
#[derive(Debug)]
pub struct Incoming<'a>(&'a TcpListener);

impl Iterator for Incoming<'_> {
    type Item = io::Result<TcpStream>;

    fn next(&mut self) -> Option<io::Result<TcpStream>> {
        match self.0.accept() {
            Ok((stream, _)) => Some(Ok(stream)),
            Err(_) if self.0.0.io.is_closed() => None,
            Err(error) => Some(Err(error)),
        }
    }
}

impl FusedIterator for Incoming<'_> {}
