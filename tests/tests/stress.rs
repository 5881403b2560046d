//! Random programs: trees of goroutines that spawn, join, cancel, park, unpark, sleep, yield, open scopes
//! and block. A program is made first, so that its sum is known; then it runs. Every other one is also
//! stopped in the middle by its runtime's end, after which nothing may be left.
//!
//! A failure names its seed. `FIBRA_STRESS_SEED` runs that program first; threads interleave as they
//! like, so a failure may need several runs. `FIBRA_STRESS_SECONDS` sets how long all of it takes; 2
//! unless set.

use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fibra::{Builder, JoinHandle};
use fibra_tests::{Drops, FOREVER, LONG, Setup, Token, assert_cancelled, at, outcome};

/// SplitMix64 (Steele, Lea and Flood 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

/// What one goroutine does. Its sum is the number of its steps and of all it waits for.
#[derive(Debug)]
struct Program(Vec<Step>);

#[derive(Debug)]
enum Step {
    Yield,
    Sleep(Duration),
    Park(Duration),
    Block,
    /// A child that is joined sometime.
    Spawn(Kind, Arc<Program>),
    /// A child that nobody joins.
    Detach(Kind, Arc<Program>),
    /// One of the children so far, maybe in place.
    Join(u64),
    Scope(Vec<Program>),
    Uncancellable(Box<Program>),
    /// A child that would wait for ever, cancelled after some yields.
    Cancel(Kind, Wait, u64),
    /// A child that parks so many times.
    Wake(Kind, u64),
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Plain,
    Named,
    Stack(usize),
    Migratable,
}

#[derive(Clone, Copy, Debug)]
enum Wait {
    Park,
    Sleep,
    Yield,
    Scope,
    Join,
}

impl Program {
    fn new(random: &mut Random, size: u64) -> Program {
        let mut steps = Vec::new();
        let mut left = size;
        while left > 0 {
            let part = 1 + random.below(left);
            left -= part;
            steps.push(Step::new(random, part - 1));
        }
        Program(steps)
    }

    fn sum(&self) -> u64 {
        let sums = self.0.iter().map(|step| match step {
            Step::Spawn(_, program) => program.sum(),
            Step::Scope(programs) => programs.iter().map(Program::sum).sum(),
            Step::Uncancellable(program) => program.sum(),
            _ => 0,
        });
        self.0.len() as u64 + sums.sum::<u64>()
    }

    fn run(&self, world: &World) -> u64 {
        let _token = world.token();
        let mut handles = Vec::new();
        let mut sum = self.0.len() as u64;
        for step in &self.0 {
            sum += step.run(world, &mut handles);
        }
        sum + handles.into_iter().map(join).sum::<u64>()
    }
}

impl Step {
    /// One step; a child gets `size` more.
    fn new(random: &mut Random, size: u64) -> Step {
        match random.below(16) {
            0 => Step::Yield,
            1 => Step::Sleep(Duration::from_micros(random.below(100))),
            2 => Step::Park(Duration::from_micros(random.below(50))),
            3 => Step::Block,
            4 => Step::Detach(Kind::new(random), Arc::new(Program::new(random, size))),
            5 | 6 => Step::Join(random.below(100)),
            7 => {
                let members = 1 + random.below(3);
                let parts = (0..members).map(|_| Program::new(random, size / members));
                Step::Scope(parts.collect())
            }
            8 => Step::Uncancellable(Box::new(Program::new(random, size))),
            9 => Step::Cancel(Kind::new(random), Wait::new(random), random.below(4)),
            10 => Step::Wake(Kind::new(random), random.below(5)),
            _ => Step::Spawn(Kind::new(random), Arc::new(Program::new(random, size))),
        }
    }

    fn run(&self, world: &World, handles: &mut Vec<JoinHandle<u64>>) -> u64 {
        match self {
            Step::Yield => fibra::yield_now(),
            Step::Sleep(limit) => fibra::sleep(*limit),
            Step::Park(limit) => fibra::park_timeout(*limit),
            Step::Block => {
                let token = world.token();
                fibra::blocking(|| drop(token));
            }
            Step::Spawn(kind, program) => handles.push(world.child(*kind, program)),
            Step::Detach(kind, program) => drop(world.child(*kind, program)),
            Step::Join(number) => {
                if !handles.is_empty() {
                    let index = *number as usize % handles.len();
                    return join(handles.swap_remove(index));
                }
            }
            Step::Scope(programs) => {
                return fibra::scope(|s| {
                    let members = programs.iter().map(|p| s.go(|| p.run(world)));
                    let members: Vec<_> = members.collect();
                    members.into_iter().map(|m| m.join().unwrap()).sum()
                });
            }
            Step::Uncancellable(program) => {
                return fibra::uncancellable(|| program.run(world));
            }
            Step::Cancel(kind, wait, yields) => {
                let (wait, token) = (*wait, world.token());
                let child = world.spawn(*kind, move || {
                    let _token = token;
                    wait.forever();
                });
                (0..*yields).for_each(|_| fibra::yield_now());
                child.cancel();
                assert_cancelled(outcome(child));
            }
            Step::Wake(kind, parks) => {
                let parks = *parks;
                let child = world.spawn(*kind, move || (0..parks).for_each(|_| fibra::park()));
                let goroutine = child.goroutine_handle();
                while !child.is_finished() {
                    goroutine.unpark();
                    fibra::yield_now();
                }
                child.join().unwrap();
            }
        }
        0
    }
}

impl Kind {
    fn new(random: &mut Random) -> Kind {
        match random.below(8) {
            0 => Kind::Named,
            1 => Kind::Stack(1 << (16 + random.below(5))),
            2 => Kind::Migratable,
            _ => Kind::Plain,
        }
    }
}

impl Wait {
    fn new(random: &mut Random) -> Wait {
        let waits = [Wait::Park, Wait::Sleep, Wait::Yield, Wait::Scope, Wait::Join];
        waits[random.below(waits.len() as u64) as usize]
    }

    fn forever(self) {
        match self {
            Wait::Park => fibra::park(),
            Wait::Sleep => fibra::sleep(FOREVER),
            Wait::Yield => {}
            Wait::Scope => fibra::scope(|s| {
                s.go(fibra::park);
                s.go(|| fibra::sleep(FOREVER));
            }),
            Wait::Join => {
                // One that has started, and goes as soon as nobody joins it any more.
                let mut child = fibra::spawn(|| fibra::sleep(Duration::from_millis(1)));
                drop(child.join_timeout(FOREVER));
            }
        }
        loop {
            fibra::yield_now();
        }
    }
}

/// Maybe in place.
fn join(handle: JoinHandle<u64>) -> u64 {
    handle.join().unwrap()
}

/// What the goroutines of one program share.
#[derive(Clone, Default)]
struct World {
    /// Tokens that were made; in the end as many must have been dropped.
    made: Arc<AtomicUsize>,
    drops: Drops,
}

impl World {
    fn token(&self) -> Token {
        self.made.fetch_add(1, Ordering::SeqCst);
        self.drops.token()
    }

    fn child(&self, kind: Kind, program: &Arc<Program>) -> JoinHandle<u64> {
        let (world, program) = (self.clone(), program.clone());
        self.spawn(kind, move || program.run(&world))
    }

    fn spawn<T: Send + 'static>(
        &self,
        kind: Kind,
        f: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let token = self.token();
        let f = move || {
            let _token = token;
            f()
        };
        let builder = match kind {
            Kind::Plain => return fibra::spawn(f),
            Kind::Named => Builder::new().name("named"),
            Kind::Stack(bytes) => Builder::new().stack_size(bytes),
            // SAFETY: programs keep numbers, handles and tokens across their parks, nothing that is
            // bound to a thread.
            Kind::Migratable => unsafe { Builder::new().migratable() },
        };
        builder.spawn(f).unwrap()
    }

    fn assert_empty(&self) {
        assert_eq!(self.made.load(Ordering::SeqCst), self.drops.count(), "tokens");
    }
}

fn run(setup: Setup, program: &Arc<Program>) {
    let world = World::default();
    let sum = setup.run(|| outcome(world.child(Kind::Plain, program)).unwrap());
    assert_eq!(sum, program.sum());
    world.assert_empty();
}

/// The runtime ends when the program is somewhere in it.
fn stop(setup: Setup, program: &Arc<Program>, after: Duration) {
    let world = World::default();
    let runtime = setup.runtime();
    let handle = runtime.run(|| world.child(Kind::Plain, program));
    thread::park_timeout(after);
    let report = runtime.shutdown_timeout(LONG);
    assert!(report.is_complete(), "{report:?}");
    if let Ok(sum) = handle.join() {
        assert_eq!(sum, program.sum());
    }
    world.assert_empty();
}

/// A number from the environment.
fn variable(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().expect("a number"))
}

#[test]
fn random_programs_come_to_their_sums() {
    let seconds = variable("FIBRA_STRESS_SECONDS").unwrap_or(2);
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let first = variable("FIBRA_STRESS_SEED").unwrap_or(clock.as_nanos() as u64 >> 10);
    let each = Duration::from_secs(seconds) / 6;
    at(&[1, 2, 4], &[false, true], each + 6 * LONG, |setup| {
        let end = Instant::now() + each;
        let mut seed = first;
        loop {
            let _told = TellOnPanic(seed);
            let mut random = Random(seed);
            let size = 1 + random.below(400);
            let program = Arc::new(Program::new(&mut random, size));
            run(setup, &program);
            stop(setup, &program, Duration::from_micros(random.below(2000)));
            seed += 1;
            if Instant::now() >= end {
                return;
            }
        }
    });
}

struct TellOnPanic(u64);

impl Drop for TellOnPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("failed with FIBRA_STRESS_SEED={}", self.0);
        }
    }
}
