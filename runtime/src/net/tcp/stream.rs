use super::super::addr::ToSocketAddrs;
use super::super::socket::{Socket, socket, stream, timeouts};
use super::builder::{TcpStreamBuilder, connect_by};
use crate::io::sys;
use crate::poll::Direction;
use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

/// A TCP connection: [`std::net::TcpStream`], whose calls park the goroutine.
///
/// ```
/// use fibra::net::{TcpListener, TcpStream};
/// use std::io::{Read, Write};
///
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let addr = listener.local_addr()?;
/// let server = fibra::go!(move || -> std::io::Result<String> {
///     let (mut stream, _) = listener.accept()?;
///     let mut text = String::new();
///     stream.read_to_string(&mut text)?;
///     Ok(text)
/// });
/// let mut stream = TcpStream::connect(addr)?;
/// stream.write_all(b"to the end")?;
/// drop(stream);
/// assert_eq!(server.join().unwrap()?, "to the end");
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct TcpStream(pub(super) Socket<std::net::TcpStream>);

socket!(TcpStream, std::net::TcpStream);
timeouts!(TcpStream);
stream!(TcpStream, run_stream);

impl TcpStream {
    /// Connects to the first address that answers. Blocks; a host name is looked up on a blocking thread.
    ///
    /// # Errors
    /// That of the last address; `InvalidInput` if there is none.
    pub fn connect(addrs: impl ToSocketAddrs) -> io::Result<TcpStream> {
        TcpStream::builder().connect(addrs)
    }

    /// Connects, or gives up after a while. Blocks. For a host name or several addresses there is
    /// [`builder`](Self::builder).
    ///
    /// # Errors
    /// `TimedOut`; `InvalidInput` for a timeout of zero; those of the system.
    pub fn connect_timeout(addr: &SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
        if timeout.is_zero() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "cannot connect within no time at all",
            ));
        }
        connect_by(*addr, None, Instant::now().checked_add(timeout))
    }

    /// A connection with options.
    pub fn builder() -> TcpStreamBuilder {
        TcpStreamBuilder::new()
    }

    /// The address of the other side.
    ///
    /// # Errors
    /// `NotConnected` when the connection is over.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.as_std().peer_addr()
    }

    /// The address of this side.
    ///
    /// # Errors
    /// Those of the system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.as_std().local_addr()
    }

    /// Ends one direction or both. The other side reads what was sent, and then the end; a call that waits here to
    /// read or write is over.
    ///
    /// # Errors
    /// `NotConnected` when the connection is over.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.0.as_std().shutdown(how)
    }

    /// Reads without taking it. Blocks until there is something, or the end.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.run(Direction::Read, |socket| socket.peek(buf))
    }

    /// Whether small writes go out at once, without waiting for more (`TCP_NODELAY`).
    ///
    /// # Errors
    /// Those of the system.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.0.as_std().set_nodelay(nodelay)
    }

    /// What was set.
    ///
    /// # Errors
    /// Those of the system.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.0.as_std().nodelay()
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

    /// How long the last `close` tries to send what is left. Zero: the connection is reset. `None`: as long as
    /// it takes, in the background.
    ///
    /// With a time other than zero, closing blocks the thread for up to that time.
    ///
    /// # Errors
    /// Those of the system.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        socket2::SockRef::from(&*self.0.as_std()).set_linger(linger)
    }

    /// What was set.
    ///
    /// # Errors
    /// Those of the system.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        socket2::SockRef::from(&*self.0.as_std()).linger()
    }
}
