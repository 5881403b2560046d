//! Servers, with a goroutine for each connection, and one client.

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use fibra::net::{TcpListener, TcpStream};

use crate::conversation::{Conversation, Service};

/// Serves at `port` of this machine, or at a free one if that is 0, for ever. Says on stdout where.
///
/// # Errors
/// When it cannot listen or accept.
pub fn serve(service: Service, port: u16) -> io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept()?;
        // A connection that breaks is the other side's affair: load clients end by closing theirs.
        drop(fibra::spawn(move || drop(talk(service, stream))));
    }
}

/// A goroutine sends `count` messages to another one, over a connection, and each comes back.
pub fn echo(count: usize) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let server = fibra::spawn(move || talk(Service::Echo, listener.accept()?.0));
    connect(address)
        .and_then(|mut stream| converse(&mut stream, count))
        .expect("the server replies");
    server.join().expect("no panic").expect("the client has closed");
}

fn connect(server: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(server)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Sends `count` messages, each once the one before has come back.
///
/// # Errors
/// When the connection breaks.
pub fn converse(stream: &mut TcpStream, count: usize) -> io::Result<()> {
    for number in 0..count {
        let message = number.to_ne_bytes();
        let mut reply = [0; size_of::<usize>()];
        stream.write_all(&message)?;
        stream.read_exact(&mut reply)?;
        assert_eq!(reply, message, "something else came back");
    }
    Ok(())
}

fn talk(service: Service, mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut conversation = Conversation::new(service);
    loop {
        let count = stream.read(conversation.room())?;
        if count == 0 {
            return Ok(());
        }
        stream.write_all(conversation.replies(count))?;
        if conversation.is_over() {
            return Ok(());
        }
    }
}
