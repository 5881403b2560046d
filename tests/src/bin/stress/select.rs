//! The selects of a party.

use std::time::{Duration, Instant};

use fibra::JoinHandle;
use fibra::chan::{self, RecvError, Select, SendError};

use crate::ends::{Receiver, Sender};
use crate::ledger::{Absent, LEDGER, Sent, Value, now};
use crate::party::Party;
use crate::program::{Arm, Otherwise, SelectStep};
use crate::report::{Waits, die};

/// An arm for which the party has what it takes.
enum Live<'a, const WORDS: usize> {
    Receive(usize, &'a Receiver<WORDS>),
    Send(usize, &'a Sender<WORDS>),
    /// Whether it comes again and again.
    Time(chan::Receiver<Instant>, bool),
    Never(chan::Receiver<Instant>),
    Child(&'a JoinHandle<()>),
}

impl<const WORDS: usize> Live<'_, WORDS> {
    /// Whether it goes ahead sometime.
    fn comes(&self) -> bool {
        !matches!(self, Live::Never(_))
    }

    fn waits(&self) -> Waits {
        match self {
            Live::Receive(channel, _) => Waits::receive(*channel),
            Live::Send(channel, _) => Waits::send(*channel),
            Live::Time(..) | Live::Never(_) | Live::Child(_) => Waits::NOTHING,
        }
    }
}

fn all<const WORDS: usize>(arms: &[&Live<'_, WORDS>]) -> Waits {
    arms.iter().fold(Waits::NOTHING, |waits, arm| waits.and(arm.waits()))
}

/// What a `select!` has come to.
enum Took<const WORDS: usize> {
    Received(usize, Result<Value<WORDS>, RecvError>),
    Sent(usize, Result<(), SendError<Value<WORDS>>>),
    Time(Result<Instant, RecvError>),
    Child(Result<(), RecvError>),
    Default,
}

impl<const WORDS: usize> Party<WORDS> {
    pub(crate) fn select(&self, step: &SelectStep) {
        let live: Vec<_> = step.arms.iter().filter_map(|arm| self.live(*arm)).collect();
        if step.dynamic == 0 {
            self.select_once(&live, step.otherwise);
        } else {
            self.select_often(&live, step.otherwise, step.dynamic);
        }
    }

    fn live(&self, arm: Arm) -> Option<Live<'_, WORDS>> {
        match arm {
            Arm::Recv(channel) => Some(Live::Receive(channel, self.receiver(channel)?)),
            Arm::Send(channel) => Some(Live::Send(channel, self.sender(channel)?)),
            Arm::After(limit) => {
                Some(Live::Time(chan::after(limit.duration().min(A_WHILE)), false))
            }
            Arm::Tick(micros) => Some(Live::Time(chan::tick(Duration::from_micros(micros)), true)),
            Arm::Never => Some(Live::Never(chan::never())),
            Arm::Child if self.may_wait_for_children() => Some(Live::Child(self.children.last()?)),
            Arm::Child => None,
        }
    }

    /// By `select!`, which has a fixed number of arms; those that are not there are disabled.
    fn select_once(&self, live: &[Live<'_, WORDS>], otherwise: Otherwise) {
        let mut receives = [None; 2];
        let mut sends = [None; 2];
        let (mut times, mut children) = ([None; 1], [None; 1]);
        let mut arms = Vec::new();
        for arm in live {
            let free = match arm {
                Live::Receive(channel, rx) => put(&mut receives, (*channel, *rx)),
                Live::Send(channel, tx) => put(&mut sends, (*channel, *tx)),
                Live::Time(rx, _) | Live::Never(rx) => put(&mut times, rx),
                Live::Child(handle) => put(&mut children, *handle),
            };
            if free {
                arms.push(arm);
            }
        }
        let ([time], [child]) = (times, children);
        let comes = arms.iter().any(|arm| arm.comes());
        let otherwise = if comes { otherwise } else { Otherwise::Default };
        let [a, b] = receives.map(|arm| arm.map(|(_, rx)| rx.end()));
        let [c, d] = sends.map(|arm| arm.map(|(_, tx)| tx.end()));
        let [to_c, to_d] = sends.map(|arm| arm.map_or(0, |(channel, _)| channel));
        let Some(v) = self.make(to_c) else { return };
        let Some(w) = self.make(to_d) else {
            LEDGER.settle(v.id(), Sent::No);
            return;
        };
        let ids = [v.id(), w.id()];
        let start = now();
        let waiting = self.status.waiting(match otherwise {
            Otherwise::Default => Waits::NOTHING,
            Otherwise::Wait | Otherwise::Timeout(_) => all(&arms),
        });
        macro_rules! select {
            ($($otherwise:tt)*) => {
                fibra::select! {
                    recv(a) -> value => Took::Received(0, value),
                    send(c, v) -> sent => Took::Sent(0, sent),
                    recv(time) -> due => Took::Time(due),
                    recv(b) -> value => Took::Received(1, value),
                    send(d, w) -> sent => Took::Sent(1, sent),
                    recv(child) -> ended => Took::Child(ended),
                    $($otherwise)*
                }
            };
        }
        let took = match otherwise {
            Otherwise::Wait => select!(),
            Otherwise::Default => select!(default => Took::Default),
            Otherwise::Timeout(limit) => select!(default(limit.duration()) => Took::Default),
        };
        drop(waiting);
        let mut unsent = ids.to_vec();
        match took {
            Took::Received(i, value) => {
                let Some((channel, _)) = receives[i] else { die("a disabled arm received") };
                self.came(channel, start, value);
            }
            Took::Sent(i, sent) => {
                let Some((channel, _)) = sends[i] else { die("a disabled arm sent") };
                unsent.remove(i);
                self.sent(channel, ids[i], sent);
            }
            Took::Time(due) => on_time(due),
            Took::Child(ended) => has_ended(child, ended),
            Took::Default => self.none(&arms, start),
        }
        unsent.into_iter().for_each(|id| LEDGER.settle(id, Sent::No));
    }

    /// By one `Select`, so many times.
    fn select_often(&self, live: &[Live<'_, WORDS>], otherwise: Otherwise, times: usize) {
        let mut select = Select::new();
        // Which arm has which index, and sends which value.
        let mut arms = Vec::new();
        for arm in live {
            let (index, id) = match arm {
                Live::Receive(_, rx) => (select.recv(rx.end()), None),
                Live::Send(channel, tx) => {
                    let Some(value) = self.make(*channel) else { continue };
                    let id = value.id();
                    (select.send(tx.end(), value), Some(id))
                }
                Live::Time(rx, _) | Live::Never(rx) => (select.recv(rx), None),
                Live::Child(handle) => (select.recv(*handle), None),
            };
            arms.push((index, arm, id));
        }
        for time in 0..times {
            if time % 2 == 1 && arms.len() > 1 {
                let (index, _, id) = arms.remove(0);
                select.remove(index);
                id.into_iter().for_each(|id| LEDGER.settle(id, Sent::No));
            }
            let now_live: Vec<_> = arms.iter().map(|(_, arm, _)| *arm).collect();
            let comes = now_live.iter().any(|arm| arm.comes());
            let otherwise = if comes { otherwise } else { Otherwise::Default };
            let start = now();
            let waiting = self.status.waiting(match otherwise {
                Otherwise::Default => Waits::NOTHING,
                Otherwise::Wait | Otherwise::Timeout(_) => all(&now_live),
            });
            let chosen = match otherwise {
                Otherwise::Wait => Some(select.select()),
                Otherwise::Default => select.try_select().ok(),
                Otherwise::Timeout(limit) => select.select_timeout(limit.duration()).ok(),
            };
            drop(waiting);
            let Some(operation) = chosen else {
                self.none(&now_live, start);
                continue;
            };
            let position = arms.iter().position(|(index, ..)| *index == operation.index());
            let Some(position) = position else { die("an arm that is not there was selected") };
            let (_, arm, id) = arms[position];
            match (arm, id) {
                (Live::Receive(channel, rx), _) => {
                    self.came(*channel, start, operation.recv(rx.end()));
                }
                (Live::Send(channel, tx), Some(id)) => {
                    self.sent(*channel, id, operation.send(tx.end()));
                    // Its value is gone, and with it the arm.
                    arms.remove(position);
                }
                (Live::Send(..), None) => die("a send arm without a value"),
                (Live::Time(rx, again), _) => {
                    on_time(operation.recv(rx));
                    if !again {
                        let (index, ..) = arms.remove(position);
                        select.remove(index);
                    }
                }
                (Live::Never(_), _) => die("what never comes was selected"),
                (Live::Child(handle), _) => has_ended(Some(handle), operation.recv(*handle)),
            }
        }
        arms.iter().filter_map(|(_, _, id)| *id).for_each(|id| LEDGER.settle(id, Sent::No));
    }

    /// No arm could go ahead.
    fn none(&self, arms: &[&Live<'_, WORDS>], start: u64) {
        for arm in arms {
            match arm {
                Live::Receive(channel, _) => self.absent(Absent::Values, *channel, start),
                Live::Send(channel, _) => self.absent(Absent::Room, *channel, start),
                Live::Time(..) | Live::Never(_) | Live::Child(_) => {}
            }
        }
    }
}

/// So that a select with nothing else comes to its end.
const A_WHILE: Duration = Duration::from_millis(2);

/// Puts it where there is room; false if there is none.
fn put<T>(places: &mut [Option<T>], what: T) -> bool {
    let Some(place) = places.iter_mut().find(|place| place.is_none()) else { return false };
    *place = Some(what);
    true
}

fn on_time(due: Result<Instant, RecvError>) {
    match due {
        Ok(due) if due <= Instant::now() => {}
        Ok(_) => die("a point in time was received too early"),
        Err(RecvError) => die("a timer has closed"),
    }
}

fn has_ended(child: Option<&JoinHandle<()>>, ended: Result<(), RecvError>) {
    if ended.is_err() || !child.is_some_and(JoinHandle::is_finished) {
        die("a child was selected that has not ended");
    }
}
