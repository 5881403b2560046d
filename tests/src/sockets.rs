//! Connections, and goroutines that wait for them.

use fibra::JoinHandle;
use fibra::net::{TcpListener, TcpStream};
use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::time::Duration;

/// After that whoever has started most likely waits.
pub const SOON: Duration = Duration::from_millis(2);

/// Two ends of a connection.
pub fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

/// Reads a few bytes.
pub fn read(stream: &Arc<TcpStream>) -> JoinHandle<Result<usize, ErrorKind>> {
    let stream = stream.clone();
    fibra::go!(move || (&*stream).read(&mut [0; 8]).map_err(|error| error.kind()))
}

/// Writes more than the kernel takes.
pub fn write(stream: &Arc<TcpStream>) -> JoinHandle<Result<(), ErrorKind>> {
    let stream = stream.clone();
    fibra::go!(move || (&*stream).write_all(&vec![0; 16 << 20]).map_err(|error| error.kind()))
}
