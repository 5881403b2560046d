//! Names and addresses.

use crate::blocking::blocking;
use std::io;
use std::iter;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::option;
use std::slice;
use std::vec;

/// What [`TcpStream::connect`](super::TcpStream::connect) and others take: [`std::net::ToSocketAddrs`] for the same types,
/// except that a host name is looked up on a [blocking thread](crate::blocking()) while the goroutine parks. Addresses
/// need no look-up.
///
/// ```
/// use fibra::net::ToSocketAddrs;
///
/// let mut addrs = ("127.0.0.1", 80).to_socket_addrs().unwrap();
/// assert_eq!(addrs.next(), Some(([127, 0, 0, 1], 80).into()));
/// ```
pub trait ToSocketAddrs {
    /// The addresses, in the order in which they should be tried.
    type Iter: Iterator<Item = SocketAddr>;

    /// Blocks for a host name.
    ///
    /// # Errors
    /// Those of [`std::net::ToSocketAddrs::to_socket_addrs`].
    fn to_socket_addrs(&self) -> io::Result<Self::Iter>;
}

/// Types that are one address.
macro_rules! one_address {
    ($($type:ty),*) => {$(
        impl ToSocketAddrs for $type {
            type Iter = option::IntoIter<SocketAddr>;

            fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
                Ok(Some(SocketAddr::from(*self)).into_iter())
            }
        }
    )*};
}

one_address! {
    SocketAddr, SocketAddrV4, SocketAddrV6, (IpAddr, u16), (Ipv4Addr, u16), (Ipv6Addr, u16)
}

/// Has `look_up` called on a blocking thread.
fn look_up<A>(name: A) -> io::Result<vec::IntoIter<SocketAddr>>
where
    A: std::net::ToSocketAddrs<Iter = vec::IntoIter<SocketAddr>> + Send,
{
    blocking(move || name.to_socket_addrs())
}

impl ToSocketAddrs for (&str, u16) {
    type Iter = vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        let &(host, port) = self;
        match host.parse::<IpAddr>() {
            Ok(ip) => Ok(vec![SocketAddr::new(ip, port)].into_iter()),
            Err(_) => look_up((host, port)),
        }
    }
}

impl ToSocketAddrs for (String, u16) {
    type Iter = vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        (self.0.as_str(), self.1).to_socket_addrs()
    }
}

impl ToSocketAddrs for str {
    type Iter = vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        match self.parse::<SocketAddr>() {
            Ok(addr) => Ok(vec![addr].into_iter()),
            Err(_) => look_up(self),
        }
    }
}

impl ToSocketAddrs for String {
    type Iter = vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        self.as_str().to_socket_addrs()
    }
}

impl<'a> ToSocketAddrs for &'a [SocketAddr] {
    type Iter = iter::Copied<slice::Iter<'a, SocketAddr>>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        Ok(self.iter().copied())
    }
}

impl<A: ToSocketAddrs + ?Sized> ToSocketAddrs for &A {
    type Iter = A::Iter;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        (**self).to_socket_addrs()
    }
}

/// Tries one address after the other; the error is the last one's.
pub(super) fn each<T>(
    addrs: impl ToSocketAddrs,
    mut attempt: impl FnMut(SocketAddr, usize) -> io::Result<T>,
) -> io::Result<T> {
    let addrs: Vec<SocketAddr> = addrs.to_socket_addrs()?.collect();
    let mut failed =
        io::Error::new(io::ErrorKind::InvalidInput, "could not resolve to any addresses");
    for (n, &addr) in addrs.iter().enumerate() {
        match attempt(addr, addrs.len() - n) {
            Ok(done) => return Ok(done),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}
