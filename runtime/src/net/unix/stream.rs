use super::super::socket::{Socket, socket, stream, timeouts};
use crate::io::{FIRST_PAUSE, LAST_PAUSE, sys};
use crate::poll::Direction;
use crate::time::sleep;
use socket2::{Domain, SockAddr, Type};
use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

/// A connection on this machine: [`std::os::unix::net::UnixStream`], whose calls park the goroutine.
///
/// ```
/// use std::io::{Read, Write};
///
/// let (mut left, mut right) = fibra::net::UnixStream::pair()?;
/// let reader = fibra::go!(move || {
///     let mut text = String::new();
///     right.read_to_string(&mut text).map(|_| text)
/// });
/// left.write_all(b"over there")?;
/// drop(left);
/// assert_eq!(reader.join().unwrap()?, "over there");
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct UnixStream(pub(super) Socket<std::os::unix::net::UnixStream>);

socket!(UnixStream, std::os::unix::net::UnixStream);
timeouts!(UnixStream);
// A read stops where another message began that came with descriptors, though more is there.
stream!(UnixStream, run_messages);

impl UnixStream {
    /// Connects to the socket at that path. Blocks while the listener has no room for one more.
    ///
    /// # Errors
    /// Those of the system.
    pub fn connect(path: impl AsRef<Path>) -> io::Result<UnixStream> {
        UnixStream::connect_addr(&SocketAddr::from_pathname(path)?)
    }

    /// The same for an address, which may be an abstract one.
    ///
    /// # Errors
    /// Those of the system.
    pub fn connect_addr(addr: &SocketAddr) -> io::Result<UnixStream> {
        connect(&to_sock_addr(addr)?)
    }

    /// Two that are connected to each other.
    ///
    /// # Errors
    /// Those of the system.
    pub fn pair() -> io::Result<(UnixStream, UnixStream)> {
        let (left, right) = std::os::unix::net::UnixStream::pair()?;
        Ok((left.into(), right.into()))
    }

    /// The address of this side.
    ///
    /// # Errors
    /// Those of the system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.as_std().local_addr()
    }

    /// The address of the other side.
    ///
    /// # Errors
    /// `NotConnected` when the connection is over.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.as_std().peer_addr()
    }

    /// Ends one direction or both.
    ///
    /// # Errors
    /// `NotConnected` when the connection is over.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.0.as_std().shutdown(how)
    }
}

/// The same address for `socket2`, which has no conversion.
pub(super) fn to_sock_addr(addr: &SocketAddr) -> io::Result<SockAddr> {
    use std::os::linux::net::SocketAddrExt;
    match (addr.as_pathname(), addr.as_abstract_name()) {
        (Some(path), _) => SockAddr::unix(path),
        (None, Some(name)) => {
            // An abstract name begins with a zero byte.
            let path = [&[0], name].concat();
            SockAddr::unix(std::ffi::OsStr::from_bytes(&path))
        }
        (None, None) => {
            Err(io::Error::new(io::ErrorKind::InvalidInput, "the address of nobody in particular"))
        }
    }
}

fn connect(addr: &SockAddr) -> io::Result<UnixStream> {
    let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    let mut pause = FIRST_PAUSE;
    loop {
        match socket.connect(addr) {
            Ok(()) => return Ok(UnixStream(Socket::of_nonblocking(socket))),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // The listener's backlog is full, and nothing says when it no longer is.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                sleep(pause);
                pause = (2 * pause).min(LAST_PAUSE);
            }
            Err(error) => return Err(error),
        }
    }
}
