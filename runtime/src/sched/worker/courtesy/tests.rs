//! For whom a worker would stand aside, and how often.

use super::*;
use crate::goroutine::Affinity;
use crate::poll::{Source, Wait};
use crate::primitive::atomic::AtomicBool;
use crate::sched::policy::Verdict;
use crate::sched::{Config, Shared, pull};
use crate::stack::StackSize;
use std::io::Write;
use std::mem;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::ptr;
use std::sync::{Arc, Weak};
use std::thread;

#[test]
fn who_has_reports_and_runs_nobody_waits_for_a_processor() {
    let station = Station::new(Weak::new(), 0);
    station.prepare_poller().unwrap();
    assert!(station.occupy());
    let (stream, mut other) = UnixStream::pair().unwrap();
    let source = Source::lease();
    source.register(stream.as_raw_fd(), station.poller().clone()).unwrap();
    // That there is room to write is reported at once.
    assert_eq!(station.poller().poll(Wait::No, || (), |_| unreachable!("nobody waits")), 1);
    assert!(!station.waits_for_processor(0));

    other.write_all(&[1]).unwrap();
    assert!(station.waits_for_processor(0));
    assert!(station.waits_for_processor(0), "a look takes nothing");

    station.epoch.store(1, Ordering::Relaxed);
    assert!(!station.waits_for_processor(0), "it gets on");
    assert!(station.waits_for_processor(1));
    station.running.store(ptr::dangling_mut(), Ordering::Relaxed);
    assert!(!station.waits_for_processor(1), "a goroutine keeps it");
    station.running.store(ptr::null_mut(), Ordering::Relaxed);

    assert_eq!(station.poller().poll(Wait::No, || (), |_| unreachable!("nobody waits")), 1);
    assert!(!station.waits_for_processor(1), "it has fetched them");
    other.write_all(&[1]).unwrap();
    assert!(station.waits_for_processor(1));
    station.vacate();
    assert!(!station.waits_for_processor(1), "there is no worker");
    assert!(source.close().is_empty());
}

#[test]
fn in_vain_it_does_so_less_and_less_often() {
    let mut doubt = Courtesy::new().doubt.get();
    let now = Instant::now();
    assert!(doubt.after(Outcome::GotOn, now).until <= now);
    assert!(doubt.after(Outcome::Interrupted, now).until <= now);
    let mut pauses = Vec::new();
    for _ in 0..9 {
        doubt = doubt.after(Outcome::InVain, now);
        pauses.push((doubt.until - now).as_millis());
    }
    assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
    assert_eq!(doubt.after(Outcome::Interrupted, now).length, LONGEST_DOUBT);
    doubt = doubt.after(Outcome::GotOn, now).after(Outcome::InVain, now);
    assert_eq!(doubt.until, now + LONGEST_DOUBT, "one success does not make up for them");
}

#[test]
fn what_a_nap_comes_to() {
    let outcome = |length, gets_on: bool, work: bool| Outcome::of_nap(length, || gets_on, || work);
    let short = DOZE / 2;
    assert_eq!(outcome(LATE, true, true), Some(Outcome::InVain));
    assert_eq!(outcome(DOZE, true, true), Some(Outcome::GotOn));
    assert_eq!(outcome(short, true, false), Some(Outcome::GotOn));
    assert_eq!(outcome(DOZE, false, true), Some(Outcome::Interrupted));
    assert_eq!(outcome(short, false, false), Some(Outcome::Interrupted), "it was not in vain");
    assert_eq!(outcome(DOZE, false, false), None);
}

#[test]
fn it_looks_after_enough_reports_unless_many_come_at_once() {
    let courtesy = Courtesy::new();
    let due = |reports: &[usize]| reports.iter().map(|&n| courtesy.is_due(n)).collect::<Vec<_>>();
    assert_eq!(due(&[ENOUGH - 1, 0, 1, ENOUGH - 1, 1]), [false, false, true, false, true]);
    assert_eq!(due(&[ENOUGH - 1, MANY, 1]), [false, false, false]);
}

/// A worker of a runtime of two, none of which has a thread, and what keeps reports waiting for the other one.
struct Pair {
    worker: Worker,
    source: &'static Source,
    _ends: (UnixStream, UnixStream),
}

impl Pair {
    fn new() -> Pair {
        let shared = Shared::new(Config {
            workers: 2,
            spares: 0,
            stack_size: StackSize::DEFAULT,
            thread_name: "test".into(),
            affinity: Affinity::Worker,
            report_stalls: false,
        });
        for station in &shared.stations {
            station.prepare_poller().unwrap();
            assert!(station.occupy());
        }
        shared.used.store(2, Ordering::Relaxed);
        let ends = UnixStream::pair().unwrap();
        let source = Source::lease();
        source.register(ends.0.as_raw_fd(), shared.stations[1].poller().clone()).unwrap();
        Pair { worker: Worker::new(shared, 0), source, _ends: ends }
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.worker.shared
    }

    /// The worker is out of work; whether it has dozed.
    fn dozes(&self) -> bool {
        thread::sleep(LONG);
        self.worker.stand_aside(ENOUGH)
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        assert!(self.source.close().is_empty());
        assert!(!self.shared().dozing.load(Ordering::Relaxed) || thread::panicking());
    }
}

#[test]
fn it_dozes_at_the_third_look_and_not_soon_again_if_that_was_in_vain() {
    let pair = Pair::new();
    assert!(!pair.dozes() && !pair.dozes());
    assert!(pair.dozes());
    let doubt = &pair.worker.courtesy.doubt;
    assert_eq!(doubt.get().length, SHORTEST_DOUBT);
    doubt.set(Doubt { until: Instant::now() + Duration::from_secs(60), ..doubt.get() });
    assert!(!pair.dozes() && !pair.dozes() && !pair.dozes());
    doubt.set(Doubt { until: Instant::now(), ..doubt.get() });
    assert!((0..3).any(|_| pair.dozes()));
}

#[test]
fn whom_it_dozes_for_comes_to_its_processor() {
    let pair = Pair::new();
    let other = &pair.shared().stations[1];
    let without_doubt = Courtesy::new().doubt.get();
    let stand_aside = |_| {
        pair.worker.courtesy.doubt.set(without_doubt);
        assert!((0..3).any(|_| pair.dozes()));
    };
    let poll = || {
        other.note_thread();
        other.away.begin();
    };
    pull::tests::mostly(true, poll, stand_aside);
    // From here on it might start threads, or end.
    let run = || {
        other.note_thread();
        other.away.end();
    };
    pull::tests::mostly(false, run, stand_aside);
}

#[test]
fn what_comes_of_it_decides_on_the_batch_policy() {
    let pair = Pair::new();
    let policy = &pair.shared().policy;
    let mut verdict = Verdict::new();
    let mut now = Instant::now();
    let mut is_batch_after = |outcome| {
        // Long enough for an occasion of its own.
        now += Duration::from_millis(500);
        pair.worker.learn_from(outcome);
        verdict.update(policy, now);
        policy.is_batch()
    };
    assert!(!is_batch_after(Outcome::Interrupted));
    assert!(is_batch_after(Outcome::GotOn));
    assert!(is_batch_after(Outcome::Interrupted));
    assert!(is_batch_after(Outcome::InVain));
    assert!(!is_batch_after(Outcome::InVain));
}

#[test]
fn it_gives_the_other_one_time_to_wake_up() {
    let pair = Pair::new();
    assert!(!pair.dozes());
    assert!(pair.worker.courtesy.suspect.get().unwrap().since.is_none());
    assert!(!pair.dozes());
    let suspect = pair.worker.courtesy.suspect.get().unwrap();
    assert!(suspect.since.unwrap() <= Instant::now());
    let later = Some(Instant::now() + Duration::from_secs(60));
    pair.worker.courtesy.suspect.set(Some(Suspect { since: later, ..suspect }));
    assert!(!pair.dozes() && !pair.dozes());
    pair.worker.courtesy.suspect.set(Some(suspect));
    assert!(pair.dozes());
}

#[test]
fn it_does_not_doze_for_one_that_gets_on() {
    let pair = Pair::new();
    let other = &pair.shared().stations[1];
    for epoch in 1..10 {
        assert!(!pair.dozes());
        other.epoch.store(epoch, Ordering::Relaxed);
    }
    for epoch in 10..20 {
        assert!(!pair.dozes() && !pair.dozes());
        other.epoch.store(epoch, Ordering::Relaxed);
    }
    assert!(!pair.dozes() && !pair.dozes());
    assert_eq!(other.poller().poll(Wait::No, || (), |_| unreachable!("nobody waits")), 1);
    assert!(!pair.dozes() && !pair.dozes() && !pair.dozes() && !pair.dozes());
}

#[test]
fn who_is_out_of_work_rouses_it() {
    const FOR_EVER: Duration = Duration::from_secs(3600);
    let pair = Pair::new();
    // The other one's sleeps end at once, so that it is out of work again and again.
    pair.shared().close();
    pair.shared().dozing.store(true, Ordering::Relaxed);
    let napping = {
        let shared = pair.shared().clone();
        thread::spawn(move || Worker::new(shared, 0).nap_until(Instant::now() + FOR_EVER))
    };
    let other = Worker::new(pair.shared().clone(), 1);
    let start = Instant::now();
    while !napping.is_finished() {
        assert!(start.elapsed() < Duration::from_secs(60), "it goes on");
        assert!(other.search_or_sleep(None).is_none());
    }
    napping.join().unwrap();
    pair.shared().dozing.store(false, Ordering::Relaxed);
}

extern "C" fn ignore(_signal: libc::c_int) {}

/// As they would one of std's sleeps: that begins again with what the system says is left, to which it adds the timer's
/// slack.
#[test]
fn signals_do_not_keep_it_asleep() {
    const LIMIT: Duration = Duration::from_secs(60);
    let pair = Pair::new();
    // Nobody else's.
    let signal = libc::SIGRTMIN() + 3;
    // SAFETY: the handler does nothing at all; zeros are an empty mask and no flags.
    unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        action.sa_sigaction = ignore as *const () as usize;
        assert_eq!(libc::sigaction(signal, &action, ptr::null_mut()), 0);
    }
    let start = Instant::now();
    let done = AtomicBool::new(false);
    // SAFETY: it has no preconditions.
    let me = unsafe { libc::pthread_self() };
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) && start.elapsed() < LIMIT {
                // SAFETY: that thread waits for the end of this scope.
                unsafe { libc::pthread_kill(me, signal) };
                // More often than every 50 µs, which is how late the system may be each time.
                let next = Instant::now() + Duration::from_micros(10);
                while Instant::now() < next {
                    hint::spin_loop();
                }
            }
        });
        for _ in 0..300 {
            pair.worker.nap_until(Instant::now() + DOZE);
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(start.elapsed() < LIMIT, "it slept until there were no more signals");
}

#[test]
fn it_does_not_doze_when_it_has_something_to_do() {
    let pair = Pair::new();
    let ever_dozes = || (0..3).any(|_| pair.dozes());
    pair.worker.spoken_to.set(true);
    assert!(!ever_dozes());
    pair.worker.spoken_to.set(false);
    pair.shared().dozing.store(true, Ordering::Relaxed);
    assert!(!ever_dozes(), "one is enough");
    pair.shared().dozing.store(false, Ordering::Relaxed);
    pair.worker.station().surplus.store(true, Ordering::Relaxed);
    assert!(!ever_dozes(), "it is to end");
    pair.worker.station().surplus.store(false, Ordering::Relaxed);
    assert!(ever_dozes());
}
