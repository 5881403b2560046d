//! Many connections at once, many one after another, and time that goes on meanwhile. Whatever is lost, garbled or
//! left over ends the process with an account of it.

use std::fs;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use fibra::net::{Shutdown, TcpListener, TcpStream};
use fibra::sync::{Semaphore, WaitGroup};
use fibra::time::Ticker;
use fibra::{JoinHandle, Runtime};
use fibra_tests::child::{poll_until, status};

/// Loads fibra's sockets.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    mode: Mode,
    #[arg(long, default_value_t = 2, global = true)]
    workers: usize,
    /// Lets goroutines move between the workers.
    #[arg(long, global = true)]
    migratable: bool,
}

#[derive(Subcommand)]
enum Mode {
    /// So many connections at the same time; the other ends are in another process.
    Many {
        connections: u64,
        /// Sent and sent back on each of them.
        #[arg(long, default_value_t = 20)]
        messages: u64,
    },
    /// Connects, asks and closes so often.
    Cycles { count: u64 },
    /// A ticker beside goroutines that compute and others that talk.
    Ticker {
        #[arg(long, default_value_t = 300)]
        ticks: usize,
        /// How many compute.
        #[arg(long, default_value_t = 2)]
        hogs: usize,
        /// How late half of the ticks may come, in microseconds.
        #[arg(long, default_value_t = 3000)]
        allowed: u128,
    },
    /// The other process: sends back what comes, until its input ends.
    #[command(hide = true)]
    Serve,
}

/// No call takes longer.
const LIMIT: Duration = Duration::from_secs(60);
/// Connections being made at once; a listener keeps at least so many pending.
const CONNECTING: usize = 128;
/// The longest message.
const LONGEST: usize = 4096;

fn main() {
    let arguments = Arguments::parse();
    raise_limit();
    let builder = Runtime::builder().workers(arguments.workers);
    // SAFETY: nothing here keeps anything thread-bound across a park.
    let builder = if arguments.migratable { unsafe { builder.migratable() } } else { builder };
    let runtime = builder.build().expect("a runtime");
    let start = Instant::now();
    match arguments.mode {
        Mode::Many { connections, messages } => many(&runtime, connections, messages),
        Mode::Cycles { count } => cycles(&runtime, count),
        Mode::Ticker { ticks, hogs, allowed } => ticker(&runtime, ticks, hogs, allowed),
        Mode::Serve => return serve(&runtime),
    }
    println!("net_load: {:.1} s", start.elapsed().as_secs_f64());
}

/// As many descriptors as this process may have.
fn raise_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: reads and writes a local variable.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit), 0);
        limit.rlim_cur = limit.rlim_max;
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &limit), 0);
    }
}

fn join<T>(mut handle: JoinHandle<T>) -> T {
    match handle.join_timeout(2 * LIMIT) {
        Some(outcome) => outcome.expect("no goroutine panics"),
        None => panic!("{handle:?} does not end"),
    }
}

/// What is sent as the `round`th message of a connection. No two are alike.
fn message(connection: u64, round: u64) -> Vec<u8> {
    let mut state = (connection << 20 | round) + 1;
    let mut next = || {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (state >> 33) as usize
    };
    let len = 8 + next() % (LONGEST - 8);
    let mut message: Vec<u8> = (8..len).map(|_| next() as u8).collect();
    message.extend((connection << 20 | round).to_le_bytes());
    message
}

/// Sends it, and takes it back in.
fn echo(stream: &TcpStream, message: &[u8]) {
    let mut answer = vec![0; message.len()];
    let mut stream = stream;
    stream.write_all(message).expect("a message is sent");
    stream.read_exact(&mut answer).expect("an answer comes");
    assert!(answer == message, "garbled");
}

/// What a server has done.
#[derive(Default)]
struct Served {
    connections: AtomicU64,
    bytes: AtomicU64,
}

impl Served {
    /// Sends back what comes, until the end or a reset.
    fn talk(&self, stream: &TcpStream) {
        let mut stream = stream;
        let mut buf = [0; 8192];
        loop {
            match stream.read(&mut buf) {
                Ok(0) => return,
                Ok(len) => {
                    stream.write_all(&buf[..len]).expect("an answer is sent");
                    self.bytes.fetch_add(len as u64, Ordering::Relaxed);
                }
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return,
                Err(error) => panic!("a request is read: {error}"),
            }
        }
    }

    fn listen(self: &Arc<Served>, listener: &TcpListener) {
        for stream in listener.incoming() {
            let (stream, served) = (stream.expect("a connection"), self.clone());
            served.connections.fetch_add(1, Ordering::Relaxed);
            drop(fibra::go!(move || served.talk(&stream)));
        }
    }

    fn so_far(&self) -> (u64, u64) {
        (self.connections.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }
}

fn serve(runtime: &Runtime) {
    let served = Arc::new(Served::default());
    let listener = Arc::new(TcpListener::bind("127.0.0.1:0").expect("a listener"));
    println!("{}", listener.local_addr().expect("an address"));
    let closing = listener.clone();
    thread::spawn(move || {
        io::copy(&mut io::stdin(), &mut io::sink()).expect("stdin is a pipe");
        closing.close();
    });
    runtime.run(|| served.listen(&listener));
    settle(runtime);
    let (connections, bytes) = served.so_far();
    println!("{connections} {bytes}");
}

/// Waits until no goroutine is left.
fn settle(runtime: &Runtime) {
    let deadline = Instant::now() + LIMIT;
    assert!(poll_until(deadline, || runtime.metrics().live == 0), "goroutines are left");
}

// ---- many at once ----------------------------------------------------------------------------

fn many(runtime: &Runtime, connections: u64, messages: u64) {
    let myself = std::env::current_exe().expect("a program has a path");
    let mut server = Command::new(myself)
        .arg("serve")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the server starts");
    let mut output = BufReader::new(server.stdout.take().expect("a pipe"));
    let mut line = || {
        let mut line = String::new();
        output.read_line(&mut line).expect("the server says something");
        line.trim_end().to_owned()
    };
    let addr: SocketAddr = line().parse().expect("an address");
    let bytes: u64 = runtime.run(|| {
        let (connecting, connected) = (Arc::new(Semaphore::new(CONNECTING)), WaitGroup::new());
        connected.add(usize::try_from(connections).expect("a number of connections"));
        let clients: Vec<_> = (0..connections)
            .map(|connection| {
                let (connecting, connected) = (connecting.clone(), connected.clone());
                fibra::go!(move || {
                    let permit = connecting.acquire();
                    let stream = TcpStream::connect(addr).expect("a connection");
                    drop(permit);
                    connected.done();
                    connected.wait();
                    stream.set_deadline(Some(Instant::now() + LIMIT)).expect("it is open");
                    let mut bytes = 0;
                    for round in 0..messages {
                        let message = message(connection, round);
                        echo(&stream, &message);
                        bytes += message.len() as u64;
                    }
                    stream.shutdown(Shutdown::Write).expect("it is connected");
                    assert_eq!((&stream).read(&mut [0]).expect("the end comes"), 0);
                    bytes
                })
            })
            .collect();
        clients.into_iter().map(join).sum()
    });
    drop(server.stdin.take());
    assert_eq!(line(), format!("{connections} {bytes}"), "what the server has seen");
    assert!(server.wait().expect("it is our child").success(), "the server failed");
    println!("net_load: {connections} connections, {bytes} bytes there and back");
}

// ---- one after another -----------------------------------------------------------------------

/// Of cycles, that many are to warm up.
const WARM_UP: u64 = 10;
/// One in so many ends without a reset. The system keeps its port busy for a minute.
const ORDERLY: u64 = 10;
const CLIENTS: u64 = 64;
/// A spare worker leaves two for the next one, and there may have been a few at the same time.
const SPARE_DESCRIPTORS: usize = 32;
/// What the process may have grown by after the warm-up: allocators keep some.
const GROWTH: usize = 4 << 10;

/// What the process holds.
#[derive(Debug)]
struct Holdings {
    descriptors: usize,
    stacks: usize,
    /// In KiB.
    memory: usize,
}

impl Holdings {
    /// Of an idle process.
    fn count(runtime: &Runtime) -> Holdings {
        Holdings {
            descriptors: fs::read_dir("/proc/self/fd").expect("/proc is there").count(),
            stacks: runtime.metrics().stacks_in_use,
            memory: status("VmRSS"),
        }
    }
}

fn cycles(runtime: &Runtime, count: u64) {
    let before = Holdings::count(runtime);
    turn_round(runtime, count / WARM_UP);
    let warm = Holdings::count(runtime);
    turn_round(runtime, count);
    let after = Holdings::count(runtime);
    println!("net_load: {count} cycles; before, warm, and after:\n{before:?}\n{warm:?}\n{after:?}");
    assert!(after.descriptors <= before.descriptors + SPARE_DESCRIPTORS, "descriptors");
    // Each worker keeps up to 64 for the next goroutines.
    assert!(after.stacks <= before.stacks + 64 * runtime.metrics().workers, "stacks");
    assert!(after.memory <= warm.memory + GROWTH, "memory");
}

fn turn_round(runtime: &Runtime, count: u64) {
    let served = Arc::new(Served::default());
    let listener = Arc::new(TcpListener::bind("127.0.0.1:0").expect("a listener"));
    let addr = listener.local_addr().expect("an address");
    let serving = {
        let (served, listener) = (served.clone(), listener.clone());
        runtime.spawn(move || served.listen(&listener))
    };
    let next = Arc::new(AtomicU64::new(0));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let next = next.clone();
            runtime.spawn(move || {
                let mut bytes = 0;
                loop {
                    let cycle = next.fetch_add(1, Ordering::Relaxed);
                    if cycle >= count {
                        return bytes;
                    }
                    let stream = TcpStream::connect(addr).expect("a connection");
                    stream.set_deadline(Some(Instant::now() + LIMIT)).expect("it is open");
                    let message = message(cycle, 0);
                    echo(&stream, &message);
                    bytes += message.len() as u64;
                    if !cycle.is_multiple_of(ORDERLY) {
                        stream.set_linger(Some(Duration::ZERO)).expect("it is open");
                    }
                }
            })
        })
        .collect();
    let bytes: u64 = clients.into_iter().map(join).sum();
    // Who is connected may still be pending.
    let deadline = Instant::now() + LIMIT;
    let all_served = || served.so_far() == (count, bytes);
    assert!(poll_until(deadline, all_served), "{:?} of {:?}", served.so_far(), (count, bytes));
    listener.close();
    drop(listener);
    join(serving);
    settle(runtime);
}

// ---- time ------------------------------------------------------------------------------------

const PERIOD: Duration = Duration::from_millis(10);
const TALKERS: u64 = 8;

fn ticker(runtime: &Runtime, ticks: usize, hogs: usize, allowed: u128) {
    let end = Arc::new(AtomicBool::new(false));
    let hogs: Vec<_> = (0..hogs)
        .map(|_| {
            let end = end.clone();
            runtime.spawn(move || {
                while !end.load(Ordering::Relaxed) {
                    (0..100).for_each(|_| std::hint::spin_loop());
                    fibra::checkpoint();
                }
            })
        })
        .collect();
    let served = Arc::new(Served::default());
    let listener = Arc::new(TcpListener::bind("127.0.0.1:0").expect("a listener"));
    let addr = listener.local_addr().expect("an address");
    let serving = {
        let (served, listener) = (served.clone(), listener.clone());
        runtime.spawn(move || served.listen(&listener))
    };
    let talkers: Vec<_> = (0..TALKERS)
        .map(|talker| {
            let end = end.clone();
            runtime.spawn(move || {
                let stream = TcpStream::connect(addr).expect("a connection");
                let mut rounds = 0;
                while !end.load(Ordering::Relaxed) {
                    echo(&stream, &message(talker, rounds));
                    rounds += 1;
                }
                rounds
            })
        })
        .collect();
    let mut late: Vec<u128> = runtime.run(|| {
        let ticker = Ticker::new(PERIOD);
        (0..ticks).map(|_| ticker.recv()).map(|due| due.elapsed().as_micros()).collect()
    });
    end.store(true, Ordering::Relaxed);
    hogs.into_iter().for_each(join);
    let rounds: u64 = talkers.into_iter().map(join).sum();
    listener.close();
    join(serving);
    late.sort_unstable();
    let [half, most, last] = [ticks / 2, ticks * 9 / 10, ticks - 1].map(|place| late[place]);
    println!(
        "net_load: half of the ticks are {half} µs late, 9 of 10 {most}, the last {last}; {rounds} answers"
    );
    assert!(half <= allowed, "half of the ticks come more than {allowed} µs late");
}
