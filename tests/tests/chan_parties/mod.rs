//! Who takes part in a channel test: goroutines, plain threads, or both.

#![allow(dead_code, reason = "each test file uses a part")]

use std::panic;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use fibra::chan::{Receiver, Sender, bounded, unbounded};
use fibra::{JoinHandle, Runtime};
use fibra_tests::{Setup, alone, everywhere, join};

/// What a party of a test runs on.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Goroutine,
    Thread,
}

/// Starts the other parties of a test.
pub(crate) struct Cast<'r> {
    pub(crate) setup: Setup,
    runtime: &'r Runtime,
    kinds: &'r [Kind],
    started: AtomicUsize,
}

/// One that was started.
pub(crate) enum Party<T> {
    Goroutine(JoinHandle<T>),
    Thread(thread::JoinHandle<T>),
}

impl Cast<'_> {
    /// Starts a party, of the kind whose turn it is.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        f: impl FnOnce() -> T + Send + 'static,
    ) -> Party<T> {
        let turn = self.started.fetch_add(1, Ordering::Relaxed);
        match self.kinds[turn % self.kinds.len()] {
            Kind::Goroutine => Party::Goroutine(self.go(f)),
            Kind::Thread => Party::Thread(thread::spawn(f)),
        }
    }

    /// Starts a goroutine.
    pub(crate) fn go<T: Send + 'static>(
        &self,
        f: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        self.runtime.spawn(f)
    }
}

impl<T: Send> Party<T> {
    /// Its result, once it has come to its end.
    #[track_caller]
    pub(crate) fn join(self) -> T {
        match self {
            Party::Goroutine(handle) => join(handle),
            Party::Thread(handle) => match fibra::blocking(|| handle.join()) {
                Ok(value) => value,
                Err(payload) => panic::resume_unwind(payload),
            },
        }
    }

    pub(crate) fn is_finished(&self) -> bool {
        match self {
            Party::Goroutine(handle) => handle.is_finished(),
            Party::Thread(handle) => handle.is_finished(),
        }
    }
}

/// Runs a test on every setup, as a goroutine and as a plain thread, and in each case with goroutines,
/// with threads, and with both in turn as its other parties.
pub(crate) fn parties(test: impl Fn(&Cast<'_>) + Sync) {
    use Kind::{Goroutine, Thread};
    everywhere(|setup| {
        setup.with(|runtime| {
            for kinds in [&[Goroutine][..], &[Thread], &[Goroutine, Thread]] {
                let cast = || Cast { setup, runtime, kinds, started: AtomicUsize::new(0) };
                runtime.run(|| test(&cast()));
                test(&cast());
            }
        });
    });
}

/// Runs a test that needs nobody else: as a goroutine on every setup, and as a plain thread.
pub(crate) fn callers(test: impl Fn() + Sync) {
    everywhere(|setup| setup.run(&test));
    alone(&test);
}

/// Rendezvous, bounded, unbounded.
pub(crate) const CAPACITIES: [Option<usize>; 5] = [Some(0), Some(1), Some(3), Some(64), None];
/// Those with room for a value.
pub(crate) const BUFFERS: [Option<usize>; 4] = [Some(1), Some(3), Some(64), None];

/// A channel of this capacity; unbounded if there is none.
pub(crate) fn channel<T>(capacity: Option<usize>) -> (Sender<T>, Receiver<T>) {
    match capacity {
        Some(capacity) => bounded(capacity),
        None => unbounded(),
    }
}

/// Tries until it succeeds; the others run meanwhile.
pub(crate) fn until<T>(mut try_it: impl FnMut() -> Option<T>) -> T {
    loop {
        match try_it() {
            Some(value) => return value,
            None => fibra::yield_now(),
        }
    }
}

/// Gives way a number of times, in which the others may come to where they park. Nothing depends on it.
pub(crate) fn give_way(times: usize) {
    for _ in 0..times {
        fibra::yield_now();
    }
}

/// Fails unless these are the numbers from 0 to `count`, each once.
#[track_caller]
pub(crate) fn assert_each_once(numbers: impl IntoIterator<Item = usize>, count: usize) {
    let mut seen = vec![0; count];
    numbers.into_iter().for_each(|number| seen[number] += 1);
    for (number, times) in seen.into_iter().enumerate() {
        assert_eq!(times, 1, "how often {number} came");
    }
}
