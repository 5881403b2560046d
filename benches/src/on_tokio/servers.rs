//! Servers: a task for each connection.

use std::io;
use std::net::Ipv4Addr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task;

use crate::conversation::{Conversation, Service};

/// Connections that may wait to be accepted, as in the other servers.
const PENDING: u32 = 4096;

/// Serves at `port` of this machine, or at a free one if that is 0, for ever. Says on stdout where.
///
/// # Errors
/// When it cannot listen or accept.
pub async fn serve(service: Service, port: u16) -> io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind((Ipv4Addr::LOCALHOST, port).into())?;
    // `TcpListener::bind` has room for 128: with 1000 clients at once, some would come back a second later.
    let listener = socket.listen(PENDING)?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        // A connection that breaks is the other side's affair: load clients end by closing theirs.
        drop(task::spawn(async move { drop(talk(service, stream).await) }));
    }
}

async fn talk(service: Service, mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut conversation = Conversation::new(service);
    loop {
        let count = stream.read(conversation.room()).await?;
        if count == 0 {
            return Ok(());
        }
        stream.write_all(conversation.replies(count)).await?;
        if conversation.is_over() {
            return Ok(());
        }
    }
}
