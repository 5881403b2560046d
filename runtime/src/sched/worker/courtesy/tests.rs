//! For whom a worker would stand aside, and how often.

use super::*;
use crate::poll::{Source, Wait};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::ptr;
use std::sync::Weak;

#[test]
fn who_has_reports_and_runs_nobody_waits_for_a_processor() {
    let station = Station::new(Weak::new(), 0);
    station.prepare_poller().unwrap();
    assert!(station.occupy());
    let (stream, mut other) = UnixStream::pair().unwrap();
    let source = Source::lease();
    source.register(stream.as_raw_fd(), station.poller().clone()).unwrap();
    // That there is room to write is reported at once.
    assert_eq!(station.poller().poll(Wait::No, |_| unreachable!("nobody waits")), 1);
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

    assert_eq!(station.poller().poll(Wait::No, |_| unreachable!("nobody waits")), 1);
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
fn it_looks_after_enough_reports_unless_many_come_at_once() {
    let courtesy = Courtesy::new();
    let due = |reports: &[usize]| reports.iter().map(|&n| courtesy.is_due(n)).collect::<Vec<_>>();
    assert_eq!(due(&[ENOUGH - 1, 0, 1, ENOUGH - 1, 1]), [false, false, true, false, true]);
    assert_eq!(due(&[ENOUGH - 1, MANY, 1]), [false, false, false]);
}
