//! The thread that watches the workers.
//!
//! It looks every [`TICK`] while anything runs, and sleeps without a timeout while nothing does. A worker
//! that is still in the same goroutine as at the last look is *stuck*: in a loop, or in a call that
//! blocks the thread. The monitor then
//!
//! * marks it overdue, so that the goroutine yields at its next `checkpoint`;
//! * starts a spare worker, or brings one back, when work waits, nobody is idle, and fewer workers make
//!   progress than the runtime was built with;
//! * reports it, once for each spawn site, when the runtime was built to.
//!
//! A stuck worker that uses its processor (a loop) is replaced only if a processor is free, nobody else makes
//! progress, or work has waited for [`PATIENCE`] looks: another thread would only take turns with it. One that does not (a call that blocks)
//! is always replaced.
//!
//! Sooner than that it expires the timers of a worker and polls its sockets for it, because others may wait for them:
//! migratable goroutines, and whoever shares a socket with one of its residents. If residents are ready then, the
//! goroutine that keeps them waiting is overdue at once. For this it looks more often ([`HASTY_TICK`]).
//!
//! When a stuck worker goes on, there is one worker too many. The newest spare becomes *surplus*: it takes
//! no fresh goroutines and ends with its last resident.
//!
//! It wakes a worker if anything waits that others could run, and nobody was woken for it (`worker/deferral.rs`).
//!
//! It says when workers are to wake up without pushing others aside (`policy.rs`).
//!
//! It also gives the memory of stacks back that have not been used for a while, and tries again with
//! goroutines for which there was no stack.

use super::Shared;
use super::event::Event;
use super::policy::Verdict;
use super::station::Station;
use crate::goroutine::{GoroutineRef, Visit};
use crate::primitive::atomic::{AtomicBool, Ordering};
use crate::stack;
use std::collections::HashSet;
use std::io;
use std::panic::Location;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A time slice, and how often the monitor looks.
const TICK: Duration = Duration::from_millis(10);
/// How often it looks while somebody may wait behind a goroutine that keeps its worker.
const HASTY_TICK: Duration = Duration::from_millis(1);
/// It does so for this long after it has last met one. One that keeps its worker for longer does not check
/// whether it should yield, and haste is of no use.
const HASTE: Duration = Duration::from_millis(100);
/// So many looks work waits behind loops while somebody else makes progress.
const PATIENCE: u32 = 10;
/// A stack that nobody used for so long gives its memory back.
const STACK_REST: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Monitor {
    event: Event,
    /// It looks again within a tick, whatever happens.
    ticking: AtomicBool,
}

impl Monitor {
    pub(super) fn new() -> Monitor {
        Monitor { event: Event::new(), ticking: AtomicBool::new(false) }
    }

    /// A worker is awake again, and has said so ([`Sleeper::finish`]). Workers that wake one another all the time need
    /// not wake the monitor each time.
    ///
    /// `finish` is a locked instruction, and this load comes after it in the order of all that is sequentially
    /// consistent; in [`Watch::rest`] a fence stands between the end of ticking and the look at the workers. So the
    /// monitor sees the worker awake, or is woken.
    pub(super) fn note_awake(&self) {
        if !self.ticking.load(Ordering::SeqCst) {
            self.event.wake();
        }
    }

    /// There is something to watch. Cheap when the monitor is awake.
    pub(super) fn wake(&self) {
        self.event.wake();
    }
}

pub(super) fn start(shared: &Arc<Shared>) -> io::Result<()> {
    let watch = Watch {
        shared: shared.clone(),
        seen: Vec::new(),
        processors: num_cpus::get(),
        reported: HashSet::new(),
        cap_reported: false,
        waited: 0,
        hasty_until: Instant::now(),
        trimmed: Instant::now(),
        warm: true,
        verdict: Verdict::new(),
    };
    let name = format!("{}-monitor", shared.config.thread_name);
    shared.start_thread(name, move |_| watch.run())
}

/// A station at the last look.
#[derive(Clone, Copy)]
struct Seen {
    epoch: u64,
    /// Since when the epoch has been the same.
    since: Instant,
    /// It was in the same goroutine for a tick or longer.
    stuck: bool,
    cpu_time: Duration,
}

/// How the workers that are not surplus do.
#[derive(Clone, Copy, Default)]
struct Workers {
    regular: usize,
    /// Stuck, and using a processor.
    looping: usize,
    /// Stuck, and not.
    blocked: usize,
}

/// What the monitor remembers.
struct Watch {
    shared: Arc<Shared>,
    seen: Vec<Seen>,
    processors: usize,
    reported: HashSet<&'static Location<'static>>,
    cap_reported: bool,
    /// At how many looks in a row work waited for a worker.
    waited: u32,
    trimmed: Instant,
    /// Until then it looks more often.
    hasty_until: Instant,
    /// Pooled stacks may still hold memory.
    warm: bool,
    verdict: Verdict,
}

impl Watch {
    fn run(mut self) {
        loop {
            if self.shared.is_closed() && self.shared.live() == 0 {
                return;
            }
            let busy = self.look();
            self.choose_policy();
            self.trim(busy);
            self.rest(busy);
        }
    }

    /// Sleeps for a tick; when nobody is awake, until a worker is.
    fn rest(&self, busy: bool) {
        let Monitor { event, ticking } = &self.shared.monitor;
        ticking.store(false, Ordering::Relaxed);
        event.sleeper().prepare();
        // A worker is awake from before it wakes us until it prepares to sleep.
        let postponed = !self.shared.postponed.lock().is_empty();
        let anything = busy || postponed || self.anyone_awake();
        if self.shared.is_closed() && self.shared.live() == 0 {
            event.sleeper().finish();
        } else if anything || self.warm || self.shared.policy.is_batch() {
            ticking.store(anything, Ordering::Relaxed);
            let now = Instant::now();
            let pause = match anything {
                true if now < self.hasty_until => HASTY_TICK,
                true => TICK,
                // Memory to give back, or a policy that ends.
                false => STACK_REST,
            };
            event.wait(Some(now + pause));
        } else {
            event.wait(None);
        }
    }

    fn anyone_awake(&self) -> bool {
        self.shared
            .stations()
            .iter()
            .any(|station| station.is_active() && !station.sleeper.is_asleep())
    }

    fn choose_policy(&mut self) {
        let shared = &self.shared;
        if self.verdict.update(&shared.policy, Instant::now()) {
            shared.stations().iter().for_each(|station| station.wake());
        }
    }

    fn trim(&mut self, busy: bool) {
        self.warm |= busy;
        if self.warm && self.trimmed.elapsed() >= STACK_REST {
            self.warm = stack::trim(STACK_REST);
            self.trimmed = Instant::now();
        }
    }

    /// One look at everything; whether anything runs or waits to run.
    fn look(&mut self) -> bool {
        let shared = self.shared.clone();
        let now = Instant::now();
        let mut running = 0;
        let mut workers = Workers::default();
        for station in shared.stations() {
            let fresh = Seen { epoch: 0, since: now, stuck: false, cpu_time: Duration::ZERO };
            if self.seen.len() <= station.index {
                self.seen.resize(station.index + 1, fresh);
            }
            let active = station.is_active();
            let regular = active && !station.is_surplus();
            workers.regular += usize::from(regular);
            let epoch = station.epoch.load(Ordering::Acquire);
            let current = GoroutineRef::from_ptr(station.running.load(Ordering::Acquire));
            let seen = &mut self.seen[station.index];
            let (Some(current), true) = (current, active) else {
                *seen = Seen { epoch, ..fresh };
                continue;
            };
            running += 1;
            if seen.epoch != epoch {
                *seen = Seen { epoch, cpu_time: station.cpu_time(), ..fresh };
                continue;
            }
            let since = now.duration_since(seen.since);
            if since < HASTE && station.may_keep_waiting() {
                self.hasty_until = now + HASTE;
            }
            if since >= HASTY_TICK && (station.serve() || !shared.injector.is_empty()) {
                // Somebody waits behind it.
                station.overdue.store(true, Ordering::Relaxed);
            }
            if since < TICK {
                continue;
            }
            let used = station.cpu_time().saturating_sub(seen.cpu_time);
            let looping = used > since / 2 || used >= TICK;
            // It may be the system that keeps its thread from running.
            if !looping && !seen.stuck && !station.is_blocked() {
                continue;
            }
            seen.stuck = true;
            if looping {
                workers.looping += usize::from(regular);
            } else {
                workers.blocked += usize::from(regular);
            }
            station.overdue.store(true, Ordering::Relaxed);
            if shared.config.report_stalls {
                self.report(station, epoch, current, since);
            }
        }
        let postponed = !shared.postponed.lock().is_empty();
        if postponed {
            shared.retry_postponed();
        }
        if self.anything_waits() {
            // Whoever has spawned it was expected to give way, and nobody was woken. Where there is only a little, nappers
            // will see to it.
            shared.notify_unless(|| {
                shared.injector.is_empty() && shared.stations().iter().all(|s| s.has_little())
            });
        }
        let settled = self.adjust(workers);
        running > 0 || postponed || !settled
    }

    /// Whether there is something that any worker could run.
    fn anything_waits(&self) -> bool {
        !self.shared.injector.is_empty()
            || self.shared.stations().iter().any(|station| station.has_spare_work())
    }

    /// As many workers that make progress as the runtime was built with, see the head of this file.
    /// False: there are too many that could not be told to end yet.
    fn adjust(&mut self, workers: Workers) -> bool {
        let shared = self.shared.clone();
        let Workers { regular, looping, blocked } = workers;
        let progress = regular - looping - blocked;
        let wanted = shared.config.workers;
        if progress > wanted {
            return (wanted..progress).all(|_| self.remove_worker());
        }
        if progress >= wanted || !self.anything_waits() || shared.idle.is_anyone_resting() {
            self.waited = 0;
            return true;
        }
        self.waited += 1;
        // Loops count as progress, unless a processor is free for what they keep waiting, or it has waited
        // long: then whoever progresses may have too much to do of its own.
        let wanted = if self.waited < PATIENCE {
            let places = wanted.max(self.processors);
            wanted.min(places.saturating_sub(looping).max(1))
        } else {
            wanted
        };
        for _ in progress..wanted {
            self.add_worker();
        }
        true
    }

    fn add_worker(&mut self) {
        let shared = self.shared.clone();
        let back = shared.stations().iter().find(|s| s.is_active() && s.is_surplus());
        if let Some(station) = back {
            station.surplus.store(false, Ordering::Relaxed);
            station.wake();
            return;
        }
        let vacant = shared.stations.iter().filter(|station| !station.is_active());
        for station in vacant {
            match shared.start_worker(station.index) {
                Ok(true) => return,
                // Its last worker is just leaving.
                Ok(false) => {}
                Err(error) => return self.report_limit(&error.to_string()),
            }
        }
        self.report_limit(&format!(
            "the limit of {} spare workers is reached",
            shared.config.spares
        ));
    }

    fn report_limit(&mut self, reason: &str) {
        if !self.cap_reported {
            self.cap_reported = true;
            super::report(format_args!(
                "all workers are stuck, and there cannot be more of them: {reason}"
            ));
        }
    }

    /// The newest spare that makes progress goes first.
    fn remove_worker(&self) -> bool {
        let spare = self.shared.stations().iter().rev().find(|station| {
            let stuck = self.seen.get(station.index).is_some_and(|seen| seen.stuck);
            station.index >= self.shared.config.workers && station.is_regular() && !stuck
        });
        if let Some(station) = spare {
            station.surplus.store(true, Ordering::Relaxed);
            station.wake();
        }
        spare.is_some()
    }

    fn report(&mut self, station: &Station, epoch: u64, goroutine: GoroutineRef, since: Duration) {
        // It may have finished meanwhile, and another one live in its slot: a reference makes sure that
        // it stays, and the epoch that it is the one that was seen.
        let Some(goroutine) = Visit::begin().acquire(goroutine) else {
            return;
        };
        if station.epoch.load(Ordering::Acquire) == epoch && self.reported.insert(goroutine.site())
        {
            let residents = station.residents.load(Ordering::Relaxed).saturating_sub(1);
            super::report(format_args!(
                "{goroutine} has kept its worker for {} ms without parking; {residents} \
                 goroutines that started there wait behind it. Put blocking calls into \
                 fibra::blocking, and fibra::checkpoint() into long loops",
                since.as_millis()
            ));
        }
        // SAFETY: the reference just acquired.
        if let Some(slot) = unsafe { goroutine.release() } {
            crate::goroutine::pool::give(slot);
        }
    }
}
