//! Tiny loops over the hot paths, for callgrind, perf and strace, on one worker.
//!
//! Instructions per operation are `(I(2N) - I(N)) / N`: start-up and warm-up drop out. See
//! `count-instructions.sh`. Calls of the allocator are counted here, behind the warm-up.
//!
//! `send` and `receive` are the same loop: callgrind is told which of its two halves counts.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ops::Range;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use fibra::chan::{Receiver, Sender, bounded};
use fibra::coroutine::{Coroutine, Step};
use fibra_benches::on_fibra::{self, Affinity, Countdown};
use fibra_benches::{CAPACITY, arguments};

const USAGE: &str = "usage: hot_paths WORK N [fibra|fibra-migratable]
WORK: spawn spawn-join yield park-unpark switch send receive rendezvous select echo";

/// Operations before the allocator's calls are counted: they fill the pools.
const WARM_UP: usize = 10_000;

/// Goroutines that are spawned before they run, so that the memory in use does not depend on N.
const WAVE: usize = 1000;

/// Messages that are sent before they are received: they fit into the channel, so that nobody waits.
const MESSAGES: usize = 100;
const _: () = assert!(MESSAGES < CAPACITY);

/// The system's allocator; counts the calls.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static FREES: AtomicU64 = AtomicU64::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: it passes everything on to `System`, unchanged; the counters do not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`, which is the one of `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as in `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        FREES.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the block came from `System`, through the functions above; the rest is as in `alloc`.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        FREES.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as in `realloc`.
        unsafe { System.dealloc(block, layout) }
    }
}

fn main() -> ExitCode {
    arguments::run(USAGE, run)
}

fn run() -> Option<()> {
    let label = arguments::text(1)?;
    let n: usize = arguments::number(2)?;
    let affinity = match arguments::text(3) {
        Some(label) => Affinity::from_label(&label)?,
        None => Affinity::Worker,
    };
    let work: fn(usize) = match label.as_str() {
        "spawn" => spawn,
        "spawn-join" => spawn_join,
        "yield" => yield_now,
        "park-unpark" => park_unpark,
        "switch" => switch,
        "send" | "receive" => send_and_receive,
        "rendezvous" => rendezvous,
        "select" => select,
        "echo" => echo,
        _ => return None,
    };
    let (allocations, frees) = on_fibra::runtime(1, affinity, None).run(|| {
        work(WARM_UP);
        let before = (ALLOCATIONS.load(Ordering::Relaxed), FREES.load(Ordering::Relaxed));
        work(n);
        let after = (ALLOCATIONS.load(Ordering::Relaxed), FREES.load(Ordering::Relaxed));
        (after.0 - before.0, after.1 - before.1)
    });
    let each = |calls: u64| calls as f64 / n as f64;
    println!(
        "{label}: {n} operations, {:.3} allocations and {:.3} frees each",
        each(allocations),
        each(frees)
    );
    Some(())
}

fn spawn(n: usize) {
    let countdown = Countdown::leak();
    let mut left = n;
    while left > 0 {
        let wave = left.min(WAVE);
        on_fibra::spawn_counted(countdown, wave);
        left -= wave;
    }
}

fn spawn_join(n: usize) {
    on_fibra::spawn_join(n);
}

/// Two goroutines, because a yield with nobody else around may come back at once.
fn yield_now(n: usize) {
    on_fibra::yield_among(2, n / 2);
}

/// An operation is an unpark of the other goroutine and a park of this one.
fn park_unpark(n: usize) {
    on_fibra::hand_over(n, None);
}

/// An operation is one message into a channel with room for it, and out again. Nobody else uses the channel.
fn send_and_receive(n: usize) {
    let (tx, rx) = bounded(CAPACITY);
    let mut sum = 0;
    let mut sent = 0;
    while sent < n {
        let wave = MESSAGES.min(n - sent);
        send_wave(&tx, sent..sent + wave);
        sum += receive_wave(&rx, wave);
        sent += wave;
    }
    assert_eq!(sum, (0..n).sum(), "a message was lost, or came twice");
}

/// A function of its own, for callgrind: `count-instructions.sh` has its name.
#[inline(never)]
fn send_wave(tx: &Sender<usize>, numbers: Range<usize>) {
    for number in numbers {
        tx.send(number).expect("there is a receiver");
    }
}

/// Their sum. See [`send_wave`].
#[inline(never)]
fn receive_wave(rx: &Receiver<usize>, count: usize) -> usize {
    (0..count).map(|_| rx.recv().expect("so many were sent")).sum()
}

/// An operation is a number there and back, hence two messages.
fn rendezvous(n: usize) {
    on_fibra::ping_pong(n);
}

/// An operation is a message, to one of two channels in turn.
fn select(n: usize) {
    on_fibra::select_of_two(n);
}

/// An operation is one message to the other goroutine, over a connection, and back.
fn echo(n: usize) {
    on_fibra::echo(n);
}

/// An operation is one resume and one suspend.
fn switch(n: usize) {
    let mut next = Coroutine::new(|y, mut value: usize| {
        loop {
            value = y.suspend(value + 1);
        }
    });
    let mut value = 0;
    for _ in 0..n {
        value = match next.resume(value) {
            Step::Yielded(value) => value,
            Step::Returned(()) => unreachable!("it goes on for ever"),
        };
    }
    assert_eq!(value, n, "a switch was lost");
}
