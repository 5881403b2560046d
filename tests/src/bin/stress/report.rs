//! Who is where in the program, and the end of the process when something is wrong.

use std::io::{self, Write};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::ledger::{LEDGER, lock};
use crate::program::{Program, Step, Steps};

/// The program that runs now.
static CURRENT: Mutex<Option<Current>> = Mutex::new(None);

struct Current {
    seed: u64,
    began: Instant,
    program: Arc<Program>,
    parties: Vec<Arc<Status>>,
}

/// Where one party is.
#[derive(Debug)]
pub(crate) struct Status {
    pub(crate) number: u32,
    /// Whose child it is.
    parent: Option<u32>,
    steps: Steps,
    /// The number of the step, from 1; one byte for each step inside another.
    path: AtomicU64,
    ticks: AtomicU64,
    waits: AtomicU64,
}

/// What a party waits for: a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Waits(u64);

impl Waits {
    pub(crate) const NOTHING: Waits = Waits(0);

    pub(crate) fn receive(channel: usize) -> Waits {
        Waits(1 << channel)
    }

    pub(crate) fn send(channel: usize) -> Waits {
        Waits(1 << (16 + channel))
    }

    pub(crate) fn lock(number: usize) -> Waits {
        Waits(1 << (32 + number))
    }

    pub(crate) fn and(self, other: Waits) -> Waits {
        Waits(self.0 | other.0)
    }

    pub(crate) fn has(self, other: Waits) -> bool {
        self.0 & other.0 != 0
    }
}

impl Status {
    pub(crate) fn waits(&self) -> Waits {
        Waits(self.waits.load(Ordering::SeqCst))
    }

    /// For as long as the guard is kept.
    pub(crate) fn waiting(&self, what: Waits) -> Waiting<'_> {
        self.waits.store(what.0, Ordering::SeqCst);
        Waiting(self)
    }

    pub(crate) fn enter(&self) {
        self.path.store(self.path.load(Ordering::Relaxed) << 8, Ordering::Relaxed);
    }

    /// At the next step.
    pub(crate) fn step(&self) {
        self.path.fetch_add(1, Ordering::Relaxed);
        self.ticks.fetch_add(1, Ordering::Relaxed);
    }

    /// At the first of these steps again.
    pub(crate) fn again(&self) {
        self.path.fetch_and(!0xff, Ordering::Relaxed);
    }

    /// It unwinds past this.
    pub(crate) fn leave(&self) {
        self.path.store(self.path.load(Ordering::Relaxed) >> 8, Ordering::Relaxed);
    }

    /// It is over.
    pub(crate) fn end(&self) {
        self.path.store(0, Ordering::Relaxed);
    }

    fn describe(&self) -> String {
        let path = self.path.load(Ordering::Relaxed).to_be_bytes();
        let mut steps: &[Step] = &self.steps;
        let mut at = None;
        let mut numbers = Vec::new();
        for number in path.into_iter().filter(|number| *number > 0) {
            numbers.push(number.to_string());
            at = steps.get(usize::from(number) - 1);
            steps = at.map_or(&[], Step::body);
        }
        let Some(at) = at else { return "has ended, or has not begun".to_owned() };
        format!("is at step {}, {at:?}, waits {:?}", numbers.join("."), self.waits())
    }
}

pub(crate) struct Waiting<'a>(&'a Status);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waits.store(0, Ordering::SeqCst);
        self.0.ticks.fetch_add(1, Ordering::Relaxed);
    }
}

/// From now on this program runs.
pub(crate) fn begin(seed: u64, program: &Arc<Program>) {
    let (program, began) = (program.clone(), Instant::now());
    *lock(&CURRENT) = Some(Current { seed, began, program, parties: Vec::new() });
}

/// Now none runs.
pub(crate) fn end() {
    *lock(&CURRENT) = None;
}

/// Ends the process when a program takes longer than that: its supervisor must be stuck, too.
pub(crate) fn watch(limit: Duration) -> ! {
    loop {
        thread::sleep(Duration::from_secs(1));
        let began = lock(&CURRENT).as_ref().map(|current| current.began);
        if began.is_some_and(|began| began.elapsed() > limit) {
            die("the supervisor is stuck");
        }
    }
}

pub(crate) fn join(parent: Option<u32>, steps: &Steps) -> Arc<Status> {
    let mut current = lock(&CURRENT);
    let Some(Current { parties, .. }) = &mut *current else { unreachable!("no program runs") };
    let status = Arc::new(Status {
        number: parties.len() as u32,
        parent,
        steps: steps.clone(),
        path: AtomicU64::new(0),
        ticks: AtomicU64::new(0),
        waits: AtomicU64::new(0),
    });
    parties.push(status.clone());
    status
}

/// What each party waits for, and how much has happened so far.
pub(crate) fn overview() -> (Vec<Waits>, u64) {
    let current = lock(&CURRENT);
    let parties = current.as_ref().map_or(&[][..], |current| &current.parties);
    let ticks = parties.iter().map(|party| party.ticks.load(Ordering::Relaxed)).sum();
    (parties.iter().map(|party| party.waits()).collect(), ticks)
}

/// Ends the process. Whatever is wrong, others may be in the middle of it.
pub(crate) fn die(message: impl AsRef<str>) -> ! {
    let mut text = format!("\nstress: {}\n", message.as_ref());
    if let Some(current) = &*lock(&CURRENT) {
        describe(current, &mut text);
        text += &format!("stress: replay with --seed {}\n", current.seed);
    }
    let _unheard = io::stderr().write_all(text.as_bytes());
    process::abort();
}

fn describe(current: &Current, text: &mut String) {
    let program = &current.program;
    *text += &format!(
        "{} workers, migratable: {}, large: {}, inside: {}, stopped: {}, quiet: {:?}\n",
        program.workers,
        program.migratable,
        program.large,
        program.inside,
        program.stopped,
        program.quiet,
    );
    for (number, channel) in program.channels.iter().enumerate() {
        let book = &LEDGER.books[number];
        *text += &format!(
            "channel {number}: {channel:?}, senders {}, receivers {}, closing {}\n",
            book.senders.load(Ordering::SeqCst),
            book.receivers.load(Ordering::SeqCst),
            book.closing.load(Ordering::SeqCst),
        );
    }
    *text += &format!("locks: {:?}, shelves: {}\n", program.locks, program.shelves);
    *text += &format!("endgame: {:?}\n", program.endgame);
    for (number, role) in program.parties.iter().enumerate() {
        let kind = if role.thread { "thread" } else { "goroutine" };
        *text += &format!("party {number}, a {kind}, with {:?}\n", role.ends);
        for (i, step) in role.steps.iter().enumerate() {
            *text += &format!("  {}. {step:?}\n", i + 1);
        }
    }
    for party in &current.parties {
        let child = party.parent.map_or(String::new(), |parent| format!(", child of {parent},"));
        *text += &format!("party {}{child} {}\n", party.number, party.describe());
    }
}
