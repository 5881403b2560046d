//! Sockets when things go wrong: resets, silence, no descriptors, signals, and everything at once.

use fibra::net::{TcpListener, TcpStream, UnixStream};
use fibra::{JoinHandle, Runtime, RuntimeBuilder};
use fibra_tests::child::{Child, poll};
use fibra_tests::{FOREVER, LONG, Signal, anywhere, assert_cancelled, join, outcome, turn};
use socket2::{Domain, Socket, Type};
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::iter;
use std::net::{self, SocketAddr};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// After that whoever has started most likely waits.
const SOON: Duration = Duration::from_millis(2);

/// Two ends of a connection.
fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

fn reset(stream: TcpStream) {
    stream.set_linger(Some(Duration::ZERO)).unwrap();
}

fn read(stream: &Arc<TcpStream>) -> JoinHandle<Result<usize, ErrorKind>> {
    let stream = stream.clone();
    fibra::go!(move || (&*stream).read(&mut [0; 8]).map_err(|error| error.kind()))
}

/// Writes more than the kernel takes.
fn write(stream: &Arc<TcpStream>) -> JoinHandle<Result<(), ErrorKind>> {
    let stream = stream.clone();
    fibra::go!(move || (&*stream).write_all(&vec![0; 16 << 20]).map_err(|error| error.kind()))
}

// ---- the other side --------------------------------------------------------------------------

#[test]
fn a_reset_ends_a_read() {
    anywhere(|| {
        let (client, server) = pair();
        let client = Arc::new(client);
        let reader = read(&client);
        fibra::sleep(SOON);
        reset(server);
        assert_eq!(join(reader), Err(ErrorKind::ConnectionReset));
        // The error is told once.
        assert_eq!((&*client).read(&mut [0; 8]).unwrap(), 0);
        assert_eq!((&*client).write(&[0; 8]).unwrap_err().kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn a_reset_ends_a_write() {
    anywhere(|| {
        let (client, server) = pair();
        let client = Arc::new(client);
        let writer = write(&client);
        fibra::sleep(SOON);
        reset(server);
        let kind = join(writer).unwrap_err();
        assert!([ErrorKind::ConnectionReset, ErrorKind::BrokenPipe].contains(&kind), "{kind:?}");
    });
}

/// Everybody who waits is told, though the error itself is there for one only.
#[test]
fn a_reset_ends_all_reads_and_writes() {
    anywhere(|| {
        for _ in 0..20 {
            let (client, server) = pair();
            let client = Arc::new(client);
            let readers = [(); 3].map(|()| read(&client));
            let writers = [(); 2].map(|()| write(&client));
            fibra::sleep(SOON);
            reset(server);
            let mut resets = 0;
            for outcome in readers.map(join) {
                assert!([Ok(0), Err(ErrorKind::ConnectionReset)].contains(&outcome), "{outcome:?}");
                resets += usize::from(outcome.is_err());
            }
            for outcome in writers.map(join) {
                let kind = outcome.unwrap_err();
                let is_reset = kind == ErrorKind::ConnectionReset;
                assert!(is_reset || kind == ErrorKind::BrokenPipe, "{kind:?}");
                resets += usize::from(is_reset);
            }
            assert!(resets <= 1, "an error is told once");
        }
    });
}

/// The other side is there, and says nothing.
#[test]
fn a_deadline_ends_the_wait_for_the_silent() {
    anywhere(|| {
        let pairs: Vec<_> = (0..50).map(|_| pair()).collect();
        let start = Instant::now();
        let deadline = start + Duration::from_millis(20);
        let readers: Vec<_> = pairs
            .iter()
            .map(|(client, _silent)| {
                let client = client.try_clone().unwrap();
                fibra::go!(move || {
                    client.set_deadline(Some(deadline)).unwrap();
                    let error = (&client).read_exact(&mut [0; 8]).unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::TimedOut);
                })
            })
            .collect();
        readers.into_iter().for_each(join);
        assert!(Instant::now() >= deadline);
    });
}

/// One byte each time, beside as much as there is room for.
#[test]
fn slow_ones_beside_fast_ones() {
    const LEN: usize = 2 << 20;
    anywhere(|| {
        let slow: Vec<_> = (0..20u8)
            .map(|number| {
                let (mut left, mut right) = pair();
                let writer = fibra::go!(move || {
                    for step in 0..20 {
                        fibra::sleep(Duration::from_millis(1));
                        left.write_all(&[number + step]).unwrap();
                    }
                });
                let reader = fibra::go!(move || {
                    let mut bytes = Vec::new();
                    right.read_to_end(&mut bytes).unwrap();
                    assert!(bytes.into_iter().eq(number..number + 20));
                });
                [writer, reader]
            })
            .collect();
        let fast: Vec<_> = (0..4u8)
            .map(|number| {
                let (mut left, mut right) = pair();
                let writer = fibra::go!(move || left.write_all(&vec![number; LEN]).unwrap());
                let reader = fibra::go!(move || {
                    let (mut buf, mut len) = (vec![0; 10_000], 0);
                    loop {
                        match right.read(&mut buf).unwrap() {
                            0 => break,
                            read => {
                                assert!(buf[..read].iter().all(|&byte| byte == number));
                                len += read;
                            }
                        }
                        // Slower than the writer.
                        fibra::yield_now();
                    }
                    assert_eq!(len, LEN);
                });
                [writer, reader]
            })
            .collect();
        fast.into_iter().chain(slow).flatten().for_each(join);
    });
}

// ---- no descriptors --------------------------------------------------------------------------

/// So many descriptors this process may have.
fn limit_descriptors(most: usize) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: reads and writes a local variable.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit), 0);
        limit.rlim_cur = most as libc::rlim_t;
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &limit), 0);
    }
}

/// Takes all descriptors that are left. Each that is dropped makes room for one.
fn exhaust() -> Vec<fs::File> {
    limit_descriptors(200);
    let mut files = Vec::new();
    loop {
        match fs::File::open("/dev/null") {
            Ok(file) => files.push(file),
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
                return files;
            }
        }
    }
}

const KINDS: [&str; 4] = ["1 worker", "2 worker", "4 worker", "2 any"];

/// Of a child's argument.
fn builder(kind: &str) -> RuntimeBuilder {
    let (workers, affinity) = kind.split_once(' ').unwrap();
    let builder = Runtime::builder().workers(workers.parse().unwrap());
    match affinity {
        "worker" => builder,
        // SAFETY: in these tests nothing thread-bound lives across a park.
        _ => unsafe { builder.migratable() },
    }
}

#[test]
fn a_listener_without_descriptors_loses_nobody() {
    let _turn = turn();
    for kind in KINDS {
        let end = Child::new().run(kind, |kind| {
            const CLIENTS: usize = 20;
            let runtime = builder(kind).build().unwrap();
            runtime.run(|| {
                let listener = Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
                let addr = listener.local_addr().unwrap();
                let (failed, room) = (Arc::new(AtomicUsize::new(0)), Signal::new());
                let acceptors = [(); 3].map(|()| {
                    let (listener, failed, room) = (listener.clone(), failed.clone(), room.clone());
                    fibra::go!(move || {
                        let mut accepted = 0;
                        for stream in listener.incoming() {
                            match stream {
                                Ok(stream) => {
                                    accepted += 1;
                                    drop(fibra::go!(move || io::copy(&mut &stream, &mut &stream)));
                                }
                                Err(error) => {
                                    assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
                                    failed.fetch_add(1, Ordering::SeqCst);
                                    room.wait();
                                }
                            }
                        }
                        accepted
                    })
                });
                let first = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
                let mut files = exhaust();
                first.connect(&addr.into()).unwrap();
                // All learn it from the first one. A look for the next one takes a descriptor, too, if only for a moment.
                while failed.load(Ordering::SeqCst) < 3 {
                    fibra::yield_now();
                }
                let first = TcpStream::from(net::TcpStream::from(first));
                let clients: Vec<_> = iter::once(first)
                    .chain((1..CLIENTS).map(|_| {
                        files.pop();
                        TcpStream::connect(addr).unwrap()
                    }))
                    .collect();
                drop(files);
                room.set();
                for (number, client) in clients.iter().enumerate() {
                    (&*client).write_all(&[number as u8]).unwrap();
                }
                for (number, client) in clients.iter().enumerate() {
                    let mut byte = [0];
                    (&*client).read_exact(&mut byte).unwrap();
                    assert_eq!(usize::from(byte[0]), number);
                }
                listener.close();
                assert_eq!(acceptors.map(join).iter().sum::<usize>(), CLIENTS);
            });
        });
        assert!(end.status.success(), "{kind}: {end}");
    }
}

#[test]
fn without_descriptors_there_is_an_error_for_everybody() {
    let _turn = turn();
    let end = Child::new().run("", |_| {
        let no_descriptors = |error: io::Error| {
            assert_eq!(error.raw_os_error(), Some(libc::EMFILE), "{error}");
        };
        let (left, right) = UnixStream::pair().unwrap();
        let in_use = || fs::read_dir("/proc/self/fd").unwrap().count();
        let before = in_use();
        // Whichever of its parts is the first without.
        let needed = (0..100).find(|&left_over| {
            let mut files = exhaust();
            files.truncate(files.len() - left_over);
            let built = Runtime::builder().workers(2).build();
            drop(files);
            let is_built = built.is_ok();
            built.map_or_else(no_descriptors, drop);
            // The first worker may have started, and ends by itself.
            poll("all descriptors are back", || in_use() == before);
            is_built
        });
        assert!(needed.is_some_and(|needed| needed > 0), "{needed:?}");
        // This thread waits outside of all runtimes.
        let files = exhaust();
        no_descriptors((&left).read(&mut [0]).unwrap_err());
        no_descriptors(UnixStream::pair().unwrap_err());
        no_descriptors(TcpListener::bind("127.0.0.1:0").unwrap_err());
        no_descriptors(TcpStream::connect("127.0.0.1:1").unwrap_err());
        drop(files);
        let writer = thread::spawn(move || {
            thread::sleep(SOON);
            (&right).write_all(b"x").unwrap();
            right
        });
        assert_eq!((&left).read(&mut [0]).unwrap(), 1, "now there are some");
        let _right = writer.join().unwrap();
    });
    end.succeeded();
}

/// It cannot put another file in the place of the socket, and shuts it down instead.
#[test]
fn close_needs_no_descriptor() {
    let _turn = turn();
    for kind in KINDS {
        let end = Child::new().run(kind, |kind| {
            builder(kind).build().unwrap().run(|| {
                let (client, server) = pair();
                let client = Arc::new(client);
                let listener = Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
                let addr = listener.local_addr().unwrap();
                let (reader, writer) = (read(&client), write(&client));
                let acceptor = {
                    let listener = listener.clone();
                    // One that starts late finds that there are no descriptors.
                    let no_descriptors = |result: &io::Result<_>| match result {
                        Err(error) => error.raw_os_error() == Some(libc::EMFILE),
                        Ok(_) => false,
                    };
                    fibra::go!(move || listener.incoming().skip_while(no_descriptors).count())
                };
                fibra::sleep(SOON);
                let files = exhaust();
                client.close();
                listener.close();
                assert_eq!(join(reader), Err(ErrorKind::NotConnected));
                assert_eq!(join(writer), Err(ErrorKind::NotConnected));
                assert_eq!(join(acceptor), 0);
                let error = (&*client).read(&mut [0]).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::NotConnected);
                (&server).read_to_end(&mut Vec::new()).unwrap();
                drop(files);
                let error = TcpStream::connect(addr).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
            });
        });
        assert!(end.status.success(), "{kind}: {end}");
    }
}

// ---- everything at once ----------------------------------------------------------------------

/// Four numbers of at most this much, different in each round.
fn mix(round: u32, most: u32) -> [u32; 4] {
    let mut state = round.wrapping_mul(0x9e37_79b9) ^ 0x5bd1_e995;
    [(); 4].map(|()| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state % (most + 1)
    })
}

fn pause(steps: u32) {
    if steps == 3 {
        fibra::sleep(Duration::from_micros(200));
    } else {
        (0..steps).for_each(|_| fibra::yield_now());
    }
}

#[test]
fn close_against_read_against_timeout_against_cancel() {
    const READERS: usize = 4;
    anywhere(|| {
        for round in 0..150 {
            let [to_close, to_cancel, to_write, timeout] = mix(round, 3);
            let (client, server) = pair();
            let client = Arc::new(client);
            if timeout > 0 {
                let timeout = Duration::from_micros(100 * u64::from(timeout));
                client.set_read_timeout(Some(timeout)).unwrap();
            }
            let readers = [(); READERS].map(|()| read(&client));
            let closing = {
                let client = client.clone();
                fibra::go!(move || {
                    pause(to_close);
                    client.close();
                })
            };
            let writing = fibra::go!(move || {
                pause(to_write);
                // The other side may be closed, and have reset the connection.
                let written = (&server).write(&[7; 11]).unwrap_or(0);
                (written, server)
            });
            pause(to_cancel);
            readers[0].cancel();
            readers[1].cancel();
            let mut received = 0;
            for (n, reader) in readers.into_iter().enumerate() {
                match outcome(reader) {
                    Ok(Ok(len)) => received += len,
                    Ok(Err(ErrorKind::NotConnected)) => {}
                    Ok(Err(ErrorKind::TimedOut)) => assert!(timeout > 0),
                    Ok(Err(kind)) => panic!("{kind:?}"),
                    cancelled => {
                        assert!(n < 2, "nobody cancelled that one");
                        assert_cancelled(cancelled);
                    }
                }
            }
            join(closing);
            let (written, _server) = join(writing);
            assert!(received <= written, "{received} of {written}");
        }
    });
}

/// The last deadline is what counts, whoever else has set another one before.
#[test]
fn deadlines_against_one_another() {
    anywhere(|| {
        for round in 0..60 {
            let (client, _silent) = pair();
            let client = Arc::new(client);
            let readers = [(); 4].map(|()| read(&client));
            let setters = mix(round, 3).map(|steps| {
                let client = client.clone();
                fibra::go!(move || {
                    for _ in 0..5 {
                        client.set_deadline(Some(Instant::now() + FOREVER)).unwrap();
                        pause(steps);
                        client.set_deadline(None).unwrap();
                        client.set_read_timeout(Some(LONG * 100)).unwrap();
                    }
                })
            });
            let late = read(&client);
            setters.into_iter().for_each(join);
            client.set_deadline(Some(Instant::now())).unwrap();
            for reader in readers.into_iter().chain([late]) {
                assert_eq!(join(reader), Err(ErrorKind::TimedOut));
            }
        }
    });
}

/// Acceptors of one listener are cancelled while connections come; the others get all of them.
#[test]
fn cancelled_acceptors_lose_nobody() {
    anywhere(|| {
        for round in 0..20 {
            let listener = Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
            let addr = listener.local_addr().unwrap();
            let accept = || {
                let listener = listener.clone();
                fibra::go!(move || {
                    for stream in listener.incoming() {
                        let stream = stream.unwrap();
                        // Whoever has accepted answers, cancelled or not.
                        fibra::uncancellable(|| (&stream).write_all(b"x").unwrap());
                    }
                })
            };
            let (doomed, others) = ([(); 4].map(|()| accept()), [(); 2].map(|()| accept()));
            let clients = [(); 12].map(|()| {
                fibra::go!(move || {
                    let stream = TcpStream::connect(addr).unwrap();
                    assert_eq!((&stream).read(&mut [0; 8]).unwrap(), 1);
                })
            });
            pause(round % 4);
            doomed.iter().for_each(JoinHandle::cancel);
            for acceptor in doomed {
                assert_cancelled(outcome(acceptor));
            }
            clients.into_iter().for_each(join);
            listener.close();
            others.into_iter().for_each(join);
        }
    });
}

/// Numbers of descriptors come back at once, dropped and closed, with readiness of their predecessors under way.
#[test]
fn numbers_are_used_again_at_once() {
    anywhere(|| {
        let parties = [1u32, 2, 3].map(|party| {
            fibra::go!(move || {
                for round in 0..100 {
                    let [to_write, kind, ..] = mix(party << 8 | round, 3);
                    let (left, right) = UnixStream::pair().unwrap();
                    // Someone waits there, so it is registered.
                    left.set_read_timeout(Some(Duration::from_micros(50))).unwrap();
                    assert_eq!((&left).read(&mut [0]).unwrap_err().kind(), ErrorKind::TimedOut);
                    left.set_read_timeout(None).unwrap();
                    let bytes = [round as u8; 3];
                    let writing = fibra::go!(move || {
                        pause(to_write);
                        // Nobody may be there any more.
                        (&right).write_all(&bytes).is_ok()
                    });
                    match kind {
                        0 => drop(left),
                        1 => left.close(),
                        // A copy stays open for a moment: its readiness is nobody's.
                        2 => {
                            let _copy = left.as_fd().try_clone_to_owned().unwrap();
                            drop(left);
                            pause(to_write);
                        }
                        _ => {
                            let mut buf = [0; 3];
                            (&left).read_exact(&mut buf).unwrap();
                            assert_eq!(buf, bytes);
                        }
                    }
                    assert!(join(writing) || kind != 3);
                }
            })
        });
        parties.into_iter().for_each(join);
    });
}

// ---- cancels and signals ---------------------------------------------------------------------

#[test]
fn the_uncancellable_read_on() {
    anywhere(|| {
        let (client, server) = pair();
        let reader = {
            let client = client.try_clone().unwrap();
            let mut bytes = Vec::new();
            fibra::go!(move || {
                let len =
                    fibra::uncancellable(|| (&client).take(6).read_to_end(&mut bytes).unwrap());
                assert_eq!((len, &*bytes), (6, &b"foobar"[..]));
                // Here it is cancelled.
                (&client).read(&mut [0]).unwrap()
            })
        };
        fibra::sleep(SOON);
        reader.cancel();
        (&server).write_all(b"foo").unwrap();
        fibra::sleep(SOON);
        (&server).write_all(b"bar").unwrap();
        assert_cancelled(outcome(reader));
    });
}

extern "C" fn ignore(_signal: libc::c_int) {}

/// From now on SIGUSR1 interrupts calls, and does nothing else.
fn interrupt_calls() {
    // SAFETY: the handler does nothing at all; zeros are an empty mask and no flags.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = ignore as *const () as usize;
        assert_eq!(libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut()), 0);
    }
}

/// Sends it to all threads of this process.
fn interrupt_everybody() {
    for task in fs::read_dir("/proc/self/task").unwrap() {
        let id: i32 = task.unwrap().file_name().into_string().unwrap().parse().unwrap();
        // SAFETY: no pointers. A thread that has ended meanwhile is an error.
        unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), id, libc::SIGUSR1) };
    }
}

#[test]
fn signals_interrupt_nothing() {
    let _turn = turn();
    for kind in KINDS {
        let end = Child::new().run(kind, |kind| {
            interrupt_calls();
            let runtime = builder(kind).build().unwrap();
            let done = Arc::new(AtomicBool::new(false));
            let storm = {
                let done = done.clone();
                thread::spawn(move || {
                    while !done.load(Ordering::SeqCst) {
                        interrupt_everybody();
                        thread::yield_now();
                    }
                })
            };
            // A plain thread waits through all of it.
            let (left, right) = UnixStream::pair().unwrap();
            let waiting = thread::spawn(move || {
                left.set_read_timeout(Some(LONG * 2)).unwrap();
                (&left).read(&mut [0]).unwrap()
            });
            runtime.run(|| {
                let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                let addr: SocketAddr = listener.local_addr().unwrap();
                let server = fibra::go!(move || {
                    for _ in 0..40 {
                        let (stream, _) = listener.accept().unwrap();
                        drop(fibra::go!(move || io::copy(&mut &stream, &mut &stream).unwrap()));
                    }
                });
                let clients: Vec<_> = (0..4u8)
                    .map(|number| {
                        fibra::go!(move || {
                            for round in 0..10 {
                                let stream = TcpStream::connect(addr).unwrap();
                                let sent = [number * 10 + round; 3000];
                                let mut received = [0; 3000];
                                (&stream).write_all(&sent).unwrap();
                                (&stream).read_exact(&mut received).unwrap();
                                assert!(sent == received);
                            }
                        })
                    })
                    .collect();
                clients.into_iter().for_each(join);
                join(server);
            });
            (&right).write_all(b"x").unwrap();
            assert_eq!(waiting.join().unwrap(), 1);
            done.store(true, Ordering::SeqCst);
            storm.join().unwrap();
        });
        assert!(end.status.success(), "{kind}: {end}");
    }
}
