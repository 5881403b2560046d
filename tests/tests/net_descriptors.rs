//! Sockets without descriptors: who gets an error, and that nobody is lost.

use fibra::Runtime;
use fibra::net::{TcpListener, TcpStream, UnixStream};
use fibra_tests::child::{Child, KINDS, builder, poll};
use fibra_tests::sockets::{SOON, read, tcp_pair, write};
use fibra_tests::{Signal, join, turn};
use socket2::{Domain, Socket, Type};
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::iter;
use std::net;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

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
                let (client, server) = tcp_pair();
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
