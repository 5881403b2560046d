//! Whether what has happened can have happened, when all is over.
//!
//! Every operation has a start and an end, and took effect somewhere in between. So of two operations the one that
//! ended before the other one began came first; where they overlap, nothing is known, and nothing checked.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::ledger::{Absence, Absent, Book, LEDGER, Sent, Slot, lock};
use crate::program::Program;
use crate::report::die;

pub(crate) fn check(program: &Program) {
    let slots = LEDGER.slots();
    for (id, slot) in slots.iter().enumerate() {
        fate(id, slot);
    }
    for (channel, book) in LEDGER.books.iter().enumerate() {
        let (senders, receivers) = (&book.senders, &book.receivers);
        if senders.load(Ordering::SeqCst) != 0 || receivers.load(Ordering::SeqCst) != 0 {
            die(format!("ends of channel {channel} are left"));
        }
        let mut values: Vec<_> = slots.iter().enumerate().map(Value::new).collect();
        values.retain(|value| value.channel == channel as u32);
        let spec = program.channels.get(channel);
        let capacity = spec.and_then(|channel| channel.capacity);
        closed(channel, book, &values);
        // What was given back comes late.
        if spec.is_none_or(|channel| !channel.loose) {
            order(channel, &values);
            room(channel, capacity, &values);
            absences(channel, capacity, book, &values);
        }
    }
}

/// Nothing is lost, nothing comes twice.
fn fate(id: usize, slot: &Slot) {
    let (drops, received) = (get(&slot.drops), get(&slot.received));
    let adrift = slot.adrift.load(Ordering::Relaxed);
    let right = match slot.sent() {
        Sent::Yes => received == 1 || adrift,
        Sent::Begun | Sent::No => received == 0,
        Sent::Maybe => received <= 1,
    };
    if drops != 1 || !right {
        let channel = get(&slot.channel);
        let sent = slot.sent();
        die(format!(
            "value {id} of channel {channel}: sent {sent:?}, received {received} times, dropped {drops} \
             times, without receivers: {adrift}",
        ));
    }
}

/// A slot, read.
#[expect(dead_code, reason = "all of it is printed")]
#[derive(Clone, Copy, Debug)]
struct Value {
    id: usize,
    sender: u32,
    channel: u32,
    sent: Sent,
    send_start: u64,
    send_end: u64,
    received: bool,
    recv_start: u64,
    recv_end: u64,
    dropped: u64,
}

impl Value {
    fn new((id, slot): (usize, &Slot)) -> Value {
        let time = |time: &AtomicU64| time.load(Ordering::Relaxed);
        Value {
            id,
            sender: get(&slot.sender),
            channel: get(&slot.channel),
            sent: slot.sent(),
            send_start: time(&slot.send_start),
            send_end: time(&slot.send_end),
            received: get(&slot.received) > 0,
            recv_start: time(&slot.recv_start),
            recv_end: time(&slot.recv_end),
            dropped: time(&slot.dropped),
        }
    }

    /// Until when it was surely in the channel, if it was sent.
    fn leaves(&self) -> u64 {
        if self.received { self.recv_start } else { self.dropped }
    }
}

fn get(number: &AtomicU32) -> u32 {
    number.load(Ordering::Relaxed)
}

/// Nothing was sent after a close.
fn closed(channel: usize, book: &Book, values: &[Value]) {
    let closed = book.closed.load(Ordering::SeqCst);
    let late = values.iter().find(|v| v.sent == Sent::Yes && closed > 0 && v.send_start > closed);
    if let Some(value) = late {
        die(format!("{value:?} was sent to channel {channel} after it was closed at {closed}"));
    }
}

/// What was sent later comes later, whoever sent it.
fn order(channel: usize, values: &[Value]) {
    for first in values.iter().filter(|value| value.sent == Sent::Yes) {
        // One that nobody received must not be overtaken at all.
        let start = if first.received { first.recv_start } else { u64::MAX };
        let overtakes = |second: &&Value| {
            let later = second.sent == Sent::Yes && second.send_start > first.send_end;
            later && second.received && second.recv_end < start
        };
        if let Some(second) = values.iter().find(overtakes) {
            die(format!("in channel {channel} {second:?} came before {first:?}"));
        }
    }
}

/// No more is in the channel than fits in.
fn room(channel: usize, capacity: Option<usize>, values: &[Value]) {
    let Some(capacity) = capacity else { return };
    for last in values.iter().filter(|value| value.sent == Sent::Yes) {
        let inside = values.iter().filter(|value| {
            let sent = value.sent == Sent::Yes && value.send_end <= last.send_end;
            sent && value.leaves() > last.send_end
        });
        let inside = inside.count();
        if inside > capacity {
            die(format!("{inside} were in channel {channel} at {}, {last:?}", last.send_end));
        }
    }
}

/// What was said not to be there was not.
fn absences(channel: usize, capacity: Option<usize>, book: &Book, values: &[Value]) {
    for absence in lock(&book.absences).iter() {
        let &Absence { what, start, end, .. } = absence;
        match what {
            Absent::Values => {
                let there = values.iter().find(|value| {
                    value.sent == Sent::Yes && value.send_end < start && value.leaves() > end
                });
                if let Some(value) = there {
                    die(format!("in channel {channel} nothing was found: {absence:?}, {value:?}"));
                }
            }
            Absent::Room => {
                let Some(capacity) = capacity else {
                    die(format!("channel {channel} has no bound and was full: {absence:?}"));
                };
                // Those that may have been inside at some moment of it.
                let inside = values.iter().filter(|value| {
                    let sent = matches!(value.sent, Sent::Yes | Sent::Maybe);
                    let gone = value.received && value.recv_end < start;
                    sent && value.send_start < end && !gone
                });
                let inside = inside.count();
                if inside < capacity {
                    die(format!("channel {channel} was full with {inside}: {absence:?}"));
                }
            }
        }
    }
}
