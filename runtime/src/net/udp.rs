//! UDP.

use super::addr::{ToSocketAddrs, each};
use super::socket::{Socket, socket, timeouts};
use crate::poll::Direction;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

/// A UDP socket: [`std::net::UdpSocket`], whose calls park the goroutine.
///
/// ```
/// let [a, b] = [(); 2].map(|()| fibra::net::UdpSocket::bind("127.0.0.1:0").unwrap());
/// a.send_to(b"ping", b.local_addr()?)?;
/// let mut buf = [0; 16];
/// let (len, from) = b.recv_from(&mut buf)?;
/// assert_eq!((&buf[..len], from), (&b"ping"[..], a.local_addr()?));
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct UdpSocket(Socket<std::net::UdpSocket>);

socket!(UdpSocket, std::net::UdpSocket);
timeouts!(UdpSocket);

/// Calls that std's type answers at once.
macro_rules! options {
    ($($(#[$doc:meta])* fn $name:ident(&self $(, $parameter:ident: $type:ty)*) -> $result:ty;)*) => {
        impl UdpSocket {$(
            $(#[$doc])*
            ///
            /// # Errors
            /// Those of the system.
            pub fn $name(&self $(, $parameter: $type)*) -> io::Result<$result> {
                self.0.as_std().$name($($parameter),*)
            }
        )*}
    };
}

impl UdpSocket {
    /// Binds to the first address that can be had. A host name is looked up on a blocking thread.
    ///
    /// # Errors
    /// That of the last address; `InvalidInput` if there is none.
    pub fn bind(addrs: impl ToSocketAddrs) -> io::Result<UdpSocket> {
        each(addrs, |addr, _| Ok(std::net::UdpSocket::bind(addr)?.into()))
    }

    /// From now on [`send`](Self::send) goes there, and only what comes from there is received. The first
    /// address that the system accepts. A host name is looked up on a blocking thread.
    ///
    /// # Errors
    /// That of the last address; `InvalidInput` if there is none.
    pub fn connect(&self, addrs: impl ToSocketAddrs) -> io::Result<()> {
        each(addrs, |addr, _| self.0.as_std().connect(addr))
    }

    /// Blocks until a datagram comes. What does not fit is lost.
    ///
    /// # Errors
    /// Those of the system, `TimedOut`.
    pub fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.0.run(Direction::Read, |socket| socket.recv_from(buf))
    }

    /// The same, without taking it.
    ///
    /// # Errors
    /// As above.
    pub fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.0.run(Direction::Read, |socket| socket.peek_from(buf))
    }

    /// [`recv_from`](Self::recv_from) without the address.
    ///
    /// # Errors
    /// As above.
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.run(Direction::Read, |socket| socket.recv(buf))
    }

    /// The same, without taking it.
    ///
    /// # Errors
    /// As above.
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.run(Direction::Read, |socket| socket.peek(buf))
    }

    /// Sends a datagram to the first of the addresses. Blocks while the system has no room for it.
    ///
    /// # Errors
    /// Those of the system, `TimedOut`; `InvalidInput` if there is no address.
    pub fn send_to(&self, buf: &[u8], addrs: impl ToSocketAddrs) -> io::Result<usize> {
        match addrs.to_socket_addrs()?.next() {
            Some(addr) => self.0.run(Direction::Write, |socket| socket.send_to(buf, addr)),
            None => {
                Err(io::Error::new(io::ErrorKind::InvalidInput, "no addresses to send data to"))
            }
        }
    }

    /// Sends a datagram to where the socket is [connected](Self::connect).
    ///
    /// # Errors
    /// Those of the system, `TimedOut`.
    pub fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.0.run(Direction::Write, |socket| socket.send(buf))
    }
}

options! {
    /// The address of this side.
    fn local_addr(&self) -> SocketAddr;
    /// Where it is connected.
    fn peer_addr(&self) -> SocketAddr;
    /// Whether it may send to a broadcast address.
    fn set_broadcast(&self, broadcast: bool) -> ();
    /// What was set.
    fn broadcast(&self) -> bool;
    /// The time to live of packets, in hops.
    fn set_ttl(&self, ttl: u32) -> ();
    /// What was set.
    fn ttl(&self) -> u32;
    /// Whether it receives its own multicast packets.
    fn set_multicast_loop_v4(&self, yes: bool) -> ();
    /// What was set.
    fn multicast_loop_v4(&self) -> bool;
    /// The time to live of multicast packets, in hops.
    fn set_multicast_ttl_v4(&self, ttl: u32) -> ();
    /// What was set.
    fn multicast_ttl_v4(&self) -> u32;
    /// Whether it receives its own multicast packets.
    fn set_multicast_loop_v6(&self, yes: bool) -> ();
    /// What was set.
    fn multicast_loop_v6(&self) -> bool;
    /// Joins a group at the interface with that address.
    fn join_multicast_v4(&self, group: &Ipv4Addr, interface: &Ipv4Addr) -> ();
    /// Joins a group at the interface with that index; 0 for any.
    fn join_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> ();
    /// Undoes [`join_multicast_v4`](Self::join_multicast_v4).
    fn leave_multicast_v4(&self, group: &Ipv4Addr, interface: &Ipv4Addr) -> ();
    /// Undoes [`join_multicast_v6`](Self::join_multicast_v6).
    fn leave_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> ();
}
