//! Where a thread runs that is pulled, and that nobody's choice is lost.

use super::*;
use crate::sched::policy::tests::install_filter;
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Whether threads of this process can be pulled. Where not, nothing may change.
fn is_possible() -> bool {
    prepare();
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
    let single = |n: usize| parse(&n.to_string()).unwrap();
    let is_in_all = |set: &Set| set.iter().zip(all).any(|(bits, all)| bits & all != 0);
    (0..64 * all.len()).map(single).filter(is_in_all).collect()
}

/// Ends the thread that is busy, also if the test fails.
struct EndOf<'a>(&'a AtomicBool);

impl Drop for EndOf<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Whether a thread that is busy, after `begin`, on another processor comes to the caller's one when that pulls it; each
/// of so many times. Nothing where nobody can be pulled, or there is one processor only.
fn comings(begin: impl FnOnce() + Send, pull: impl Fn(libc::pid_t)) -> Option<[bool; 30]> {
    let (true, [here, there, ..]) = (is_possible(), &each_processor()[..]) else { return None };
    let (visits, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (id, ids) = mpsc::channel();
    thread::scope(|scope| {
        let _end = EndOf(&is_over);
        scope.spawn(|| {
            begin();
            { id }.send(own_id()).unwrap();
            while !is_over.load(Ordering::Relaxed) {
                let is_here = only_here() == Some(*here);
                visits.fetch_add(is_here.into(), Ordering::Relaxed);
            }
        });
        let busy = ids.recv().unwrap();
        assert!(allow(own_id(), here));
        let comes = [(); 30].map(|()| {
            assert!(allow(busy, there) && allow(busy, &ALL));
            let before = visits.load(Ordering::Relaxed);
            pull(busy);
            visits.load(Ordering::Relaxed) != before
        });
        assert!(allow(own_id(), &ALL));
        Some(comes)
    })
}

/// Whether it mostly comes, or mostly does not. The system may move it at any time, the more so where others run; but not
/// time and again.
pub(in crate::sched) fn mostly(comes: bool, begin: impl Fn() + Sync, pull: impl Fn(libc::pid_t)) {
    let start = Instant::now();
    while let Some(comings) = comings(&begin, &pull) {
        let agreeing = comings.iter().filter(|&&coming| coming == comes).count();
        if agreeing > comings.len() / 2 {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "{agreeing} of {}", comings.len());
    }
}

/// The caller lets it run.
fn pull_and_wait(thread: libc::pid_t) {
    pull(thread);
    thread::sleep(Duration::from_micros(500));
}

#[test]
fn lists_of_processors() {
    let bits = |list| parse(list).map(|set| (set[0], set[1]));
    let lists = ["0", "0-1", "0-3,5", "3,62-65", "7-7"].map(bits);
    let sets = [(1, 0), (3, 0), (0b10_1111, 0), (1 << 3 | 3 << 62, 3), (1 << 7, 0)];
    assert_eq!(lists, sets.map(Some));
    assert_eq!(parse("0-1023"), Some(ALL));
    let malformed = ["", "-", "a", "1-", "3-1", "0,", "1024", "0-18446744073709551615"].map(bits);
    assert_eq!(malformed, [None; 8]);
}

#[test]
fn where_a_thread_is_allowed_to_run_it_runs() {
    for processor in each_processor() {
        let waiting = Waiting::new();
        assert!(allow(waiting.id, &processor));
        assert_eq!(waiting.go_on(), (processor, processor));
    }
}

#[test]
fn who_is_pulled_comes_here() {
    mostly(true, || (), pull_and_wait);
}

#[test]
fn who_was_pulled_may_go_anywhere() {
    let before = allowed(own_id()).unwrap();
    let waiting = Waiting::new();
    prepare();
    pull(waiting.id);
    assert_eq!(waiting.go_on().1, before);
}

#[test]
fn who_is_limited_stays_so() {
    for processor in each_processor() {
        let waiting = Waiting::new();
        assert!(allow(waiting.id, &processor));
        prepare();
        pull(waiting.id);
        assert_eq!(waiting.go_on().1, processor);
    }
}

#[test]
fn under_a_filter_for_system_calls_nobody_is_pulled() {
    let pull = |thread| {
        let filtered = move || {
            install_filter();
            pull_and_wait(thread);
        };
        thread::spawn(filtered).join().unwrap();
    };
    mostly(false, || (), pull);
}
