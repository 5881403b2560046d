//! Sockets, with the names and the shapes of `std::net` and `std::os::unix::net`.
//!
//! Where a call of std blocks the thread, here the goroutine parks. On a plain thread the thread blocks. So
//! code that was written against [`Read`](std::io::Read) and [`Write`](std::io::Write), a TLS or an HTTP library, works
//! unchanged.
//!
//! ```
//! use fibra::net::{TcpListener, TcpStream};
//! use std::io::{self, Read, Write};
//!
//! #[fibra::main]
//! fn main() -> io::Result<()> {
//!     let listener = TcpListener::bind("127.0.0.1:0")?;
//!     let addr = listener.local_addr()?;
//!     fibra::go!(move || {
//!         for mut stream in listener.incoming().flatten() {
//!             fibra::go!(move || io::copy(&mut &stream.try_clone()?, &mut stream));
//!         }
//!     });
//!     let mut stream = TcpStream::connect(addr)?;
//!     stream.write_all(b"hello")?;
//!     let mut answer = [0; 5];
//!     stream.read_exact(&mut answer)?;
//!     assert_eq!(&answer, b"hello");
//!     Ok(())
//! }
//! ```
//!
//! # Any number may wait
//!
//! All methods take `&self`. Several goroutines and threads may use a socket at the same time: one reads and
//! another one writes, or several accept. Those that wait for the same thing are served in turn.
//!
//! # Limits in time
//!
//! `set_read_timeout` and `set_write_timeout` limit each call, from when it begins to wait. `set_deadline` ends all
//! calls at a moment, those that would not have to wait as well. All of them also count for calls that wait already. A
//! call that ran out of time gives [`TimedOut`](std::io::ErrorKind::TimedOut); std says `WouldBlock` there.
//!
//! # Closing
//!
//! `close` ends a socket for everybody at once, whoever else still has it: the other side sees the end, and whoever waits
//! for the socket, and every later call that could wait, gets an error of the kind
//! [`NotConnected`](std::io::ErrorKind::NotConnected). Dropping the last handle closes it, too.
//!
//! A clone (`try_clone`) is the same socket: the limits are shared, and a `close`.
//!
//! # Differences from std
//!
//! * The error of a timeout (above).
//! * Names are looked up on a blocking thread ([`ToSocketAddrs`]).
//! * `into_std` gives an error while there are clones.
//! * A goroutine that is cancelled while it waits unwinds; nothing is read or written by then.

mod addr;
mod socket;
mod tcp;
mod udp;
mod unix;

pub use addr::ToSocketAddrs;
pub use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, SocketAddrV4, SocketAddrV6};
pub use tcp::{Incoming, TcpListener, TcpListenerBuilder, TcpStream, TcpStreamBuilder};
pub use udp::UdpSocket;
pub use unix::{UnixDatagram, UnixIncoming, UnixListener, UnixStream};
