//! UDP: what std's type does, and what only this one does.

use fibra::net::UdpSocket;
use fibra_tests::{LONG, anywhere, assert_cancelled, assert_kind, join, outcome};
use std::collections::HashSet;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_millis(2);
const LIMIT: Duration = Duration::from_millis(20);

fn socket() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").unwrap()
}

/// Two that are connected to each other.
fn pair() -> (UdpSocket, UdpSocket) {
    let (left, right) = (socket(), socket());
    left.connect(right.local_addr().unwrap()).unwrap();
    right.connect(left.local_addr().unwrap()).unwrap();
    (left, right)
}

#[test]
fn datagrams_come_whole_and_with_their_sender() {
    anywhere(|| {
        let (a, b, c) = (socket(), socket(), socket());
        let [at_a, at_b, at_c] = [&a, &b, &c].map(|socket| socket.local_addr().unwrap());
        assert_eq!(a.send_to(b"from a", at_c).unwrap(), 6);
        assert_eq!(b.send_to(b"b", at_c).unwrap(), 1);
        assert_eq!(a.send_to(b"", at_c).unwrap(), 0);
        assert_eq!(a.send_to(b"too long", at_c).unwrap(), 8);
        assert_eq!(a.send_to(b"last", at_c).unwrap(), 4);
        let mut buf = [0; 6];
        assert_eq!(c.recv_from(&mut buf).unwrap(), (6, at_a));
        assert_eq!(&buf, b"from a");
        assert_eq!(c.recv_from(&mut buf).unwrap(), (1, at_b));
        assert_eq!(c.recv_from(&mut buf).unwrap(), (0, at_a), "an empty one is no end");
        assert_eq!(c.recv_from(&mut buf).unwrap(), (6, at_a), "what does not fit is lost");
        assert_eq!(&buf, b"too lo");
        assert_eq!(c.recv(&mut buf).unwrap(), 4);
        assert_eq!(&buf[..4], b"last");
    });
}

#[test]
fn a_peek_takes_nothing() {
    anywhere(|| {
        let (a, b) = (socket(), socket());
        let peeker = {
            let b = b.try_clone().unwrap();
            fibra::go!(move || b.peek_from(&mut [0; 8]).unwrap())
        };
        fibra::sleep(SOON);
        a.send_to(b"twice", b.local_addr().unwrap()).unwrap();
        assert_eq!(join(peeker), (5, a.local_addr().unwrap()));
        let mut buf = [0; 8];
        assert_eq!(b.peek(&mut buf).unwrap(), 5);
        assert_eq!(b.recv(&mut buf).unwrap(), 5);
        assert_eq!(&buf[..5], b"twice");
    });
}

#[test]
fn a_connected_socket_hears_one_peer_only() {
    anywhere(|| {
        let ((a, b), stranger) = (pair(), socket());
        assert_eq!(a.peer_addr().unwrap(), b.local_addr().unwrap());
        assert_kind(stranger.peer_addr(), ErrorKind::NotConnected);
        stranger.send_to(b"hello?", a.local_addr().unwrap()).unwrap();
        assert_eq!(b.send(b"from b").unwrap(), 6);
        let mut buf = [0; 8];
        assert_eq!(a.recv_from(&mut buf).unwrap(), (6, b.local_addr().unwrap()));
        a.set_read_timeout(Some(LIMIT)).unwrap();
        assert_kind(a.recv(&mut buf), ErrorKind::TimedOut);
        assert!(stranger.send(b"where to?").is_err());
    });
}

#[test]
fn questions_are_answered() {
    const ROUNDS: u32 = 100;
    anywhere(|| {
        let server = Arc::new(socket());
        let addr = server.local_addr().unwrap();
        let answering = [(); 2].map(|()| {
            let server = server.clone();
            fibra::go!(move || {
                let mut buf = [0; 16];
                while let Ok((len, from)) = server.recv_from(&mut buf) {
                    server.send_to(&buf[..len], from).unwrap();
                }
            })
        });
        let asking = [0u32, 1, 2, 3].map(|client| {
            fibra::go!(move || {
                let socket = socket();
                socket.connect(addr).unwrap();
                for round in 0..ROUNDS {
                    let question = (client * ROUNDS + round).to_ne_bytes();
                    socket.send(&question).unwrap();
                    let mut answer = [0; 16];
                    assert_eq!(socket.recv(&mut answer).unwrap(), 4);
                    assert_eq!(answer[..4], question);
                }
            })
        });
        asking.into_iter().for_each(join);
        server.close();
        answering.into_iter().for_each(join);
    });
}

/// Each of those who wait gets one datagram.
#[test]
fn receivers_take_turns() {
    anywhere(|| {
        let (sender, receiver) = (socket(), Arc::new(socket()));
        let receivers: Vec<_> = (0..8)
            .map(|_| {
                let receiver = receiver.clone();
                fibra::go!(move || {
                    let mut buf = [0; 1];
                    assert_eq!(receiver.recv(&mut buf).unwrap(), 1);
                    buf[0]
                })
            })
            .collect();
        fibra::sleep(SOON);
        for number in 0..8u8 {
            sender.send_to(&[number], receiver.local_addr().unwrap()).unwrap();
        }
        let received: HashSet<u8> = receivers.into_iter().map(join).collect();
        assert_eq!(received, (0..8).collect());
    });
}

#[test]
fn limits_in_time() {
    anywhere(|| {
        let (a, b) = pair();
        assert_eq!(a.read_timeout().unwrap(), None);
        a.set_read_timeout(Some(LIMIT)).unwrap();
        a.set_write_timeout(Some(LIMIT * 2)).unwrap();
        let clone = a.try_clone().unwrap();
        assert_eq!(clone.read_timeout().unwrap(), Some(LIMIT));
        assert_eq!(clone.write_timeout().unwrap(), Some(LIMIT * 2));
        let start = Instant::now();
        assert_kind(clone.recv(&mut [0; 8]), ErrorKind::TimedOut);
        assert!(start.elapsed() >= LIMIT);
        assert_kind(a.set_read_timeout(Some(Duration::ZERO)), ErrorKind::InvalidInput);
        assert_kind(a.set_write_timeout(Some(Duration::ZERO)), ErrorKind::InvalidInput);
        a.set_read_timeout(None).unwrap();
        b.send(b"here").unwrap();
        a.set_deadline(Some(Instant::now())).unwrap();
        assert_kind(a.recv(&mut [0; 8]), ErrorKind::TimedOut);
        assert_kind(a.send(b"x"), ErrorKind::TimedOut);
        a.set_deadline(None).unwrap();
        assert_eq!(a.recv(&mut [0; 8]).unwrap(), 4);
        let waiting = {
            let a = a.try_clone().unwrap();
            fibra::go!(move || a.recv(&mut [0; 8]).map_err(|error| error.kind()))
        };
        fibra::sleep(SOON);
        a.set_deadline(Some(Instant::now() + SOON)).unwrap();
        assert_eq!(join(waiting), Err(ErrorKind::TimedOut));
    });
}

#[test]
fn close_ends_everything_and_frees_the_port() {
    anywhere(|| {
        let socket = Arc::new(socket());
        let addr = socket.local_addr().unwrap();
        let receivers: Vec<_> = (0..3)
            .map(|_| {
                let socket = socket.clone();
                fibra::go!(move || socket.recv(&mut [0; 8]).map_err(|error| error.kind()))
            })
            .collect();
        fibra::sleep(SOON);
        socket.close();
        for receiver in receivers {
            assert_eq!(join(receiver), Err(ErrorKind::NotConnected));
        }
        let again = UdpSocket::bind(addr).unwrap();
        assert_kind(socket.recv_from(&mut [0; 8]), ErrorKind::NotConnected);
        assert_kind(socket.peek(&mut [0; 8]), ErrorKind::NotConnected);
        assert_kind(socket.send_to(b"x", addr), ErrorKind::NotConnected);
        assert_kind(socket.set_deadline(None), ErrorKind::NotConnected);
        socket.close();
        again.set_nonblocking(true).unwrap();
        assert_kind(again.recv(&mut [0; 8]), ErrorKind::WouldBlock);
    });
}

#[test]
fn a_cancelled_receiver_unwinds_and_loses_nothing() {
    anywhere(|| {
        let (a, b) = pair();
        let receiver = {
            let a = a.try_clone().unwrap();
            fibra::go!(move || a.recv(&mut [0; 8]).unwrap())
        };
        fibra::sleep(SOON);
        receiver.cancel();
        assert_cancelled(outcome(receiver));
        b.send(b"later").unwrap();
        assert_eq!(a.recv(&mut [0; 8]).unwrap(), 5);
    });
}

/// Nobody is there: the sender learns it when it waits for an answer.
#[test]
fn a_refusal_ends_a_wait() {
    anywhere(|| {
        let gone = socket().local_addr().unwrap();
        let socket = socket();
        socket.connect(gone).unwrap();
        let receiver = {
            let socket = socket.try_clone().unwrap();
            fibra::go!(move || socket.recv(&mut [0; 8]).map_err(|error| error.kind()))
        };
        fibra::sleep(SOON);
        socket.send(b"anybody?").unwrap();
        assert_eq!(join(receiver), Err(ErrorKind::ConnectionRefused));
        socket.send(b"really nobody?").unwrap();
        let error = loop {
            match socket.take_error().unwrap() {
                Some(error) => break error,
                None => fibra::yield_now(),
            }
        };
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert!(socket.take_error().unwrap().is_none());
    });
}

#[test]
fn addresses_that_cannot_be_used() {
    anywhere(|| {
        let socket = socket();
        let addr = socket.local_addr().unwrap();
        assert_kind(UdpSocket::bind(addr), ErrorKind::AddrInUse);
        let free: SocketAddr = ([127, 0, 0, 1], 0).into();
        let second = UdpSocket::bind(&[addr, free][..]).unwrap();
        assert_ne!(second.local_addr().unwrap(), addr, "the second address was free");
        let none: &[SocketAddr] = &[];
        assert_kind(UdpSocket::bind(none), ErrorKind::InvalidInput);
        assert_kind(socket.connect(none), ErrorKind::InvalidInput);
        assert_kind(socket.send_to(b"x", none), ErrorKind::InvalidInput);
        let error = socket.send_to(&[0; 1 << 17], addr).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EMSGSIZE));
        assert_eq!(second.send_to(b"by name", ("localhost", addr.port())).unwrap(), 7);
    });
}

#[test]
fn a_call_that_waits_learns_that_it_must_not() {
    anywhere(|| {
        let socket = socket();
        let receiver = {
            let socket = socket.try_clone().unwrap();
            fibra::go!(move || socket.recv(&mut [0; 8]).map_err(|error| error.kind()))
        };
        fibra::sleep(SOON);
        socket.set_nonblocking(true).unwrap();
        assert_eq!(join(receiver), Err(ErrorKind::WouldBlock));
        let addr = socket.local_addr().unwrap();
        for _ in 0..3 {
            socket.send_to(b"to myself", addr).unwrap();
            let len = loop {
                match socket.recv(&mut [0; 16]) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => fibra::yield_now(),
                    result => break result.unwrap(),
                }
            };
            assert_eq!(len, 9);
            assert_kind(socket.recv(&mut [0; 16]), ErrorKind::WouldBlock);
        }
    });
}

#[test]
fn std_sockets_and_back() {
    anywhere(|| {
        let (std, peer) = (std::net::UdpSocket::bind("127.0.0.1:0").unwrap(), socket());
        let addr = std.local_addr().unwrap();
        let socket = UdpSocket::from(std);
        let receiver = {
            let socket = socket.try_clone().unwrap();
            fibra::go!(move || socket.recv(&mut [0; 8]).unwrap())
        };
        fibra::sleep(SOON);
        peer.send_to(b"fibra", addr).unwrap();
        assert_eq!(join(receiver), 5);
        let clone = socket.try_clone().unwrap();
        assert!(socket.into_std().is_err(), "a clone is in use");
        let std = clone.into_std().unwrap();
        let sender = fibra::go!(move || {
            fibra::sleep(SOON);
            peer.send_to(b"std", addr).unwrap();
            peer
        });
        let len = fibra::blocking(|| std.recv(&mut [0; 8]));
        assert_eq!(len.unwrap(), 3, "it blocks again");
        let peer = join(sender);
        let fd = peer.as_raw_fd();
        assert_eq!(peer.as_fd().as_raw_fd(), fd);
        assert!(format!("{peer:?}").starts_with("UdpSocket"));
        let owned = OwnedFd::from(peer);
        assert_eq!(owned.as_raw_fd(), fd);
        let raw = UdpSocket::from(owned).into_raw_fd();
        // SAFETY: it was just given up by its owner.
        let peer = unsafe { UdpSocket::from_raw_fd(raw) };
        assert_eq!(peer.send_to(b"x", addr).unwrap(), 1);
        // A descriptor of a clone is a copy of its own.
        let clone = peer.try_clone().unwrap();
        let copy = OwnedFd::from(clone);
        assert_ne!(copy.as_raw_fd(), peer.as_raw_fd());
        assert_eq!(UdpSocket::from(copy).local_addr().unwrap(), peer.local_addr().unwrap());
    });
}

#[test]
fn options_are_kept() {
    anywhere(|| {
        let (v4, v6) = (socket(), UdpSocket::bind("[::1]:0").unwrap());
        for yes in [true, false] {
            v4.set_broadcast(yes).unwrap();
            assert_eq!(v4.broadcast().unwrap(), yes);
            v4.set_multicast_loop_v4(yes).unwrap();
            assert_eq!(v4.multicast_loop_v4().unwrap(), yes);
            v6.set_multicast_loop_v6(yes).unwrap();
            assert_eq!(v6.multicast_loop_v6().unwrap(), yes);
        }
        v4.set_ttl(33).unwrap();
        v4.set_multicast_ttl_v4(3).unwrap();
        assert_eq!((v4.ttl().unwrap(), v4.multicast_ttl_v4().unwrap()), (33, 3));
        let group = Ipv4Addr::new(239, 255, 17, 4);
        v4.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST).unwrap();
        assert_kind(v4.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST), ErrorKind::AddrInUse);
        v4.leave_multicast_v4(&group, &Ipv4Addr::LOCALHOST).unwrap();
        let error = v4.leave_multicast_v4(&group, &Ipv4Addr::LOCALHOST).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
        // The loopback interface is the first one.
        let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0xf1b, 0x2a);
        v6.join_multicast_v6(&group, 1).unwrap();
        v6.leave_multicast_v6(&group, 1).unwrap();
        assert_kind(v6.leave_multicast_v6(&group, 1), ErrorKind::AddrNotAvailable);
    });
}

/// Who waits for one socket is not woken for another one that gets its number.
#[test]
fn numbers_are_used_again() {
    anywhere(|| {
        for round in 0..100u8 {
            let (a, b) = pair();
            let receiver = {
                let a = a.try_clone().unwrap();
                fibra::go!(move || {
                    let mut buf = [0; 1];
                    a.recv(&mut buf).map(|_| buf[0])
                })
            };
            if round % 3 == 0 {
                fibra::yield_now();
            }
            if round % 2 == 0 {
                b.send(&[round]).unwrap();
                assert_eq!(join(receiver).unwrap(), round);
                // Its readiness may come when the number is somebody else's.
                b.send(&[255]).unwrap();
            } else {
                a.close();
                assert!(join(receiver).is_err());
            }
        }
    });
}

/// A deadline that is far away costs nothing and ends nothing.
#[test]
fn far_deadlines() {
    anywhere(|| {
        let (a, b) = pair();
        a.set_deadline(Some(Instant::now() + LONG * 1_000_000)).unwrap();
        a.set_read_timeout(Some(Duration::MAX)).unwrap();
        let receiver = fibra::go!(move || a.recv(&mut [0; 8]).unwrap());
        fibra::sleep(SOON);
        b.send(b"x").unwrap();
        assert_eq!(join(receiver), 1);
    });
}
