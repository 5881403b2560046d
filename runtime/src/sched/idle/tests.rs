//! Workers that search and sleep as the real ones do, around queues that only count. Written again are
//! the steps of `worker/` (`run`, `forward`), and of `mod.rs` (`notify`, `hand_over`, `wake_all`).
//!
//! A goroutine of these models does not give way: it ends when all fresh ones have begun to run, which are
//! as many as there are workers for them. So one that is left in a queue while a worker sleeps is a deadlock,
//! which loom reports. That is invariant 5.
//!
//! Each model but the last fails when a worker whose last look has found work does not search again
//! (`sleep` without the `or_else`): a pusher that saw it searching wakes nobody, and the worker that should
//! have taken the goroutine, or passed it on, takes something else.

use super::*;
use crate::primitive::atomic::{AtomicBool, AtomicUsize};
use crate::primitive::{Condvar, Mutex};
use crate::sched::event::Event;
use loom::model::Builder;
use loom::sync::Arc;
use loom::thread;

const WORKERS: usize = 2;

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

/// A queue of fresh goroutines that only counts, and is looked at as a deque or the injector. The length may be seen late.
struct Queue {
    length: AtomicUsize,
    /// The word of the lock. To wait for it is left to loom.
    is_locked: AtomicBool,
    list: Mutex<usize>,
}

impl Queue {
    fn new() -> Queue {
        Queue {
            length: AtomicUsize::new(0),
            is_locked: AtomicBool::new(false),
            list: Mutex::new(0),
        }
    }

    /// Changes the list with the lock held.
    fn change<T>(&self, change: impl FnOnce(&mut usize) -> T) -> T {
        let mut list = self.list.lock();
        self.is_locked.swap(true, Ordering::SeqCst);
        // To loom the swap is no fence.
        fence(Ordering::SeqCst);
        let result = change(&mut list);
        self.length.store(*list, Ordering::Relaxed);
        self.is_locked.store(false, Ordering::Release);
        result
    }

    fn push(&self) {
        self.change(|list| *list += 1);
    }

    fn is_surely_empty(&self) -> bool {
        if self.is_locked.load(Ordering::SeqCst) {
            *self.list.lock() == 0
        } else {
            self.length.load(Ordering::Relaxed) == 0
        }
    }

    fn pop(&self) -> Option<Goroutine> {
        if self.length.load(Ordering::Relaxed) == 0 {
            return None;
        }
        self.change(|list| {
            *list = list.checked_sub(1)?;
            Some(Goroutine::Fresh)
        })
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
    /// Whether worker 1 is, where it may be.
    surplus: Option<AtomicBool>,
    /// Whether workers leave to others what they see, for as long as they may.
    may_nap: bool,
    /// How many are to run, and run.
    to_run: Runs,
    run: Mutex<Runs>,
    changed: Condvar,
    over: AtomicBool,
}

impl Runtime {
    fn new(to_run: Runs) -> Runtime {
        Runtime {
            idle: Idle::new(WORKERS, WORKERS),
            events: (0..WORKERS).map(|_| Event::new()).collect(),
            inboxes: (0..WORKERS).map(|_| Inbox::new()).collect(),
            queue: Queue::new(),
            surplus: None,
            may_nap: false,
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
        // As if everything were little.
        if let Some(worker) = self.idle.notify(|| true) {
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
        if self.idle.pick(to) {
            self.events[to].wake();
        } else {
            self.notify();
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

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

struct Worker<'a> {
    runtime: &'a Runtime,
    me: usize,
}

impl Worker<'_> {
    fn run(&self) {
        let runtime = self.runtime;
        while !runtime.is_over() {
            let goroutine = runtime.inboxes[self.me]
                .pop()
                .or_else(|| if self.is_surplus() { None } else { runtime.queue.pop() })
                .or_else(|| runtime.idle.search_or_sleep(self, None));
            if let Some(goroutine) = goroutine {
                runtime.execute(goroutine);
            }
        }
    }
}

impl Searcher for Worker<'_> {
    type Goroutine = Goroutine;

    fn id(&self) -> usize {
        self.me
    }

    fn sleeper(&self) -> &Sleeper {
        self.runtime.events[self.me].sleeper()
    }

    fn sleep(&self) {
        self.runtime.events[self.me].wait(None);
    }

    fn is_in_haste(&self) -> bool {
        false
    }

    fn is_surplus(&self) -> bool {
        let surplus = self.runtime.surplus.as_ref();
        self.me == 1 && surplus.is_some_and(|surplus| surplus.load(Ordering::Relaxed))
    }

    fn has_own_work(&self) -> bool {
        !self.runtime.inboxes[self.me].is_empty() || self.runtime.is_over()
    }

    fn steal(&self, _: Patience) -> Option<Goroutine> {
        self.runtime.queue.pop()
    }

    fn sees_spare_work(&self) -> bool {
        !self.runtime.queue.is_surely_empty()
    }

    fn watch(&self) {}

    fn sees_others_getting_on(&self) -> bool {
        self.runtime.may_nap
    }

    fn nap(&self, _: Duration) {}

    fn woken(&self) {}

    fn notify(&self) {
        self.runtime.notify();
    }
}

/// Runs the model with two workers, and `outside` beside them.
fn model(to_run: Runs, outside: fn(&Runtime)) {
    model_with(move || Runtime::new(to_run), outside);
}

fn model_with(runtime: impl Fn() -> Runtime + Send + Sync + 'static, outside: fn(&Runtime)) {
    let mut builder = Builder::new();
    // Whatever the environment says: three take minutes, and found nothing that two do not.
    builder.preemption_bound = Some(2);
    builder.check(move || {
        let runtime = Arc::new(runtime());
        let threads: Vec<_> = (0..WORKERS)
            .map(|me| {
                let runtime = runtime.clone();
                thread::spawn(move || Worker { runtime: &runtime, me }.run())
            })
            .collect();
        outside(&runtime);
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(*runtime.run.lock(), runtime.to_run, "each goroutine ran once");
        let counts = runtime.idle.counts.load(Ordering::Relaxed);
        assert_eq!(counts, 0, "nobody is counted as searching or sleeping");
    });
}

/// Two goroutines are pushed while two workers come and go: both run at the same time.
///
/// Fails when `sleep` does not look into the queue after `enter`; when it looks without the lock
/// (`is_surely_empty` by the length); when the last one to stop searching does not notify; and when `leave`
/// does not give back the token of a worker that was picked.
#[test]
fn loom_push_against_sleep() {
    let to_run = Runs { fresh: 2, residents: 0 };
    model(to_run, |runtime| {
        runtime.push();
        runtime.push();
    });
}

/// A push while the searcher that it counts on gets a resident back, which then waits for what was pushed:
/// the other worker takes it.
#[test]
fn loom_push_and_hand_over() {
    let to_run = Runs { fresh: 1, residents: 1 };
    model(to_run, |runtime| {
        runtime.push();
        runtime.hand_over(0);
    });
}

/// The same, but a searcher may leave what it sees, and have a nap: what it left is not forgotten over the resident
/// that comes back meanwhile.
///
/// Fails when the worker does not search after its nap, and when it may nap for ever.
#[test]
fn loom_push_against_nap() {
    let to_run = Runs { fresh: 1, residents: 1 };
    let runtime = move || Runtime { may_nap: true, ..Runtime::new(to_run) };
    model_with(runtime, |runtime| {
        runtime.push();
        runtime.hand_over(0);
    });
}

/// A goroutine is placed at a worker that gets a resident back meanwhile, and runs that first: the other
/// worker takes what was placed.
///
/// Fails when `forward` wakes the worker without picking it (it notifies if the worker is awake): awake without
/// a token, it passes nothing on.
#[test]
fn loom_placement_against_sleep() {
    let to_run = Runs { fresh: 1, residents: 1 };
    model(to_run, |runtime| {
        runtime.forward(0);
        runtime.hand_over(0);
    });
}

/// The same with a worker that may nap.
///
/// Fails when `nap` changes the counts although the worker was picked: then it is counted as searching for ever.
#[test]
fn loom_placement_against_nap() {
    let to_run = Runs { fresh: 1, residents: 1 };
    let runtime = move || Runtime { may_nap: true, ..Runtime::new(to_run) };
    model_with(runtime, |runtime| {
        runtime.forward(0);
        runtime.hand_over(0);
    });
}

/// A third worker pushes three goroutines and runs one: the two others are woken one by the other.
#[test]
fn loom_a_burst_wakes_worker_after_worker() {
    let to_run = Runs { fresh: 3, residents: 0 };
    model(to_run, |runtime| {
        for _ in 0..3 {
            runtime.push();
        }
        if let Some(own) = runtime.queue.pop() {
            runtime.execute(own);
        }
    });
}

/// A surplus worker is made a regular one while it goes to sleep. It runs what the other one, which is in
/// a goroutine that waits, cannot.
///
/// Fails when `sleep` does not look at `is_surplus` again.
#[test]
fn loom_a_surplus_worker_is_called_back() {
    let to_run = Runs { fresh: 2, residents: 0 };
    let runtime = move || Runtime { surplus: Some(AtomicBool::new(true)), ..Runtime::new(to_run) };
    model_with(runtime, |runtime| {
        runtime.push();
        runtime.push();
        if let Some(surplus) = &runtime.surplus {
            surplus.store(false, Ordering::Relaxed);
        }
        runtime.events[1].wake();
    });
}
