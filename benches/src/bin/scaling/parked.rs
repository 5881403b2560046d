//! Many goroutines that are parked, on one worker: so no wake-up of a thread is measured.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fibra::Goroutine;
use fibra_benches::on_fibra::{self, Affinity};
use fibra_benches::process::Memory;
use fibra_benches::round::Round;

/// They are spawned in waves, so that the main goroutine never looks as if it was stuck: then a spare worker would
/// come and take over some of them.
const WAVE: usize = 1000;

/// Operations that fill the pools before memory is measured.
const WARM_UP: usize = 1000;

/// What it costs that `amount` goroutines are parked.
pub(crate) struct Parked {
    /// A park and an unpark: `ns` of two goroutines beside the others, `each-ns` of all of them in turn.
    pair: Round,
    /// Memory and page tables.
    bytes: f64,
}

impl fmt::Display for Parked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes {:.1}", self.pair, self.bytes)
    }
}

/// Parks so many goroutines, then does `count` operations.
pub(crate) fn parked(amount: usize, count: usize) -> Parked {
    let runtime = on_fibra::runtime(1, Affinity::Worker, None);
    runtime.run(|| on_fibra::hand_over(WARM_UP, None));
    runtime.run(|| {
        let ring = Ring::leak(amount);
        let before = Memory::now();
        ring.gather();
        let growth = Memory::now().since(before);
        let beside = [(); 2].map(|()| on_fibra::hand_over(count, None));
        let each = [(); 2].map(|()| ring.pass(count));
        ring.release();
        Parked {
            pair: Round::new(beside[1], count).with_each("each-ns", each[1], count),
            bytes: (growth.resident + growth.page_tables) as f64 / amount as f64,
        }
    })
}

/// Goroutines in a ring. Whoever is unparked unparks the next one and parks again.
struct Ring {
    members: Vec<OnceLock<Goroutine>>,
    arrived: AtomicUsize,
    /// How many are still to be unparked in this pass.
    left: AtomicUsize,
    over: AtomicBool,
    gone: AtomicUsize,
    main: Goroutine,
}

impl Ring {
    /// A ring for `size` members, still empty. Leaked, so that a member holds a plain reference.
    fn leak(size: usize) -> &'static Ring {
        let mut members = Vec::new();
        // Touched here, so that it is no part of what a member costs.
        members.resize_with(size, OnceLock::new);
        Box::leak(Box::new(Ring {
            members,
            arrived: AtomicUsize::new(0),
            left: AtomicUsize::new(0),
            over: AtomicBool::new(false),
            gone: AtomicUsize::new(0),
            main: fibra::current().expect("the work runs in a goroutine"),
        }))
    }

    /// Spawns the members. With one worker whoever has arrived parks before anybody else runs.
    fn gather(&'static self) {
        let size = self.members.len();
        for me in 0..size {
            drop(fibra::spawn(move || self.stay(me)));
            if (me + 1).is_multiple_of(WAVE) || me + 1 == size {
                while self.arrived.load(Ordering::Relaxed) <= me {
                    fibra::yield_now();
                }
            }
        }
    }

    fn stay(&self, me: usize) {
        let myself = fibra::current().expect("a member is a goroutine");
        self.members[me].set(myself).expect("each member arrives once");
        self.arrived.fetch_add(1, Ordering::Relaxed);
        loop {
            fibra::park();
            if self.over.load(Ordering::Relaxed) {
                self.gone.fetch_add(1, Ordering::Relaxed);
                return;
            }
            match self.left.fetch_sub(1, Ordering::Relaxed) {
                1 => self.main.unpark(),
                _ => self.unpark((me + 1) % self.members.len()),
            }
        }
    }

    fn unpark(&self, member: usize) {
        self.members[member].get().expect("all have arrived").unpark();
    }

    /// Unparks `count` times, one after the other.
    fn pass(&self, count: usize) -> Duration {
        let start = Instant::now();
        self.left.store(count, Ordering::Relaxed);
        self.unpark(0);
        while self.left.load(Ordering::Relaxed) != 0 {
            fibra::park();
        }
        start.elapsed()
    }

    /// Lets all end: whoever does not was lost.
    fn release(&self) {
        self.over.store(true, Ordering::Relaxed);
        for member in 0..self.members.len() {
            self.unpark(member);
            if (member + 1).is_multiple_of(WAVE) {
                fibra::yield_now();
            }
        }
        while self.gone.load(Ordering::Relaxed) != self.members.len() {
            fibra::yield_now();
        }
    }
}
