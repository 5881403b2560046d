//! The lock itself, without what it protects.
//!
//! ```text
//!   bit 0   WRITER  a writer has it, or is next: no reader comes in
//!   bit 1   QUEUED  readers stand in line
//!   bit 2…  how many readers have it
//! ```
//!
//! # Writers
//!
//! They have a mutex among themselves, so there is at most one who deals with the readers. That one first
//! *announces* itself: it sets WRITER. If there are readers, it then waits in the line's queue DRAIN until the
//! last of them is gone.
//!
//! # Readers
//!
//! One that finds WRITER waits in the queue READERS. When the writer is done, or gives up, it clears WRITER and
//! lets them all in: it counts each of them as a reader, and then serves it. Only after that does it unlock the
//! writers' mutex.
//!
//! So neither side starves the other: a writer waits for those readers that were there when it came, and a
//! reader waits for one writer. Each is let in before the other side can come again.
//!
//! # No wake-up is lost
//!
//! * *Reader*: it stands in line under the line's lock, after a look at WRITER in the same step that sets
//!   QUEUED. QUEUED and WRITER are cleared under that lock only, unless nobody is QUEUED.
//! * *Writer*: it stands in line under the line's lock, after a look at the count. A reader that makes it 0
//!   later sees WRITER, and then takes the line's lock and serves the writer.
//! * *A reader that is late* with that may find another writer, with new readers inside. So it looks again
//!   at the count, under the line's lock: while WRITER is set it does not grow.

use super::super::line::{How, Line, LineGuard, Place};
use super::super::mutex::RawMutex;
use super::super::spin::Spin;
use crate::primitive::atomic::{AtomicUsize, Ordering};
use crate::primitive::const_unless_loom;
use crate::ticket::Cause;
use std::ptr;

const WRITER: usize = 1;
const QUEUED: usize = 2;
const READER: usize = 4;

/// Queues of the line.
const READERS: usize = 0;
const DRAIN: usize = 1;

/// See the head of this file.
#[derive(Debug)]
pub(super) struct RawRwLock {
    state: AtomicUsize,
    writers: RawMutex,
    line: Line<(), 2>,
}

impl RawRwLock {
    const_unless_loom! {
        pub(super) fn new() -> RawRwLock {
            RawRwLock {
                state: AtomicUsize::new(0),
                writers: RawMutex::new(),
                line: Line::new(()),
            }
        }
    }

    #[inline]
    pub(super) fn try_read(&self) -> bool {
        let mut state = self.state.load(Ordering::Relaxed);
        while state & WRITER == 0 {
            match self.enter(state) {
                Ok(()) => return true,
                Err(now) => state = now,
            }
        }
        false
    }

    /// One reader more.
    #[inline]
    fn enter(&self, state: usize) -> Result<(), usize> {
        self.state
            .compare_exchange(state, state + READER, Ordering::Acquire, Ordering::Relaxed)
            .map(|_| ())
    }

    /// Locks it for reading. Without [`Cause::Notified`] the caller does not have it.
    #[inline]
    pub(super) fn read(&self, how: impl FnOnce() -> How) -> Cause {
        let state = self.state.load(Ordering::Relaxed);
        if state & WRITER == 0 && self.enter(state).is_ok() {
            return Cause::Notified;
        }
        self.read_slow(how())
    }

    #[cold]
    fn read_slow(&self, how: How) -> Cause {
        let mut spin = Spin::new();
        loop {
            if self.try_read() {
                return Cause::Notified;
            }
            if spin.again() {
                continue;
            }
            let line = self.line.lock();
            if self.announce_reader() {
                // Served: it has been counted.
                return line.wait(READERS, Place::Back, ptr::null_mut(), how, |line| {
                    self.left(line);
                });
            }
        }
    }

    /// Under the line's lock: says that readers stand in line from now on. False: they may come in.
    fn announce_reader(&self) -> bool {
        let mut state = self.state.load(Ordering::Relaxed);
        while state & WRITER != 0 {
            match self.state.compare_exchange(
                state,
                state | QUEUED,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(now) => state = now,
            }
        }
        false
    }

    /// Under the line's lock: a reader has left it.
    fn left(&self, line: &LineGuard<'_, (), 2>) {
        if line.is_empty(READERS) {
            self.state.fetch_and(!QUEUED, Ordering::Relaxed);
        }
    }

    /// # Safety
    /// The caller has locked it for reading, and does not use what it protects any more.
    #[inline]
    pub(super) unsafe fn unlock_read(&self) {
        let left = self.state.fetch_sub(READER, Ordering::Release) - READER;
        if is_drained(left) {
            self.wake_writer();
        }
    }

    /// The last reader lets the writer go on that waits for it.
    #[cold]
    fn wake_writer(&self) {
        let mut line = self.line.lock();
        let served = if is_drained(self.state.load(Ordering::Acquire)) {
            line.serve(DRAIN, |_| {})
        } else {
            None
        };
        drop(line);
        if let Some(wake) = served {
            wake.wake();
        }
    }

    #[inline]
    pub(super) fn try_write(&self) -> bool {
        if !self.writers.try_lock() {
            return false;
        }
        // Without a writer nobody is queued.
        if self.state.compare_exchange(0, WRITER, Ordering::Acquire, Ordering::Relaxed).is_ok() {
            return true;
        }
        // SAFETY: locked above.
        unsafe { self.writers.unlock() };
        false
    }

    /// Locks it for writing. Without [`Cause::Notified`] the caller does not have it.
    #[inline]
    pub(super) fn write(&self, how: impl FnOnce() -> How) -> Cause {
        if self.try_write() { Cause::Notified } else { self.write_slow(how()) }
    }

    #[cold]
    fn write_slow(&self, how: How) -> Cause {
        let cause = self.writers.lock(|| how);
        if cause != Cause::Notified {
            return cause;
        }
        let mut state = self.state.fetch_or(WRITER, Ordering::Acquire) | WRITER;
        let mut spin = Spin::new();
        while !is_drained(state) {
            if spin.again() {
                state = self.state.load(Ordering::Acquire);
                continue;
            }
            let line = self.line.lock();
            state = self.state.load(Ordering::Acquire);
            if !is_drained(state) {
                let cause = line.wait(DRAIN, Place::Back, ptr::null_mut(), how, |_| {});
                if cause != Cause::Notified {
                    self.let_readers_in();
                }
                return cause;
            }
        }
        Cause::Notified
    }

    /// # Safety
    /// The caller has locked it for writing, and does not use what it protects any more.
    #[inline]
    pub(super) unsafe fn unlock_write(&self) {
        if self.state.compare_exchange(WRITER, 0, Ordering::Release, Ordering::Relaxed).is_ok() {
            // SAFETY: whoever writes has locked it.
            unsafe { self.writers.unlock() };
        } else {
            self.let_readers_in();
        }
    }

    /// The writer is done, or gives up.
    #[cold]
    fn let_readers_in(&self) {
        let mut line = self.line.lock();
        // From here on nobody stands in line any more.
        self.state.fetch_and(!(WRITER | QUEUED), Ordering::Release);
        loop {
            // Before it is served: from then on it may be unlocking.
            self.state.fetch_add(READER, Ordering::Relaxed);
            let served = line.serve(READERS, |_| {});
            if served.is_none() {
                self.state.fetch_sub(READER, Ordering::Relaxed);
            }
            drop(line);
            let Some(wake) = served else { break };
            wake.wake();
            line = self.line.lock();
        }
        // SAFETY: the writer has locked it.
        unsafe { self.writers.unlock() };
    }
}

/// Whether a writer has it, and no reader.
fn is_drained(state: usize) -> bool {
    state & !QUEUED == WRITER
}
