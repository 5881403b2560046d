//! Together with tokio and smol: their futures on goroutines, and goroutines awaited in their tasks.

use std::future::{self, Future, IntoFuture};
use std::io::{Read, Write};
use std::pin::pin;
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

use fibra::{JoinHandle, block_on, go};
use fibra_tests::{
    Drops, FOREVER, LONG, Setup, Signal, assert_cancelled, everywhere, join, outcome, text, turn,
};
use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

/// Runs a test with a tokio runtime of two workers.
fn with_tokio(test: impl Fn(Setup, &Handle)) {
    everywhere(|setup| {
        let tokio = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        test(setup, tokio.handle());
    });
}

/// Runs a test with smol, whose threads and descriptors stay.
fn with_smol(test: impl Fn(Setup)) {
    {
        let _turn = turn();
        smol::block_on(smol::spawn(smol::Timer::after(Duration::ZERO)));
    }
    everywhere(test);
}

/// As the documentation of `block_on` says.
fn block_on_with<T>(tokio: &Handle, future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    block_on(future::poll_fn(|context| {
        let _entered = tokio.enter();
        future.as_mut().poll(context)
    }))
}

#[test]
fn tokio_timers_and_channels_on_goroutines() {
    with_tokio(|setup, tokio| {
        setup.run(|| {
            let goroutine = |i| {
                let tokio = tokio.clone();
                go!(move || {
                    block_on_with(&tokio, async {
                        let start = Instant::now();
                        tokio::time::sleep(Duration::from_millis(2)).await;
                        assert!(start.elapsed() >= Duration::from_millis(2));
                        let (answer, question) = oneshot::channel();
                        tokio::spawn(async move { answer.send(i) });
                        question.await.unwrap()
                    })
                })
            };
            let handles: Vec<_> = (0..50).map(goroutine).collect();
            for (i, handle) in handles.into_iter().enumerate() {
                assert_eq!(join(handle), i);
            }
        });
    });
}

#[test]
fn a_goroutine_asks_a_tokio_task_again_and_again() {
    with_tokio(|setup, tokio| {
        let (ask, mut asked) = mpsc::channel::<(u32, oneshot::Sender<u32>)>(2);
        tokio.spawn(async move {
            while let Some((number, answer)) = asked.recv().await {
                answer.send(number + 1).unwrap();
            }
        });
        setup.run(|| {
            let counts = |_| {
                let ask = ask.clone();
                go!(move || {
                    let mut number = 0;
                    while number < 200 {
                        let (answer, answered) = oneshot::channel();
                        // Nothing here needs tokio's context.
                        block_on(ask.send((number, answer))).unwrap();
                        number = block_on(answered).unwrap();
                    }
                })
            };
            (0..4).map(counts).collect::<Vec<_>>().into_iter().for_each(join);
        });
    });
}

#[test]
fn tokio_sockets_on_goroutines() {
    with_tokio(|setup, tokio| {
        setup.run(|| {
            let listener = block_on_with(tokio, TcpListener::bind("127.0.0.1:0")).unwrap();
            let address = listener.local_addr().unwrap();
            let server = {
                let tokio = tokio.clone();
                go!(move || {
                    for _ in 0..10 {
                        let (mut stream, _) = block_on_with(&tokio, listener.accept()).unwrap();
                        let tokio = tokio.clone();
                        drop(go!(move || block_on_with(&tokio, async {
                            let (mut from, mut to) = stream.split();
                            tokio::io::copy(&mut from, &mut to).await.unwrap();
                        })));
                    }
                })
            };
            let client = |i: u8| {
                let tokio = tokio.clone();
                go!(move || {
                    let said = vec![i; 100_000];
                    let mut heard = Vec::new();
                    block_on_with(&tokio, async {
                        let mut stream = TcpStream::connect(address).await.unwrap();
                        let (mut from, mut to) = stream.split();
                        let talk = async {
                            to.write_all(&said).await.unwrap();
                            to.shutdown().await.unwrap();
                        };
                        let listen = async { from.read_to_end(&mut heard).await.unwrap() };
                        futures_util::future::join(talk, listen).await;
                    });
                    assert_eq!(heard, said);
                })
            };
            (0..10).map(client).collect::<Vec<_>>().into_iter().for_each(join);
            join(server);
        });
    });
}

#[test]
fn a_cancelled_goroutine_drops_a_tokio_future() {
    with_tokio(|setup, tokio| {
        setup.run(|| {
            let (drops, ready) = (Drops::new(), Signal::new());
            let (token, reached, tokio) = (drops.token(), ready.clone(), tokio.clone());
            let handle = go!(move || {
                block_on_with(&tokio, async move {
                    let _token = token;
                    let sleep = tokio::time::sleep(FOREVER);
                    reached.set();
                    sleep.await;
                });
            });
            ready.wait();
            handle.cancel();
            assert_cancelled(outcome(handle));
            assert_eq!(drops.count(), 1);
        });
    });
}

#[test]
fn tokio_tasks_await_goroutines() {
    with_tokio(|setup, tokio| {
        setup.with(|runtime| {
            let spawn = |i: u64| {
                let handle = runtime.spawn(move || {
                    fibra::sleep(Duration::from_micros(i % 7 * 100));
                    assert!(i % 100 != 99, "one in a hundred");
                    i
                });
                tokio.spawn(async move { handle.await })
            };
            let tasks: Vec<_> = (0..1000).map(spawn).collect();
            for (i, task) in tasks.into_iter().enumerate() {
                match tokio.block_on(task).unwrap() {
                    Ok(value) => assert_eq!(value, i as u64),
                    Err(payload) => {
                        assert_eq!((text(&*payload), i % 100), ("one in a hundred", 99))
                    }
                }
            }
            let handles = (0..1000).map(|i| runtime.spawn(move || i).into_future());
            let values: Vec<i32> =
                tokio.block_on(join_all(handles)).into_iter().map(Result::unwrap).collect();
            assert_eq!(values, Vec::from_iter(0..1000));
        });
    });
}

#[test]
fn a_tokio_timeout_detaches_or_asks_again() {
    with_tokio(|setup, tokio| {
        setup.with(|runtime| {
            let (drops, go_on) = (Drops::new(), Signal::new());
            let spawn = || {
                let (token, wait) = (drops.token(), go_on.clone());
                runtime.spawn(move || {
                    let _token = token;
                    wait.wait();
                })
            };
            let (dropped, kept, cancelled) = (spawn(), spawn(), spawn());
            tokio.block_on(async {
                let limit = Duration::from_millis(2);
                tokio::time::timeout(limit, dropped).await.unwrap_err();
                let (mut kept, mut cancelled) = (kept.into_future(), cancelled.into_future());
                tokio::time::timeout(limit, &mut kept).await.unwrap_err();
                tokio::time::timeout(limit, &mut cancelled).await.unwrap_err();
                assert_eq!(drops.count(), 0);
                cancelled.handle().cancel();
                assert_cancelled(cancelled.await);
                assert_eq!(drops.count(), 1);
                go_on.set();
                kept.await.unwrap();
            });
        });
    });
}

#[test]
fn smol_timers_and_channels_on_goroutines() {
    with_smol(|setup| {
        setup.run(|| {
            let (into, from) = smol::channel::bounded(1);
            let (back, results) = smol::channel::unbounded();
            let workers: Vec<_> = (0..4)
                .map(|_| {
                    let (from, back) = (from.clone(), back.clone());
                    go!({
                        while let Ok(number) = block_on(from.recv()) {
                            block_on(smol::Timer::after(Duration::from_micros(10)));
                            block_on(back.send(number * 2)).unwrap();
                        }
                    })
                })
                .collect();
            drop((from, back));
            // Half from a task of smol's, half from here.
            let task = smol::spawn({
                let into = into.clone();
                async move {
                    for number in 0..100 {
                        into.send(number).await.unwrap();
                    }
                }
            });
            (100..200).for_each(|number| block_on(into.send(number)).unwrap());
            drop(into);
            let mut doubled: Vec<_> =
                std::iter::from_fn(|| block_on(results.recv()).ok()).collect();
            doubled.sort_unstable();
            assert_eq!(doubled, Vec::from_iter((0..200).map(|number| number * 2)));
            block_on(task);
            workers.into_iter().for_each(join);
        });
    });
}

#[test]
fn smol_tasks_await_goroutines() {
    with_smol(|setup| {
        setup.with(|runtime| {
            let spawn = |i: u64| {
                let handle = runtime.spawn(move || {
                    fibra::sleep(Duration::from_micros(i % 5 * 100));
                    i
                });
                smol::spawn(handle.into_future())
            };
            let tasks: Vec<_> = (0..1000).map(spawn).collect();
            for (i, task) in tasks.into_iter().enumerate() {
                assert_eq!(smol::block_on(task).unwrap(), i as u64);
            }
            // Whichever comes first; the other one is dropped.
            let end = Signal::new();
            let wait = end.clone();
            let slow = runtime.spawn(move || wait.wait());
            let early = smol::block_on(smol::future::or(
                async { slow.await.map(|()| "the goroutine") },
                async {
                    smol::Timer::after(Duration::from_millis(2)).await;
                    Ok("the timer")
                },
            ));
            assert_eq!(early.unwrap(), "the timer");
            end.set();
        });
    });
}

/// The runtime stops while tasks of others await its goroutines: each of them gets an answer.
#[test]
fn the_end_of_the_runtime_answers_whoever_awaits() {
    with_tokio(|setup, tokio| {
        let runtime = setup.runtime();
        let drops = Drops::new();
        let spawn = |i| {
            let token = drops.token();
            let handle = runtime.spawn(move || {
                let _token = token;
                if i % 2 == 0 {
                    fibra::park();
                } else {
                    fibra::sleep(FOREVER);
                }
            });
            tokio.spawn(async move { handle.await })
        };
        let tasks: Vec<_> = (0..100).map(spawn).collect();
        drop(runtime);
        assert_eq!(drops.count(), 100);
        for task in tasks {
            assert_cancelled(tokio.block_on(task).unwrap());
        }
    });
}

/// Goroutines that await tasks that await goroutines, and so on; some are dropped on the way.
#[test]
fn back_and_forth() {
    fn descend(tokio: &Handle, depth: usize, random: u64) -> JoinHandle<usize> {
        let tokio = tokio.clone();
        go!(move || {
            if depth == 0 {
                return 1;
            }
            let children = (0..2).map(|i| {
                let random = (random + i).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (random >> 29);
                let given_up = random.is_multiple_of(8);
                let child = descend(&tokio, depth - 1, random);
                let task = tokio.spawn(async move {
                    let mut child = pin!(child.into_future());
                    if given_up {
                        let once = |context: &mut Context<'_>| {
                            Poll::Ready(child.as_mut().poll(context).is_ready())
                        };
                        future::poll_fn(once).await;
                        return usize::pow(2, depth as u32 - 1);
                    }
                    child.await.unwrap()
                });
                async { task.await.unwrap() }
            });
            block_on(join_all(children)).into_iter().sum()
        })
    }
    with_tokio(|setup, tokio| {
        let start = Instant::now();
        for round in 0..20 {
            let leaves = setup.run(|| join(descend(tokio, 6, round)));
            assert_eq!(leaves, 64);
            if start.elapsed() > LONG / 10 {
                break;
            }
        }
    });
}

/// Wakers of one block_on are woken from goroutines, threads of tokio and plain threads at once.
#[test]
fn everybody_talks_to_everybody() {
    with_tokio(|setup, tokio| {
        setup.run(|| {
            let (tx, rx) = smol::channel::bounded::<u64>(3);
            let mut sum = 0;
            let mut tasks = Vec::new();
            let mut goroutines = Vec::new();
            for i in 0..6 {
                let tx = tx.clone();
                let send = async move {
                    for value in 0..200 {
                        tx.send(value).await.unwrap();
                    }
                };
                sum += (0..200).sum::<u64>();
                match i % 2 {
                    0 => tasks.push(tokio.spawn(send)),
                    _ => goroutines.push(go!(block_on(send))),
                }
            }
            let thread = thread::spawn(move || (0..200).for_each(|_| tx.send_blocking(1).unwrap()));
            sum += 200;
            let receive = |_| {
                let rx = rx.clone();
                go!({
                    let mut sum = 0;
                    while let Ok(value) = block_on(rx.recv()) {
                        sum += value;
                    }
                    sum
                })
            };
            let receivers: Vec<_> = (0..3).map(receive).collect();
            assert_eq!(receivers.into_iter().map(join).sum::<u64>(), sum);
            goroutines.into_iter().for_each(join);
            block_on(join_all(tasks)).into_iter().for_each(Result::unwrap);
            thread.join().unwrap();
        });
    });
}

/// A goroutine on the other side of a std socket, so that nothing but tokio's reactor wakes.
#[test]
fn a_tokio_socket_and_a_plain_thread() {
    with_tokio(|setup, tokio| {
        setup.run(|| {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let thread = thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut word = [0; 4];
                for _ in 0..100 {
                    stream.read_exact(&mut word).unwrap();
                    stream.write_all(&word).unwrap();
                }
            });
            let mut stream = block_on_with(tokio, TcpStream::connect(address)).unwrap();
            for i in 0..100_u32 {
                block_on(stream.write_all(&i.to_le_bytes())).unwrap();
                assert_eq!(block_on(stream.read_u32_le()).unwrap(), i);
            }
            block_on_with(tokio, async { drop(stream) });
            thread.join().unwrap();
        });
    });
}
