//! Signals come out of channels. Each test has a process for itself.

use std::future::Future;
use std::hint::black_box;
use std::io::ErrorKind;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use fibra::chan::{Receiver, RecvTimeoutError, TryRecvError, never};
use fibra::signal::{self, Signal};
use fibra::{Runtime, go, select};
use fibra_tests::child::{Child, is_sanitized, threads};
use fibra_tests::{LONG, OnDrop, join};

const WORKERS: [&str; 3] = ["1", "2", "4"];

fn runtime(workers: &str) -> Runtime {
    Runtime::builder().workers(workers.parse().unwrap()).build().unwrap()
}

/// Sends this process a signal; any thread may handle it, at any time from now on.
fn send(signal: Signal) {
    // SAFETY: takes numbers only.
    assert_eq!(unsafe { libc::kill(libc::getpid(), signal.as_raw()) }, 0);
}

/// Has this thread handle a signal, now.
fn raise(signal: Signal) {
    // SAFETY: takes a number only.
    assert_eq!(unsafe { libc::raise(signal.as_raw()) }, 0);
}

#[track_caller]
fn receive<T>(from: &Receiver<T>) -> T {
    from.recv_timeout(LONG).expect("the signal arrives")
}

#[track_caller]
fn assert_empty<T: std::fmt::Debug + PartialEq>(receiver: &Receiver<T>) {
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
}

#[test]
fn goroutines_and_threads_receive_signals() {
    for workers in WORKERS {
        let end = Child::new().run(workers, |workers| {
            let here = signal::notify(&[Signal::USER1, Signal::TERMINATE]).unwrap();
            runtime(workers).run(|| {
                let rx = signal::notify(&[Signal::USER1]).unwrap();
                let waiting = go!(move || (receive(&rx), rx));
                fibra::yield_now();
                send(Signal::USER1);
                let (signal, rx) = join(waiting);
                assert_eq!(signal, Signal::USER1);
                send(Signal::TERMINATE);
                send(Signal::USER1);
                assert_eq!(receive(&rx), Signal::USER1);
            });
            let mut got = [receive(&here), receive(&here)];
            got.sort();
            assert_eq!(got, [Signal::USER1, Signal::TERMINATE]);
        });
        end.succeeded();
    }
}

#[test]
fn it_stands_in_a_select() {
    for workers in WORKERS {
        let end = Child::new().run(workers, |workers| {
            runtime(workers).run(|| {
                let signals = signal::notify(&[Signal::HANGUP]).unwrap();
                let ctrl_c = signal::ctrl_c().unwrap();
                let nothing = never::<u8>();
                let next = move || {
                    select! {
                        recv(nothing) -> _ => "nothing",
                        recv(signals) -> signal => {
                            assert_eq!(signal, Ok(Signal::HANGUP));
                            "hangup"
                        },
                        recv(ctrl_c) -> it => {
                            assert_eq!(it, Ok(()));
                            "ctrl-c"
                        },
                        default(LONG) => "too late",
                    }
                };
                let both = go!(move || [next(), next()]);
                fibra::yield_now();
                send(Signal::HANGUP);
                send(Signal::INTERRUPT);
                let mut both = join(both);
                both.sort();
                assert_eq!(both, ["ctrl-c", "hangup"]);
            });
        });
        end.succeeded();
    }
}

#[test]
fn a_slow_subscriber_gets_each_signal_once() {
    let end = Child::new().run("", |_| {
        let signals = [Signal::USER1, Signal::USER2];
        let slow = signal::notify(&signals).unwrap();
        let ctrl_c = signal::ctrl_c().unwrap();
        let fast = signal::notify(&[Signal::USER1, Signal::USER2, Signal::INTERRUPT]).unwrap();
        for _ in 0..100 {
            for signal in [Signal::INTERRUPT, Signal::USER2, Signal::USER1] {
                send(signal);
                assert_eq!(receive(&fast), signal);
            }
        }
        // All of it was delivered: the next signal finds the thread done with the last.
        let last = signal::notify(&[Signal::HANGUP]).unwrap();
        send(Signal::HANGUP);
        receive(&last);
        assert_eq!((receive(&slow), receive(&slow)), (Signal::USER2, Signal::USER1));
        assert_empty(&slow);
        receive(&ctrl_c);
        assert_empty(&ctrl_c);

        // What was received can come again, while the other one still waits.
        for signal in [Signal::USER1, Signal::USER2] {
            send(signal);
            assert_eq!(receive(&fast), signal);
        }
        assert_eq!(receive(&slow), Signal::USER1);
        send(Signal::USER1);
        assert_eq!(receive(&fast), Signal::USER1);
        assert_eq!((receive(&slow), receive(&slow)), (Signal::USER2, Signal::USER1));
        assert_empty(&slow);
    });
    end.succeeded();
}

#[test]
fn no_last_signal_is_lost() {
    let end = Child::new().run("", |_| {
        let runtime = runtime("2");
        // Each is received at least once after it was sent.
        static SENT: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];
        let signals = [Signal::USER1, Signal::USER2];
        let receivers: Vec<_> = (0..4)
            .map(|_| {
                let rx = signal::notify(&signals).unwrap();
                runtime.spawn(move || {
                    let mut seen = [0; 2];
                    while seen != [2000; 2] {
                        let signal = receive(&rx);
                        let which = usize::from(signal == Signal::USER2);
                        seen[which] = SENT[which].load(Ordering::SeqCst);
                    }
                })
            })
            .collect();
        for _ in 0..2000 {
            for (signal, sent) in signals.iter().zip(&SENT) {
                sent.fetch_add(1, Ordering::SeqCst);
                send(*signal);
            }
        }
        receivers.into_iter().for_each(join);
    });
    end.succeeded();
}

#[test]
fn a_dropped_receiver_keeps_nobody_from_anything() {
    let end = Child::new().run("", |_| {
        let first = signal::notify(&[Signal::TERMINATE, Signal::USER1]).unwrap();
        let second = signal::notify(&[Signal::USER1]).unwrap();
        let third = second.clone();
        drop(first);
        send(Signal::USER1);
        assert_eq!(receive(&second), Signal::USER1);
        drop(second);
        send(Signal::USER1);
        assert_eq!(receive(&third), Signal::USER1);
        third.close();
        send(Signal::USER1);
        assert_eq!(third.recv_timeout(LONG), Err(RecvTimeoutError::Disconnected));
        // Nobody is left, and nothing happens. Then somebody is there again.
        raise(Signal::TERMINATE);
        let again = signal::notify(&[Signal::USER1]).unwrap();
        send(Signal::USER1);
        assert_eq!(receive(&again), Signal::USER1);
    });
    end.succeeded();
}

#[test]
fn some_signals_are_refused() {
    let end = Child::new().run("", |_| {
        for (number, why) in [
            (libc::SIGKILL, "SIGKILL cannot be caught"),
            (libc::SIGSTOP, "SIGSTOP cannot be caught"),
            (libc::SIGSEGV, "SIGSEGV is about a fault of the program itself"),
            (libc::SIGBUS, "SIGBUS is about a fault of the program itself"),
            (libc::SIGFPE, "SIGFPE is about a fault of the program itself"),
            (libc::SIGILL, "SIGILL is about a fault of the program itself"),
            (0, "there is no signal 0"),
            (-1, "there is no signal -1"),
            (65, "there is no signal 65"),
            (i32::MAX, "there is no signal 2147483647"),
        ] {
            let error = signal::notify(&[Signal::USER1, Signal::from_raw(number)]).unwrap_err();
            assert_eq!((error.kind(), &*error.to_string()), (ErrorKind::InvalidInput, why));
        }
        let error = signal::notify(&[]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        // Kept by the C library for itself.
        let error = signal::notify(&[Signal::USER1, Signal::from_raw(32)]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);

        let realtime = Signal::from_raw(libc::SIGRTMIN() + 2);
        let rx = signal::notify(&[realtime, realtime, Signal::USER1]).unwrap();
        send(realtime);
        assert_eq!(receive(&rx), realtime);
        let last = Signal::from_raw(64);
        let rx = signal::notify(&[last]).unwrap();
        send(last);
        assert_eq!(receive(&rx), last);
    });
    end.succeeded();
}

#[test]
fn an_earlier_handler_is_still_called() {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    extern "C" fn count(_: libc::c_int) {
        CALLS.fetch_add(1, Ordering::SeqCst);
    }
    let end = Child::new().run("", |_| {
        let handler = count as extern "C" fn(libc::c_int) as libc::sighandler_t;
        // SAFETY: the handler uses an atomic only.
        unsafe { libc::signal(libc::SIGUSR1, handler) };
        let rx = signal::notify(&[Signal::USER1, Signal::USER2]).unwrap();
        raise(Signal::USER1);
        assert_eq!((receive(&rx), CALLS.load(Ordering::SeqCst)), (Signal::USER1, 1));
        raise(Signal::USER2);
        assert_eq!((receive(&rx), CALLS.load(Ordering::SeqCst)), (Signal::USER2, 1));
    });
    end.succeeded();
}

#[test]
fn busy_workers_do_not_hold_it_up() {
    let end = Child::new().run("", |_| {
        static DONE: AtomicBool = AtomicBool::new(false);
        let rx = signal::notify(&[Signal::USER1]).unwrap();
        let runtime = runtime("2");
        let hogs: Vec<_> = (0..2)
            .map(|_| {
                runtime.spawn(|| {
                    while !DONE.load(Ordering::Relaxed) {
                        std::hint::spin_loop();
                    }
                })
            })
            .collect();
        send(Signal::USER1);
        assert_eq!(receive(&rx), Signal::USER1);
        DONE.store(true, Ordering::Relaxed);
        hogs.into_iter().for_each(join);
    });
    end.succeeded();
}

#[test]
fn a_signal_needs_no_room_on_a_goroutines_stack() {
    /// About where the stack pointer is.
    #[inline(never)]
    fn address() -> usize {
        let local = 0u8;
        black_box(&raw const local).addr()
    }
    #[inline(never)]
    fn raise_below(end: usize) -> usize {
        let frame = black_box([0usize; 8]);
        if address() < end {
            raise(Signal::USER1);
            return frame[0];
        }
        raise_below(end) + black_box(frame)[0]
    }
    let end = Child::new().run("", |_| {
        let rx = signal::notify(&[Signal::USER1]).unwrap();
        // The kernel's frame and the handler's take about as much as is left. A sanitizer wants more for `raise`.
        let left = if is_sanitized() { 32 << 10 } else { 4 << 10 };
        let handle = go!(move || raise_below(address() - (256 << 10) + left));
        join(handle);
        assert_eq!(receive(&rx), Signal::USER1);
    });
    end.succeeded();
}

#[test]
fn many_at_once_need_no_more_room_than_one() {
    let end = Child::new().run("", |_| {
        let realtime = libc::SIGRTMIN()..=libc::SIGRTMAX();
        let all: Vec<_> = realtime.map(Signal::from_raw).collect();
        let rx = signal::notify(&all).unwrap();
        let raised = all.clone();
        let goroutine = go!(move || {
            // SAFETY: all zeros is a valid set, and the calls write to it only.
            let set = unsafe {
                let mut set: libc::sigset_t = std::mem::zeroed();
                libc::sigfillset(&mut set);
                libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
                set
            };
            raised.into_iter().for_each(raise);
            // Now they come, all of them.
            // SAFETY: `set` is a valid set.
            unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, &set, std::ptr::null_mut()) };
        });
        join(goroutine);
        let mut got: Vec<_> = all.iter().map(|_| receive(&rx)).collect();
        got.sort();
        assert_eq!(got, all);
        assert_empty(&rx);
    });
    end.succeeded();
}

#[test]
fn a_waker_that_panics_harms_nobody_else() {
    struct Bad;
    impl Wake for Bad {
        fn wake(self: Arc<Self>) {
            panic!("a bad waker");
        }
    }
    let end = Child::new().run("", |_| {
        let (bad, good) =
            (signal::notify(&[Signal::USER1]).unwrap(), signal::notify(&[Signal::USER1]).unwrap());
        let mut future = pin!(bad.recv_async());
        let waker = Waker::from(Arc::new(Bad));
        assert!(future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        for _ in 0..2 {
            send(Signal::USER1);
            assert_eq!(receive(&good), Signal::USER1);
        }
        let polled = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!(polled, Poll::Ready(Ok(Signal::USER1)));
    });
    let end = end.succeeded();
    assert_eq!(end.stderr.matches("a bad waker").count(), 1, "{end}");
}

#[test]
fn there_is_one_thread_for_all_of_it() {
    let end = Child::new().run("", |_| {
        let ours = || threads().iter().filter(|(_, name)| name == "fibra-signal").count();
        assert_eq!(ours(), 0);
        let all: Vec<_> =
            (0..100).map(|_| signal::notify(&[Signal::CHILD, Signal::PIPE]).unwrap()).collect();
        raise(Signal::PIPE);
        for rx in &all {
            assert_eq!(receive(rx), Signal::PIPE);
        }
        assert_eq!(ours(), 1);
    });
    end.succeeded();
}

#[test]
fn a_cancelled_goroutine_stops_waiting() {
    let end = Child::new().run("", |_| {
        let rx = signal::notify(&[Signal::USER1]).unwrap();
        let waiting = rx.clone();
        static UNWOUND: AtomicBool = AtomicBool::new(false);
        let handle = go!(move || {
            let _unwound = OnDrop(|| UNWOUND.store(true, Ordering::SeqCst));
            waiting.recv()
        });
        handle.cancel();
        fibra_tests::assert_cancelled(fibra_tests::outcome(handle));
        send(Signal::USER1);
        assert_eq!(rx.recv_timeout(Duration::MAX), Ok(Signal::USER1));
    });
    end.succeeded();
}

#[test]
fn signals_have_names_and_numbers() {
    for (signal, number, name) in [
        (Signal::ALARM, libc::SIGALRM, "SIGALRM"),
        (Signal::CHILD, libc::SIGCHLD, "SIGCHLD"),
        (Signal::CONTINUE, libc::SIGCONT, "SIGCONT"),
        (Signal::HANGUP, libc::SIGHUP, "SIGHUP"),
        (Signal::INTERRUPT, libc::SIGINT, "SIGINT"),
        (Signal::IO, libc::SIGIO, "SIGIO"),
        (Signal::PIPE, libc::SIGPIPE, "SIGPIPE"),
        (Signal::QUIT, libc::SIGQUIT, "SIGQUIT"),
        (Signal::TERMINAL_STOP, libc::SIGTSTP, "SIGTSTP"),
        (Signal::TERMINATE, libc::SIGTERM, "SIGTERM"),
        (Signal::USER1, libc::SIGUSR1, "SIGUSR1"),
        (Signal::USER2, libc::SIGUSR2, "SIGUSR2"),
        (Signal::WINDOW_CHANGE, libc::SIGWINCH, "SIGWINCH"),
        (Signal::from_raw(libc::SIGKILL), libc::SIGKILL, "SIGKILL"),
        (Signal::from_raw(libc::SIGRTMIN()), libc::SIGRTMIN(), "SIGRTMIN+0"),
        (Signal::from_raw(64), 64, &format!("SIGRTMIN+{}", 64 - libc::SIGRTMIN())),
        (Signal::from_raw(33), 33, "signal 33"),
        (Signal::from_raw(-5), -5, "signal -5"),
    ] {
        assert_eq!(signal, Signal::from_raw(number));
        assert_eq!((signal.as_raw(), signal.to_string()), (number, name.to_owned()));
        assert_eq!(format!("{signal:?}"), name);
    }
    assert_eq!(format!("{:>8}|", Signal::QUIT), " SIGQUIT|");
}
