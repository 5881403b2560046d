//! What became of every value.
//!
//! A [`Value`] owns nothing and is only a number, so that a value that was duplicated, torn or made of rubbish does no
//! harm before it is found out. Everything about it stands in the one ledger of the process, which is opened
//! again for each program. Whatever can be seen at once ends the process at once; the rest is left to
//! `history.rs`.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Instant;

use crate::program::MAX_CHANNELS;
use crate::report::die;

/// The most values of one program.
const VALUES: usize = 1 << 14;

/// Nanoseconds since the process began. They order what happens on different threads.
pub(crate) fn now() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed().as_nanos() as u64
}

/// What a program sends: a stamp, as often as it fits in.
pub(crate) struct Value<const WORDS: usize> {
    stamp: u64,
    padding: [u64; WORDS],
    check: u64,
}

const KEY: u64 = 0x9e37_79b9_7f4a_7c15;

impl<const WORDS: usize> Value<WORDS> {
    pub(crate) fn id(&self) -> usize {
        let intact = self.check == self.stamp ^ KEY
            && self.padding.iter().enumerate().all(|(i, word)| *word == self.stamp + i as u64);
        if !intact {
            die(format!("not a value: {:#x} {:x?} {:#x}", self.stamp, self.padding, self.check));
        }
        let id = (self.stamp & 0xffff_ffff) as usize;
        if self.stamp >> 32 != u64::from(LEDGER.program.load(Ordering::Relaxed)) {
            die(format!("value {id} is of an earlier program"));
        }
        id
    }
}

impl<const WORDS: usize> Drop for Value<WORDS> {
    fn drop(&mut self) {
        LEDGER.dropped(self.id());
    }
}

/// What the sender knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Sent {
    /// It has not come back from the send; in the end that means that it was unwound there.
    Begun,
    Yes,
    /// It came back, or was dropped by a send that did not happen.
    No,
    /// The send was given up.
    Maybe,
}

/// One value.
#[derive(Default)]
pub(crate) struct Slot {
    pub(crate) sender: AtomicU32,
    pub(crate) channel: AtomicU32,
    pub(crate) send_start: AtomicU64,
    pub(crate) send_end: AtomicU64,
    sent: AtomicU8,
    pub(crate) received: AtomicU32,
    pub(crate) receiver: AtomicU32,
    pub(crate) recv_start: AtomicU64,
    pub(crate) recv_end: AtomicU64,
    pub(crate) drops: AtomicU32,
    pub(crate) dropped: AtomicU64,
    /// It was dropped when its channel had no receiver.
    pub(crate) adrift: AtomicBool,
}

impl Slot {
    pub(crate) fn sent(&self) -> Sent {
        match self.sent.load(Ordering::Relaxed) {
            0 => Sent::Begun,
            1 => Sent::Yes,
            2 => Sent::No,
            _ => Sent::Maybe,
        }
    }
}

/// A channel's ends, counted so that a count that is zero is true of the channel: up before one is
/// made, down before one is dropped.
#[derive(Default)]
pub(crate) struct Book {
    pub(crate) senders: AtomicUsize,
    pub(crate) receivers: AtomicUsize,
    /// Somebody closes it or has closed it.
    pub(crate) closing: AtomicBool,
    /// When a close had returned; 0: never.
    pub(crate) closed: AtomicU64,
    pub(crate) absences: Mutex<Vec<Absence>>,
}

/// Something that was said not to be there, and between which times.
#[expect(dead_code, reason = "all of it is printed")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Absence {
    pub(crate) what: Absent,
    pub(crate) party: u32,
    pub(crate) start: u64,
    pub(crate) end: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Absent {
    Values,
    Room,
}

pub(crate) struct Ledger {
    program: AtomicU32,
    next: AtomicUsize,
    slots: Vec<Slot>,
    pub(crate) books: [Book; MAX_CHANNELS],
}

pub(crate) static LEDGER: LazyLock<Ledger> = LazyLock::new(|| Ledger {
    program: AtomicU32::new(0),
    next: AtomicUsize::new(0),
    slots: (0..VALUES).map(|_| Slot::default()).collect(),
    books: Default::default(),
});

impl Ledger {
    /// For the next program; the last one has left nothing.
    pub(crate) fn open(&self) {
        for slot in self.slots() {
            slot.sent.store(0, Ordering::Relaxed);
            slot.received.store(0, Ordering::Relaxed);
            slot.drops.store(0, Ordering::Relaxed);
            slot.adrift.store(false, Ordering::Relaxed);
        }
        for book in &self.books {
            book.closing.store(false, Ordering::Relaxed);
            book.closed.store(0, Ordering::Relaxed);
            lock(&book.absences).clear();
        }
        self.next.store(0, Ordering::Relaxed);
        self.program.fetch_add(1, Ordering::Relaxed);
    }

    /// Those of this program so far.
    pub(crate) fn slots(&self) -> &[Slot] {
        &self.slots[..self.next.load(Ordering::Relaxed).min(VALUES)]
    }

    /// A value that this party sends now; none when there are too many.
    pub(crate) fn make<const WORDS: usize>(
        &self,
        party: u32,
        channel: usize,
    ) -> Option<Value<WORDS>> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let slot = self.slots.get(id)?;
        slot.sender.store(party, Ordering::Relaxed);
        slot.channel.store(channel as u32, Ordering::Relaxed);
        slot.send_start.store(now(), Ordering::Relaxed);
        let stamp = u64::from(self.program.load(Ordering::Relaxed)) << 32 | id as u64;
        let padding = std::array::from_fn(|i| stamp + i as u64);
        Some(Value { stamp, padding, check: stamp ^ KEY })
    }

    /// How a send ended.
    pub(crate) fn settle(&self, id: usize, sent: Sent) {
        self.slots[id].send_end.store(now(), Ordering::Relaxed);
        self.slots[id].sent.store(sent as u8, Ordering::Relaxed);
    }

    /// A send has given the value back.
    pub(crate) fn returned<const WORDS: usize>(&self, id: usize, value: &Value<WORDS>) {
        if value.id() != id {
            die(format!("a send of {id} gave {} back", value.id()));
        }
        self.settle(id, Sent::No);
    }

    /// A receive that began then gave this value.
    pub(crate) fn received<const WORDS: usize>(
        &self,
        value: Value<WORDS>,
        channel: usize,
        party: u32,
        start: u64,
    ) {
        let id = value.id();
        let slot = &self.slots[id];
        let from = slot.channel.load(Ordering::Relaxed);
        if slot.received.fetch_add(1, Ordering::Relaxed) != 0 {
            let first = slot.receiver.load(Ordering::Relaxed);
            die(format!("value {id} of channel {channel} came twice, to {first} and {party}"));
        }
        if from != channel as u32 {
            die(format!("value {id} was sent to channel {from}, and came out of {channel}"));
        }
        slot.receiver.store(party, Ordering::Relaxed);
        slot.recv_start.store(start, Ordering::Relaxed);
        slot.recv_end.store(now(), Ordering::Relaxed);
    }

    fn dropped(&self, id: usize) {
        let slot = &self.slots[id];
        let channel = slot.channel.load(Ordering::Relaxed) as usize;
        if slot.drops.fetch_add(1, Ordering::Relaxed) != 0 {
            die(format!("value {id} of channel {channel} was dropped twice"));
        }
        slot.dropped.store(now(), Ordering::Relaxed);
        if self.books[channel].receivers.load(Ordering::SeqCst) == 0 {
            slot.adrift.store(true, Ordering::Relaxed);
        }
    }

    pub(crate) fn absent(&self, what: Absent, channel: usize, party: u32, start: u64) {
        let absence = Absence { what, party, start, end: now() };
        lock(&self.books[channel].absences).push(absence);
    }

    /// A receive that began then was told that the channel is closed.
    pub(crate) fn over(&self, channel: usize, party: u32, start: u64) {
        let book = &self.books[channel];
        if !book.closing.load(Ordering::SeqCst) && book.senders.load(Ordering::SeqCst) > 0 {
            die(format!("{party} cannot receive from channel {channel}, which is open"));
        }
        self.absent(Absent::Values, channel, party, start);
    }

    /// A send was told that the channel is closed.
    pub(crate) fn refused(&self, channel: usize, party: u32) {
        let book = &self.books[channel];
        if !book.closing.load(Ordering::SeqCst) && book.receivers.load(Ordering::SeqCst) > 0 {
            die(format!("{party} cannot send to channel {channel}, which is open"));
        }
    }
}

/// Locks; a panic elsewhere is found out elsewhere.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
