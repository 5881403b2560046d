//! Sockets that are always ready, and what they must not keep others from.

use fibra::net::{UdpSocket, UnixDatagram};
use fibra_tests::sockets::tcp_pair;
use fibra_tests::{everywhere, join};
use std::io::{IoSliceMut, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// CPU time of the process.
fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes to a local variable.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) }, 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// A worker that was busy with sockets sleeps when they are gone.
#[test]
fn after_the_last_socket_there_is_silence() {
    const NIGHT: Duration = Duration::from_millis(300);
    everywhere(|setup| {
        setup.run(|| {
            let (clients, servers): (Vec<_>, Vec<_>) = (0..16).map(|_| tcp_pair()).unzip();
            let readers: Vec<_> = servers
                .into_iter()
                .map(|mut server| fibra::go!(move || server.read(&mut [0; 8]).unwrap()))
                .collect();
            fibra::sleep(Duration::from_millis(2));
            drop(clients);
            readers.into_iter().for_each(|reader| assert_eq!(join(reader), 0));
            let before = cpu_time();
            fibra::sleep(NIGHT);
            let used = cpu_time() - before;
            assert!(used < NIGHT / 2, "{used:?} of {NIGHT:?}");
        });
    });
}

/// Calls that never have to wait give way all the same.
#[test]
fn who_always_finds_something_gives_way() {
    everywhere(|setup| {
        setup.run(|| {
            let over = Arc::new(AtomicBool::new(false));
            let hogs: Vec<_> = (0..setup.workers)
                .map(|_| {
                    let over = over.clone();
                    fibra::go!(move || {
                        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
                        socket.connect(socket.local_addr().unwrap()).unwrap();
                        while !over.load(Ordering::Relaxed) {
                            socket.send(&[1]).unwrap();
                            socket.recv(&mut [0; 8]).unwrap();
                        }
                    })
                })
                .collect();
            // Its timer is due on a worker that has a hog.
            fibra::sleep(Duration::from_millis(30));
            over.store(true, Ordering::Relaxed);
            hogs.into_iter().for_each(join);
        });
    });
}

/// The system takes no more than 1024 buffers, and there is more to read.
#[test]
fn more_buffers_than_the_system_takes() {
    const LEN: usize = 2000;
    everywhere(|setup| {
        setup.run(|| {
            let (mut client, mut server) = tcp_pair();
            client.write_all(&[7; LEN]).unwrap();
            while server.peek(&mut [0; LEN]).unwrap() < LEN {
                fibra::yield_now();
            }
            let mut bytes = [[0]; LEN];
            let mut bufs: Vec<_> = bytes.iter_mut().map(|byte| IoSliceMut::new(byte)).collect();
            let first = server.read_vectored(&mut bufs).unwrap();
            assert!(0 < first && first < LEN);
            let mut rest = vec![0; LEN - first];
            server.read_exact(&mut rest).unwrap();
            assert!(rest.iter().all(|&byte| byte == 7));
        });
    });
}

/// One waits for room at a socket of its choice, which is never reported; the other one for room at its peer.
#[test]
fn datagrams_to_two_receivers_wait_apart() {
    everywhere(|setup| {
        setup.run(|| {
            let bind = |name: &str| {
                let name = format!("fibra-{}-{name}", std::process::id());
                let path = std::env::temp_dir().join(name);
                let _old = std::fs::remove_file(&path);
                (UnixDatagram::bind(&path).unwrap(), path)
            };
            let [(choice, path), (peer, peers_path)] = ["choice", "peer"].map(bind);
            let sender = UnixDatagram::unbound().unwrap();
            sender.connect(&peers_path).unwrap();
            let sender = Arc::new(sender);
            let fill = |send: &dyn Fn() -> std::io::Result<usize>| {
                sender.set_nonblocking(true).unwrap();
                while send().is_ok() {}
                sender.set_nonblocking(false).unwrap();
            };
            fill(&|| sender.send(&[1]));
            fill(&|| sender.send_to(&[1], &path));
            let to_choice = {
                let (sender, path) = (sender.clone(), path.clone());
                fibra::go!(move || sender.send_to(&[2], path).unwrap())
            };
            fibra::sleep(Duration::from_millis(1));
            let to_peer = {
                let sender = sender.clone();
                fibra::go!(move || sender.send(&[2]).unwrap())
            };
            fibra::sleep(Duration::from_millis(1));
            // Only the peer makes room.
            peer.recv(&mut [0; 8]).unwrap();
            assert_eq!(join(to_peer), 1);
            choice.recv(&mut [0; 8]).unwrap();
            assert_eq!(join(to_choice), 1);
            for path in [path, peers_path] {
                std::fs::remove_file(path).unwrap();
            }
        });
    });
}
