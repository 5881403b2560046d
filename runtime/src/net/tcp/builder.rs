//! Options that have to be set before a socket is bound or connected.

use super::super::addr::{ToSocketAddrs, each};
use super::super::socket::Socket;
use super::{TcpListener, TcpStream};
use crate::io::timed_out;
use crate::poll::Direction;
use socket2::{Domain, Protocol, SockRef, Type};
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// What the system allows is the smaller of this and `net.core.somaxconn`.
const BACKLOG: u32 = 4096;

/// A [`TcpListener`] with options.
///
/// ```
/// let listener = fibra::net::TcpListener::builder().reuse_port(true).backlog(64).bind("[::1]:0")?;
/// # let _ = listener;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct TcpListenerBuilder {
    reuse_addr: bool,
    reuse_port: bool,
    only_v6: Option<bool>,
    backlog: u32,
}

impl TcpListenerBuilder {
    pub(super) fn new() -> TcpListenerBuilder {
        TcpListenerBuilder { reuse_addr: true, reuse_port: false, only_v6: None, backlog: BACKLOG }
    }

    /// Whether the address may have been in use a moment ago. Default: true, as in std.
    pub fn reuse_addr(self, reuse: bool) -> Self {
        TcpListenerBuilder { reuse_addr: reuse, ..self }
    }

    /// Whether several listeners may share the address; the system spreads connections over them. Default: false.
    pub fn reuse_port(self, reuse: bool) -> Self {
        TcpListenerBuilder { reuse_port: reuse, ..self }
    }

    /// Whether a listener at an IPv6 address refuses IPv4. Default: the system's.
    pub fn only_v6(self, only: bool) -> Self {
        TcpListenerBuilder { only_v6: Some(only), ..self }
    }

    /// How many connections may be pending, up to `net.core.somaxconn`. Default: 4096.
    pub fn backlog(self, backlog: u32) -> Self {
        TcpListenerBuilder { backlog, ..self }
    }

    /// Listens at the first address that can be had. A host name is looked up on a blocking thread.
    ///
    /// # Errors
    /// That of the last address; `InvalidInput` if there is none.
    pub fn bind(&self, addrs: impl ToSocketAddrs) -> io::Result<TcpListener> {
        each(addrs, |addr, _| {
            let socket = new_socket(addr)?;
            socket.set_reuse_address(self.reuse_addr)?;
            socket.set_reuse_port(self.reuse_port)?;
            if let (Some(only), SocketAddr::V6(_)) = (self.only_v6, addr) {
                socket.set_only_v6(only)?;
            }
            socket.bind(&addr.into())?;
            socket.listen(i32::try_from(self.backlog).unwrap_or(i32::MAX))?;
            Ok(TcpListener(Socket::of_nonblocking(socket)))
        })
    }
}

/// A [`TcpStream`] with options.
///
/// ```no_run
/// use std::time::Duration;
///
/// let stream = fibra::net::TcpStream::builder()
///     .timeout(Duration::from_secs(5))
///     .nodelay(true)
///     .connect("example.com:80")?;
/// # let _ = stream;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct TcpStreamBuilder {
    local: Option<SocketAddr>,
    timeout: Option<Duration>,
    nodelay: bool,
}

impl TcpStreamBuilder {
    pub(super) fn new() -> TcpStreamBuilder {
        TcpStreamBuilder { local: None, timeout: None, nodelay: false }
    }

    /// The address of this side. Default: the system chooses.
    pub fn local_addr(self, addr: SocketAddr) -> Self {
        TcpStreamBuilder { local: Some(addr), ..self }
    }

    /// How long all addresses together may take, after the look-up of the name. Each of them gets an equal
    /// share of what is left. Default: as long as the system tries.
    pub fn timeout(self, timeout: Duration) -> Self {
        TcpStreamBuilder { timeout: Some(timeout), ..self }
    }

    /// See [`TcpStream::set_nodelay`]. Default: false.
    pub fn nodelay(self, nodelay: bool) -> Self {
        TcpStreamBuilder { nodelay, ..self }
    }

    /// Connects to the first address that answers. Blocks; a host name is looked up on a blocking thread.
    ///
    /// # Errors
    /// That of the last address; `InvalidInput` if there is none; `TimedOut`.
    pub fn connect(&self, addrs: impl ToSocketAddrs) -> io::Result<TcpStream> {
        // When it is over; `Some(None)` is beyond what the clock can say.
        let mut end = None;
        let stream = each(addrs, |addr, left| {
            let deadline = self.timeout.and_then(|timeout| {
                let now = Instant::now();
                let end = (*end.get_or_insert_with(|| now.checked_add(timeout)))?;
                Some(now + end.saturating_duration_since(now) / left as u32)
            });
            connect_by(addr, self.local, deadline)
        })?;
        if self.nodelay {
            stream.set_nodelay(true)?;
        }
        Ok(stream)
    }
}

fn new_socket(addr: SocketAddr) -> io::Result<socket2::Socket> {
    let kind = Type::STREAM.nonblocking();
    socket2::Socket::new(Domain::for_address(addr), kind, Some(Protocol::TCP))
}

/// Connects, until a deadline. Blocks.
pub(super) fn connect_by(
    addr: SocketAddr,
    local: Option<SocketAddr>,
    deadline: Option<Instant>,
) -> io::Result<TcpStream> {
    if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
        return Err(timed_out());
    }
    let socket = new_socket(addr)?;
    if let Some(local) = local {
        socket.bind(&local.into())?;
    }
    let stream = TcpStream(Socket::of_nonblocking(socket));
    stream.set_deadline(deadline)?;
    let addr = addr.into();
    // Asking again is how one learns what has become of it.
    stream.0.run(Direction::Write, |socket| match SockRef::from(socket).connect(&addr) {
        Err(error) => match error.raw_os_error() {
            Some(libc::EISCONN) => Ok(()),
            Some(libc::EINPROGRESS | libc::EALREADY) => Err(io::ErrorKind::WouldBlock.into()),
            // No free port; it would be taken for a reason to wait.
            Some(libc::EAGAIN) => Err(io::ErrorKind::AddrNotAvailable.into()),
            _ => Err(error),
        },
        Ok(()) => Ok(()),
    })?;
    stream.set_deadline(None)?;
    Ok(stream)
}
