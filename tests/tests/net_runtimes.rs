//! Sockets that outlive runtimes, or are used from all workers, stuck ones among them.

use fibra::net::{TcpListener, TcpStream, UnixStream};
use fibra::{JoinHandle, Runtime};
use fibra_tests::sockets::{SOON, read, tcp_pair};
use fibra_tests::{
    OnDrop, Setup, Signal, alone, assert_cancelled, everywhere, join, outcome, text,
};
use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// Two ends of a connection. Nobody has waited for the first one yet, so that it is registered nowhere.
fn unregistered_pair() -> (TcpStream, TcpStream) {
    let (client, server) = tcp_pair();
    (server, client)
}

/// Plain threads have a poller in the process once one has waited; it stays.
fn prepare_outside() {
    alone(|| {
        let (left, _right) = UnixStream::pair().unwrap();
        left.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        assert_eq!((&left).read(&mut [0]).unwrap_err().kind(), ErrorKind::TimedOut);
    });
}

// ---- runtimes that end -----------------------------------------------------------------------

#[test]
fn goroutines_that_wait_for_sockets_unwind_at_shutdown() {
    prepare_outside();
    everywhere(|setup| {
        let (client, server) = unregistered_pair();
        let (client, server) = (Arc::new(client), Arc::new(server));
        let listener = Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
        let runtime = setup.runtime();
        let [started, unwound] = [(); 2].map(|()| Arc::new(AtomicUsize::new(0)));
        let handles: Vec<_> = (0..12)
            .map(|number| {
                let (client, listener) = (client.clone(), listener.clone());
                let (started, unwound) = (started.clone(), unwound.clone());
                runtime.spawn(move || {
                    started.fetch_add(1, Ordering::SeqCst);
                    let _end = OnDrop(|| {
                        unwound.fetch_add(1, Ordering::SeqCst);
                    });
                    match number % 3 {
                        0 => drop((&*client).read(&mut [0; 8])),
                        1 => drop((&*client).write_all(&vec![1; 16 << 20])),
                        _ => drop(listener.accept()),
                    }
                    panic!("nothing came");
                })
            })
            .collect();
        runtime.run(|| {
            while started.load(Ordering::SeqCst) < 12 {
                fibra::yield_now();
            }
            fibra::sleep(SOON);
        });
        drop(runtime);
        assert_eq!(unwound.load(Ordering::SeqCst), 12);
        for handle in handles {
            assert_cancelled(handle.join());
        }
        // The sockets live on, for plain threads and for another runtime.
        (&*server).write_all(b"thread").unwrap();
        let mut buf = [0; 8];
        assert_eq!((&*client).read(&mut buf).unwrap(), 6);
        let reader = {
            let client = client.clone();
            thread::spawn(move || (&*client).read(&mut [0; 8]).unwrap())
        };
        thread::sleep(SOON);
        (&*server).write_all(b"!").unwrap();
        assert_eq!(reader.join().unwrap(), 1);
        setup.run(|| {
            let reader = read(&client);
            fibra::sleep(SOON);
            (&*server).write_all(b"goroutine").unwrap();
            assert_eq!(join(reader), Ok(8));
            let acceptor = {
                let listener = listener.clone();
                fibra::go!(move || drop(listener.accept().unwrap()))
            };
            drop(TcpStream::connect(listener.local_addr().unwrap()).unwrap());
            join(acceptor);
        });
    });
}

/// A thread waits for a socket that is registered at a worker that ends.
#[test]
fn a_thread_is_served_when_the_runtime_ends() {
    prepare_outside();
    everywhere(|setup| {
        for round in 0..10 {
            let (client, server) = unregistered_pair();
            let client = Arc::new(client);
            let runtime = setup.runtime();
            // Registers it.
            client.set_read_timeout(Some(Duration::from_micros(100))).unwrap();
            let first = runtime.run(|| (&*client).read(&mut [0]));
            assert_eq!(first.unwrap_err().kind(), ErrorKind::TimedOut);
            client.set_read_timeout(None).unwrap();
            let threads = [(); 2].map(|()| {
                let client = client.clone();
                thread::spawn(move || (&*client).read(&mut [0]).unwrap())
            });
            if round % 2 == 0 {
                thread::sleep(SOON);
            }
            if round % 3 == 0 {
                // Served by the worker, if it is still there.
                (&server).write_all(b"x").unwrap();
            }
            drop(runtime);
            (&server).write_all(if round % 3 == 0 { b"y" } else { b"xy" }).unwrap();
            assert_eq!(threads.map(|thread| thread.join().unwrap()), [1; 2]);
        }
    });
}

/// Readers in several runtimes, and one of these after another ends.
#[test]
fn a_socket_survives_runtime_after_runtime() {
    prepare_outside();
    everywhere(|setup| {
        let (client, server) = unregistered_pair();
        let client = Arc::new(client);
        let steady = {
            let client = client.clone();
            thread::spawn(move || {
                let mut bytes = 0;
                while let Ok(1) = (&*client).read(&mut [0]) {
                    bytes += 1;
                }
                bytes
            })
        };
        let mut read_there = 0;
        for _ in 0..8 {
            let runtime = setup.runtime();
            let counts = [(); 3].map(|()| {
                let (client, count) = (client.clone(), Arc::new(AtomicUsize::new(0)));
                let counted = count.clone();
                drop(runtime.spawn(move || {
                    while let Ok(1) = (&*client).read(&mut [0]) {
                        counted.fetch_add(1, Ordering::SeqCst);
                    }
                }));
                count
            });
            (&server).write_all(&[1; 10]).unwrap();
            drop(runtime);
            (&server).write_all(&[1; 10]).unwrap();
            read_there += counts.map(|count| count.load(Ordering::SeqCst)).iter().sum::<usize>();
        }
        drop(server);
        assert_eq!(read_there + steady.join().unwrap(), 160);
    });
}

// ---- workers ---------------------------------------------------------------------------------

/// Goroutines that each start on a worker of its own, as long as there are enough.
fn spread<T: Send + 'static>(
    setup: Setup,
    runtime: &Runtime,
    body: impl Fn(usize) -> T + Clone + Send + 'static,
) -> Vec<JoinHandle<T>> {
    let arrived = Arc::new(AtomicUsize::new(0));
    let handles = (0..setup.workers)
        .map(|number| {
            let (arrived, body) = (arrived.clone(), body.clone());
            runtime.spawn(move || {
                arrived.fetch_add(1, Ordering::SeqCst);
                // Blocks the thread, so that the others start elsewhere.
                while arrived.load(Ordering::SeqCst) < setup.workers {
                    thread::yield_now();
                }
                body(number)
            })
        })
        .collect();
    // Others, spawned before all have started, might take the workers that these wait for.
    while arrived.load(Ordering::SeqCst) < setup.workers {
        thread::yield_now();
    }
    handles
}

#[test]
fn goroutines_of_all_workers_share_a_socket() {
    const EACH: usize = 2000;
    everywhere(|setup| {
        setup.with(|runtime| {
            let (left, right) = UnixStream::pair().unwrap();
            let (left, right) = (Arc::new(left), Arc::new(right));
            let taken = {
                let left = left.clone();
                spread(setup, runtime, move |_| {
                    let mut sum = 0usize;
                    let mut buf = [0];
                    for _ in 0..EACH {
                        (&*left).read_exact(&mut buf).unwrap();
                        sum += usize::from(buf[0]);
                    }
                    sum
                })
            };
            let given = spread(setup, runtime, move |number| {
                for _ in 0..EACH {
                    (&*right).write_all(&[number as u8 + 1]).unwrap();
                    if number == 0 {
                        fibra::yield_now();
                    }
                }
                EACH * (number + 1)
            });
            let given: usize = given.into_iter().map(join).sum();
            assert_eq!(taken.into_iter().map(join).sum::<usize>(), given);
        });
    });
}

/// The socket is registered at a worker that does not get to its poller.
#[test]
fn a_stuck_worker_is_no_obstacle() {
    let hogs: [fn(&AtomicBool); 2] = [
        |end| {
            while !end.load(Ordering::SeqCst) {
                std::hint::spin_loop();
            }
        },
        |end| {
            while !end.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(1));
            }
        },
    ];
    prepare_outside();
    everywhere(|setup| {
        for hog in hogs {
            setup.with(|runtime| {
                let (client, server) = unregistered_pair();
                let client = Arc::new(client);
                let (end, stuck) = (Arc::new(AtomicBool::new(false)), Signal::new());
                let hogging = {
                    let (client, end, stuck) = (client.clone(), end.clone(), stuck.clone());
                    runtime.spawn(move || {
                        // Registers it here.
                        assert_eq!((&*client).read(&mut [0]).unwrap(), 1);
                        stuck.set();
                        hog(&end);
                    })
                };
                runtime.run(|| fibra::sleep(SOON));
                (&server).write_all(b"1").unwrap();
                stuck.wait();
                // A goroutine elsewhere, and this thread.
                let waiting = {
                    let client = client.clone();
                    runtime.spawn(move || (&*client).read(&mut [0]).unwrap())
                };
                let plain = {
                    let client = client.clone();
                    thread::spawn(move || (&*client).read(&mut [0]).unwrap())
                };
                thread::sleep(SOON);
                (&server).write_all(b"2").unwrap();
                (&server).write_all(b"3").unwrap();
                assert_eq!(join(waiting), 1);
                assert_eq!(plain.join().unwrap(), 1);
                end.store(true, Ordering::SeqCst);
                join(hogging);
            });
        }
    });
}

// ---- destructors -----------------------------------------------------------------------------

/// Reads an answer when it is dropped.
struct Farewell(Arc<TcpStream>, Arc<AtomicUsize>);

impl Drop for Farewell {
    fn drop(&mut self) {
        let mut buf = [0; 3];
        (&*self.0).write_all(b"bye").unwrap();
        (&*self.0).read_exact(&mut buf).unwrap();
        assert_eq!(&buf, b"bye");
        self.1.fetch_add(1, Ordering::SeqCst);
    }
}

/// Destructors may use sockets, also while a panic or a cancel unwinds, and whether or not their worker knows the
/// socket already.
#[test]
fn destructors_read_while_a_panic_unwinds() {
    prepare_outside();
    everywhere(|setup| {
        let said = Arc::new(AtomicUsize::new(0));
        setup.with(|runtime| {
            for round in 0..6 {
                let (client, server) = unregistered_pair();
                let client = Arc::new(client);
                // The answers come from a thread of their own: a goroutine that panics blocks its worker.
                let answering = thread::spawn(move || {
                    let mut buf = [0; 3];
                    (&server).read_exact(&mut buf).unwrap();
                    thread::sleep(SOON);
                    for byte in buf {
                        (&server).write_all(&[byte]).unwrap();
                    }
                    server
                });
                let farewell = Farewell(client.clone(), said.clone());
                let reached = Signal::new();
                let set = reached.clone();
                let unwinding = runtime.spawn(move || {
                    if round % 2 == 0 {
                        let mut stream = &*farewell.0;
                        farewell.0.set_read_timeout(Some(Duration::from_micros(100))).unwrap();
                        let error = stream.read(&mut [0]).unwrap_err();
                        assert_eq!(error.kind(), ErrorKind::TimedOut);
                        farewell.0.set_read_timeout(None).unwrap();
                    }
                    let _farewell = farewell;
                    if round % 3 == 0 {
                        set.set();
                        fibra::park();
                    }
                    panic!("on purpose");
                });
                if round % 3 == 0 {
                    // Not before: its destructor must not find the short limit of the read.
                    reached.wait();
                    unwinding.cancel();
                    assert_cancelled(outcome(unwinding));
                } else {
                    assert_eq!(text(&*outcome(unwinding).unwrap_err()), "on purpose");
                }
                answering.join().unwrap();
            }
        });
        assert_eq!(said.load(Ordering::SeqCst), 6);
    });
}
