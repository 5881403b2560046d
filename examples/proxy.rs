//! A TCP proxy: connects each client to another server, and passes on what they say to each other.
//!
//! `cargo run --release --example proxy -- 127.0.0.1:8000 example.org:80`, then
//! `curl -H 'Host: example.org' http://127.0.0.1:8000/`
//!
//! It prints the address that it listens on; with port 0 that is a free one. Ctrl-C ends it.
//!
//! A connection is two goroutines, one for each direction, and each is a plain loop that reads and writes.
//! When a side has said all it has to say, the other side is told, and may still answer: a *half close*.
//! An error, on the other hand, ends both directions.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use fibra::net::{TcpListener, TcpStream};
use fibra::{go, signal};
use fibra_examples::report;

/// Pass connections on to another server.
#[derive(Parser)]
#[command(name = "proxy")]
struct Args {
    /// Address to listen on
    listen: SocketAddr,
    /// Name and port of the server to connect to
    upstream: String,
}

#[fibra::main]
fn main() -> ExitCode {
    match serve(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report("proxy", error);
            ExitCode::FAILURE
        }
    }
}

/// Serves until Ctrl-C. The program then ends, whatever its goroutines are doing.
fn serve(args: Args) -> io::Result<()> {
    let ctrl_c = signal::ctrl_c()?;
    let listener = TcpListener::bind(args.listen)?;
    println!("listening on {}", listener.local_addr()?);
    go!(move || accept(&listener, &args.upstream.into()));
    let _ = ctrl_c.recv();
    Ok(())
}

fn accept(listener: &TcpListener, upstream: &Arc<str>) {
    for client in listener.incoming() {
        match client {
            Ok(client) => {
                let upstream = upstream.clone();
                go!(move || {
                    if let Err(error) = connect(&client, &upstream) {
                        report("proxy", format_args!("{upstream}: {error}"));
                    }
                });
            }
            Err(error) => {
                // Too many open files, for example. It will pass when others have ended.
                report("proxy", error);
                fibra::sleep(Duration::from_millis(100));
            }
        }
    }
}

/// Connects a client with the server until both have said all.
fn connect(client: &TcpStream, upstream: &str) -> io::Result<()> {
    // Looks the name up each time. The goroutine waits; its worker does not.
    let server = &TcpStream::connect(upstream)?;
    for stream in [client, server] {
        stream.set_nodelay(true)?; // who sends small pieces has a reason
    }
    fibra::scope(|s| {
        s.go(|| pass_on(client, server));
        pass_on(server, client);
    });
    Ok(())
}

/// Passes on what one side says, to the end, and that it has ended.
fn pass_on(from: &TcpStream, to: &TcpStream) {
    let passed = copy(from, to).and_then(|()| to.shutdown(Shutdown::Write));
    if passed.is_err() {
        // A goroutine may be waiting in each of them: it gets an error, too.
        from.close();
        to.close();
    }
}

/// `io::copy` with a larger buffer, which is on the heap because stacks are small.
fn copy(mut from: &TcpStream, mut to: &TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            length => to.write_all(&buffer[..length])?,
        }
    }
}
