//! Workers with the steps of `worker/` (`run`, `search_or_sleep`, `search`, `sleep`, `stop_searching`,
//! `forward`) and of `mod.rs` (`notify`, `hand_over`, `wake_all`), around queues that only count.
//!
//! A goroutine of these models does not give way: it ends when all fresh ones have begun to run, which are
//! as many as there are workers for them. So one that is left in a queue while a worker sleeps is a deadlock,
//! which loom reports. That is invariant 5.
//!
//! Each model fails when a worker whose last look has found work does not search again
//! (`sleep` without the `or_else`): a pusher that saw it searching wakes nobody, and the worker that should
//! have taken the goroutine, or passed it on, takes something else.

use super::*;
use crate::primitive::Condvar;
use crate::primitive::atomic::{AtomicBool, AtomicUsize};
use crate::sched::event::Event;
use loom::model::Builder;
use loom::sync::Arc;
use loom::thread;

#[derive(Clone, Copy)]
enum Goroutine {
    Fresh = 1,
    Resident = 1 << 8,
}

/// An inbox that only counts. What was pushed may be seen late.
struct Inbox(AtomicUsize);

impl Inbox {
    fn new() -> Inbox {
        Inbox(AtomicUsize::new(0))
    }

    fn push(&self, goroutine: Goroutine) {
        self.0.fetch_add(goroutine as usize, Ordering::Release);
    }

    fn is_empty(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }

    fn pop(&self) -> Option<Goroutine> {
        let mut length = self.0.load(Ordering::Relaxed);
        while length != 0 {
            let goroutine = if length >= Goroutine::Resident as usize {
                Goroutine::Resident
            } else {
                Goroutine::Fresh
            };
            let rest = length - goroutine as usize;
            match self.0.compare_exchange(length, rest, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return Some(goroutine),
                Err(now) => length = now,
            }
        }
        None
    }
}

/// A queue of fresh goroutines that only counts, with the lock of a deque or the injector. The length beside
/// it may be seen late.
struct Queue {
    length: AtomicUsize,
    list: Mutex<usize>,
}

impl Queue {
    fn new() -> Queue {
        Queue { length: AtomicUsize::new(0), list: Mutex::new(0) }
    }

    fn push(&self) {
        let mut list = self.list.lock();
        *list += 1;
        self.length.store(*list, Ordering::Relaxed);
    }

    fn is_surely_empty(&self) -> bool {
        *self.list.lock() == 0
    }

    fn pop(&self) -> Option<Goroutine> {
        if self.length.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let mut list = self.list.lock();
        if *list == 0 {
            return None;
        }
        *list -= 1;
        self.length.store(*list, Ordering::Relaxed);
        Some(Goroutine::Fresh)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Runs {
    fresh: usize,
    residents: usize,
}

struct Runtime {
    idle: Idle,
    events: Vec<Event>,
    inboxes: Vec<Inbox>,
    /// The injector and the deques.
    queue: Queue,
    /// How many are to run, and run.
    to_run: Runs,
    run: Mutex<Runs>,
    changed: Condvar,
    over: AtomicBool,
}

enum Search {
    Stolen(Goroutine),
    Own,
    Nothing,
}

impl Runtime {
    fn new(workers: usize, to_run: Runs) -> Runtime {
        Runtime {
            idle: Idle::new(workers),
            events: (0..workers).map(|_| Event::new()).collect(),
            inboxes: (0..workers).map(|_| Inbox::new()).collect(),
            queue: Queue::new(),
            to_run,
            run: Mutex::new(Runs::default()),
            changed: Condvar::new(),
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
        self.inboxes[worker].push(Goroutine::Resident);
        self.events[worker].wake();
    }

    /// Leaves a fresh goroutine to this worker.
    fn forward(&self, to: usize) {
        self.queue.push();
        match self.idle.pick(|worker| worker == to) {
            Some(worker) => {
                self.events[worker].wake();
            }
            None => self.notify(),
        }
    }

    fn execute(&self, goroutine: Goroutine) {
        let mut run = self.run.lock();
        match goroutine {
            Goroutine::Fresh => run.fresh += 1,
            Goroutine::Resident => run.residents += 1,
        }
        self.changed.notify_all();
        if *run == self.to_run {
            self.over.store(true, Ordering::Relaxed);
            for event in &self.events {
                event.wake();
            }
        }
        while run.fresh < self.to_run.fresh {
            run = self.changed.wait(run);
        }
    }

    fn run(&self, me: usize) {
        while !self.is_over() {
            let goroutine = self.inboxes[me]
                .pop()
                .or_else(|| self.queue.pop())
                .or_else(|| self.search_or_sleep(me));
            if let Some(goroutine) = goroutine {
                self.execute(goroutine);
            }
        }
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
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
        if !self.inboxes[me].is_empty() || self.is_over() {
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
        let work = !self.inboxes[me].is_empty() || self.is_over() || !self.queue.is_surely_empty();
        if work {
            event.finish();
        } else {
            event.wait(None);
        }
        self.idle.leave(me).or_else(|| if work { self.idle.try_search() } else { None })
    }
}

/// Runs the model with `workers` workers, and `outside` beside them.
fn model(workers: usize, to_run: Runs, outside: fn(&Runtime)) {
    let mut builder = Builder::new();
    // Whatever the environment says: three take minutes, and found nothing that two do not.
    builder.preemption_bound = Some(2);
    builder.check(move || {
        let runtime = Arc::new(Runtime::new(workers, to_run));
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
        assert_eq!(*runtime.run.lock(), to_run, "each goroutine ran once");
        let counts = runtime.idle.counts.load(Ordering::Relaxed);
        assert_eq!(counts, 0, "nobody is counted as searching or sleeping");
    });
}

/// Two goroutines are pushed while two workers come and go: both run at the same time.
///
/// Fails when `sleep` does not look into the queue after `enter`; when it looks without the lock;
/// when the last one to stop searching does not
/// notify; and when `leave` does not give back the token of a worker that was picked.
#[test]
fn loom_push_against_sleep() {
    let to_run = Runs { fresh: 2, residents: 0 };
    model(2, to_run, |runtime| {
        runtime.push();
        runtime.push();
    });
}

/// A push while the searcher that it counts on gets a resident back, which then waits for what was pushed:
/// the other worker takes it.
#[test]
fn loom_push_and_hand_over() {
    let to_run = Runs { fresh: 1, residents: 1 };
    model(2, to_run, |runtime| {
        runtime.push();
        runtime.hand_over(0);
    });
}

/// A goroutine is placed at a worker that gets a resident back meanwhile, and runs that first: the other
/// worker takes what was placed.
///
/// Fails when `forward` wakes the worker without picking it (`if !event.wake() { notify() }`): awake without
/// a token, it passes nothing on.
#[test]
fn loom_placement_against_sleep() {
    let to_run = Runs { fresh: 1, residents: 1 };
    model(2, to_run, |runtime| {
        runtime.forward(0);
        runtime.hand_over(0);
    });
}

/// A third worker pushes three goroutines and runs one: the two others are woken one by the other.
#[test]
fn loom_a_burst_wakes_worker_after_worker() {
    let to_run = Runs { fresh: 3, residents: 0 };
    model(2, to_run, |runtime| {
        for _ in 0..3 {
            runtime.push();
        }
        if let Some(own) = runtime.queue.pop() {
            runtime.execute(own);
        }
    });
}
