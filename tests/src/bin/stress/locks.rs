//! Locks that notice when somebody is inside who should not be, and a queue made of them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use fibra::sync::{Condvar, Mutex, RwLock, Semaphore};

use crate::ledger::Value;
use crate::program::{How, LockHow, LockKind};
use crate::report::{Status, Waits, die};

pub(crate) struct Lock {
    number: usize,
    kind: Kind,
    /// The weights of those who are inside.
    inside: AtomicUsize,
    /// How often somebody was inside alone.
    entries: AtomicU64,
}

enum Kind {
    Mutex(Mutex<u64>),
    RwLock(RwLock<u64>),
    Semaphore(Semaphore, usize),
}

/// Of one who must be alone.
const ALONE: usize = 1 << 20;

impl Lock {
    pub(crate) fn new(number: usize, kind: LockKind) -> Lock {
        let kind = match kind {
            LockKind::Mutex => Kind::Mutex(Mutex::new(0)),
            LockKind::RwLock => Kind::RwLock(RwLock::new(0)),
            LockKind::Semaphore(permits) => Kind::Semaphore(Semaphore::new(permits), permits),
        };
        Lock { number, kind, inside: AtomicUsize::new(0), entries: AtomicU64::new(0) }
    }

    /// Does it with the lock, if it gets that.
    pub(crate) fn with(&self, how: LockHow, status: &Status, body: impl FnOnce()) {
        let waiting = status.waiting(Waits::lock(self.number));
        match &self.kind {
            Kind::Mutex(mutex) => {
                let guard = match how.how {
                    How::Try => mutex.try_lock(),
                    How::Timeout(limit) => mutex.lock_timeout(limit.duration()),
                    _ => Some(mutex.lock()),
                };
                drop(waiting);
                let Some(mut guard) = guard else { return };
                let _inside = self.enter(ALONE, 1);
                *guard += 1;
                body();
            }
            Kind::RwLock(rwlock) if how.shared => {
                let guard = match how.how {
                    How::Try => rwlock.try_read(),
                    How::Timeout(limit) => rwlock.read_timeout(limit.duration()),
                    _ => Some(rwlock.read()),
                };
                drop(waiting);
                let Some(guard) = guard else { return };
                let _inside = self.enter(1, ALONE);
                let before = *guard;
                body();
                if *guard != before {
                    die(format!("lock {} was written while it was read", self.number));
                }
            }
            Kind::RwLock(rwlock) => {
                let guard = match how.how {
                    How::Try => rwlock.try_write(),
                    How::Timeout(limit) => rwlock.write_timeout(limit.duration()),
                    _ => Some(rwlock.write()),
                };
                drop(waiting);
                let Some(mut guard) = guard else { return };
                let _inside = self.enter(ALONE, 1);
                *guard += 1;
                body();
            }
            Kind::Semaphore(semaphore, permits) => {
                let guard = match how.how {
                    How::Try => semaphore.try_acquire(),
                    How::Timeout(limit) => semaphore.acquire_timeout(limit.duration()),
                    _ => Some(semaphore.acquire()),
                };
                drop(waiting);
                let Some(_guard) = guard else { return };
                let _inside = self.enter(1, *permits);
                body();
            }
        }
    }

    /// Whoever comes in with this weight must find less than so much inside.
    fn enter(&self, weight: usize, less_than: usize) -> Inside<'_> {
        let found = self.inside.fetch_add(weight, Ordering::SeqCst);
        if found >= less_than {
            die(format!("{weight:#x} came into lock {} and met {found:#x}", self.number));
        }
        if weight == ALONE {
            self.entries.fetch_add(1, Ordering::Relaxed);
        }
        Inside(self, weight)
    }

    /// Whether somebody who waits for it should get it, as far as one can see.
    pub(crate) fn is_free(&self) -> bool {
        let inside = self.inside.load(Ordering::SeqCst);
        match &self.kind {
            Kind::Mutex(_) | Kind::RwLock(_) => inside == 0,
            Kind::Semaphore(_, permits) => inside < *permits,
        }
    }

    /// When all is over.
    pub(crate) fn check(&self) {
        let entries = self.entries.load(Ordering::Relaxed);
        let right = match &self.kind {
            Kind::Mutex(mutex) => mutex.try_lock().is_some_and(|count| *count == entries),
            Kind::RwLock(rwlock) => rwlock.try_write().is_some_and(|count| *count == entries),
            Kind::Semaphore(semaphore, permits) => semaphore.available_permits() == *permits,
        };
        if !right || self.inside.load(Ordering::SeqCst) != 0 {
            die(format!("lock {} is not as it should be after {entries} entries", self.number));
        }
    }
}

struct Inside<'a>(&'a Lock, usize);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(self.1, Ordering::SeqCst);
    }
}

/// A channel that is made of a mutex and a condition variable.
pub(crate) struct Shelf<const WORDS: usize> {
    state: Mutex<State<WORDS>>,
    changed: Condvar,
    len: AtomicUsize,
}

struct State<const WORDS: usize> {
    values: VecDeque<Value<WORDS>>,
    over: bool,
}

/// Why there was no value.
pub(crate) enum Bare {
    /// One could not look.
    Unknown,
    Empty,
    Over,
}

impl<const WORDS: usize> Shelf<WORDS> {
    pub(crate) fn new() -> Shelf<WORDS> {
        Shelf {
            state: Mutex::new(State { values: VecDeque::new(), over: false }),
            changed: Condvar::new(),
            len: AtomicUsize::new(0),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::SeqCst)
    }

    /// The value, when it is over.
    pub(crate) fn put(&self, value: Value<WORDS>) -> Result<(), Value<WORDS>> {
        let (unlocked, all) = (value.id().is_multiple_of(2), value.id().is_multiple_of(3));
        let mut state = self.state.lock();
        if state.over {
            return Err(value);
        }
        state.values.push_back(value);
        self.len.store(state.values.len(), Ordering::SeqCst);
        let locked = (!unlocked).then_some(state);
        if all {
            self.changed.notify_all();
        } else {
            self.changed.notify_one();
        }
        drop(locked);
        Ok(())
    }

    pub(crate) fn take(&self, how: How) -> Result<Value<WORDS>, Bare> {
        let bare = |state: &mut State<WORDS>| state.values.is_empty() && !state.over;
        let mut state = match how {
            How::Try => self.state.try_lock().ok_or(Bare::Unknown)?,
            How::Timeout(limit) => {
                let mut state = self.state.lock();
                let _either = self.changed.wait_while_timeout(&mut state, bare, limit.duration());
                state
            }
            _ => {
                let mut state = self.state.lock();
                self.changed.wait_while(&mut state, bare);
                state
            }
        };
        let value = state.values.pop_front();
        self.len.store(state.values.len(), Ordering::SeqCst);
        value.ok_or(if state.over { Bare::Over } else { Bare::Empty })
    }

    /// Nothing more can be put there.
    pub(crate) fn end(&self) {
        self.state.lock().over = true;
        self.changed.notify_all();
    }
}
