//! TCP.

mod builder;
mod listener;
mod stream;

pub use builder::{TcpListenerBuilder, TcpStreamBuilder};
pub use listener::{Incoming, TcpListener};
pub use stream::TcpStream;
