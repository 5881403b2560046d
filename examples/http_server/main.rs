//! An HTTP/1.1 server that can stand on the open network: it has limits for everything, and ends in peace.
//!
//! `cargo run --release --example http_server -- 127.0.0.1:8000 --idle 30`, then
//! `curl http://127.0.0.1:8000/` and `curl --data 'some words' http://127.0.0.1:8000/echo`
//!
//! Without an address it takes a free port, and prints which. Ctrl-C lets the requests in flight come to
//! their end and closes everything else; a second Ctrl-C ends the program at once.
//!
//! * `connection.rs` is the life of a connection: one goroutine, one loop. It reads as if blocking cost
//!   nothing, since here it does not.
//! * `request.rs` takes requests apart, by means of `httparse`; `answer.rs` makes the answers.
//!
//! What to see:
//!
//! * **Pipelining**: as many requests as one read brings are answered with one write. A connection uses the
//!   same buffers again and again, so in the long run a request is one read, one write and no allocation.
//! * **Timeouts**: `set_read_timeout` for a connection without anything to do; `set_deadline` for the whole of
//!   a request, so that a client that sends a byte now and then does not hold it for ever.
//! * **Ctrl-C** cancels the goroutine that accepts, and thereby its scope, which is all connections.
//!   Cancelled ones unwind where they wait, so nobody keeps a list of them; `uncancellable` keeps that away from
//!   a request in flight.

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Parser;
use connection::Connection;
use fibra::net::TcpListener;
use fibra::{Cancelled, go, select, signal};
use fibra_examples::report;

mod answer;
mod connection;
mod request;

/// Serve `/` and `/echo` over HTTP/1.1.
#[derive(Parser)]
#[command(name = "http_server")]
struct Args {
    /// Address to listen on
    #[arg(default_value = "127.0.0.1:0")]
    addr: SocketAddr,
    /// Seconds after which a connection without a request is closed
    #[arg(long, default_value = "60", value_parser = seconds)]
    idle: Duration,
    /// Seconds that a request may take to arrive, from its first byte to its last
    #[arg(long, default_value = "20", value_parser = seconds)]
    arrival: Duration,
}

/// What all connections know.
struct Server {
    idle: Duration,
    arrival: Duration,
    /// After the next answer a connection is closed.
    stopping: AtomicBool,
}

#[fibra::main]
fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(exit) => exit,
        Err(error) => {
            report("http_server", error);
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> io::Result<ExitCode> {
    let ctrl_c = signal::ctrl_c()?;
    let listener = TcpListener::bind(args.addr)?;
    println!("listening on {}", listener.local_addr()?);
    let Args { idle, arrival, .. } = args;
    let server = Arc::new(Server { idle, arrival, stopping: AtomicBool::new(false) });
    let serving = go!(server.clone().accept(listener));
    let _ = ctrl_c.recv();

    server.stopping.store(true, Ordering::Relaxed);
    serving.cancel();
    select! {
        recv(serving) -> _ => {}
        recv(ctrl_c) -> _ => return Ok(ExitCode::FAILURE),
    }
    match serving.join() {
        Err(payload) if payload.is::<Cancelled>() => Ok(ExitCode::SUCCESS),
        _ => Ok(ExitCode::FAILURE), // somebody panicked, which was reported
    }
}

impl Server {
    /// Accepts until it is cancelled, then waits for the connections.
    fn accept(self: Arc<Self>, listener: TcpListener) {
        fibra::scope(|s| {
            let listener = listener; // closed when this ends, before the wait for the connections
            for stream in listener.incoming() {
                match stream {
                    // An error is the client's affair: it was too slow, or is not there any more.
                    Ok(stream) => drop(s.go(|| Connection::new(&self, stream).serve())),
                    Err(error) => {
                        // Too many open files, for example. It will pass when others have ended.
                        report("http_server", error);
                        fibra::sleep(Duration::from_millis(100));
                    }
                }
            }
        });
    }
}

/// For clap: a time in seconds that is worth waiting for.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().map_err(|error| error.to_string())?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(time) if !time.is_zero() => Ok(time),
        Ok(_) => Err("it must be more than 0".into()),
        Err(error) => Err(error.to_string()),
    }
}
