//! An HTTPS server: rustls on a goroutine.
//!
//! `cargo run --release --example tls_server -- 127.0.0.1:8443 --cert cert.pem`, then
//! `curl --cacert cert.pem https://127.0.0.1:8443/`
//!
//! It makes a certificate for itself when it starts, valid for `localhost` and 127.0.0.1, and writes it to
//! a file for clients who want to check it. Without an address it takes a free port, and prints which.
//! Ctrl-C ends it.
//!
//! rustls knows nothing of goroutines, nor need it: it wants something that implements `Read` and `Write`, and
//! `TcpStream` does. So does any library that is written for blocking streams.

use std::error::Error;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use fibra::net::{TcpListener, TcpStream};
use fibra::{go, signal};
use fibra_examples::report;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// How long a client may take for its request and for taking the answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest head of a request.
const HEAD: u64 = 8 * 1024;

/// Say hello over HTTPS.
#[derive(Parser)]
#[command(name = "tls_server")]
struct Args {
    /// Address to listen on
    #[arg(default_value = "127.0.0.1:0")]
    addr: SocketAddr,
    /// Where to write the certificate
    #[arg(long)]
    cert: Option<PathBuf>,
}

#[fibra::main]
fn main() -> ExitCode {
    match serve(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report("tls_server", error);
            ExitCode::FAILURE
        }
    }
}

/// Serves until Ctrl-C. The program then ends, whatever its goroutines are doing.
fn serve(args: &Args) -> Result<(), Box<dyn Error>> {
    let ctrl_c = signal::ctrl_c()?;
    let config = config(args.cert.as_deref())?;
    let listener = TcpListener::bind(args.addr)?;
    println!("listening on {}", listener.local_addr()?);
    go!(move || accept(&listener, &config));
    let _ = ctrl_c.recv();
    Ok(())
}

/// Settings with a new certificate, which is also written to a file.
fn config(file: Option<&Path>) -> Result<Arc<ServerConfig>, Box<dyn Error>> {
    let own = rcgen::generate_simple_self_signed(["localhost".into(), "127.0.0.1".into()])?;
    if let Some(file) = file {
        fs::write(file, own.cert.pem()).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    let key = PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.into()], PrivateKeyDer::Pkcs8(key))?;
    Ok(Arc::new(config))
}

fn accept(listener: &TcpListener, config: &Arc<ServerConfig>) {
    for stream in listener.incoming() {
        match stream {
            Ok(stream) => {
                let config = config.clone();
                go!(move || {
                    if let Err(error) = hello(stream, config) {
                        report("tls_server", error);
                    }
                });
            }
            Err(error) => {
                // Too many open files, for example. It will pass when others have ended.
                report("tls_server", error);
                fibra::sleep(Duration::from_millis(100));
            }
        }
    }
}

/// Answers one request. The handshake happens on the first read.
fn hello(stream: TcpStream, config: Arc<ServerConfig>) -> Result<(), Box<dyn Error>> {
    stream.set_deadline(Some(Instant::now() + PATIENCE))?;
    let mut stream = StreamOwned::new(ServerConnection::new(config)?, stream);
    if read_head(&mut stream)? {
        let body = "Hello, world!\n";
        let length = body.len();
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        )?;
    }
    // Tells the client that this is really the end, and not somebody who cut the line.
    stream.conn.send_close_notify();
    Ok(stream.flush()?)
}

/// Reads up to the empty line after a request's head. False when the client left before that.
fn read_head(stream: impl Read) -> io::Result<bool> {
    let mut lines = BufReader::new(stream.take(HEAD));
    let mut line = vec![];
    while lines.read_until(b'\n', &mut line)? > 0 {
        if matches!(line.as_slice(), b"\r\n" | b"\n") {
            return Ok(true);
        }
        line.clear();
    }
    Ok(false)
}
