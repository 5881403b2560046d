//! Makes programs from seeds.

use std::sync::Arc;
use std::time::Duration;

use crate::program::{
    Act, Arm, Channel, Ends, How, IterKind, Limit, LockHow, LockKind, Otherwise, Program, Role,
    SelectStep, Side, Step, Steps,
};
use crate::random::Random;

impl Program {
    pub(crate) fn new(seed: u64) -> Program {
        let mut random = Random::new(seed);
        let random = &mut random;
        let stopped = random.one_in(6);
        let channels: Vec<_> = (0..1 + random.below(3)).map(|_| Channel::new(random)).collect();
        let kinds = [
            LockKind::Mutex,
            LockKind::Mutex,
            LockKind::RwLock,
            LockKind::Semaphore(1),
            LockKind::Semaphore(2),
        ];
        // Every fourth program is mostly about locks.
        let locking = random.one_in(4);
        let least = usize::from(locking);
        let locks = least + random.below(3 - least);
        let locks: Vec<_> = (0..locks).map(|_| random.pick(&kinds)).collect();
        let shelves = least.max(random.below(2));
        let parties = 2 + random.below(6);
        let mut maker =
            Maker { random, channels: &channels, locks: locks.len(), shelves, locking, stopped };
        let roles = (0..parties).map(|_| maker.role(parties)).collect();
        let endgame = (0..random.below(5)).map(|_| Act::new(random, channels.len(), parties));
        Program {
            endgame: endgame.collect(),
            workers: 1 + random.below(4),
            migratable: random.one_in(2),
            large: random.one_in(3),
            inside: random.one_in(2),
            stopped,
            locks,
            shelves,
            parties: roles,
            quiet: Duration::from_micros(random.pick(&[30, 100, 300, 1500])),
            channels,
        }
    }
}

impl Channel {
    fn new(random: &mut Random) -> Channel {
        let capacity = random.pick(&[0, 0, 0, 1, 1, 1, 2, 3, 5, usize::MAX]);
        let kept = [(true, true), (true, false), (false, true), (false, true), (false, false)];
        let (sender, receiver) = random.pick(&kept);
        Channel {
            capacity: (capacity != usize::MAX).then_some(capacity),
            kept: Ends { sender, receiver },
            loose: random.one_in(4),
        }
    }
}

impl Act {
    fn new(random: &mut Random, channels: usize, parties: usize) -> Act {
        match random.below(6) {
            0 | 1 => Act::Close(random.below(channels), Side::new(random)),
            2 => Act::DropSender(random.below(channels)),
            3 => Act::Over,
            _ => Act::Cancel(random.below(parties)),
        }
    }
}

impl Side {
    fn new(random: &mut Random) -> Side {
        random.pick(&[Side::Sender, Side::Receiver])
    }
}

impl Limit {
    fn new(random: &mut Random) -> Limit {
        match random.below(8) {
            0 => Limit::Past,
            1 => Limit::Micros(0),
            2 => Limit::Micros(random.below(1200) as u64),
            3 | 4 => Limit::Long,
            _ => Limit::Micros(random.below(80) as u64),
        }
    }
}

/// Makes steps.
struct Maker<'a> {
    random: &'a mut Random,
    channels: &'a [Channel],
    locks: usize,
    shelves: usize,
    locking: bool,
    stopped: bool,
}

impl Maker<'_> {
    fn role(&mut self, parties: usize) -> Role {
        let thread = self.random.one_in(4);
        let ends = self.ends(!thread);
        let steps = self.steps(10, Place { parties, depth: 0 });
        Role { thread, ends, steps: Arc::new(steps) }
    }

    /// Some ends of the channels; with `all` also of those that the supervisor cannot close.
    fn ends(&mut self, all: bool) -> Vec<Ends> {
        let mut ends = Vec::new();
        for channel in self.channels {
            let (sender, receiver) =
                self.random.pick(&[(true, true), (true, false), (false, true), (true, true)]);
            let may = all || channel.is_kept();
            ends.push(Ends { sender: sender && may, receiver: receiver && may });
        }
        ends
    }

    fn steps(&mut self, limit: usize, place: Place) -> Vec<Step> {
        (0..1 + self.random.below(limit)).map(|_| self.step(place)).collect()
    }

    fn step(&mut self, place: Place) -> Step {
        let chan = self.random.below(self.channels.len());
        let deeper = Place { depth: place.depth + 1, ..place };
        let kind = if self.locking && self.random.one_in(2) {
            76 + self.random.below(10)
        } else {
            self.random.below(100)
        };
        match kind {
            0..18 => Step::Send(chan, self.send_how()),
            18..36 => Step::Recv(chan, self.recv_how(self.channels[chan].loose)),
            36..40 => {
                let kinds = [IterKind::Borrowed, IterKind::Trying, IterKind::Owned];
                Step::Iterate(chan, self.random.below(5), self.random.pick(&kinds))
            }
            40..62 => Step::Select(self.select()),
            62 if self.random.one_in(2) => Step::Close(chan, Side::new(self.random)),
            62..64 => Step::DropEnd(chan, Side::new(self.random)),
            64..67 => Step::CloneEnd(chan, Side::new(self.random)),
            67 if self.random.one_in(2) => Step::CancelChild,
            67..69 => Step::Cancel(self.random.below(place.parties)),
            69..72 => Step::Yield,
            72 => Step::Checkpoint,
            73..75 => Step::Sleep(Limit::Micros(self.random.below(60) as u64)),
            75 => Step::Block,
            76..82 if self.locks > 0 && place.depth < 4 => {
                let shared = self.random.one_in(2);
                let how = LockHow { shared, how: self.lock_how() };
                let body = self.steps(3, deeper);
                Step::Lock(self.random.below(self.locks), how, body)
            }
            82..84 if self.shelves > 0 => Step::Put(self.random.below(self.shelves)),
            84..86 if self.shelves > 0 => {
                Step::Take(self.random.below(self.shelves), self.lock_how())
            }
            86 | 87 if place.depth < 2 => {
                let (ends, steps) = self.child(deeper);
                Step::Spawn(ends, steps)
            }
            88 => Step::Join(self.random.one_in(2).then(|| Limit::new(self.random))),
            // A child that nobody joins must not panic, as it does when the runtime ends first.
            89 if place.depth < if self.stopped { 1 } else { 2 } => {
                let children = 1 + self.random.below(3);
                Step::Scope((0..children).map(|_| self.child(deeper)).collect())
            }
            90 if place.depth < 4 && !self.stopped => Step::Uncancellable(self.steps(3, deeper)),
            91..97 if place.depth < 3 => {
                let most = [30, 5, 2][place.depth];
                let times = 2 + self.random.below(most);
                Step::Repeat(times, self.steps(3, deeper))
            }
            97 if place.depth == 0 && self.random.one_in(4) => Step::Panic,
            other if other % 2 == 0 => Step::Send(chan, How::Wait),
            _ => Step::Recv(chan, How::Wait),
        }
    }

    fn child(&mut self, place: Place) -> (Vec<Ends>, Steps) {
        (self.ends(false), Arc::new(self.steps(5, place)))
    }

    /// How to send.
    fn send_how(&mut self) -> How {
        match self.random.below(12) {
            0 | 1 => How::Try,
            2..5 => How::Timeout(Limit::new(self.random)),
            5 => How::Deadline(Limit::new(self.random)),
            6 => How::Async,
            7 if self.random.one_in(2) => How::given_up(self.random),
            _ => How::Wait,
        }
    }

    /// How to receive. A future may be given up also because its goroutine is cancelled.
    fn recv_how(&mut self, loose: bool) -> How {
        match self.send_how() {
            How::Async | How::GivenUp(..) if !loose => How::Wait,
            _ if loose && self.random.one_in(4) => How::given_up(self.random),
            how => how,
        }
    }

    fn lock_how(&mut self) -> How {
        match self.random.below(6) {
            0 => How::Try,
            1 | 2 => How::Timeout(Limit::new(self.random)),
            _ => How::Wait,
        }
    }

    fn select(&mut self) -> SelectStep {
        let arms = (0..self.random.below(6)).map(|_| self.arm()).collect();
        let otherwise = match self.random.below(6) {
            0 => Otherwise::Default,
            1 | 2 => Otherwise::Timeout(Limit::new(self.random)),
            _ => Otherwise::Wait,
        };
        let dynamic = self.random.pick(&[0, 0, 0, 1, 1, 2, 4]);
        SelectStep { dynamic, arms, otherwise }
    }

    fn arm(&mut self) -> Arm {
        let chan = self.random.below(self.channels.len());
        match self.random.below(16) {
            0..6 => Arm::Recv(chan),
            6..12 => Arm::Send(chan),
            12 => Arm::After(Limit::new(self.random)),
            13 => Arm::Tick(1 + self.random.below(100) as u64),
            14 => Arm::Never,
            _ => Arm::Child,
        }
    }
}

impl How {
    fn given_up(random: &mut Random) -> How {
        How::GivenUp(random.below(3) as u32, random.below(3) as u32)
    }
}

/// Where in the program a step stands.
#[derive(Clone, Copy)]
struct Place {
    parties: usize,
    depth: usize,
}
