//! The servers of `src/bin/http_hello.rs` on may.

#[path = "../../src/conversation/mod.rs"]
mod conversation;

use std::env;
use std::io::{self, Read, Write};
use std::process::ExitCode;

use conversation::{Conversation, Service};
use may::net::{TcpListener, TcpStream};

const USAGE: &str = "usage: may-hello hello|echo|cycle PORT   PORT 0 is any that is free";

const WORKERS: usize = 2;

fn main() -> ExitCode {
    let mut words = env::args().skip(1);
    let service = words.next().and_then(|label| Service::from_label(&label));
    let port = words.next().and_then(|port| port.parse().ok());
    let (Some(service), Some(port)) = (service, port) else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    may::config().set_workers(WORKERS);
    let server = may::go!(move || serve(service, port));
    let error = server.join().expect("no panic").expect_err("it serves for ever");
    eprintln!("{error}");
    ExitCode::FAILURE
}

fn serve(service: Service, port: u16) -> io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept()?;
        may::go!(move || drop(talk(service, stream)));
    }
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
