//! A wake-up that is left out, because the worker itself comes to what was spawned sooner than whoever would be woken.
//!
//! A goroutine that accepts connections spawns one for each, and waits for the next. So its worker starts the new one
//! within a few microseconds. To wake another worker for it would take longer, and cost more than the connection itself
//! does in user mode. Hence: if a goroutine has given way promptly after nearly all of its latest spawns, nobody is woken
//! for the next one, as long as it is alone in its queue. When the goroutine gives way, its worker runs what was
//! spawned, or wakes somebody if others come first ([`Worker::settle`]). If it does not, the monitor wakes somebody at
//! its next look.
//!
//! Of what waits in such a way there is at most one goroutine for each worker that is awake. So with as many stealable
//! goroutines as there are workers somebody is woken for one of them, as before (invariant 5).

use super::Worker;
use crate::goroutine::GoroutineRef;
use std::time::{Duration, Instant};

/// What a wake-up takes.
const PROMPT: Duration = Duration::from_micros(50);
/// So often it has to have been prompt, more often than not ...
const ENOUGH: u32 = 16;
/// ... and more often does not count: one time in twenty that it was not is too much.
const MOST: u32 = 32;
/// Once it is trusted the clock, which costs as much as a spawn, is read only after so many more spawns.
const UNTIMED: u32 = 15;

/// What is known of the goroutine that spawned last.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Trust {
    /// Only to be compared: it may have ended.
    spawner: Option<GoroutineRef>,
    /// How often it was prompt; halved each time that it was not.
    prompt: u32,
    /// How many spawns were not timed since the last one that was.
    untimed: u32,
}

impl Trust {
    /// What is known of this one, which spawns.
    fn in_spawner(self, spawner: Option<GoroutineRef>) -> Trust {
        if self.spawner == spawner { self } else { Trust { spawner, ..Trust::default() } }
    }

    fn is_enough(self) -> bool {
        self.prompt >= ENOUGH
    }

    /// Whether the next spawn is to be timed.
    fn is_due(self) -> bool {
        !self.is_enough() || self.untimed >= UNTIMED
    }

    /// It has given way after a spawn that was timed.
    fn after(self, prompt: bool) -> Trust {
        let prompt = if prompt { (self.prompt + 1).min(MOST) } else { self.prompt / 2 };
        Trust { prompt, untimed: 0, ..self }
    }

    /// The same after one that was not.
    fn after_untimed(self) -> Trust {
        Trust { untimed: self.untimed + 1, ..self }
    }
}

/// The current goroutine has spawned while somebody slept, and has not given way since.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unsettled {
    /// If that is timed.
    since: Option<Instant>,
    /// What `usual_rounds` was.
    rounds: u32,
}

impl Worker {
    /// The current goroutine has spawned one, and there are workers that sleep, while nobody searches.
    #[cold]
    pub(super) fn wake_or_defer(&self) {
        let station = self.station();
        let trust = self.trust.get().in_spawner(self.current());
        self.trust.set(trust);
        if !self.is_unsettled() {
            // So that the next round notices, which has no time to look each time.
            let rounds = self.usual_rounds.replace(0);
            let since = trust.is_due().then(Instant::now);
            self.unsettled.set(Some(Unsettled { since, rounds }));
        }
        if !trust.is_enough() || station.fresh.len() > 1 {
            self.shared.notify_of(station);
        }
    }

    pub(super) fn is_unsettled(&self) -> bool {
        self.unsettled.get().is_some()
    }

    /// The goroutine gives way, or runs in place what it has spawned. False: there was nothing to settle.
    #[cold]
    pub(super) fn settle(&self) -> bool {
        let Some(Unsettled { since, rounds }) = self.unsettled.take() else { return false };
        self.usual_rounds.set(rounds);
        let trust = self.trust.get();
        self.trust.set(if self.is_overdue() {
            // The monitor has noticed it: it was far too late.
            Trust::default()
        } else if let Some(since) = since {
            trust.after(since.elapsed() < PROMPT)
        } else {
            trust.after_untimed()
        });
        let station = self.station();
        let waiting = station.spare_work();
        // If the next round begins elsewhere, what it finds there comes first.
        let is_next = waiting == 1 && rounds > 0 && self.ready.is_empty() && self.hogs.is_empty();
        if waiting > 0 && !is_next {
            self.shared.notify_of(station);
        }
        true
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
