//! Many goroutines that are parked.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use fibra::{Goroutine, Runtime};

/// How long a crowd may take to park or to finish.
const PATIENCE: Duration = Duration::from_secs(300);

/// Goroutines that park until the crowd is released.
///
/// Used from a plain thread, so that the one who measures is none of the goroutines.
#[derive(Debug)]
pub struct Crowd {
    members: Mutex<Members>,
    released: AtomicBool,
    left: AtomicUsize,
}

#[derive(Debug)]
struct Members {
    /// A place for everyone; its memory is touched before anybody arrives, so that it is no part of
    /// what a member costs.
    places: Vec<Option<Goroutine>>,
    arrived: usize,
}

impl Crowd {
    /// A crowd of `size`, still empty. Leaked, so that a member holds a plain reference.
    pub fn leak(size: usize) -> &'static Crowd {
        let mut places = Vec::new();
        places.resize_with(size, || None);
        Box::leak(Box::new(Crowd {
            members: Mutex::new(Members { places, arrived: 0 }),
            released: AtomicBool::new(false),
            left: AtomicUsize::new(size),
        }))
    }

    /// Spawns the members and waits until all are parked.
    pub fn gather(&'static self, runtime: &Runtime) {
        let size = self.members().places.len();
        runtime.run(|| {
            for _ in 0..size {
                drop(fibra::spawn(|| self.stay()));
            }
        });
        wait_until(|| self.members().arrived == size);
        // The last to arrive are on their way into `park`.
        thread::sleep(Duration::from_millis(100));
        assert_eq!(self.left.load(Ordering::Acquire), size, "a member left before its release");
    }

    /// Lets all go on, and waits until they are through.
    pub fn release(&'static self, runtime: &Runtime) {
        self.released.store(true, Ordering::Release);
        runtime.run(|| {
            let places = std::mem::take(&mut self.members().places);
            for member in places.into_iter().flatten() {
                member.unpark();
            }
        });
        wait_until(|| self.left.load(Ordering::Acquire) == 0);
    }

    fn stay(&self) {
        let me = fibra::current().expect("a member is a goroutine");
        {
            let mut members = self.members();
            let place = members.arrived;
            members.places[place] = Some(me);
            members.arrived += 1;
        }
        while !self.released.load(Ordering::Acquire) {
            fibra::park();
        }
        self.left.fetch_sub(1, Ordering::AcqRel);
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wait_until(done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "a crowd got stuck");
        thread::sleep(Duration::from_millis(1));
    }
}
