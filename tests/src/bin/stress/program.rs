//! What a program is: data, made from a seed, that says who does what.
//!
//! Every program comes to its end, because whatever may wait without a limit waits for something that the
//! supervisor (`supervisor.rs`) brings about when nothing else does:
//!
//! * A send or a receive ends when the channel is closed. The supervisor keeps an end of each channel that is
//!   *kept*. The others are used only by goroutines that it can cancel.
//! * Locks are taken in the order of their numbers, and whoever has one does not wait for another party's end.
//! * A party waits only for the end of its own children, which use kept channels only.
//!
//! A step for which a party has no channel end (any more), or that these rules forbid, is left out when its
//! turn comes. So any list of steps is a program.

use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) const MAX_CHANNELS: usize = 8;

/// The steps of one party.
pub(crate) type Steps = Arc<Vec<Step>>;

#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) workers: usize,
    pub(crate) migratable: bool,
    /// Values of 200 bytes instead of 16.
    pub(crate) large: bool,
    /// The goroutines are spawned by a goroutine, not from outside.
    pub(crate) inside: bool,
    /// The runtime ends in the middle of it.
    pub(crate) stopped: bool,
    pub(crate) channels: Vec<Channel>,
    pub(crate) locks: Vec<LockKind>,
    /// How many queues there are that are made of a mutex and a condition variable. Their numbers follow those of
    /// the channels.
    pub(crate) shelves: usize,
    pub(crate) parties: Vec<Role>,
    /// What the supervisor does first when all is quiet, one thing at a time.
    pub(crate) endgame: Vec<Act>,
    /// How long nothing happens before the supervisor does something.
    pub(crate) quiet: Duration,
}

#[derive(Clone, Debug)]
pub(crate) struct Channel {
    /// `None`: any number.
    pub(crate) capacity: Option<usize>,
    /// Which ends the supervisor keeps.
    pub(crate) kept: Ends,
    /// Receives may be futures, which are sometimes given up half-way. What was on its way then goes back to the channel, in whose order it
    /// may come late.
    pub(crate) loose: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ends {
    pub(crate) sender: bool,
    pub(crate) receiver: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LockKind {
    Mutex,
    RwLock,
    Semaphore(usize),
}

/// One party, and what it starts with.
#[derive(Debug)]
pub(crate) struct Role {
    pub(crate) thread: bool,
    pub(crate) ends: Vec<Ends>,
    pub(crate) steps: Steps,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    Close(usize, Side),
    /// The supervisor gives up its sender, if it has a receiver, too.
    DropSender(usize),
    Cancel(usize),
    /// Nothing comes to the shelves any more.
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Sender,
    Receiver,
}

/// How long to wait.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Limit {
    Past,
    Micros(u64),
    Long,
}

impl Limit {
    pub(crate) fn duration(self) -> Duration {
        match self {
            Limit::Past => Duration::ZERO,
            Limit::Micros(micros) => Duration::from_micros(micros),
            Limit::Long => Duration::from_secs(86_400),
        }
    }

    pub(crate) fn deadline(self) -> Instant {
        let now = Instant::now();
        match self {
            Limit::Past => now.checked_sub(Duration::from_millis(1)).unwrap_or(now),
            Limit::Micros(_) | Limit::Long => now + self.duration(),
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum How {
    Wait,
    Try,
    Timeout(Limit),
    Deadline(Limit),
    Async,
    /// A future that is polled so many times, and after so many yields dropped.
    GivenUp(u32, u32),
}

#[derive(Debug)]
pub(crate) enum Step {
    Send(usize, How),
    Recv(usize, How),
    /// Receives so many, by an iterator.
    Iterate(usize, usize, IterKind),
    Select(SelectStep),
    Close(usize, Side),
    DropEnd(usize, Side),
    /// The end is replaced by a clone of it.
    CloneEnd(usize, Side),
    Cancel(usize),
    /// Cancels the youngest child that it has not joined.
    CancelChild,
    Yield,
    Checkpoint,
    Sleep(Limit),
    Block,
    Lock(usize, LockHow, Vec<Step>),
    Put(usize),
    Take(usize, How),
    /// A child with clones of these ends.
    Spawn(Vec<Ends>, Steps),
    /// Waits for one of the children so far, or no longer than so.
    Join(Option<Limit>),
    Scope(Vec<(Vec<Ends>, Steps)>),
    Uncancellable(Vec<Step>),
    Repeat(usize, Vec<Step>),
    Panic,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum IterKind {
    Borrowed,
    Trying,
    Owned,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct LockHow {
    /// Of a lock that can be shared.
    pub(crate) shared: bool,
    pub(crate) how: How,
}

#[derive(Debug)]
pub(crate) struct SelectStep {
    /// By `Select`, so many times with the same one; 0: by `select!`.
    pub(crate) dynamic: usize,
    pub(crate) arms: Vec<Arm>,
    pub(crate) otherwise: Otherwise,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Arm {
    Recv(usize),
    Send(usize),
    After(Limit),
    Tick(u64),
    Never,
    /// One of the party's children has ended.
    Child,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Otherwise {
    Wait,
    Default,
    Timeout(Limit),
}

impl Step {
    /// The steps inside it, which the same party does.
    pub(crate) fn body(&self) -> &[Step] {
        match self {
            Step::Lock(_, _, body) | Step::Uncancellable(body) | Step::Repeat(_, body) => body,
            _ => &[],
        }
    }
}

impl Channel {
    /// Whether the supervisor can close it.
    pub(crate) fn is_kept(&self) -> bool {
        self.kept.sender || self.kept.receiver
    }
}
