//! Runs one program, and brings it to its end.
//!
//! While anything happens the supervisor only watches. When nothing has happened for a while, it looks at what
//! the parties wait for. If somebody waits for something that is there, a wake-up is on its way, and the
//! supervisor waits for it, too: one that was lost is not made up for by a close or a cancel. Otherwise the
//! parties are stuck, as random programs are, and it does the next thing that helps.

use std::any::Any;
use std::env;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use fibra::{Cancelled, Runtime};
use fibra_tests::{LONG, Setup, text};

use crate::ends::{Receiver, Sender, channel};
use crate::history;
use crate::ledger::{LEDGER, now};
use crate::party::{Party, is_expected};
use crate::program::{Act, Program, Role, Side};
use crate::report::{self, Waits, die};
use crate::world::World;

/// Who receives what is left.
const SUPERVISOR: u32 = u32::MAX;

/// How long a program may do nothing, or go on at all.
pub(crate) fn limit() -> Duration {
    let patience = env::var("FIBRA_TEST_PATIENCE").map(|text| text.parse::<u32>());
    2 * LONG * patience.map_or(1, |number| number.expect("FIBRA_TEST_PATIENCE is no number"))
}

/// The ends that the supervisor keeps of a channel.
struct Kept<const WORDS: usize> {
    sender: Option<Sender<WORDS>>,
    receiver: Option<Receiver<WORDS>>,
}

struct Supervisor<const WORDS: usize> {
    world: Arc<World<WORDS>>,
    kept: Vec<Kept<WORDS>>,
    /// Until it is stopped.
    runtime: Option<Runtime>,
    /// How much of the endgame is over.
    acts: usize,
}

/// Runs it once, and checks it.
pub(crate) fn run(seed: u64, program: &Arc<Program>, setup: Setup) {
    LEDGER.open();
    report::begin(seed, program);
    if program.large {
        run_with::<23>(program, setup);
    } else {
        run_with::<0>(program, setup);
    }
    history::check(program);
    report::end();
}

fn run_with<const WORDS: usize>(program: &Arc<Program>, setup: Setup) {
    let world = World::<WORDS>::new(program);
    let channels = program.channels.iter().enumerate();
    let ends: Vec<_> = channels.map(|(number, spec)| channel::<WORDS>(number, spec)).collect();
    let runtime = setup.runtime();
    let parties: Vec<_> = program.parties.iter().map(|role| party(&world, role, &ends)).collect();
    let kept = program.channels.iter().zip(ends).map(|(spec, (sender, receiver))| Kept {
        sender: Some(sender).filter(|_| spec.kept.sender),
        receiver: Some(receiver).filter(|_| spec.kept.receiver),
    });
    let kept = kept.collect();

    let mut threads = Vec::new();
    let mut goroutines = Vec::new();
    for (number, party) in parties.into_iter().enumerate() {
        if program.parties[number].thread {
            threads.push((number, thread::spawn(move || party.run())));
        } else {
            goroutines.push((number, party));
        }
    }
    if program.inside {
        let world = world.clone();
        runtime.run(move || {
            for (number, party) in goroutines {
                world.register(number, fibra::spawn(move || party.run()));
            }
        });
    } else {
        for (number, party) in goroutines {
            world.register(number, runtime.spawn(move || party.run()));
        }
    }

    let mut supervisor = Supervisor { world, kept, runtime: Some(runtime), acts: 0 };
    supervisor.watch();
    supervisor.close();
    for number in 0..program.parties.len() {
        if let Some(handle) = supervisor.world.take_handle(number) {
            supervisor.check_end(number, handle.join());
        }
    }
    for (number, thread) in threads {
        supervisor.check_end(number, thread.join());
    }
    supervisor.end();
}

fn party<const WORDS: usize>(
    world: &Arc<World<WORDS>>,
    role: &Role,
    ends: &[(Sender<WORDS>, Receiver<WORDS>)],
) -> Party<WORDS> {
    let ends = ends.iter().zip(&role.ends);
    let senders = ends.clone().map(|((sender, _), has)| has.sender.then(|| sender.clone()));
    let receivers = ends.map(|((_, receiver), has)| has.receiver.then(|| receiver.clone()));
    let (senders, receivers) = (senders.collect(), receivers.collect());
    Party::new(world, role.thread, &role.steps, senders, receivers)
}

impl<const WORDS: usize> Supervisor<WORDS> {
    /// Until all parties have ended.
    fn watch(&mut self) {
        let program = self.world.program.clone();
        let began = Instant::now();
        let mut ticks = 0;
        while !self.world.is_done() {
            thread::park_timeout(program.quiet);
            if program.stopped {
                self.stop();
            }
            let (waits, ticks_now) = report::overview();
            let late = began.elapsed() > limit();
            if ticks != ticks_now {
                ticks = ticks_now;
            } else if let Some(what) = self.contradiction(&waits) {
                if late {
                    die(what);
                }
                continue;
            } else {
                self.act(&program);
            }
            if late && !self.world.is_done() {
                die("the program does not end");
            }
        }
    }

    /// Ends the runtime, once.
    fn stop(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        let report = runtime.shutdown_timeout(limit());
        if !report.is_complete() {
            die(format!("the runtime does not end: {report:?}"));
        }
    }

    /// Whether somebody waits for something that is there.
    fn contradiction(&self, waits: &[Waits]) -> Option<String> {
        let world = &self.world;
        let waits_for = |what| waits.iter().position(|waits| waits.has(what));
        for (number, (kept, spec)) in self.kept.iter().zip(&world.program.channels).enumerate() {
            let (send, receive) = (Waits::send(number), Waits::receive(number));
            let (sender, receiver) = (waits_for(send), waits_for(receive));
            if sender.is_some() && receiver.is_some() {
                let both = waits.iter().filter(|w| w.has(send) || w.has(receive));
                // A select does not meet itself.
                if both.count() > 1 {
                    return Some(format!("parties wait for each other at channel {number}"));
                }
            }
            let (len, closed) = match kept {
                Kept { sender: Some(tx), .. } => (tx.end().len(), tx.end().is_closed()),
                Kept { receiver: Some(rx), .. } => (rx.end().len(), rx.end().is_closed()),
                Kept { sender: None, receiver: None } => continue,
            };
            if let Some(party) = sender.or(receiver).filter(|_| closed) {
                return Some(format!("party {party} waits for channel {number}, which is closed"));
            }
            if let Some(party) = receiver.filter(|_| len > 0) {
                return Some(format!("party {party} waits for channel {number}, which has {len}"));
            }
            let room = spec.capacity.is_none_or(|capacity| len < capacity);
            if let Some(party) = sender.filter(|_| room) {
                return Some(format!("party {party} waits for channel {number}, which has room"));
            }
        }
        for (i, shelf) in world.shelves.iter().enumerate() {
            let number = self.kept.len() + i;
            let waiting = waits_for(Waits::receive(number)).filter(|_| shelf.len() > 0);
            if let Some(party) = waiting {
                return Some(format!("party {party} waits for shelf {i}, which is not empty"));
            }
        }
        for (number, lock) in world.locks.iter().enumerate() {
            if let Some(party) = waits_for(Waits::lock(number)).filter(|_| lock.is_free()) {
                return Some(format!("party {party} waits for lock {number}, which is free"));
            }
        }
        None
    }

    /// Everybody is stuck: the next thing that may help.
    fn act(&mut self, program: &Program) {
        let act = program.endgame.get(self.acts).copied();
        let parties = program.parties.len();
        match act {
            Some(Act::Close(channel, side)) => match (&self.kept[channel], side) {
                (Kept { sender: Some(sender), .. }, Side::Sender) => sender.close(),
                (Kept { receiver: Some(receiver), .. }, _) => receiver.close(),
                (Kept { sender: Some(sender), .. }, _) => sender.close(),
                _ => {}
            },
            Some(Act::DropSender(channel)) if self.kept[channel].receiver.is_some() => {
                self.kept[channel].sender = None;
            }
            Some(Act::DropSender(_)) => {}
            Some(Act::Cancel(party)) => self.world.cancel(party),
            Some(Act::Over) => self.world.end_shelves(),
            None if self.acts == program.endgame.len() => self.close(),
            None => (0..parties).for_each(|party| self.world.cancel(party)),
        }
        self.acts += 1;
    }

    /// Closes whatever it can.
    fn close(&self) {
        for kept in &self.kept {
            match kept {
                Kept { sender: Some(sender), .. } => sender.close(),
                Kept { receiver: Some(receiver), .. } => receiver.close(),
                Kept { sender: None, receiver: None } => {}
            }
        }
        self.world.end_shelves();
    }

    /// How a party has ended must have a reason.
    fn check_end(&self, number: usize, end: thread::Result<()>) {
        let Err(payload) = end else { return };
        let stopped = self.world.program.stopped;
        let cancelled = stopped || self.world.cancelled[number].load(Ordering::SeqCst);
        let payload: &(dyn Any + Send) = payload.as_ref();
        if !(is_expected(payload, stopped) || payload.is::<Cancelled>() && cancelled) {
            die(format!("party {number} panicked: {}", text(payload)));
        }
    }

    /// Everybody has ended: what is left is received or dropped.
    fn end(mut self) {
        if let Some(runtime) = self.runtime.take() {
            let end = Instant::now() + limit();
            while runtime.metrics().live > 0 {
                if Instant::now() > end {
                    die(format!("goroutines are left: {:?}", runtime.metrics()));
                }
                thread::park_timeout(Duration::from_micros(20));
            }
        }
        for (number, kept) in self.kept.drain(..).enumerate() {
            let Some(receiver) = kept.receiver else { continue };
            let start = now();
            for value in receiver.end().try_iter() {
                LEDGER.received(value, number, SUPERVISOR, start);
            }
            if !receiver.end().try_recv().is_err_and(|error| error.is_disconnected()) {
                die(format!("channel {number} is not closed and empty"));
            }
            LEDGER.over(number, SUPERVISOR, now());
        }
        self.world.empty_shelves(SUPERVISOR, now);
        self.world.locks.iter().for_each(|lock| lock.check());
    }
}
