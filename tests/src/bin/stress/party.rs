//! A participant: a goroutine or a thread that does its steps.

use std::any::Any;
use std::future::{self, Future};
use std::panic::panic_any;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use fibra::chan::{RecvError, RecvTimeoutError, SendError, SendTimeoutError};
use fibra::chan::{TryRecvError, TrySendError};
use fibra::{Builder, JoinHandle};
use fibra_tests::text;

use crate::ends::{Receiver, Sender};
use crate::ledger::{Absent, LEDGER, Sent, Value, now};
use crate::locks::Bare;
use crate::program::{Ends, How, IterKind, Side, Step, Steps};
use crate::report::{self, Status, Waits};
use crate::world::{Done, World};

pub(crate) struct Party<const WORDS: usize> {
    pub(crate) world: Arc<World<WORDS>>,
    pub(crate) status: Arc<Status>,
    thread: bool,
    steps: Steps,
    senders: Vec<Option<Sender<WORDS>>>,
    receivers: Vec<Option<Receiver<WORDS>>>,
    pub(crate) children: Vec<JoinHandle<()>>,
    /// It may take the locks from here on.
    free_locks: usize,
    uncancellable: bool,
    // Last, so that its ends are gone when it counts as done.
    _done: Done<WORDS>,
}

/// The payload of a party that was told to panic.
struct Oops;

/// Whether a party may panic with this: it was told to, or opens a scope when the runtime has been stopped.
pub(crate) fn is_expected(payload: &(dyn Any + Send), stopped: bool) -> bool {
    payload.is::<Oops>() || stopped && text(payload).starts_with("cannot spawn a scoped goroutine")
}

impl<const WORDS: usize> Party<WORDS> {
    pub(crate) fn new(
        world: &Arc<World<WORDS>>,
        thread: bool,
        steps: &Steps,
        senders: Vec<Option<Sender<WORDS>>>,
        receivers: Vec<Option<Receiver<WORDS>>>,
    ) -> Party<WORDS> {
        Party::with_parent(world, None, thread, steps, senders, receivers)
    }

    fn with_parent(
        world: &Arc<World<WORDS>>,
        parent: Option<u32>,
        thread: bool,
        steps: &Steps,
        senders: Vec<Option<Sender<WORDS>>>,
        receivers: Vec<Option<Receiver<WORDS>>>,
    ) -> Party<WORDS> {
        Party {
            world: world.clone(),
            status: report::join(parent, steps),
            thread,
            steps: steps.clone(),
            senders,
            receivers,
            children: Vec::new(),
            free_locks: 0,
            uncancellable: false,
            _done: Done::new(world),
        }
    }

    /// With clones of those ends that this party has.
    fn child(&self, ends: &[Ends], steps: &Steps) -> Party<WORDS> {
        let senders = self.senders.iter().zip(ends);
        let senders = senders.map(|(sender, has)| sender.clone().filter(|_| has.sender));
        let receivers = self.receivers.iter().zip(ends);
        let receivers = receivers.map(|(end, has)| end.clone().filter(|_| has.receiver));
        let (senders, receivers) = (senders.collect(), receivers.collect());
        let parent = Some(self.status.number);
        Party::with_parent(&self.world, parent, false, steps, senders, receivers)
    }

    pub(crate) fn run(mut self) {
        let steps = self.steps.clone();
        self.status.enter();
        self.steps(&steps);
        self.status.end();
    }

    fn steps(&mut self, steps: &[Step]) {
        for step in steps {
            self.status.step();
            self.step(step);
        }
    }

    /// The steps inside another one.
    fn inside(&mut self, steps: &[Step]) {
        self.status.enter();
        self.steps(steps);
        self.status.leave();
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Send(channel, how) => self.send(*channel, *how),
            Step::Recv(channel, how) => self.receive(*channel, *how),
            Step::Iterate(channel, count, kind) => self.iterate(*channel, *count, *kind),
            Step::Select(step) => self.select(step),
            Step::Close(channel, side) => self.close(*channel, *side),
            Step::DropEnd(channel, Side::Sender) => self.senders[*channel] = None,
            Step::DropEnd(channel, Side::Receiver) => self.receivers[*channel] = None,
            // The clone is there before the old one goes.
            Step::CloneEnd(channel, Side::Sender) => {
                self.senders[*channel] = self.senders[*channel].clone();
            }
            Step::CloneEnd(channel, Side::Receiver) => {
                self.receivers[*channel] = self.receivers[*channel].clone();
            }
            Step::Cancel(party) => self.world.cancel(*party),
            Step::CancelChild => self.children.last().iter().for_each(|child| child.cancel()),
            Step::Yield => fibra::yield_now(),
            Step::Checkpoint => fibra::checkpoint(),
            Step::Sleep(limit) => fibra::sleep(limit.duration()),
            Step::Block => self.block(),
            Step::Lock(number, how, body) if *number >= self.free_locks => {
                let (world, status) = (self.world.clone(), self.status.clone());
                let before = self.free_locks;
                world.locks[*number].with(*how, &status, || {
                    self.free_locks = number + 1;
                    self.inside(body);
                });
                self.free_locks = before;
            }
            Step::Put(shelf) => self.put(*shelf),
            Step::Take(shelf, how) => self.take(*shelf, *how),
            Step::Spawn(ends, steps) if !self.thread => {
                let child = self.child(ends, steps);
                // No more of them when the runtime ends.
                if let Ok(handle) = Builder::new().spawn(move || child.run()) {
                    self.children.push(handle);
                }
            }
            Step::Join(limit) if self.free_locks == 0 => {
                let Some(mut child) = self.children.pop() else { return };
                match limit {
                    None => drop(child.join()),
                    Some(limit) => drop(child.join_timeout(limit.duration())),
                }
            }
            Step::Scope(children) if !self.thread && self.free_locks == 0 => {
                fibra::scope(|s| {
                    for (ends, steps) in children {
                        let child = self.child(ends, steps);
                        s.go(move || child.run());
                    }
                });
            }
            Step::Uncancellable(body) => {
                let before = std::mem::replace(&mut self.uncancellable, true);
                fibra::uncancellable(|| self.inside(body));
                self.uncancellable = before;
            }
            Step::Repeat(times, body) => {
                self.status.enter();
                for _ in 0..*times {
                    self.steps(body);
                    self.status.again();
                }
                self.status.leave();
            }
            Step::Panic => panic_any(Oops),
            Step::Lock(..) | Step::Spawn(..) | Step::Join(_) | Step::Scope(_) => {}
        }
    }

    /// Not while it has a lock, for which they may wait.
    pub(crate) fn may_wait_for_children(&self) -> bool {
        self.free_locks == 0
    }

    /// Whether it may wait for this channel.
    fn may(&self, channel: usize) -> bool {
        self.world.program.channels[channel].is_kept() || !self.uncancellable
    }

    pub(crate) fn sender(&self, channel: usize) -> Option<&Sender<WORDS>> {
        self.senders[channel].as_ref().filter(|_| self.may(channel))
    }

    pub(crate) fn receiver(&self, channel: usize) -> Option<&Receiver<WORDS>> {
        self.receivers[channel].as_ref().filter(|_| self.may(channel))
    }

    pub(crate) fn make(&self, channel: usize) -> Option<Value<WORDS>> {
        LEDGER.make(self.status.number, channel)
    }

    fn close(&self, channel: usize, side: Side) {
        match side {
            Side::Sender => self.senders[channel].iter().for_each(Sender::close),
            Side::Receiver => self.receivers[channel].iter().for_each(Receiver::close),
        }
    }

    fn block(&self) {
        if !self.thread {
            fibra::blocking(std::thread::yield_now);
        }
    }

    fn send(&self, channel: usize, how: How) {
        let Some(tx) = self.sender(channel).map(Sender::end) else { return };
        let Some(value) = self.make(channel) else { return };
        let (id, start) = (value.id(), now());
        let waiting = self.status.waiting(match how {
            How::Try => Waits::NOTHING,
            _ => Waits::send(channel),
        });
        let sent = match how {
            How::Wait => tx.send(value).map_err(TrySendError::from),
            How::Try => tx.try_send(value),
            How::Timeout(limit) => in_time(tx.send_timeout(value, limit.duration())),
            How::Deadline(limit) => in_time(tx.send_deadline(value, limit.deadline())),
            How::Async => {
                LEDGER.settle(id, Sent::Maybe);
                fibra::block_on(tx.send_async(value)).map_err(TrySendError::from)
            }
            How::GivenUp(polls, yields) => {
                LEDGER.settle(id, Sent::Maybe);
                match give_up(tx.send_async(value), polls, yields) {
                    Some(sent) => sent.map_err(TrySendError::from),
                    None => return,
                }
            }
        };
        drop(waiting);
        match sent {
            Ok(()) => LEDGER.settle(id, Sent::Yes),
            Err(TrySendError::Full(value)) => {
                LEDGER.absent(Absent::Room, channel, self.status.number, start);
                LEDGER.returned(id, &value);
            }
            Err(TrySendError::Disconnected(value)) => self.refused(channel, id, &value),
        }
    }

    fn refused(&self, channel: usize, id: usize, value: &Value<WORDS>) {
        LEDGER.refused(channel, self.status.number);
        LEDGER.returned(id, value);
    }

    /// A send arm has gone ahead.
    pub(crate) fn sent(
        &self,
        channel: usize,
        id: usize,
        sent: Result<(), SendError<Value<WORDS>>>,
    ) {
        match sent {
            Ok(()) => LEDGER.settle(id, Sent::Yes),
            Err(SendError(value)) => self.refused(channel, id, &value),
        }
    }

    fn receive(&self, channel: usize, how: How) {
        let Some(rx) = self.receiver(channel).map(Receiver::end) else { return };
        let start = now();
        let waiting = self.status.waiting(match how {
            How::Try => Waits::NOTHING,
            _ => Waits::receive(channel),
        });
        let received = match how {
            How::Wait => rx.recv().map_err(TryRecvError::from),
            How::Try => rx.try_recv(),
            How::Timeout(limit) => rx.recv_timeout(limit.duration()).map_err(untimed),
            How::Deadline(limit) => rx.recv_deadline(limit.deadline()).map_err(untimed),
            How::Async => fibra::block_on(rx.recv_async()).map_err(TryRecvError::from),
            How::GivenUp(polls, yields) => match give_up(rx.recv_async(), polls, yields) {
                Some(received) => received.map_err(TryRecvError::from),
                None => return,
            },
        };
        drop(waiting);
        match received {
            Ok(value) => self.came(channel, start, Ok(value)),
            Err(TryRecvError::Disconnected) => self.came(channel, start, Err(RecvError)),
            Err(TryRecvError::Empty) => self.absent(Absent::Values, channel, start),
        }
    }

    /// A receive that began then was not refused for now.
    pub(crate) fn came(
        &self,
        channel: usize,
        start: u64,
        received: Result<Value<WORDS>, RecvError>,
    ) {
        match received {
            Ok(value) => LEDGER.received(value, channel, self.status.number, start),
            Err(RecvError) => LEDGER.over(channel, self.status.number, start),
        }
    }

    pub(crate) fn absent(&self, what: Absent, channel: usize, start: u64) {
        LEDGER.absent(what, channel, self.status.number, start);
    }

    fn iterate(&mut self, channel: usize, count: usize, kind: IterKind) {
        let status = self.status.clone();
        if self.receiver(channel).is_none() {
            return;
        }
        let mut owned = match kind {
            IterKind::Owned => self.receivers[channel].take().map(Receiver::into_iter),
            IterKind::Borrowed | IterKind::Trying => None,
        };
        for _ in 0..count {
            let start = now();
            let next = match (&mut owned, kind) {
                (_, IterKind::Trying) => {
                    self.receiver(channel).and_then(|rx| rx.end().try_iter().next())
                }
                (Some(owned), _) => {
                    let _waiting = status.waiting(Waits::receive(channel));
                    owned.next()
                }
                (None, _) => {
                    let _waiting = status.waiting(Waits::receive(channel));
                    self.receiver(channel).and_then(|rx| rx.end().iter().next())
                }
            };
            match (next, kind) {
                (Some(value), _) => self.came(channel, start, Ok(value)),
                (None, IterKind::Trying) => self.absent(Absent::Values, channel, start),
                (None, IterKind::Borrowed | IterKind::Owned) => {
                    return self.came(channel, start, Err(RecvError));
                }
            }
        }
    }

    fn put(&self, shelf: usize) {
        let channel = self.world.program.channels.len() + shelf;
        let Some(value) = self.make(channel) else { return };
        let id = value.id();
        match self.world.shelves[shelf].put(value) {
            Ok(()) => LEDGER.settle(id, Sent::Yes),
            Err(value) => self.refused(channel, id, &value),
        }
    }

    fn take(&self, shelf: usize, how: How) {
        let channel = self.world.program.channels.len() + shelf;
        let start = now();
        let waiting = self.status.waiting(Waits::receive(channel));
        let taken = self.world.shelves[shelf].take(how);
        drop(waiting);
        match taken {
            Ok(value) => self.came(channel, start, Ok(value)),
            Err(Bare::Over) => self.came(channel, start, Err(RecvError)),
            Err(Bare::Empty) => self.absent(Absent::Values, channel, start),
            Err(Bare::Unknown) => {}
        }
    }
}

fn in_time<T>(sent: Result<(), SendTimeoutError<T>>) -> Result<(), TrySendError<T>> {
    sent.map_err(|error| match error {
        SendTimeoutError::Timeout(value) => TrySendError::Full(value),
        SendTimeoutError::Disconnected(value) => TrySendError::Disconnected(value),
    })
}

fn untimed(error: RecvTimeoutError) -> TryRecvError {
    match error {
        RecvTimeoutError::Timeout => TryRecvError::Empty,
        RecvTimeoutError::Disconnected => TryRecvError::Disconnected,
    }
}

/// Polls a future so many times, and drops it after some yields unless it is ready.
fn give_up<F: Future>(future: F, polls: u32, yields: u32) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut polls = polls;
    let output = fibra::block_on(future::poll_fn(|context| {
        if polls == 0 {
            return Poll::Ready(None);
        }
        polls -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => {
                // To be polled again at once.
                context.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }));
    if output.is_none() {
        (0..yields).for_each(|_| fibra::yield_now());
    }
    output
}
