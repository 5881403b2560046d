//! Goroutines that wait: for a lock, for one another, for the time.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fibra::Goroutine;
use fibra::sync::Mutex;

use crate::parked;
use crate::sleepers::{self, Lateness};

/// `goroutines` goroutines lock one mutex, add one and unlock it, `times` times each.
pub fn mutex_among(goroutines: usize, times: usize) -> Duration {
    // Leaked, so that a goroutine holds a plain reference, as in Go.
    let total: &Mutex<usize> = Box::leak(Box::new(Mutex::new(0)));
    let start = Instant::now();
    let handles: Vec<_> = (0..goroutines)
        .map(|_| {
            fibra::spawn(move || {
                for _ in 0..times {
                    *total.lock() += 1;
                }
            })
        })
        .collect();
    handles.into_iter().for_each(|handle| handle.join().expect("no panic"));
    let elapsed = start.elapsed();
    assert_eq!(*total.lock(), goroutines * times, "two held the lock at once");
    elapsed
}

/// `count` goroutines sleep, for different times.
pub fn sleepers(count: usize) -> Lateness {
    let handles: Vec<_> = (0..count)
        .map(|i| {
            fibra::spawn(move || {
                let wanted = sleepers::duration(i);
                let start = Instant::now();
                fibra::sleep(wanted);
                sleepers::lateness(start, wanted)
            })
        })
        .collect();
    let mut all = Lateness::default();
    handles.into_iter().for_each(|handle| all.add(handle.join().expect("no panic")));
    assert_eq!(all.woken, count, "somebody sleeps still");
    all
}

/// Spawns `count` goroutines that park for ever.
pub fn park_all(count: usize) {
    for _ in 0..count {
        drop(fibra::spawn(|| {
            parked::arrive();
            loop {
                fibra::park();
            }
        }));
    }
}

/// Spawns `count` goroutines and comes back when they sleep, which they do for one to two hours.
///
/// For a runtime of one worker: there, whoever has counted itself sleeps before anybody else runs.
pub fn doze(count: usize) {
    /// They are spawned in waves, so that the main goroutine never looks as if it was stuck: then a spare
    /// worker would come and take over some of them.
    const WAVE: usize = 1000;
    const HOUR: Duration = Duration::from_secs(3600);
    let asleep: &AtomicUsize = Box::leak(Box::new(AtomicUsize::new(0)));
    for i in 0..count {
        drop(fibra::spawn(move || {
            asleep.fetch_add(1, Ordering::Relaxed);
            fibra::sleep(HOUR + sleepers::scattered(i, HOUR));
        }));
        if (i + 1).is_multiple_of(WAVE) || i + 1 == count {
            while asleep.load(Ordering::Relaxed) <= i {
                fibra::yield_now();
            }
        }
    }
}

/// Two goroutines unpark each other in turn, `count` times in all. With a `limit`, each park has a deadline
/// that it does not reach: a timer goes in and comes out again.
pub fn hand_over(count: usize, limit: Option<Duration>) -> Duration {
    let game: &Game =
        Box::leak(Box::new(Game { turn: AtomicUsize::new(0), players: Default::default() }));
    let start = Instant::now();
    let players = [0, 1].map(|me| fibra::spawn(move || game.play(me, count, limit)));
    players.into_iter().for_each(|player| player.join().expect("no panic"));
    let elapsed = start.elapsed();
    assert_eq!(game.turn.load(Ordering::Acquire), count, "a turn was lost");
    elapsed
}

struct Game {
    turn: AtomicUsize,
    players: [OnceLock<Goroutine>; 2],
}

impl Game {
    fn play(&self, me: usize, turns: usize, limit: Option<Duration>) {
        let myself = fibra::current().expect("a player is a goroutine");
        self.players[me].set(myself).expect("each player plays once");
        let other = loop {
            match self.players[1 - me].get() {
                Some(other) => break other,
                None => fibra::yield_now(),
            }
        };
        for turn in (me..turns).step_by(2) {
            while self.turn.load(Ordering::Acquire) != turn {
                match limit {
                    None => fibra::park(),
                    Some(limit) => fibra::park_timeout(limit),
                }
            }
            self.turn.store(turn + 1, Ordering::Release);
            other.unpark();
        }
    }
}
