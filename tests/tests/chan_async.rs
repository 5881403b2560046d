//! Channels in `async` code: `recv_async` and `send_async`, in tokio, in smol and in `fibra::block_on`.

use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use fibra::chan::{Receiver, RecvError, SendError, Sender, after, bounded, never, unbounded};
use fibra::{block_on, go};
use fibra_tests::child::Child;
use fibra_tests::{Drops, Signal, everywhere, join, text, turn};

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// A server and its client: requests one way, answers the other.
async fn answer(requests: Receiver<u64>, answers: Sender<u64>) -> u64 {
    let mut count = 0;
    while let Ok(request) = requests.recv_async().await {
        answers.send_async(request * 2).await.unwrap();
        count += 1;
    }
    count
}

/// What a goroutine does with such a server.
fn ask(requests: Sender<u64>, answers: &Receiver<u64>, rounds: u64) {
    for i in 0..rounds {
        requests.send(i).unwrap();
        assert_eq!(answers.recv(), Ok(i * 2));
    }
}

const ROUNDS: u64 = 200;

#[test]
fn goroutines_talk_to_tokio_tasks() {
    everywhere(|setup| {
        let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        for capacity in [0, 1, 8] {
            let (requests, asked) = bounded(capacity);
            let (answers, answered) = bounded(capacity);
            let server = tokio.spawn(answer(asked, answers));
            setup.run(|| ask(requests, &answered, ROUNDS));
            assert_eq!(tokio.block_on(server).unwrap(), ROUNDS);
        }
    });
}

#[test]
fn goroutines_talk_to_smol_tasks() {
    // Its threads and descriptors stay.
    drop((turn(), smol::block_on(smol::spawn(async {}))));
    everywhere(|setup| {
        for capacity in [0, 1, 8] {
            let (requests, asked) = bounded(capacity);
            let (answers, answered) = bounded(capacity);
            let server = smol::spawn(answer(asked, answers));
            setup.run(|| ask(requests, &answered, ROUNDS));
            assert_eq!(smol::block_on(server), ROUNDS);
        }
    });
}

#[test]
fn goroutines_talk_to_futures_on_goroutines() {
    everywhere(|setup| {
        setup.run(|| {
            let (requests, asked) = bounded(0);
            let (answers, answered) = bounded(0);
            let server = go!(move || block_on(answer(asked, answers)));
            ask(requests, &answered, ROUNDS);
            assert_eq!(join(server), ROUNDS);
        });
    });
}

#[test]
fn tasks_share_a_channel_with_goroutines() {
    everywhere(|setup| {
        let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        let (tx, rx) = bounded(2);
        let tasks: Vec<_> = (0..4_u64)
            .map(|id| {
                let (tx, rx) = (tx.clone(), rx.clone());
                tokio.spawn(async move {
                    for i in 0..50 {
                        tx.send_async(id * 50 + i).await.unwrap();
                    }
                    drop(tx);
                    let mut sum = 0;
                    while let Ok(value) = rx.recv_async().await {
                        sum += value;
                    }
                    sum
                })
            })
            .collect();
        drop(tx);
        let here: u64 = setup.run(|| {
            let receivers: Vec<_> = (0..4)
                .map(|_| {
                    let rx = rx.clone();
                    go!(move || rx.iter().sum::<u64>())
                })
                .collect();
            receivers.into_iter().map(join).sum()
        });
        let there: u64 = tasks.into_iter().map(|task| tokio.block_on(task).unwrap()).sum();
        assert_eq!(here + there, (0..200).sum());
    });
}

#[test]
fn closing_ends_futures_that_wait() {
    everywhere(|setup| {
        setup.run(|| {
            let (tx, rx) = bounded::<u32>(0);
            let (first, second) = (tx.clone(), rx.clone());
            let started = Signal::new();
            let starts = started.clone();
            let sender = go!(move || {
                starts.set();
                block_on(first.send_async(1))
            });
            started.wait();
            tx.close();
            assert_eq!(join(sender), Err(SendError(1)));
            assert_eq!(block_on(second.recv_async()), Err(RecvError));
        });
    });
}

#[test]
fn a_dropped_future_loses_nothing() {
    everywhere(|setup| {
        setup.run(|| {
            let drops = Drops::new();
            let (tx, rx) = bounded(0);
            // Served, then dropped: the value goes back, and from there to the next.
            let mut future = Box::pin(rx.recv_async());
            assert!(poll(future.as_mut()).is_pending());
            tx.try_send(drops.token()).unwrap();
            drop(future);
            assert_eq!((rx.len(), drops.count()), (1, 0));
            drop(rx.recv().unwrap());
            assert_eq!(drops.count(), 1);
            // Not served: the others do not see it any more.
            let mut future = Box::pin(rx.recv_async());
            assert!(poll(future.as_mut()).is_pending());
            drop(future);
            let token = tx.try_send(drops.token()).unwrap_err();
            drop(token);
            assert_eq!(drops.count(), 2);
            let mut future = Box::pin(tx.send_async(drops.token()));
            assert!(poll(future.as_mut()).is_pending());
            drop(future);
            assert_eq!(drops.count(), 3);
            assert!(rx.try_recv().is_err());
        });
    });
}

#[test]
fn a_value_given_back_goes_to_whoever_waits() {
    everywhere(|setup| {
        setup.run(|| {
            let (tx, rx) = bounded(0);
            let mut first = Box::pin(rx.recv_async());
            let mut second = Box::pin(rx.recv_async());
            assert!(poll(first.as_mut()).is_pending());
            assert!(poll(second.as_mut()).is_pending());
            tx.try_send(1).unwrap();
            drop(first);
            assert_eq!(poll(second.as_mut()), Poll::Ready(Ok(1)));
        });
    });
}

/// A value that was given back takes room, so that senders wait for a receiver as before.
#[test]
fn a_channel_over_its_capacity_takes_nothing() {
    everywhere(|setup| {
        setup.run(|| {
            for capacity in [0, 1] {
                let (tx, rx) = bounded(capacity);
                let mut future = Box::pin(rx.recv_async());
                assert!(poll(future.as_mut()).is_pending());
                (0..=capacity).for_each(|i| tx.try_send(i).unwrap());
                drop(future);
                assert_eq!(rx.len(), capacity + 1);
                let mut next = Box::pin(tx.send_async(9));
                assert!(poll(next.as_mut()).is_pending());
                assert_eq!(rx.try_recv(), Ok(0));
                assert_eq!(rx.len(), capacity);
                assert!(poll(next.as_mut()).is_pending());
                (1..=capacity).for_each(|i| assert_eq!(rx.try_recv(), Ok(i)));
                assert_eq!(rx.try_recv(), Ok(9));
                assert_eq!(poll(next.as_mut()), Poll::Ready(Ok(())));
            }
        });
    });
}

#[test]
fn a_send_that_is_polled_after_its_end_panics() {
    everywhere(|setup| {
        setup.run(|| {
            for closed in [false, true] {
                let drops = Drops::new();
                let (tx, rx) = unbounded();
                if closed {
                    tx.close();
                }
                {
                    let mut future = pin!(tx.send_async(drops.token()));
                    let first = poll(future.as_mut());
                    assert!(matches!(&first, Poll::Ready(sent) if sent.is_err() == closed));
                    let again = catch_unwind(AssertUnwindSafe(|| poll(future.as_mut()).is_ready()));
                    assert_eq!(text(again.unwrap_err().as_ref()), "the arm has gone ahead");
                }
                drop(rx);
                assert_eq!(drops.count(), 1);
            }
        });
    });
}

/// It may use the very channel: nothing is locked when a future panics.
#[test]
fn a_panic_hook_may_use_the_channel() {
    let end = Child::new().run("", |_| {
        let (tx, rx) = unbounded();
        let hook = rx.clone();
        let seen = Arc::new(AtomicUsize::new(0));
        let told = seen.clone();
        panic::set_hook(Box::new(move |_| told.store(hook.len(), Ordering::SeqCst)));
        {
            let mut future = pin!(tx.send_async(7));
            assert_eq!(poll(future.as_mut()), Poll::Ready(Ok(())));
            catch_unwind(AssertUnwindSafe(|| poll(future.as_mut()).is_ready())).unwrap_err();
        }
        assert_eq!((seen.load(Ordering::SeqCst), rx.recv()), (1, Ok(7)));
    });
    end.succeeded();
}

#[test]
fn time_is_received_without_a_goroutine() {
    everywhere(|setup| {
        setup.run(|| {
            let start = Instant::now();
            let due = block_on(after(Duration::from_millis(3)).recv_async()).unwrap();
            assert!(due >= start + Duration::from_millis(3) && due <= Instant::now());
            let nothing = never::<()>();
            assert!(poll(pin!(nothing.recv_async())).is_pending());
        });
    });
}

#[test]
fn futures_can_be_sent_to_threads() {
    fn is_send<T: Send>(_: &T) {}
    let (tx, rx) = bounded::<Box<u32>>(0);
    is_send(&tx.send_async(Box::new(1)));
    is_send(&rx.recv_async());
}
