//! Unix-domain streams: what std's types do, and what only these do.

use fibra::net::{UnixListener, UnixStream};
use fibra_tests::{OnDrop, Signal, anywhere, assert_cancelled, assert_kind, join, outcome};
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, process};

const SOON: Duration = Duration::from_millis(2);
const LIMIT: Duration = Duration::from_millis(20);

/// A name that nobody else uses.
fn name() -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("fibra-net-unix-{}-{number}", process::id())
}

/// An address without a file.
fn abstract_addr() -> SocketAddr {
    SocketAddr::from_abstract_name(name()).unwrap()
}

/// A path, and the end of the file that will be there.
fn path() -> (PathBuf, impl Drop) {
    let path = env::temp_dir().join(name());
    let file = path.clone();
    (path, OnDrop(move || drop(fs::remove_file(&file))))
}

#[test]
fn what_one_writes_the_other_one_reads() {
    anywhere(|| {
        let (mut left, mut right) = UnixStream::pair().unwrap();
        let reader = fibra::go!(move || {
            let mut text = [0; 5];
            right.read_exact(&mut text).unwrap();
            assert_eq!(&text, b"hello");
            right
        });
        fibra::sleep(SOON);
        left.write_all(b"hel").unwrap();
        fibra::sleep(SOON);
        left.write_all(b"lo").unwrap();
        left.flush().unwrap();
        let mut right = join(reader);
        let parts = [IoSlice::new(b"ab"), IoSlice::new(b"cdef")];
        assert_eq!(right.write_vectored(&parts).unwrap(), 6);
        let (mut first, mut second) = ([0; 3], [0; 5]);
        let mut parts = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
        assert_eq!(left.read_vectored(&mut parts).unwrap(), 6);
        assert_eq!((&first, &second[..3]), (b"abc", &b"def"[..]));
        drop(right);
        assert_eq!(left.read(&mut [0; 8]).unwrap(), 0, "the end");
        assert_kind(left.write(b"x"), ErrorKind::BrokenPipe);
    });
}

/// Far more than the buffers of the kernel hold, in both directions at once.
#[test]
fn megabytes_go_both_ways() {
    const LEN: usize = 4 << 20;
    anywhere(|| {
        let (left, right) = UnixStream::pair().unwrap();
        let data: Arc<Vec<u8>> = Arc::new((0..LEN).map(|i| (i * 7 / 3) as u8).collect());
        let sides = [left, right].map(|stream| {
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
fn at_a_path() {
    anywhere(|| {
        let (path, _file) = path();
        assert_kind(UnixStream::connect(&path), ErrorKind::NotFound);
        let listener = UnixListener::bind(&path).unwrap();
        assert_kind(UnixListener::bind(&path), ErrorKind::AddrInUse);
        assert_eq!(listener.local_addr().unwrap().as_pathname(), Some(&*path));
        let mut client = UnixStream::connect(&path).unwrap();
        let (mut server, from) = listener.accept().unwrap();
        assert!(from.is_unnamed());
        assert_eq!(client.peer_addr().unwrap().as_pathname(), Some(&*path));
        assert!(client.local_addr().unwrap().is_unnamed());
        client.write_all(b"there").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut text = String::new();
        server.read_to_string(&mut text).unwrap();
        server.write_all(b" and back").unwrap();
        drop(server);
        client.read_to_string(&mut text).unwrap();
        assert_eq!(text, "there and back");
        drop(listener);
        assert_kind(UnixStream::connect(&path), ErrorKind::ConnectionRefused);
        let too_long = Path::new("/tmp").join("x".repeat(200));
        assert_kind(UnixStream::connect(&too_long), ErrorKind::InvalidInput);
        assert_kind(UnixListener::bind(too_long), ErrorKind::InvalidInput);
    });
}

#[test]
fn at_an_abstract_address() {
    anywhere(|| {
        let addr = abstract_addr();
        assert_kind(UnixStream::connect_addr(&addr), ErrorKind::ConnectionRefused);
        let listener = UnixListener::bind_addr(&addr).unwrap();
        let local = listener.local_addr().unwrap();
        assert_eq!(local.as_abstract_name(), addr.as_abstract_name());
        let mut client = UnixStream::connect_addr(&addr).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        client.write_all(b"x").unwrap();
        assert_eq!(server.read(&mut [0; 8]).unwrap(), 1);
        let nobody = client.local_addr().unwrap();
        assert_kind(UnixStream::connect_addr(&nobody), ErrorKind::InvalidInput);
        // The file system is another world.
        let (path, _file) = path();
        let addr = SocketAddr::from_pathname(&path).unwrap();
        let listener = UnixListener::bind_addr(&addr).unwrap();
        drop(UnixStream::connect_addr(&addr).unwrap());
        assert_eq!(listener.accept().unwrap().0.read(&mut [0; 8]).unwrap(), 0);
    });
}

/// Many connect at once, and every acceptor ends when the listener does.
#[test]
fn acceptors_take_turns() {
    const CLIENTS: usize = 100;
    anywhere(|| {
        let addr = abstract_addr();
        let listener = Arc::new(UnixListener::bind_addr(&addr).unwrap());
        let acceptors = [(); 4].map(|()| {
            let listener = listener.clone();
            fibra::go!(move || {
                let echo = |stream: io::Result<UnixStream>| {
                    let mut stream = stream.unwrap();
                    let mut byte = [0];
                    stream.read_exact(&mut byte).unwrap();
                    stream.write_all(&byte).unwrap();
                };
                listener.incoming().map(echo).count()
            })
        });
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let addr = addr.clone();
                fibra::go!(move || {
                    let mut stream = UnixStream::connect_addr(&addr).unwrap();
                    let (sent, mut received) = ([number as u8], [0]);
                    stream.write_all(&sent).unwrap();
                    stream.read_exact(&mut received).unwrap();
                    assert_eq!(sent, received);
                })
            })
            .collect();
        clients.into_iter().for_each(join);
        listener.close();
        assert_eq!(acceptors.map(join).iter().sum::<usize>(), CLIENTS);
        assert_kind(listener.accept(), ErrorKind::NotConnected);
        assert_kind(UnixStream::connect_addr(&addr), ErrorKind::ConnectionRefused);
        drop(UnixListener::bind_addr(&addr).unwrap());
    });
}

/// A listener on which one connection may be pending, and how many that makes in all.
fn full_listener(addr: &SocketAddr) -> (UnixListener, Vec<UnixStream>) {
    let listener = std::os::unix::net::UnixListener::bind_addr(addr).unwrap();
    // SAFETY: no pointers.
    assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 1) }, 0);
    // One more than the backlog says.
    let pending = (0..2).map(|_| UnixStream::connect_addr(addr).unwrap()).collect();
    (listener.into(), pending)
}

#[test]
fn connecting_waits_until_there_is_room() {
    anywhere(|| {
        let addr = abstract_addr();
        let (listener, pending) = full_listener(&addr);
        let accepted = Signal::new();
        let clients: Vec<_> = (0..4u8)
            .map(|number| {
                let (addr, accepted) = (addr.clone(), accepted.clone());
                fibra::go!(move || {
                    let mut stream = UnixStream::connect_addr(&addr).unwrap();
                    assert!(accepted.is_set(), "there was no room");
                    stream.write_all(&[number]).unwrap();
                    let mut byte = [0];
                    stream.read_exact(&mut byte).unwrap();
                    assert_eq!(byte, [number]);
                })
            })
            .collect();
        fibra::sleep(SOON);
        accepted.set();
        for _ in 0..pending.len() {
            drop(listener.accept().unwrap());
        }
        for _ in 0..clients.len() {
            let (mut stream, _) = listener.accept().unwrap();
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            stream.write_all(&byte).unwrap();
        }
        clients.into_iter().for_each(join);
    });
}

#[test]
fn connecting_ends_with_the_listener() {
    anywhere(|| {
        let addr = abstract_addr();
        let (listener, _pending) = full_listener(&addr);
        let clients = [(); 3].map(|()| {
            let addr = addr.clone();
            fibra::go!(move || UnixStream::connect_addr(&addr).map_err(|error| error.kind()))
        });
        fibra::sleep(SOON);
        listener.close();
        for client in clients {
            assert_eq!(join(client).map(drop), Err(ErrorKind::ConnectionRefused));
        }
    });
}

#[test]
fn limits_in_time() {
    anywhere(|| {
        let (left, right) = UnixStream::pair().unwrap();
        assert_eq!(left.read_timeout().unwrap(), None);
        left.set_read_timeout(Some(LIMIT)).unwrap();
        left.set_write_timeout(Some(LIMIT * 2)).unwrap();
        assert_eq!(left.read_timeout().unwrap(), Some(LIMIT));
        assert_eq!(left.write_timeout().unwrap(), Some(LIMIT * 2));
        let start = Instant::now();
        assert_kind((&left).read(&mut [0; 8]), ErrorKind::TimedOut);
        assert!(start.elapsed() >= LIMIT);
        // The other side does not read.
        let start = Instant::now();
        assert_kind((&left).write_all(&[0; 1 << 20]), ErrorKind::TimedOut);
        assert!(start.elapsed() >= LIMIT * 2);
        assert_kind(left.set_read_timeout(Some(Duration::ZERO)), ErrorKind::InvalidInput);
        left.set_read_timeout(None).unwrap();
        (&right).write_all(b"here").unwrap();
        left.set_deadline(Some(Instant::now())).unwrap();
        assert_kind((&left).read(&mut [0; 8]), ErrorKind::TimedOut);
        left.set_deadline(None).unwrap();
        assert_eq!((&left).read(&mut [0; 8]).unwrap(), 4);
        let waiting = {
            let left = left.try_clone().unwrap();
            fibra::go!(move || (&left).read(&mut [0; 8]).map_err(|error| error.kind()))
        };
        fibra::sleep(SOON);
        left.set_deadline(Some(Instant::now() + SOON)).unwrap();
        assert_eq!(join(waiting), Err(ErrorKind::TimedOut));
    });
}

#[test]
fn an_acceptor_has_a_deadline() {
    anywhere(|| {
        let addr = abstract_addr();
        let listener = UnixListener::bind_addr(&addr).unwrap();
        listener.set_deadline(Some(Instant::now() + LIMIT)).unwrap();
        assert_kind(listener.accept(), ErrorKind::TimedOut);
        listener.set_deadline(None).unwrap();
        listener.set_nonblocking(true).unwrap();
        assert_kind(listener.accept(), ErrorKind::WouldBlock);
        let _client = UnixStream::connect_addr(&addr).unwrap();
        listener.accept().unwrap();
        assert!(listener.take_error().unwrap().is_none());
    });
}

#[test]
fn close_ends_whoever_waits_and_every_later_call() {
    anywhere(|| {
        let (left, right) = UnixStream::pair().unwrap();
        let readers = [(); 3].map(|()| {
            let left = left.try_clone().unwrap();
            fibra::go!(move || (&left).read(&mut [0; 8]).map_err(|error| error.kind()))
        });
        let writer = {
            let left = left.try_clone().unwrap();
            fibra::go!(move || (&left).write_all(&[0; 1 << 22]).map_err(|error| error.kind()))
        };
        fibra::sleep(SOON);
        left.close();
        assert_eq!(readers.map(join), [Err(ErrorKind::NotConnected); 3]);
        assert_eq!(join(writer), Err(ErrorKind::NotConnected));
        assert_kind((&left).read(&mut [0; 8]), ErrorKind::NotConnected);
        assert_kind((&left).write(&[0; 8]), ErrorKind::NotConnected);
        assert_kind(left.set_deadline(None), ErrorKind::NotConnected);
        left.close();
        let mut rest = Vec::new();
        (&right).read_to_end(&mut rest).unwrap();
        assert!(rest.len() < 1 << 22, "the other side sees the end at once");
    });
}

#[test]
fn a_cancelled_reader_unwinds_and_loses_nothing() {
    anywhere(|| {
        let (left, right) = UnixStream::pair().unwrap();
        let reader = {
            let left = left.try_clone().unwrap();
            fibra::go!(move || (&left).read(&mut [0; 8]).unwrap())
        };
        fibra::sleep(SOON);
        reader.cancel();
        assert_cancelled(outcome(reader));
        (&right).write_all(b"later").unwrap();
        assert_eq!((&left).read(&mut [0; 8]).unwrap(), 5);
    });
}

/// What was sent and never read is an error for the other side, not an end.
#[test]
fn unread_bytes_are_a_reset() {
    anywhere(|| {
        let (left, right) = UnixStream::pair().unwrap();
        let reader = {
            let left = left.try_clone().unwrap();
            fibra::go!(move || (&left).read(&mut [0; 8]).map_err(|error| error.kind()))
        };
        fibra::sleep(SOON);
        (&left).write_all(b"unread").unwrap();
        drop(right);
        assert_eq!(join(reader), Err(ErrorKind::ConnectionReset));
    });
}

/// Sends one byte with a copy of a descriptor.
fn send_with_descriptor(stream: &UnixStream, byte: u8) {
    #[repr(align(8))]
    struct Control([u8; 24]);
    let mut data = [byte];
    let mut part = libc::iovec { iov_base: data.as_mut_ptr().cast(), iov_len: 1 };
    let mut control = Control([0; 24]);
    // SAFETY: all zeros is a message of nothing.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = control.0.len();
    // SAFETY: the message has room for one header with one descriptor, aligned as a header. The kernel reads
    // what the message points to, which outlives the call.
    let sent = unsafe {
        assert_eq!(libc::CMSG_SPACE(4), 24);
        let header = libc::CMSG_FIRSTHDR(&message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(4) as usize;
        libc::CMSG_DATA(header).cast::<i32>().write_unaligned(stream.as_raw_fd());
        libc::sendmsg(stream.as_raw_fd(), &message, 0)
    };
    assert_eq!(sent, 1);
}

/// A read ends where descriptors came with the bytes, though more is there.
#[test]
fn a_short_read_is_not_the_last_one() {
    anywhere(|| {
        let (left, right) = UnixStream::pair().unwrap();
        let reader = fibra::go!(move || {
            let mut text = Vec::new();
            while text.len() < 9 {
                let mut buf = [0; 64];
                let len = (&right).read(&mut buf).unwrap();
                text.extend_from_slice(&buf[..len]);
            }
            text
        });
        for _ in 0..3 {
            (&left).write_all(b"a").unwrap();
            send_with_descriptor(&left, b'b');
            (&left).write_all(b"c").unwrap();
        }
        assert_eq!(join(reader), b"abcabcabc");
    });
}

#[test]
fn std_streams_and_back() {
    anywhere(|| {
        let addr = abstract_addr();
        let listener = std::os::unix::net::UnixListener::bind_addr(&addr).unwrap();
        let listener = UnixListener::from(listener);
        let client = std::os::unix::net::UnixStream::connect_addr(&addr).unwrap();
        let (server, _) = listener.accept().unwrap();
        let clone = server.try_clone().unwrap();
        assert!(server.into_std().is_err(), "a clone is in use");
        let mut server = clone.into_std().unwrap();
        let mut client = UnixStream::from(client);
        let writer = fibra::go!(move || {
            fibra::sleep(SOON);
            client.write_all(b"blocking").unwrap();
            client
        });
        let mut buf = [0; 8];
        let read = fibra::blocking(|| server.read_exact(&mut buf));
        assert!(read.is_ok(), "it blocks again: {read:?}");
        assert_eq!(&buf, b"blocking");
        let client = join(writer);
        let fd = client.as_raw_fd();
        assert_eq!(client.as_fd().as_raw_fd(), fd);
        assert!(format!("{client:?}").starts_with("UnixStream"));
        assert!(format!("{listener:?}").starts_with("UnixListener"));
        let raw = UnixStream::from(OwnedFd::from(client)).into_raw_fd();
        assert_eq!(raw, fd);
        // SAFETY: it was just given up by its owner.
        let client = unsafe { UnixStream::from_raw_fd(raw) };
        client.set_nonblocking(true).unwrap();
        assert_kind((&client).read(&mut buf), ErrorKind::WouldBlock);
        for _ in 0..3 {
            server.write_all(b"two").unwrap();
            assert_eq!((&client).read(&mut buf).unwrap(), 3);
        }
        drop(server);
        assert_eq!((&client).read(&mut buf).unwrap(), 0);
        let listener = listener.into_std().unwrap();
        let late = UnixStream::connect_addr(&addr).unwrap();
        drop(listener.accept().unwrap());
        assert_eq!((&late).read(&mut buf).unwrap(), 0);
    });
}
