//! Where a thread runs that is pulled, and that nobody's choice is lost.

use super::*;
use crate::sched::policy::tests::install_filter;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Whether threads of this process can be pulled. Where not, nothing may change.
fn is_possible() -> bool {
    !policy::is_filtered() && may_run_everywhere(own_id()) && allow(own_id(), &ALL)
}

fn own_id() -> libc::pid_t {
    // SAFETY: it has no preconditions.
    unsafe { libc::gettid() }
}

/// A thread that waits until it is told to go on, and then says where it is and where it may be.
struct Waiting {
    thread: thread::JoinHandle<(Set, Set)>,
    id: libc::pid_t,
    go_on: mpsc::Sender<()>,
}

impl Waiting {
    fn new() -> Waiting {
        let (id, ids) = mpsc::channel();
        let (go_on, wait) = mpsc::channel();
        let thread = thread::spawn(move || {
            id.send(own_id()).unwrap();
            wait.recv().unwrap();
            (only_here().unwrap(), allowed(own_id()).unwrap())
        });
        Waiting { thread, id: ids.recv().unwrap(), go_on }
    }

    fn go_on(self) -> (Set, Set) {
        self.go_on.send(()).unwrap();
        self.thread.join().unwrap()
    }
}

/// The processors on which the caller may run, each by itself.
fn each_processor() -> Vec<Set> {
    let all = allowed(own_id()).unwrap();
    (0..64 * all.len())
        .filter(|&n| all[n / 64] & 1 << (n % 64) != 0)
        .map(|n| {
            let mut set: Set = [0; 16];
            set[n / 64] = 1 << (n % 64);
            set
        })
        .collect()
}

/// Whether a thread that is busy on another processor, after `begin`, comes to the caller's one when that pulls it. So it
/// does where nobody can be pulled, or there is one processor only.
pub(in crate::sched) fn comes_here(begin: impl FnOnce() + Send, pull: impl Fn()) -> bool {
    let (true, [here, there, ..]) = (is_possible(), &each_processor()[..]) else {
        return true;
    };
    let before = allowed(own_id()).unwrap();
    assert!(allow(own_id(), here));
    let is_here = AtomicBool::new(false);
    let is_over = AtomicBool::new(false);
    let (id, ids) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(|| {
            begin();
            assert!(allow(own_id(), there) && allow(own_id(), &before));
            id.send(()).unwrap();
            while !is_over.load(Ordering::Relaxed) {
                is_here.fetch_or(only_here() == Some(*here), Ordering::Relaxed);
            }
        });
        ids.recv().unwrap();
        let start = Instant::now();
        while !is_here.load(Ordering::Relaxed) && start.elapsed() < Duration::from_secs(10) {
            pull();
            thread::yield_now();
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert!(allow(own_id(), &before));
    is_here.into_inner()
}

#[test]
fn lists_of_processors() {
    let counts = ["0", "0-1", "0-3,5", "0-3,8-11,64", "7-7"].map(count_processors);
    assert_eq!(counts, [1, 2, 5, 9, 1].map(Some));
    let malformed = ["", "-", "a", "1-", "3-1", "0,", "0-4294967295"].map(count_processors);
    assert_eq!(malformed, [None; 7]);
}

#[test]
fn where_a_thread_is_allowed_to_run_it_runs() {
    thread::spawn(|| {
        for here in each_processor() {
            assert!(allow(own_id(), &here));
            assert_eq!(only_here(), Some(here));
            let waiting = Waiting::new();
            assert!(allow(waiting.id, &only_here().unwrap()));
            assert_eq!(waiting.go_on(), (here, here));
        }
    })
    .join()
    .unwrap();
}

#[test]
fn who_is_pulled_comes_here() {
    let id = AtomicI32::new(0);
    let begin = || id.store(own_id(), Ordering::Relaxed);
    assert!(comes_here(begin, || assert!(pull(id.load(Ordering::Relaxed)))));
}

#[test]
fn who_was_pulled_may_go_anywhere() {
    let before = allowed(own_id()).unwrap();
    let waiting = Waiting::new();
    assert_eq!(pull(waiting.id), is_possible());
    assert_eq!(waiting.go_on().1, before);
}

#[test]
fn who_is_limited_stays_so_and_is_not_pulled() {
    let processors = each_processor();
    if let [here, there, ..] = processors[..] {
        let waiting = Waiting::new();
        assert!(allow(waiting.id, &there));
        let pulled = thread::spawn(move || {
            assert!(allow(own_id(), &here));
            pull(waiting.id)
        });
        assert!(!pulled.join().unwrap());
        assert_eq!(waiting.go_on(), (there, there));
    }
}

#[test]
fn under_a_filter_for_system_calls_nobody_is_pulled() {
    let waiting = Waiting::new();
    let pulled = thread::spawn(move || {
        install_filter();
        pull(waiting.id)
    });
    assert!(!pulled.join().unwrap());
    waiting.go_on();
}

#[test]
fn who_is_not_there_is_not_pulled() {
    assert!(!pull(libc::pid_t::MAX));
}
