//! Workers with the steps of `worker.rs` (`run`, `search_or_sleep`, `sleep`, `stop_searching`,
//! `forward`) and of `mod.rs` (`notify`, `hand_over`, `wake_all`), around queues that only count.
//!
//! A goroutine of these models does not end before all of them run: it is user code that does not give
//! way. There are as many workers as goroutines, so one that is left in a queue while a worker sleeps is a
//! deadlock, which loom reports. That is invariant 5.

use super::*;
use crate::primitive::Condvar;
use crate::primitive::atomic::{AtomicBool, AtomicUsize};
use crate::sched::event::Event;
use loom::model::Builder;
use loom::sync::Arc;
use loom::thread;

/// A queue of goroutines that are all the same. What was pushed may be seen late, as with any queue.
struct Queue(AtomicUsize);

impl Queue {
    fn new() -> Queue {
        Queue(AtomicUsize::new(0))
    }

    fn push(&self) {
        self.0.fetch_add(1, Ordering::Release);
    }

    fn is_empty(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }

    fn pop(&self) -> Option<Goroutine> {
        let mut length = self.0.load(Ordering::Relaxed);
        while length != 0 {
            match self
                .0
                .compare_exchange(length, length - 1, Ordering::Acquire, Ordering::Relaxed)
            {
                Ok(_) => return Some(Goroutine),
                Err(now) => length = now,
            }
        }
        None
    }
}

struct Goroutine;

struct Runtime {
    idle: Idle,
    events: Vec<Event>,
    inboxes: Vec<Queue>,
    /// The injector and the deques.
    queue: Queue,
    running: Mutex<usize>,
    all_run: Condvar,
    over: AtomicBool,
}

enum Search {
    Stolen(Goroutine),
    Own,
    Nothing,
}

impl Runtime {
    fn new(workers: usize) -> Runtime {
        Runtime {
            idle: Idle::new(workers),
            events: (0..workers).map(|_| Event::new()).collect(),
            inboxes: (0..workers).map(|_| Queue::new()).collect(),
            queue: Queue::new(),
            running: Mutex::new(0),
            all_run: Condvar::new(),
            over: AtomicBool::new(false),
        }
    }

    fn push(&self) {
        self.queue.push();
        self.notify();
    }

    fn notify(&self) {
        if let Some(worker) = self.idle.notify() {
            self.events[worker].wake();
        }
    }

    fn hand_over(&self, worker: usize) {
        self.inboxes[worker].push();
        self.events[worker].wake();
    }

    fn forward(&self) -> bool {
        if !self.idle.has_sleepers() {
            return false;
        }
        match self
            .idle
            .pick(|_| true, |worker| self.inboxes[worker].push())
        {
            Some(worker) => {
                self.events[worker].wake();
                true
            }
            None => false,
        }
    }

    fn execute(&self, _: Goroutine) {
        let mut running = self.running.lock();
        *running += 1;
        if *running == self.events.len() {
            self.over.store(true, Ordering::Relaxed);
            self.all_run.notify_all();
        }
        while *running < self.events.len() {
            running = self.all_run.wait(running);
        }
    }

    fn run(&self, me: usize) {
        while !self.over.load(Ordering::Relaxed) {
            let goroutine = self.inboxes[me]
                .pop()
                .or_else(|| self.queue.pop())
                .or_else(|| self.search_or_sleep(me));
            if let Some(goroutine) = goroutine {
                self.execute(goroutine);
            }
        }
    }

    fn search_or_sleep(&self, me: usize) -> Option<Goroutine> {
        let mut searching = self.idle.try_search();
        loop {
            if let Some(token) = searching {
                match self.search(me) {
                    Search::Stolen(goroutine) => {
                        self.stop_searching(token);
                        return Some(goroutine);
                    }
                    Search::Own => {
                        self.stop_searching(token);
                        return None;
                    }
                    Search::Nothing => searching = Some(token),
                }
            }
            match self.sleep(me, searching.take()) {
                Some(token) => searching = Some(token),
                None => return None,
            }
        }
    }

    fn search(&self, me: usize) -> Search {
        if !self.inboxes[me].is_empty() {
            return Search::Own;
        }
        match self.queue.pop() {
            Some(goroutine) => Search::Stolen(goroutine),
            None => Search::Nothing,
        }
    }

    fn stop_searching(&self, token: Searching) {
        if self.idle.stop_searching(token) {
            self.notify();
        }
    }

    fn sleep(&self, me: usize, searching: Option<Searching>) -> Option<Searching> {
        let event = &self.events[me];
        event.prepare();
        self.idle.enter(me, searching);
        let work = !self.inboxes[me].is_empty() || !self.queue.is_empty();
        if work {
            event.finish();
        } else {
            event.wait(None);
        }
        self.idle
            .leave(me)
            .or_else(|| if work { self.idle.try_search() } else { None })
    }
}

/// Runs the model with `workers` workers, and `outside` beside them.
fn model(workers: usize, preemptions: usize, outside: fn(&Runtime)) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(move || {
        let runtime = Arc::new(Runtime::new(workers));
        let threads: Vec<_> = (0..workers)
            .map(|me| {
                let runtime = runtime.clone();
                thread::spawn(move || runtime.run(me))
            })
            .collect();
        outside(&runtime);
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(runtime.queue.is_empty());
        assert_eq!(*runtime.running.lock(), workers, "each goroutine ran once");
        assert_eq!(
            runtime.idle.counts.load(Ordering::Relaxed),
            0,
            "nobody is counted as searching or sleeping"
        );
    });
}

#[test]
fn loom_push_against_sleep() {
    model(2, 3, |runtime| {
        runtime.push();
        runtime.push();
    });
}

#[test]
fn loom_push_and_hand_over() {
    model(2, 3, |runtime| {
        runtime.push();
        runtime.hand_over(0);
    });
}

#[test]
fn loom_placement_against_sleep() {
    model(2, 3, |runtime| {
        if !runtime.forward() {
            runtime.push();
        }
        runtime.push();
    });
}

#[test]
fn loom_three() {
    model(3, 2, |runtime| {
        runtime.push();
        runtime.push();
        runtime.push();
    });
}
