//! Unix-domain datagrams: what std's type does, and what only this one does.

use fibra::net::UnixDatagram;
use fibra_tests::{LONG, OnDrop, anywhere, assert_cancelled, assert_kind, join, outcome};
use std::collections::HashSet;
use std::io::ErrorKind;
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::SocketAddr;
use std::path::PathBuf;
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
    format!("fibra-net-datagram-{}-{number}", process::id())
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
fn datagrams_come_whole_and_with_their_sender() {
    anywhere(|| {
        let ((path, _file), addr) = (path(), abstract_addr());
        let named = UnixDatagram::bind(&path).unwrap();
        assert_kind(UnixDatagram::bind(&path), ErrorKind::AddrInUse);
        let hidden = UnixDatagram::bind_addr(&addr).unwrap();
        let unnamed = UnixDatagram::unbound().unwrap();
        assert!(unnamed.local_addr().unwrap().is_unnamed());
        assert_eq!(unnamed.send_to(b"from nobody", &path).unwrap(), 11);
        assert_eq!(hidden.send_to(b"", &path).unwrap(), 0);
        assert_eq!(named.send_to_addr(b"too long", &addr).unwrap(), 8);
        assert_eq!(unnamed.send_to_addr(b"last", &addr).unwrap(), 4);
        let mut buf = [0; 11];
        let (len, from) = named.recv_from(&mut buf).unwrap();
        assert!(len == 11 && from.is_unnamed(), "{from:?}");
        let (len, from) = named.recv_from(&mut buf[..6]).unwrap();
        assert_eq!((len, from.as_abstract_name()), (0, addr.as_abstract_name()), "no end");
        let (len, from) = hidden.recv_from(&mut buf[..6]).unwrap();
        assert_eq!((len, from.as_pathname()), (6, Some(&*path)), "what does not fit is lost");
        assert_eq!(hidden.recv(&mut buf).unwrap(), 4);
        assert_eq!(&buf[..4], b"last");
    });
}

#[test]
fn connected_datagrams() {
    anywhere(|| {
        let ((path, _file), addr) = (path(), abstract_addr());
        let at_path = UnixDatagram::bind(&path).unwrap();
        let at_addr = UnixDatagram::bind_addr(&addr).unwrap();
        let sender = UnixDatagram::unbound().unwrap();
        assert_kind(sender.send(b"x"), ErrorKind::NotConnected);
        assert_kind(sender.peer_addr(), ErrorKind::NotConnected);
        sender.connect(&path).unwrap();
        assert_eq!(sender.peer_addr().unwrap().as_pathname(), Some(&*path));
        sender.send(b"one").unwrap();
        sender.connect_addr(&addr).unwrap();
        sender.send(b"three").unwrap();
        assert_eq!(at_path.recv(&mut [0; 8]).unwrap(), 3);
        assert_eq!(at_addr.recv(&mut [0; 8]).unwrap(), 5);
        drop(at_addr);
        assert_kind(sender.send(b"gone"), ErrorKind::ConnectionRefused);
        assert_kind(sender.send_to_addr(b"gone", &addr), ErrorKind::ConnectionRefused);
        assert!(sender.connect("/nowhere/at/all").is_err());
        assert_kind(sender.send_to(b"x", "/nowhere/at/all"), ErrorKind::NotFound);
    });
}

#[test]
fn receivers_take_turns() {
    anywhere(|| {
        let (left, right) = UnixDatagram::pair().unwrap();
        let receivers: Vec<_> = (0..8)
            .map(|_| {
                let left = left.try_clone().unwrap();
                fibra::go!(move || {
                    let mut buf = [0; 8];
                    assert_eq!(left.recv(&mut buf).unwrap(), 1);
                    buf[0]
                })
            })
            .collect();
        fibra::sleep(SOON);
        for number in 0..8 {
            right.send(&[number]).unwrap();
        }
        let received: HashSet<u8> = receivers.into_iter().map(join).collect();
        assert_eq!(received, (0..8).collect());
    });
}

/// Sends until there is no room.
fn fill(sender: &UnixDatagram) -> usize {
    sender.set_nonblocking(true).unwrap();
    let sent = (0..).take_while(|_| sender.send(&[1; 64]).is_ok()).count();
    sender.set_nonblocking(false).unwrap();
    sent
}

/// Two sides of which one can only receive what the other one sends; connected as a pair, and to an address. For the
/// pair the kernel counts bytes, and datagrams for the address.
fn sides() -> [(UnixDatagram, UnixDatagram); 2] {
    let addr = abstract_addr();
    let receiver = UnixDatagram::bind_addr(&addr).unwrap();
    let sender = UnixDatagram::unbound().unwrap();
    sender.connect_addr(&addr).unwrap();
    [UnixDatagram::pair().unwrap(), (sender, receiver)]
}

#[test]
fn sending_waits_until_there_is_room() {
    anywhere(|| {
        for (sender, receiver) in sides() {
            let before = fill(&sender);
            let senders: Vec<_> = (0..3)
                .map(|_| {
                    let sender = sender.try_clone().unwrap();
                    fibra::go!(move || (0..20).for_each(|_| assert!(sender.send(&[2; 64]).is_ok())))
                })
                .collect();
            fibra::sleep(SOON);
            for number in 0..before + 60 {
                let mut buf = [0; 128];
                assert_eq!(receiver.recv(&mut buf).unwrap(), 64);
                assert_eq!(buf[0] == 1, number < before);
            }
            senders.into_iter().for_each(join);
        }
    });
}

/// Others fill the queue as well as the one that waits.
#[test]
fn many_connected_senders_wait_for_room() {
    const SENDERS: usize = 6;
    const EACH: usize = 50;
    anywhere(|| {
        let addr = abstract_addr();
        let receiver = UnixDatagram::bind_addr(&addr).unwrap();
        let senders: Vec<_> = (0..SENDERS)
            .map(|number| {
                let sender = UnixDatagram::unbound().unwrap();
                sender.connect_addr(&addr).unwrap();
                fibra::go!(move || {
                    for turn in 0..EACH {
                        sender.send(&[number as u8, turn as u8]).unwrap();
                    }
                })
            })
            .collect();
        let mut turns = [0; SENDERS];
        for _ in 0..SENDERS * EACH {
            let mut buf = [0; 8];
            assert_eq!(receiver.recv(&mut buf).unwrap(), 2);
            let turn = &mut turns[usize::from(buf[0])];
            assert_eq!(*turn, usize::from(buf[1]), "in order");
            *turn += 1;
        }
        senders.into_iter().for_each(join);
    });
}

/// Nothing tells a sender that is not connected when there is room again.
#[test]
fn unconnected_senders_wait_for_room() {
    const EACH: usize = 20;
    anywhere(|| {
        let addr = abstract_addr();
        let receiver = UnixDatagram::bind_addr(&addr).unwrap();
        let other = UnixDatagram::unbound().unwrap();
        other.connect_addr(&addr).unwrap();
        let before = fill(&other);
        let sender = Arc::new(UnixDatagram::unbound().unwrap());
        let send = |byte: u8| {
            let (sender, addr) = (sender.clone(), addr.clone());
            let sending = fibra::go!(move || {
                (0..EACH)
                    .try_for_each(|_| sender.send_to_addr(&[byte; 64], &addr).map(drop))
                    .map_err(|error| error.kind())
            });
            fibra::sleep(SOON);
            sending
        };
        sender.set_write_timeout(Some(LIMIT)).unwrap();
        let start = Instant::now();
        assert_kind(sender.send_to_addr(b"x", &addr), ErrorKind::TimedOut);
        assert!(start.elapsed() >= LIMIT);
        sender.set_write_timeout(None).unwrap();
        let sending = send(3);
        sender.set_deadline(Some(Instant::now())).unwrap();
        assert_eq!(join(sending), Err(ErrorKind::TimedOut));
        sender.set_deadline(None).unwrap();
        let sending = send(4);
        sending.cancel();
        assert_cancelled(outcome(sending));
        assert_eq!(fill(&other), 0, "none of them has sent anything");
        let senders = [(); 2].map(|()| send(2));
        let mut buf = [0; 64];
        for _ in 0..before {
            assert_eq!((receiver.recv(&mut buf).unwrap(), buf[0]), (64, 1));
        }
        for _ in 0..2 * EACH {
            assert_eq!((receiver.recv(&mut buf).unwrap(), buf[0]), (64, 2));
        }
        assert_eq!(senders.map(join), [Ok(()); 2]);
        fill(&other);
        let sending = send(5);
        sender.close();
        assert_eq!(join(sending), Err(ErrorKind::NotConnected));
    });
}

#[test]
fn a_send_that_waits_for_room_ends_otherwise() {
    anywhere(|| {
        for (sender, receiver) in sides() {
            let send = || {
                let sender = sender.try_clone().unwrap();
                let sending = fibra::go!(move || sender.send(&[0; 64]).map_err(|it| it.kind()));
                fibra::sleep(SOON);
                sending
            };
            fill(&sender);
            sender.set_write_timeout(Some(LIMIT)).unwrap();
            let start = Instant::now();
            assert_kind(sender.send(&[0; 64]), ErrorKind::TimedOut);
            assert!(start.elapsed() >= LIMIT);
            sender.set_write_timeout(None).unwrap();
            let sending = send();
            sender.set_deadline(Some(Instant::now())).unwrap();
            assert_eq!(join(sending), Err(ErrorKind::TimedOut));
            sender.set_deadline(None).unwrap();
            let sending = send();
            sending.cancel();
            assert_cancelled(outcome(sending));
            // None of them has sent anything.
            assert_eq!(fill(&sender), 0);
            let sending = send();
            sender.close();
            assert_eq!(join(sending), Err(ErrorKind::NotConnected));
            assert_kind(sender.send(&[0; 64]), ErrorKind::NotConnected);
            assert_kind(sender.send_to(b"x", "/nowhere/at/all"), ErrorKind::NotConnected);
            assert_eq!(receiver.recv(&mut [0; 64]).unwrap(), 64, "what was sent is there");
        }
    });
}

#[test]
fn a_send_that_waits_ends_with_the_receiver() {
    anywhere(|| {
        for (sender, receiver) in sides() {
            fill(&sender);
            let sending = {
                let sender = sender.try_clone().unwrap();
                fibra::go!(move || sender.send(&[0; 64]).map_err(|error| error.kind()))
            };
            fibra::sleep(SOON);
            drop(receiver);
            let kind = join(sending).unwrap_err();
            let gone = [ErrorKind::ConnectionRefused, ErrorKind::ConnectionReset];
            assert!(gone.contains(&kind), "{kind:?}");
        }
    });
}

#[test]
fn datagrams_have_limits_and_ends() {
    anywhere(|| {
        let (left, right) = UnixDatagram::pair().unwrap();
        left.set_read_timeout(Some(LIMIT)).unwrap();
        assert_eq!(left.read_timeout().unwrap(), Some(LIMIT));
        assert_kind(left.recv(&mut [0; 8]), ErrorKind::TimedOut);
        assert_kind(left.set_write_timeout(Some(Duration::ZERO)), ErrorKind::InvalidInput);
        left.set_read_timeout(Some(LONG)).unwrap();
        let waiting = [(); 2].map(|()| {
            let left = left.try_clone().unwrap();
            fibra::go!(move || left.recv_from(&mut [0; 8]).map_err(|error| error.kind()))
        });
        fibra::sleep(SOON);
        left.close();
        for waiting in waiting {
            assert_eq!(join(waiting).map(drop), Err(ErrorKind::NotConnected));
        }
        assert!(right.send(b"x").is_err(), "nobody is there any more");
        let (left, right) = UnixDatagram::pair().unwrap();
        left.shutdown(Shutdown::Read).unwrap();
        assert_kind(right.send(b"x"), ErrorKind::BrokenPipe);
    });
}

#[test]
fn std_datagrams_and_back() {
    anywhere(|| {
        let (left, right) = std::os::unix::net::UnixDatagram::pair().unwrap();
        let (left, right) = (UnixDatagram::from(left), UnixDatagram::from(right));
        let receiver = {
            let left = left.try_clone().unwrap();
            fibra::go!(move || left.recv(&mut [0; 8]).unwrap())
        };
        fibra::sleep(SOON);
        right.send(b"fibra").unwrap();
        assert_eq!(join(receiver), 5);
        let clone = left.try_clone().unwrap();
        assert!(left.into_std().is_err(), "a clone is in use");
        let std = clone.into_std().unwrap();
        let sender = fibra::go!(move || {
            fibra::sleep(SOON);
            right.send(b"std").unwrap();
            right
        });
        let len = fibra::blocking(|| std.recv(&mut [0; 8]));
        assert_eq!(len.unwrap(), 3, "it blocks again");
        let right = join(sender);
        assert!(format!("{right:?}").starts_with("UnixDatagram"));
        assert_eq!(right.as_fd().as_raw_fd(), right.as_raw_fd());
        let raw = UnixDatagram::from(OwnedFd::from(right)).into_raw_fd();
        // SAFETY: it was just given up by its owner.
        let right = unsafe { UnixDatagram::from_raw_fd(raw) };
        right.set_nonblocking(true).unwrap();
        assert_kind(right.recv(&mut [0; 8]), ErrorKind::WouldBlock);
        for _ in 0..3 {
            std.send(b"two").unwrap();
            assert_eq!(right.recv(&mut [0; 8]).unwrap(), 3);
        }
        assert!(right.take_error().unwrap().is_none());
    });
}
