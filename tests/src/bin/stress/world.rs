//! What the parties of a program share.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, Thread};

use fibra::JoinHandle;

use crate::ends::{self, Counted};
use crate::ledger::{LEDGER, lock};
use crate::locks::{Bare, Lock, Shelf};
use crate::program::{How, Program, Side};

pub(crate) struct World<const WORDS: usize> {
    pub(crate) program: Arc<Program>,
    pub(crate) locks: Vec<Lock>,
    pub(crate) shelves: Vec<Shelf<WORDS>>,
    /// A shelf has both ends for as long as it is there.
    _ends: Vec<[Counted; 2]>,
    /// Of the parties that are goroutines and have been spawned.
    handles: Vec<Mutex<Option<JoinHandle<()>>>>,
    pub(crate) cancelled: Vec<AtomicBool>,
    started: AtomicUsize,
    done: AtomicUsize,
    supervisor: Thread,
}

impl<const WORDS: usize> World<WORDS> {
    /// The caller supervises it.
    pub(crate) fn new(program: &Arc<Program>) -> Arc<World<WORDS>> {
        let shelves = program.channels.len()..program.channels.len() + program.shelves;
        let both = |number| [Side::Sender, Side::Receiver].map(|side| Counted::new(number, side));
        let parties = program.parties.iter();
        Arc::new(World {
            program: program.clone(),
            locks: program.locks.iter().enumerate().map(|(i, kind)| Lock::new(i, *kind)).collect(),
            shelves: shelves.clone().map(|_| Shelf::new()).collect(),
            _ends: shelves.map(both).collect(),
            handles: parties.clone().map(|_| Mutex::default()).collect(),
            cancelled: parties.map(|_| AtomicBool::new(false)).collect(),
            started: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
            supervisor: thread::current(),
        })
    }

    pub(crate) fn register(&self, party: usize, handle: JoinHandle<()>) {
        *lock(&self.handles[party]) = Some(handle);
    }

    pub(crate) fn take_handle(&self, party: usize) -> Option<JoinHandle<()>> {
        lock(&self.handles[party]).take()
    }

    /// Does nothing to a thread.
    pub(crate) fn cancel(&self, party: usize) {
        if let Some(handle) = &*lock(&self.handles[party]) {
            self.cancelled[party].store(true, Ordering::SeqCst);
            handle.cancel();
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        // This one first: a party counts as started before the one that spawns it can be done.
        let done = self.done.load(Ordering::SeqCst);
        done == self.started.load(Ordering::SeqCst)
    }

    pub(crate) fn end_shelves(&self) {
        for (i, shelf) in self.shelves.iter().enumerate() {
            ends::close(self.program.channels.len() + i, || shelf.end());
        }
    }

    /// Takes what is left.
    pub(crate) fn empty_shelves(&self, supervisor: u32, now: impl Fn() -> u64) {
        for (i, shelf) in self.shelves.iter().enumerate() {
            let number = self.program.channels.len() + i;
            loop {
                let start = now();
                match shelf.take(How::Wait) {
                    Ok(value) => LEDGER.received(value, number, supervisor, start),
                    Err(Bare::Over | Bare::Empty | Bare::Unknown) => break,
                }
            }
        }
    }
}

/// One party that has not ended.
pub(crate) struct Done<const WORDS: usize>(Arc<World<WORDS>>);

impl<const WORDS: usize> Done<WORDS> {
    pub(crate) fn new(world: &Arc<World<WORDS>>) -> Done<WORDS> {
        world.started.fetch_add(1, Ordering::SeqCst);
        Done(world.clone())
    }
}

impl<const WORDS: usize> Drop for Done<WORDS> {
    fn drop(&mut self) {
        self.0.done.fetch_add(1, Ordering::SeqCst);
        if self.0.is_done() {
            self.0.supervisor.unpark();
        }
    }
}
