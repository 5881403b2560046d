//! Workers that end as those of `worker.rs` do (`run`, `must_stop`, `may_end`, `sleep`), around one queue that
//! only counts. Whoever pushes wakes everybody; `idle.rs` does better, and has models of its own.

use super::*;
use crate::primitive::atomic::AtomicUsize;
use crate::sched::event::Event;
use loom::model::Builder;
use loom::sync::Arc;
use loom::thread;
use std::sync::atomic::AtomicUsize as Truth;

struct Runtime {
    gate: Gate,
    tallies: [Tally; 2],
    events: [Event; 2],
    queue: AtomicUsize,
    /// How many goroutines are alive and how many have run. loom does not know of these: they are right at
    /// each moment, and order nothing.
    alive: Truth,
    ran: Truth,
}

/// What is in the queue: goroutines that spawn one of the others, and others.
const PARENT: usize = 1 << 8;
const CHILD: usize = 1;

impl Runtime {
    fn new() -> Arc<Runtime> {
        Arc::new(Runtime {
            gate: Gate::new(),
            tallies: [Tally::new(), Tally::new()],
            events: [Event::new(), Event::new()],
            queue: AtomicUsize::new(0),
            alive: Truth::new(0),
            ran: Truth::new(0),
        })
    }

    fn inject(&self, goroutine: usize) -> Result<(), Closed> {
        self.gate.enter()?;
        self.alive.fetch_add(1, Ordering::Relaxed);
        self.push(goroutine);
        Ok(())
    }

    fn push(&self, goroutine: usize) {
        self.queue.fetch_add(goroutine, Ordering::Release);
        self.wake_all();
    }

    fn close(&self) {
        assert!(self.gate.close());
        self.wake_all();
    }

    fn wake_all(&self) {
        for event in &self.events {
            event.wake();
        }
    }

    fn live(&self) -> u64 {
        Census::take(&self.gate, self.tallies.iter()).live()
    }

    fn pop(&self) -> Option<usize> {
        let mut queue = self.queue.load(Ordering::Relaxed);
        while queue != 0 {
            let goroutine = if queue >= PARENT { PARENT } else { CHILD };
            let rest = queue - goroutine;
            match self.queue.compare_exchange(queue, rest, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return Some(goroutine),
                Err(now) => queue = now,
            }
        }
        None
    }

    fn execute(&self, me: usize, goroutine: usize) {
        if goroutine == PARENT && !self.gate.is_closed() {
            self.alive.fetch_add(1, Ordering::Relaxed);
            self.tallies[me].count_spawned();
            self.push(CHILD);
        }
        self.ran.fetch_add(1, Ordering::Relaxed);
        self.alive.fetch_sub(1, Ordering::Relaxed);
        self.tallies[me].count_finished();
    }

    fn run(&self, me: usize) {
        let mut stopping = false;
        loop {
            stopping |= self.gate.is_closed();
            if let Some(goroutine) = self.pop() {
                self.execute(me, goroutine);
                continue;
            }
            if stopping && self.live() == 0 {
                self.assert_over();
                self.wake_all();
                return;
            }
            let event = &self.events[me];
            event.sleeper().prepare();
            let must_stop = self.gate.is_closed() && (!stopping || self.live() == 0);
            if must_stop || self.queue.load(Ordering::Relaxed) != 0 {
                event.sleeper().finish();
            } else {
                event.wait(None);
            }
        }
    }

    /// Also later, because it is asked when all threads have ended.
    fn assert_over(&self) {
        assert_eq!(self.alive.load(Ordering::Relaxed), 0, "goroutines alive");
        assert_eq!(self.gate.enter(), Err(Closed));
    }
}

fn start(runtime: &Arc<Runtime>, me: usize) -> thread::JoinHandle<()> {
    let runtime = runtime.clone();
    thread::spawn(move || runtime.run(me))
}

/// The last two goroutines finish on two workers at once: each may miss the other's count and go to sleep,
/// but not both, and the one that does not wakes the other. That both end is what loom checks.
///
/// Fails when the fence of `Event::prepare` is missing, when the worker that ends wakes nobody, and when it
/// does not look at the counts again before it sleeps.
#[test]
fn loom_the_last_two_finish_at_once() {
    loom::model(|| {
        let runtime = Runtime::new();
        runtime.inject(CHILD).unwrap();
        runtime.inject(CHILD).unwrap();
        runtime.close();
        let other = start(&runtime, 1);
        runtime.run(0);
        other.join().unwrap();
        runtime.assert_over();
        assert_eq!(runtime.ran.load(Ordering::Relaxed), 2);
    });
}

/// A goroutine spawns another one while the runtime closes. No worker ends, and nobody counts zero, before
/// both have finished.
///
/// Fails when `Census::take` reads the spawned counts first, when `count_finished` is `Relaxed`, and when a
/// spawn is counted after the push.
#[test]
fn loom_a_spawn_while_it_closes() {
    let mut builder = Builder::new();
    // Three take a minute.
    builder.preemption_bound = Some(2);
    builder.check(|| {
        let runtime = Runtime::new();
        runtime.inject(PARENT).unwrap();
        let workers = [start(&runtime, 0), start(&runtime, 1)];
        runtime.close();
        if runtime.live() == 0 {
            runtime.assert_over();
        }
        for worker in workers {
            worker.join().unwrap();
        }
        runtime.assert_over();
        assert_eq!(runtime.live(), 0);
        assert_eq!(runtime.queue.load(Ordering::Relaxed), 0);
    });
}

/// A thread that is no worker spawns while another one closes: the goroutine runs, or it is refused.
///
/// Fails when `enter` looks and adds in two steps (a goroutine gets in after the worker has ended), and when
/// it adds one and takes that back if the gate was closed (the worker counts in between, sleeps, and nobody
/// wakes it).
#[test]
fn loom_a_spawn_from_outside_while_it_closes() {
    loom::model(|| {
        let runtime = Runtime::new();
        let worker = start(&runtime, 0);
        let outside = {
            let runtime = runtime.clone();
            thread::spawn(move || runtime.inject(CHILD).is_ok())
        };
        runtime.close();
        assert_eq!(runtime.gate.enter(), Err(Closed));
        let entered = outside.join().unwrap();
        worker.join().unwrap();
        runtime.assert_over();
        assert_eq!(runtime.ran.load(Ordering::Relaxed), usize::from(entered));
    });
}
