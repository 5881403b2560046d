//! Everything at once: closes, timeouts, cancels, numbers that are used again, signals.

use fibra::JoinHandle;
use fibra::net::{TcpListener, TcpStream, UnixStream};
use fibra_tests::child::{Child, KINDS, builder};
use fibra_tests::sockets::{SOON, read, tcp_pair};
use fibra_tests::{FOREVER, LONG, anywhere, assert_cancelled, join, outcome, turn};
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

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
            let (client, server) = tcp_pair();
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
            let (client, _silent) = tcp_pair();
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
        let (client, server) = tcp_pair();
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
