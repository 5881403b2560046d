use super::super::socket::{Socket, socket, timeouts};
use crate::poll::Direction;
use std::fmt;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::net::{SocketAddr, UnixDatagram as Std};
use std::path::Path;
use std::time::{Duration, Instant};

/// A datagram socket on this machine: [`std::os::unix::net::UnixDatagram`], whose calls park the goroutine.
pub struct UnixDatagram(Socket<Std>);

socket!(UnixDatagram, Std);
timeouts!(UnixDatagram);

impl UnixDatagram {
    /// One at that path, which must not exist.
    ///
    /// # Errors
    /// Those of the system.
    pub fn bind(path: impl AsRef<Path>) -> io::Result<UnixDatagram> {
        Ok(Std::bind(path)?.into())
    }

    /// The same for an address, which may be an abstract one.
    ///
    /// # Errors
    /// Those of the system.
    pub fn bind_addr(addr: &SocketAddr) -> io::Result<UnixDatagram> {
        Ok(Std::bind_addr(addr)?.into())
    }

    /// One without an address.
    ///
    /// # Errors
    /// Those of the system.
    pub fn unbound() -> io::Result<UnixDatagram> {
        Ok(Std::unbound()?.into())
    }

    /// Two that are connected to each other.
    ///
    /// # Errors
    /// Those of the system.
    pub fn pair() -> io::Result<(UnixDatagram, UnixDatagram)> {
        let (left, right) = Std::pair()?;
        Ok((left.into(), right.into()))
    }

    /// From now on [`send`](Self::send) goes there.
    ///
    /// # Errors
    /// Those of the system.
    pub fn connect(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.0.as_std().connect(path)
    }

    /// The same for an address, which may be an abstract one.
    ///
    /// # Errors
    /// Those of the system.
    pub fn connect_addr(&self, addr: &SocketAddr) -> io::Result<()> {
        self.0.as_std().connect_addr(addr)
    }

    /// The address of this side.
    ///
    /// # Errors
    /// Those of the system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.as_std().local_addr()
    }

    /// Where it is connected.
    ///
    /// # Errors
    /// `NotConnected` if it is not.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.as_std().peer_addr()
    }

    /// Blocks until a datagram comes. What does not fit is lost.
    ///
    /// # Errors
    /// Those of the system, `TimedOut`.
    pub fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.0.run(Direction::Read, |socket| socket.recv_from(buf))
    }

    /// The same without the address.
    ///
    /// # Errors
    /// As above.
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.run(Direction::Read, |socket| socket.recv(buf))
    }

    /// Sends a datagram to the socket at that path. Blocks while there is no room for it.
    ///
    /// # Errors
    /// Those of the system, `TimedOut`.
    pub fn send_to(&self, buf: &[u8], path: impl AsRef<Path>) -> io::Result<usize> {
        let path = path.as_ref();
        let socket = self.0.as_std();
        // Nothing says when another socket, to which this one is not connected, has room again.
        self.0.io.run_unreported(Direction::Write, || socket.send_to(buf, path))
    }

    /// The same for an address, which may be an abstract one.
    ///
    /// # Errors
    /// As above.
    pub fn send_to_addr(&self, buf: &[u8], addr: &SocketAddr) -> io::Result<usize> {
        let socket = self.0.as_std();
        self.0.io.run_unreported(Direction::Write, || socket.send_to_addr(buf, addr))
    }

    /// Sends a datagram to where the socket is [connected](Self::connect). Blocks while there is no room for it.
    ///
    /// # Errors
    /// Those of the system, `TimedOut`.
    pub fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.0.run(Direction::Write, |socket| socket.send(buf))
    }

    /// Ends one direction or both. A `recv` that waits goes on waiting, unlike in std: the system does not tell a
    /// non-blocking datagram socket that its reading end is over. [`close`](Self::close) ends it.
    ///
    /// # Errors
    /// Those of the system.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.0.as_std().shutdown(how)
    }
}
