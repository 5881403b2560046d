//! Random programs of insertions, cancellations and leaps in time, on a wheel and on a list.

use super::*;
use proptest::prelude::*;
use proptest::test_runner::Config;

#[derive(Clone, Debug)]
enum Step {
    /// A deadline so far from now, maybe in the past.
    Insert(i64),
    /// The deadline of an earlier insertion.
    InsertLike(usize),
    /// The key of any insertion there has been.
    Cancel(usize),
    CancelEarliest,
    /// Time goes on, and what is due expires.
    Advance(u64),
    /// Until something has expired, as a worker does it.
    Sleep,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => nanos().prop_map(|n| Step::Insert(n as i64)),
        1 => nanos().prop_map(|n| Step::Insert(-(n as i64))),
        2 => any::<usize>().prop_map(Step::InsertLike),
        3 => any::<usize>().prop_map(Step::Cancel),
        1 => Just(Step::CancelEarliest),
        2 => nanos().prop_map(Step::Advance),
        2 => Just(Step::Sleep),
    ];
    proptest::collection::vec(step, 1..200)
}

/// Up to 292 years, all magnitudes alike, and often near a power of 64 ticks.
fn nanos() -> impl Strategy<Value = u64> {
    let near = (1..64u64, 0..9u32, 0..5u64).prop_map(|(digit, level, near)| {
        ((digit * TICK) << (6 * level)) - TICK + near * (TICK / 2)
    });
    prop_oneof![near, (0..63u32, any::<u64>()).prop_map(|(bits, n)| n >> (63 - bits))]
        .prop_map(|n| n & (u64::MAX >> 1))
}

/// Nanoseconds; negative before the wheel was made.
type Time = i128;

/// Deadlines from here on never come.
const END: Time = wheel::NEVER as Time * TICK as Time;

#[derive(Clone, Copy, Debug)]
struct Entry {
    deadline: Time,
    /// The deadline, or the time of the insertion if that was later.
    due: Time,
    waits: bool,
}

struct Model {
    rig: Rig,
    now: Time,
    entries: Vec<Entry>,
    keys: Vec<Key>,
    cancelled: bool,
}

impl Model {
    fn insert(&mut self, deadline: Time) {
        let start = self.rig.start;
        let distance = Duration::from_nanos_u128(deadline.unsigned_abs());
        let instant = if deadline < 0 { start - distance } else { start + distance };
        self.keys.push(self.rig.insert_at(instant));
        let due = deadline.max(self.now);
        self.entries.push(Entry { deadline, due, waits: true });
    }

    fn cancel(&mut self, id: usize) {
        self.rig.timers.cancel(self.keys[id]);
        self.cancelled |= self.entries[id].waits;
        self.entries[id].waits = false;
    }

    fn earliest(&self) -> Option<(usize, Entry)> {
        let waiting = self.entries.iter().copied().enumerate().filter(|(_, entry)| entry.waits);
        waiting.min_by_key(|(_, entry)| entry.due)
    }

    /// How many have expired.
    fn advance(&mut self, now: Time) -> usize {
        self.now = now;
        let expired = self.rig.expire(Duration::from_nanos_u128(now as u128));
        let mut before: Option<(usize, Entry)> = None;
        for &id in &expired {
            let entry = self.entries[id];
            assert!(entry.waits, "{id} expires twice, or after its cancellation");
            assert!(entry.deadline <= now, "{id} expires early");
            assert!(entry.deadline <= END, "{id} expires after the end of time");
            if let Some((id_before, before)) = before {
                assert!(before.due < entry.due + TICK as Time, "{id} after {id_before}");
                assert!(before.deadline != entry.deadline || id_before < id, "{id} not first");
            }
            before = Some((id, entry));
            self.entries[id].waits = false;
        }
        let late = now.min(END) - TICK as Time;
        let left = self.entries.iter().position(|entry| entry.waits && entry.deadline <= late);
        assert_eq!(left, None, "late");
        assert!(self.next().is_none_or(|next| next > now || next == END), "no progress");
        expired.len()
    }

    fn next(&self) -> Option<Time> {
        self.rig.next().map(|next| next.as_nanos() as Time)
    }

    fn check_next(&self) {
        let tick = TICK as Time;
        // The clock stops a tick before the end of time.
        let earliest = self.earliest().map(|(_, entry)| entry.due.min(END - tick));
        let next = self.next();
        assert_eq!(earliest.is_none(), next.is_none());
        if let (Some(earliest), Some(next)) = (earliest, next) {
            assert!(next <= earliest + tick, "next too late");
            assert!(self.cancelled || next > earliest - tick, "next too early");
        }
    }

    fn sleep(&mut self) {
        let mut wake_ups = 0;
        while self.earliest().is_some_and(|(_, entry)| entry.deadline < END - TICK as Time) {
            let next = self.next().unwrap();
            wake_ups += 1;
            if self.advance(next.max(self.now)) > 0 {
                break;
            }
        }
        assert!(wake_ups <= 1 + u32::from(self.cancelled), "{wake_ups} wake-ups");
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Insert(after) => self.insert(self.now + Time::from(after)),
            Step::InsertLike(n) if self.entries.is_empty() => self.insert((n % 1000) as Time),
            Step::InsertLike(n) => self.insert(self.entries[n % self.entries.len()].deadline),
            Step::Cancel(_) if self.keys.is_empty() => {}
            Step::Cancel(n) => self.cancel(n % self.keys.len()),
            Step::CancelEarliest => {
                if let Some((id, _)) = self.earliest() {
                    self.cancel(id);
                }
            }
            Step::Advance(by) => {
                self.advance(self.now + Time::from(by));
            }
            Step::Sleep => self.sleep(),
        }
        self.check_next();
    }

    /// At the end of time.
    fn finish(&mut self) {
        self.advance(self.now.max(END + 1));
        for id in 0..self.keys.len() {
            self.cancel(id);
        }
        assert_eq!(self.next(), None);
    }
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, ..Config::default() })]

    #[test]
    fn a_wheel_does_what_a_list_does(steps in steps()) {
        let rig = Rig::new(steps.len());
        let mut model =
            Model { rig, now: 0, entries: Vec::new(), keys: Vec::new(), cancelled: false };
        for step in &steps {
            model.step(step);
        }
        model.finish();
    }
}
