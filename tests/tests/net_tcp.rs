//! TCP: what std's types do, and what only these do.

use fibra::net::{TcpListener, TcpStream};
use fibra_tests::{LONG, Signal, anywhere, assert_cancelled, join, outcome};
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Two ends of a connection.
fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let client = TcpStream::connect(addr).unwrap();
    let (server, from) = listener.accept().unwrap();
    assert_eq!(from, client.local_addr().unwrap());
    (client, server)
}

#[test]
fn what_one_writes_the_other_one_reads() {
    anywhere(|| {
        let (mut client, mut server) = pair();
        client.write_all(b"hello").unwrap();
        let mut buf = [0; 16];
        assert_eq!(server.peek(&mut buf).unwrap(), 5);
        assert_eq!(server.read(&mut buf).unwrap(), 5);
        assert_eq!(&buf[..5], b"hello");
        let (mut left, mut right) = ([0; 3], [0; 5]);
        assert_eq!(
            server.write_vectored(&[IoSlice::new(b"ab"), IoSlice::new(b"cdef")]).unwrap(),
            6
        );
        let mut bufs = [IoSliceMut::new(&mut left), IoSliceMut::new(&mut right)];
        assert_eq!(client.read_vectored(&mut bufs).unwrap(), 6);
        assert_eq!((&left, &right[..3]), (b"abc", &b"def"[..]));
        drop(client);
        assert_eq!(server.read(&mut buf).unwrap(), 0, "the end");
        assert_eq!(server.read(&mut buf).unwrap(), 0, "again");
    });
}

#[test]
fn a_reader_waits_for_the_writer() {
    anywhere(|| {
        let (client, mut server) = pair();
        let reader = fibra::go!(move || {
            let mut text = String::new();
            (&client).read_to_string(&mut text).unwrap();
            text
        });
        for word in ["one ", "two ", "three"] {
            fibra::sleep(Duration::from_millis(2));
            server.write_all(word.as_bytes()).unwrap();
        }
        drop(server);
        assert_eq!(join(reader), "one two three");
    });
}

/// Far more than the buffers of the kernel hold, in both directions at once.
#[test]
fn megabytes_go_both_ways() {
    const LEN: usize = 4 << 20;
    anywhere(|| {
        let (client, server) = pair();
        let data: Arc<Vec<u8>> = Arc::new((0..LEN).map(|i| (i * 7 / 3) as u8).collect());
        let sides = [client, server].map(|stream| {
            let data = data.clone();
            fibra::go!(move || {
                let copy = stream.try_clone().unwrap();
                let writer = {
                    let data = data.clone();
                    fibra::go!(move || {
                        (&copy).write_all(&data).unwrap();
                        copy.shutdown(Shutdown::Write).unwrap();
                    })
                };
                let mut received = Vec::new();
                (&stream).read_to_end(&mut received).unwrap();
                join(writer);
                assert!(received == *data);
            })
        });
        sides.into_iter().for_each(join);
    });
}

#[test]
fn one_end_may_close_its_direction_only() {
    anywhere(|| {
        let (mut client, mut server) = pair();
        client.write_all(b"question").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut text = String::new();
        server.read_to_string(&mut text).unwrap();
        server.write_all(b"answer").unwrap();
        drop(server);
        text.push(' ');
        client.read_to_string(&mut text).unwrap();
        assert_eq!(text, "question answer");
    });
}

#[test]
fn a_timeout_ends_a_read_and_nothing_else() {
    anywhere(|| {
        let (client, mut server) = pair();
        let limit = Duration::from_millis(20);
        client.set_read_timeout(Some(limit)).unwrap();
        assert_eq!(client.read_timeout().unwrap(), Some(limit));
        let start = Instant::now();
        let error = (&client).read(&mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(start.elapsed() >= limit);
        server.write_all(b"x").unwrap();
        client.set_read_timeout(None).unwrap();
        assert_eq!((&client).read(&mut [0; 8]).unwrap(), 1);
        let error = client.set_read_timeout(Some(Duration::ZERO)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    });
}

/// The other side does not read.
#[test]
fn a_timeout_ends_a_write() {
    anywhere(|| {
        let (client, _server) = pair();
        client.set_write_timeout(Some(Duration::from_millis(20))).unwrap();
        let block = vec![0; 1 << 16];
        let error = loop {
            if let Err(error) = (&client).write(&block) {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    });
}

#[test]
fn a_deadline_in_the_past_ends_calls_at_once() {
    anywhere(|| {
        let (client, mut server) = pair();
        server.write_all(b"there is something to read").unwrap();
        client.set_deadline(Some(Instant::now())).unwrap();
        assert_eq!((&client).read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!((&client).write(&[0; 8]).unwrap_err().kind(), ErrorKind::TimedOut);
        client.set_deadline(None).unwrap();
        assert_eq!((&client).read(&mut [0; 8]).unwrap(), 8);
    });
}

/// A limit that is set while a call waits counts for that call.
#[test]
fn limits_change_under_a_waiting_call() {
    anywhere(|| {
        let (client, _server) = pair();
        let client = Arc::new(client);
        let read = |client: &Arc<TcpStream>| {
            let client = client.clone();
            let started = Signal::new();
            let reader = {
                let started = started.clone();
                fibra::go!(move || {
                    started.set();
                    (&*client).read(&mut [0; 8]).map_err(|error| error.kind())
                })
            };
            started.wait();
            fibra::sleep(Duration::from_millis(2));
            reader
        };
        let reader = read(&client);
        client.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        assert_eq!(join(reader), Err(ErrorKind::TimedOut));
        client.set_read_timeout(Some(LONG * 100)).unwrap();
        let reader = read(&client);
        client.set_deadline(Some(Instant::now() + Duration::from_millis(1))).unwrap();
        assert_eq!(join(reader), Err(ErrorKind::TimedOut));
    });
}

#[test]
fn close_ends_whoever_waits_and_every_later_call() {
    anywhere(|| {
        let (client, mut server) = pair();
        let client = Arc::new(client);
        let readers: Vec<_> = (0..3)
            .map(|_| {
                let client = client.clone();
                fibra::go!(move || (&*client).read(&mut [0; 8]).map_err(|error| error.kind()))
            })
            .collect();
        fibra::sleep(Duration::from_millis(2));
        let clone = client.try_clone().unwrap();
        client.close();
        for reader in readers {
            assert_eq!(join(reader), Err(ErrorKind::NotConnected));
        }
        let closed = |result: io::Result<usize>| {
            assert_eq!(result.unwrap_err().kind(), ErrorKind::NotConnected);
        };
        closed((&clone).read(&mut [0; 8]));
        closed((&*client).write(&[0; 8]));
        closed(client.peek(&mut [0; 8]));
        assert!(client.set_deadline(None).is_err());
        client.close();
        assert_eq!(server.read(&mut [0; 8]).unwrap(), 0, "the other side sees the end at once");
    });
}

/// The port is free while handles are left.
#[test]
fn a_closed_listener_is_gone() {
    anywhere(|| {
        let listener = TcpListener::builder().reuse_addr(false).bind("127.0.0.1:0").unwrap();
        let listener = Arc::new(listener);
        let addr = listener.local_addr().unwrap();
        let acceptor = {
            let listener = listener.clone();
            fibra::go!(move || listener.incoming().count())
        };
        fibra::sleep(Duration::from_millis(2));
        listener.close();
        assert_eq!(join(acceptor), 0);
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::NotConnected);
        let again = TcpListener::builder().reuse_addr(false).bind(addr).unwrap();
        drop(again);
        let error = TcpStream::connect(addr).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    });
}

/// Many connections come at once, and every acceptor gets some.
#[test]
fn acceptors_take_turns() {
    const EACH: usize = 25;
    anywhere(|| {
        let listener = Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
        let addr = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let acceptors = [(); 4].map(|()| {
            let (listener, accepted) = (listener.clone(), accepted.clone());
            fibra::go!(move || {
                let mut mine = 0;
                while listener.accept().is_ok() {
                    accepted.fetch_add(1, Ordering::SeqCst);
                    mine += 1;
                }
                mine
            })
        });
        let clients: Vec<_> = (0..4 * EACH).map(|_| TcpStream::connect(addr).unwrap()).collect();
        while accepted.load(Ordering::SeqCst) < clients.len() {
            fibra::yield_now();
        }
        listener.close();
        let counts: Vec<usize> = acceptors.map(join).into();
        assert_eq!(counts.iter().sum::<usize>(), 4 * EACH);
    });
}

/// Readers of one stream each get something, though one change may be enough for all.
#[test]
fn readers_of_one_stream_take_turns() {
    anywhere(|| {
        let (client, mut server) = pair();
        let client = Arc::new(client);
        let readers = [(); 8].map(|()| {
            let client = client.clone();
            fibra::go!(move || (&*client).read(&mut [0; 1]).unwrap())
        });
        fibra::sleep(Duration::from_millis(2));
        server.write_all(&[7; 8]).unwrap();
        assert_eq!(readers.map(join), [1; 8]);
    });
}

#[test]
fn a_reader_and_a_writer_wait_on_one_stream() {
    anywhere(|| {
        let (client, server) = pair();
        let client = Arc::new(client);
        let reader = {
            let client = client.clone();
            fibra::go!(move || {
                let mut buf = [0; 4];
                (&*client).read_exact(&mut buf).unwrap();
                buf
            })
        };
        let data = vec![1; 8 << 20];
        let writer = {
            let client = client.clone();
            let data = data.clone();
            fibra::go!(move || (&*client).write_all(&data).unwrap())
        };
        let mut received = vec![0; data.len()];
        (&server).read_exact(&mut received).unwrap();
        join(writer);
        (&server).write_all(b"done").unwrap();
        assert_eq!(&join(reader), b"done");
        assert!(received == data);
    });
}

#[test]
fn a_cancelled_reader_unwinds_and_loses_nothing() {
    anywhere(|| {
        let (client, mut server) = pair();
        let client = Arc::new(client);
        let reader = {
            let client = client.clone();
            fibra::go!(move || (&*client).read(&mut [0; 8]).unwrap())
        };
        fibra::sleep(Duration::from_millis(2));
        reader.cancel();
        assert_cancelled(outcome(reader));
        server.write_all(b"later").unwrap();
        assert_eq!((&*client).read(&mut [0; 8]).unwrap(), 5);
    });
}

#[test]
fn nobody_listens_there() {
    anywhere(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        drop(listener);
        assert_eq!(TcpStream::connect(addr).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let answers = listener.local_addr().unwrap();
        let stream = TcpStream::connect(&[addr, answers][..]).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), answers, "the second address answered");
        let none: &[SocketAddr] = &[];
        assert_eq!(TcpStream::connect(none).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert!(TcpStream::connect("not an address").is_err());
    });
}

/// A listener whose backlog is full answers nobody.
#[test]
fn connecting_can_time_out() {
    anywhere(|| {
        let listener = TcpListener::builder().backlog(0).bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let limit = Duration::from_millis(20);
        let mut streams = Vec::new();
        let error = loop {
            match TcpStream::connect_timeout(&addr, limit) {
                Ok(stream) => streams.push(stream),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        let start = Instant::now();
        let builder = TcpStream::builder().timeout(limit);
        let error = builder.connect(&[addr, addr][..]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(start.elapsed() >= limit);
    });
}

#[test]
fn names_are_looked_up() {
    anywhere(|| {
        let listener = TcpListener::bind("localhost:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        TcpStream::connect(("localhost", port)).unwrap();
        TcpStream::connect(format!("localhost:{port}")).unwrap();
        listener.accept().unwrap();
        listener.accept().unwrap();
    });
}

#[test]
fn std_sockets_and_back() {
    anywhere(|| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let listener = TcpListener::from(listener);
        let client = thread::spawn(move || std::net::TcpStream::connect(addr).unwrap());
        let (server, _) = listener.accept().unwrap();
        let client = client.join().unwrap();
        let clone = server.try_clone().unwrap();
        assert!(server.into_std().is_err(), "a clone is in use");
        let mut server = clone.into_std().unwrap();
        let mut client = TcpStream::from(client);
        client.write_all(b"blocking").unwrap();
        let mut buf = [0; 8];
        server.read_exact(&mut buf).unwrap();
        let reader = thread::spawn(move || server.read(&mut buf).map(|len| (len, buf)));
        fibra::sleep(Duration::from_millis(5));
        client.write_all(b"again").unwrap();
        let (len, buf) = fibra::blocking(|| reader.join().unwrap().unwrap());
        assert_eq!(&buf[..len], b"again");
        let fd = client.as_raw_fd();
        assert_eq!(client.as_fd().as_raw_fd(), fd);
        let owned = OwnedFd::from(client);
        assert_eq!(owned.as_raw_fd(), fd);
        let client = TcpStream::from(owned);
        client.set_nonblocking(true).unwrap();
        assert_eq!((&client).read(&mut [0; 8]).map_err(|e| e.kind()), Ok(0));
    });
}

/// A loop that never waits sees what comes, though nobody polls meanwhile.
#[test]
fn a_non_blocking_read_asks_the_system() {
    anywhere(|| {
        let (client, mut server) = pair();
        client.set_nonblocking(true).unwrap();
        let mut buf = [0; 8];
        let kind = |result: io::Result<usize>| result.map_err(|error| error.kind());
        assert_eq!(kind((&client).read(&mut buf)), Err(ErrorKind::WouldBlock));
        for _ in 0..3 {
            server.write_all(b"abc").unwrap();
            while kind((&client).read(&mut buf)) == Err(ErrorKind::WouldBlock) {}
            assert_eq!(&buf[..3], b"abc");
        }
    });
}

#[test]
fn options_are_kept() {
    anywhere(|| {
        let (client, server) = pair();
        client.set_nodelay(true).unwrap();
        assert!(client.nodelay().unwrap());
        client.set_ttl(33).unwrap();
        assert_eq!(client.ttl().unwrap(), 33);
        client.set_linger(Some(Duration::ZERO)).unwrap();
        assert_eq!(client.linger().unwrap(), Some(Duration::ZERO));
        assert_eq!(client.peer_addr().unwrap(), server.local_addr().unwrap());
        assert!(format!("{client:?}").starts_with("TcpStream"));
        drop(client);
        let error = (&server).read(&mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "no linger: a reset");
    });
}

#[test]
fn two_listeners_share_a_port() {
    anywhere(|| {
        let builder = TcpListener::builder().reuse_port(true);
        let one = builder.bind("127.0.0.1:0").unwrap();
        let addr = one.local_addr().unwrap();
        let other = builder.bind(addr).unwrap();
        assert!(TcpListener::bind(addr).is_err(), "without the option");
        let clients: Vec<_> = (0..64).map(|_| TcpStream::connect(addr).unwrap()).collect();
        let count = |listener: &TcpListener| {
            listener.set_nonblocking(true).unwrap();
            listener.incoming().take_while(Result::is_ok).count()
        };
        let counts = [count(&one), count(&other)];
        assert_eq!(counts[0] + counts[1], clients.len());
        assert!(counts.iter().all(|&count| count > 0), "{counts:?}");
    });
}

/// A number that is used again at once gets its own readiness, and no old one.
#[test]
fn a_descriptor_that_is_used_again_is_another_one() {
    anywhere(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        for round in 0..200u32 {
            let client = TcpStream::connect(addr).unwrap();
            let (server, _) = listener.accept().unwrap();
            let server = Arc::new(server);
            let reader = {
                let server = server.clone();
                fibra::go!(move || {
                    let mut buf = [0; 4];
                    (&*server).read_exact(&mut buf).map(|()| u32::from_ne_bytes(buf))
                })
            };
            if round % 3 == 0 {
                fibra::yield_now();
            }
            if round % 2 == 0 {
                // Its readiness may come when the number is somebody else's.
                (&client).write_all(&[1; 3]).unwrap();
                server.close();
                assert!(join(reader).is_err());
            } else {
                (&client).write_all(&round.to_ne_bytes()).unwrap();
                assert_eq!(join(reader).unwrap(), round);
            }
        }
    });
}
