use super::*;
use crate::ticket::{Kind, Listen, Parker, Settled};
use std::collections::BTreeMap;
use std::ptr;

mod model;

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// Parked threads, as far as tickets know.
fn parked(count: usize) -> (&'static [Parker], Vec<Ticket>) {
    let parkers: &'static [Parker] =
        Vec::leak((0..count).map(|_| Parker::new(Kind::Thread)).collect());
    let park = |parker: &Parker| {
        let ticket = parker.open(Listen::NONE);
        assert_eq!(parker.settle(), Settled::Parked);
        ticket
    };
    (parkers, parkers.iter().map(park).collect())
}

/// Timers for parked threads, with a clock of their own.
struct Rig {
    timers: Timers,
    start: Instant,
    parkers: &'static [Parker],
    tickets: Vec<Ticket>,
}

impl Rig {
    fn new(parks: usize) -> Rig {
        let start = Instant::now();
        let (parkers, tickets) = parked(parks);
        Rig { timers: Timers::starting_at(start), start, parkers, tickets }
    }

    /// The next thread gets a deadline.
    fn insert(&mut self, after: Duration) -> Key {
        self.insert_at(self.start + after)
    }

    fn insert_at(&mut self, deadline: Instant) -> Key {
        let ticket = self.tickets.remove(0);
        self.timers.insert(deadline, ticket)
    }

    fn next(&self) -> Option<Duration> {
        self.timers.next_deadline().map(|deadline| deadline - self.start)
    }

    /// Which threads' deadlines expire, in this order.
    fn expire(&mut self, after: Duration) -> Vec<usize> {
        let mut ready = Vec::new();
        self.timers.expire(self.start + after, |runnable| ready.push(runnable));
        let position = |runnable: &Runnable| {
            let parker = runnable.parker().as_ptr().cast_const();
            self.parkers.iter().position(|other| ptr::eq(other, parker)).unwrap()
        };
        ready.iter().map(position).collect()
    }
}

fn ticks(count: u64) -> Duration {
    Duration::from_nanos(count * TICK)
}

#[test]
fn due_entries_end_their_parks_in_order_and_no_others() {
    let mut rig = Rig::new(4);
    rig.insert(ticks(20));
    rig.insert(ticks(10));
    let key = rig.insert(ticks(5));
    rig.insert(ticks(11));
    rig.timers.cancel(key);
    assert_eq!(rig.next(), Some(ticks(10)));
    assert_eq!(rig.expire(ticks(20) - Duration::from_nanos(1)), [1, 3]);
    assert_eq!(rig.parkers[0].cause(), None);
    assert_eq!(rig.parkers[1].cause(), Some(Cause::Timeout));
    assert_eq!(rig.parkers[2].cause(), None);
    assert_eq!(rig.next(), Some(ticks(20)));
    assert_eq!(rig.expire(ticks(20)), [0]);
    assert_eq!(rig.next(), None);
}

#[test]
fn a_deadline_is_rounded_up_to_a_tick() {
    for (nanos, tick) in [(0, 0), (1, 1), (TICK - 1, 1), (TICK, 1), (TICK + 1, 2)] {
        let mut rig = Rig::new(1);
        rig.insert(Duration::from_nanos(nanos));
        assert_eq!(rig.next(), Some(ticks(tick)), "{nanos}");
        if tick > 0 {
            assert_eq!(rig.expire(ticks(tick) - Duration::from_nanos(1)), [0; 0], "{nanos}");
        }
        assert_eq!(rig.expire(ticks(tick)), [0], "{nanos}");
    }
}

/// The first and last slots of each level but the highest, and the ticks beside.
#[test]
fn nothing_is_early_or_late_where_levels_meet() {
    let starts = [0, 1, 63, 64, (1 << 24) - 1, 1 << 24, 0xfff_f0f0_ffff];
    for (start, level) in starts.into_iter().flat_map(|s| (0..8).map(move |level| (s, level))) {
        let mut rig = Rig::new(7);
        rig.insert(ticks(start));
        assert_eq!(rig.expire(ticks(start)), [0]);
        let slot = 1 << (6 * level);
        let mut due: BTreeMap<Duration, Vec<usize>> = BTreeMap::new();
        for (n, after) in [64, 63, 62, 2, 1].into_iter().enumerate() {
            due.entry(ticks(start + after * slot)).or_default().push(n + 1);
            rig.insert(ticks(start + after * slot));
        }
        due.entry(ticks(start + 64 * slot - 1)).or_default().push(6);
        rig.insert(ticks(start + 64 * slot - 1));
        for (deadline, due) in due {
            assert_eq!(rig.next(), Some(deadline));
            assert_eq!(rig.expire(deadline - Duration::from_nanos(1)), [0; 0]);
            assert_eq!(rig.next(), Some(deadline));
            assert_eq!(rig.expire(deadline), due);
        }
        assert_eq!(rig.next(), None);
    }
}

#[test]
fn equal_deadlines_expire_in_the_order_of_insertion() {
    let mut rig = Rig::new(300);
    let deadline = Duration::from_secs(60);
    for n in 0..300 {
        rig.insert(deadline);
        // Those that came before move down meanwhile.
        assert_eq!(rig.expire(deadline.mul_f64(f64::from(n) / 300.0)), [0; 0]);
    }
    assert_eq!(rig.expire(deadline), (0..300).collect::<Vec<_>>());
}

#[test]
fn what_is_overdue_expires_at_once() {
    let mut rig = Rig::new(3);
    assert_eq!(rig.expire(YEAR), [0; 0]);
    rig.insert(Duration::ZERO);
    rig.insert(YEAR - Duration::from_secs(1));
    rig.insert_at(rig.start - Duration::from_secs(1));
    assert!(rig.next().unwrap() <= YEAR);
    assert_eq!(rig.expire(YEAR), [0, 1, 2]);
}

#[test]
fn a_clock_that_goes_back_expires_nothing_early() {
    let mut rig = Rig::new(3);
    let second = Duration::from_secs(1);
    rig.insert_at(rig.start - second);
    rig.timers.expire(rig.start - second * 2, |_| panic!("before the wheel was made"));
    rig.insert(ticks(130));
    assert_eq!(rig.expire(ticks(128)), [0]);
    assert_eq!(rig.expire(ticks(5)), [0; 0]);
    rig.insert(ticks(6));
    assert_eq!(rig.expire(ticks(100)), [0; 0]);
    assert_eq!(rig.expire(ticks(130)), [2, 1]);
}

#[test]
fn deadlines_beyond_all_ticks_never_come() {
    let mut rig = Rig::new(4);
    let last = ticks(wheel::NEVER - 1);
    let mut far = Duration::from_secs(1 << 62);
    while rig.start.checked_add(far).is_none() {
        far /= 2;
    }
    rig.insert(far);
    rig.insert(YEAR * 1000);
    rig.insert(YEAR * 500);
    rig.insert(last);
    assert_eq!(rig.next(), Some(YEAR * 500));
    assert_eq!(rig.expire(last - ticks(1)), [2]);
    assert_eq!(rig.expire(last), [3]);
    assert!(rig.next().unwrap() > last);
    assert_eq!(rig.expire(YEAR * 900), [0; 0]);
    assert_eq!(rig.expire(far), [0; 0]);
    assert!(rig.next().is_some());
}

#[test]
fn the_clock_may_start_anywhere() {
    for start in [Instant::now() + YEAR * 10_000, Instant::now() - Duration::from_secs(60)] {
        let mut rig = Rig { timers: Timers::starting_at(start), start, ..Rig::new(1) };
        rig.insert(Duration::from_secs(3600));
        assert_eq!(rig.expire(Duration::from_secs(3600) - ticks(1)), [0; 0]);
        assert_eq!(rig.expire(Duration::from_secs(3600) + ticks(1)), [0]);
    }
}

#[test]
fn a_key_of_one_that_is_gone_does_nothing() {
    let mut rig = Rig::new(4);
    let cancelled = rig.insert(ticks(5));
    rig.timers.cancel(cancelled);
    rig.timers.cancel(cancelled);
    assert_eq!(rig.next(), None);
    let expired = rig.insert(ticks(6));
    rig.timers.cancel(cancelled);
    assert_eq!(rig.expire(ticks(6)), [1]);
    rig.insert(ticks(7));
    rig.timers.cancel(cancelled);
    rig.timers.cancel(expired);
    assert_eq!(rig.expire(ticks(7)), [2]);
}

#[test]
fn a_park_that_has_ended_otherwise_is_not_made_runnable() {
    let mut rig = Rig::new(2);
    let ticket = rig.tickets[0];
    rig.insert(ticks(1));
    rig.insert(ticks(1));
    assert!(matches!(ticket.claim(Cause::Notified), Claim::Won(_)));
    assert_eq!(rig.expire(ticks(1)), [1]);
    assert_eq!(rig.parkers[0].cause(), Some(Cause::Notified));
}

/// The next deadline is that of an entry, wherever its slot starts.
#[test]
fn one_far_deadline_is_worth_one_wake_up() {
    let mut rig = Rig::new(1);
    rig.insert(Duration::from_secs(3600));
    let next = rig.next().unwrap();
    assert_eq!(rig.expire(next), [0]);
}

#[test]
fn cancelled_deadlines_are_worth_one_wake_up() {
    let mut rig = Rig::new(101);
    let hour = Duration::from_secs(3600);
    let keys: Vec<Key> = (0..100).map(|n| rig.insert(hour + Duration::from_millis(n))).collect();
    rig.insert(hour + Duration::from_secs(1));
    for key in keys {
        rig.timers.cancel(key);
    }
    let too_early = rig.next().unwrap();
    assert_eq!(rig.expire(too_early), [0; 0]);
    let next = rig.next().unwrap();
    assert_eq!(rig.expire(next), [100]);
}
