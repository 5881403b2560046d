//! An echo server: whatever a client sends comes back to it.
//!
//! `cargo run --release --example echo_server -- 127.0.0.1:7777`, then `nc 127.0.0.1 7777`
//!
//! Without an address it takes a free port of this machine, and prints which. Ctrl-C ends it.
//!
//! This is all that a server needs: one goroutine accepts, and each connection has a goroutine of its own
//! that reads and writes as if it were alone. Ten thousand of them are ten thousand small stacks.

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use fibra::net::{TcpListener, TcpStream};
use fibra::{go, signal};
use fibra_examples::report;

/// Send back whatever is sent.
#[derive(Parser)]
#[command(name = "echo_server")]
struct Args {
    /// Address to listen on
    #[arg(default_value = "127.0.0.1:0")]
    addr: SocketAddr,
}

#[fibra::main]
fn main() -> ExitCode {
    match serve(Args::parse().addr) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report("echo_server", error);
            ExitCode::FAILURE
        }
    }
}

/// Serves until Ctrl-C. The program then ends, whatever its goroutines are doing.
fn serve(addr: SocketAddr) -> io::Result<()> {
    let ctrl_c = signal::ctrl_c()?;
    let listener = TcpListener::bind(addr)?;
    println!("listening on {}", listener.local_addr()?);
    go!(move || accept(&listener));
    let _ = ctrl_c.recv();
    Ok(())
}

fn accept(listener: &TcpListener) {
    for stream in listener.incoming() {
        match stream {
            Ok(stream) => {
                go!(echo(stream));
            }
            Err(error) => {
                // Too many open files, for example. It will pass when others have ended.
                report("echo_server", error);
                fibra::sleep(Duration::from_millis(100));
            }
        }
    }
}

fn echo(stream: TcpStream) {
    // Whoever resets the connection does not want to hear of it.
    let _ = io::copy(&mut &stream, &mut &stream);
}
