//! Many open connections, of which one is used, on one worker.
//!
//! A process may not have descriptors for both ends of all of them. So the far ends of the idle ones belong to another
//! process, which does nothing but hold them.

use std::env;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::process::{self, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fibra::net::{TcpListener, TcpStream};
use fibra_benches::on_fibra::{self, Affinity};
use fibra_benches::round::Round;

/// What the other process is started as.
pub(crate) const HOLD: &str = "hold";

/// Connections whose server has begun, and those that are over.
static BEGUN: AtomicUsize = AtomicUsize::new(0);
static OVER: AtomicUsize = AtomicUsize::new(0);

/// Opens so many connections, then sends `count` messages there and back over one of them.
pub(crate) fn connections(amount: usize, count: usize) -> Round {
    let runtime = on_fibra::runtime(1, Affinity::Worker, None);
    let elapsed = runtime.run(|| echo_among(amount, count)).expect("sockets work");
    Round::new(elapsed, count)
}

fn echo_among(amount: usize, count: usize) -> io::Result<Duration> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let address = listener.local_addr()?;
    let mut used = TcpStream::connect(address)?;
    used.set_nodelay(true)?;
    serve_next(&listener)?;

    let holder = start_holder(address, amount - 1)?;
    for _ in 1..amount {
        serve_next(&listener)?;
    }
    while BEGUN.load(Ordering::Relaxed) != amount {
        fibra::yield_now();
    }
    on_fibra::converse(&mut used, count)?;
    let start = Instant::now();
    on_fibra::converse(&mut used, count)?;
    let elapsed = start.elapsed();
    assert_eq!(OVER.load(Ordering::Relaxed), 0, "a connection did not stay open");
    drop(holder);
    Ok(elapsed)
}

fn serve_next(listener: &TcpListener) -> io::Result<()> {
    let (mut stream, _) = listener.accept()?;
    stream.set_nodelay(true)?;
    drop(fibra::spawn(move || {
        BEGUN.fetch_add(1, Ordering::Relaxed);
        let mut message = [0; size_of::<usize>()];
        while stream.read_exact(&mut message).is_ok() && stream.write_all(&message).is_ok() {}
        OVER.fetch_add(1, Ordering::Relaxed);
    }));
    Ok(())
}

/// Starts the other process. It ends when its standard input, which is returned, is closed.
fn start_holder(server: SocketAddr, count: usize) -> io::Result<process::ChildStdin> {
    let mut holder = Command::new(env::current_exe()?)
        .args([HOLD, &server.to_string(), &count.to_string()])
        .stdin(Stdio::piped())
        .spawn()?;
    let stdin = holder.stdin.take().expect("it is piped");
    // Without its connections the server would wait for ever.
    thread::spawn(move || {
        if !holder.wait().is_ok_and(|status| status.success()) {
            eprintln!("the far ends of the connections are gone");
            process::exit(1);
        }
    });
    Ok(stdin)
}

/// The other process.
pub(crate) fn hold(server: &str, count: usize) -> ExitCode {
    let connected: io::Result<Vec<_>> =
        (0..count).map(|_| std::net::TcpStream::connect(server)).collect();
    let until_closed = connected.and_then(|held| {
        io::stdin().read_to_end(&mut Vec::new())?;
        drop(held);
        Ok(())
    });
    match until_closed {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cannot hold {count} connections: {error}");
            ExitCode::FAILURE
        }
    }
}
