//! Descriptors that park the calling goroutine instead of blocking its thread.
//!
//! [`Io`] is one non-blocking descriptor with its limits. A call tries the system call, waits while there is nothing
//! to be had, and tries again ([`Io::run`]); how no change is lost in between stands in `poll/mod.rs`.
//!
//! # Closing
//!
//! A descriptor's number must not be given to another file while somebody may still use it, so `close` does not free
//! it. It puts a file on which every call fails in its place (`dup3`), which closes the socket for the other
//! side, for waiters and for its port at once. Calls that are inside the kernel finish on the old file. The number is
//! freed with the last handle.

mod limits;
pub(crate) mod sys;

use crate::goroutine::WaitReason;
use crate::park::{self, Parking};
use crate::poll::{Direction, Enlisted, Source, Turn};
use crate::sched;
use crate::ticket::{Cause, Runnable, Ticket};
use limits::{Began, Limits};
use std::hint;
use std::io;
use std::mem::ManuallyDrop;
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

/// See the head of this file. What each call needs comes first: 16 bytes, of one cache line in an `Arc`, too.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Io {
    source: &'static Source,
    fd: ManuallyDrop<OwnedFd>,
    flags: Flags,
    limits: Limits,
}

/// What is not so with every descriptor: bits.
#[derive(Debug)]
struct Flags(AtomicU8);

impl Flags {
    const CLOSED: u8 = 1;
    /// A timeout or a deadline was set, or taken away again.
    const LIMITED: u8 = 2;
    /// The user wants `WouldBlock` instead of a wait.
    const NONBLOCKING: u8 = 4;
    /// Somebody has seen the descriptor, and may have made copies of it.
    const SHOWN: u8 = 8;

    #[inline]
    fn has(&self, any: u8) -> bool {
        self.0.load(Ordering::Relaxed) & any != 0
    }

    /// Whether it was there before.
    fn set(&self, flag: u8) -> bool {
        self.0.fetch_or(flag, Ordering::SeqCst) & flag != 0
    }

    fn clear(&self, flag: u8) {
        self.0.fetch_and(!flag, Ordering::SeqCst);
    }
}

/// What a call remembers from one try to the next. Most are all zeros at first, which costs each read and write little.
#[derive(Default)]
struct Call {
    turn: Turn,
    began: Began,
    /// Not zero: after so long it tries again without having been told to.
    pause: Duration,
}

/// For what is never reported: how long to wait for the next try, at first and at most.
pub(crate) const FIRST_PAUSE: Duration = Duration::from_micros(100);
pub(crate) const LAST_PAUSE: Duration = Duration::from_millis(10);

impl Io {
    /// For a descriptor that is non-blocking already.
    pub(crate) fn of_nonblocking(fd: OwnedFd) -> Io {
        Io {
            fd: ManuallyDrop::new(fd),
            source: Source::lease(),
            limits: Limits::new(),
            flags: Flags(AtomicU8::new(0)),
        }
    }

    /// Makes the descriptor non-blocking.
    ///
    /// # Errors
    /// None that a valid descriptor could give.
    pub(crate) fn new(fd: OwnedFd) -> io::Result<Io> {
        set_nonblocking(fd.as_fd(), true)?;
        let io = Io::of_nonblocking(fd);
        // Where it came from there may be copies.
        io.flags.set(Flags::SHOWN);
        Ok(io)
    }

    /// The descriptor for a system call.
    pub(crate) fn raw(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// The descriptor for the user, who may do with it what is not known here.
    pub(crate) fn show(&self) -> BorrowedFd<'_> {
        if !self.flags.has(Flags::SHOWN) {
            self.flags.set(Flags::SHOWN);
        }
        self.fd.as_fd()
    }

    /// The descriptor, blocking again unless the user wanted it otherwise.
    pub(crate) fn into_fd(self) -> OwnedFd {
        let io = ManuallyDrop::new(self);
        io.source.give_back(true);
        // SAFETY: `io` is not used any more, nor dropped.
        let fd = ManuallyDrop::into_inner(unsafe { std::ptr::read(&io.fd) });
        if !io.flags.has(Flags::NONBLOCKING) {
            // A valid descriptor gives no error.
            let _valid = set_nonblocking(fd.as_fd(), false);
        }
        fd
    }

    pub(crate) fn set_nonblocking(&self, nonblocking: bool) {
        if nonblocking {
            self.flags.set(Flags::NONBLOCKING);
        } else {
            self.flags.clear(Flags::NONBLOCKING);
        }
        self.stir();
    }

    /// Calls `attempt` until it says something else than `WouldBlock`, and waits in between. It gets the tick; `None`:
    /// it need not have tried, which a call with a pause must have.
    #[inline]
    fn run_ticked<T>(
        &self,
        direction: Direction,
        mut call: Call,
        mut attempt: impl FnMut(u32) -> io::Result<Option<T>>,
    ) -> io::Result<T> {
        // Whoever always finds something must not keep its worker for ever.
        park::checkpoint();
        // Taken along: after a wait it and the rest of `self` are out of the cache, and need not be fetched one after the
        // other.
        let source = self.source;
        let error = loop {
            let seen = source.tick(direction);
            if self.flags.has(Flags::CLOSED | Flags::LIMITED) {
                hint::cold_path();
                if let Err(error) = self.check() {
                    break error;
                }
            }
            let waited = match attempt(seen) {
                Ok(Some(value)) => {
                    self.finish(direction, &call);
                    return Ok(value);
                }
                Ok(None) => self.wait(direction, seen, &mut call),
                Err(error) => {
                    hint::cold_path();
                    self.wait_after(error, direction, seen, &mut call)
                }
            };
            if let Err(error) = waited {
                break error;
            }
        };
        hint::cold_path();
        self.finish(direction, &call);
        Err(error)
    }

    /// After a try that failed: waits, if that may help.
    // Apart, as all that a read of a stream and a write seldom need: what a server does between two system calls is out
    // of the cache by then, so the fewer lines of code it takes the better.
    #[inline(never)]
    fn wait_after(
        &self,
        error: io::Error,
        direction: Direction,
        seen: u32,
        call: &mut Call,
    ) -> io::Result<()> {
        match error.kind() {
            io::ErrorKind::Interrupted => Ok(()),
            io::ErrorKind::WouldBlock if self.flags.has(Flags::NONBLOCKING) => Err(error),
            io::ErrorKind::WouldBlock if call.pause.is_zero() => self.wait(direction, seen, call),
            io::ErrorKind::WouldBlock => self.wait_with_limits(direction, seen, call),
            _ if self.is_closed() => Err(closed()),
            _ => Err(error),
        }
    }

    /// If it has waited for its turn, the next one has it now.
    #[inline]
    fn finish(&self, direction: Direction, call: &Call) {
        if call.turn.was_taken() && self.source.is_crowded(direction) {
            self.pass_on(direction);
        }
    }

    #[cold]
    #[inline(never)]
    fn pass_on(&self, direction: Direction) {
        make_ready(self.source.pass_on(direction));
    }

    /// Calls `attempt` until it says something else than `WouldBlock`, and waits in between for the descriptor to
    /// become ready for that direction.
    ///
    /// # Errors
    /// Those of `attempt`, `TimedOut`, and `NotConnected` after [`close`](Self::close).
    pub(crate) fn run<T>(
        &self,
        direction: Direction,
        mut attempt: impl FnMut() -> io::Result<T>,
    ) -> io::Result<T> {
        self.run_ticked(direction, Call::default(), |_| attempt().map(Some))
    }

    /// The same for a read of up to `wanted` bytes from a stream that gives what it has: when it gave less, the
    /// next read waits without a try in vain.
    #[inline]
    pub(crate) fn run_stream(
        &self,
        wanted: usize,
        mut attempt: impl FnMut() -> io::Result<usize>,
    ) -> io::Result<usize> {
        let source = self.source;
        self.run_ticked(Direction::Read, Call::default(), |seen| {
            // Who does not wait may never give anybody a chance to notice a change. And what is done to a
            // descriptor elsewhere may make it give less than it has.
            if source.is_drained(seen) && !self.flags.has(Flags::NONBLOCKING | Flags::SHOWN) {
                return Ok(None);
            }
            let got = attempt()?;
            if got == 0 {
                // At the end it gives nothing, again and again.
                hint::cold_path();
                return self.or_closed(got).map(Some);
            }
            if got < wanted {
                source.set_drained(seen);
            }
            Ok(Some(got))
        })
    }

    /// The same for what the system never reports: it is tried again and again.
    pub(crate) fn run_unreported<T>(
        &self,
        direction: Direction,
        mut attempt: impl FnMut() -> io::Result<T>,
    ) -> io::Result<T> {
        let call = Call { pause: FIRST_PAUSE, ..Call::default() };
        self.run_ticked(direction, call, |_| attempt().map(Some))
    }

    /// The same for a read that may give less than there is.
    pub(crate) fn run_messages(
        &self,
        _wanted: usize,
        mut attempt: impl FnMut() -> io::Result<usize>,
    ) -> io::Result<usize> {
        self.run(Direction::Read, || self.or_closed(attempt()?))
    }

    /// The end that comes of closing is no end of the stream.
    fn or_closed(&self, got: usize) -> io::Result<usize> {
        if got == 0 && self.is_closed() { Err(closed()) } else { Ok(got) }
    }

    /// Before a try of what was closed or has limits.
    #[inline(never)]
    fn check(&self) -> io::Result<()> {
        if self.is_closed() {
            return Err(closed());
        }
        if self.limits.is_over() { Err(timed_out()) } else { Ok(()) }
    }

    /// Waits until it is worth a try. The caller has seen the tick before its last one.
    #[inline(never)]
    fn wait(&self, direction: Direction, seen: u32, call: &mut Call) -> io::Result<()> {
        // After the tick: whoever sets a limit changes it.
        if self.flags.has(Flags::LIMITED) {
            hint::cold_path();
            return self.wait_with_limits(direction, seen, call);
        }
        self.wait_until(direction, seen, &mut call.turn, None)
    }

    // Apart, so that the others' code and frame are small.
    #[inline(never)]
    fn wait_with_limits(&self, direction: Direction, seen: u32, call: &mut Call) -> io::Result<()> {
        let deadline = self.limits.deadline(direction, &mut call.began);
        if call.pause.is_zero() {
            return self.wait_until(direction, seen, &mut call.turn, deadline);
        }
        pause_until(deadline, reason(direction), &mut call.pause)
    }

    #[inline(always)]
    fn wait_until(
        &self,
        direction: Direction,
        seen: u32,
        turn: &mut Turn,
        deadline: Option<Instant>,
    ) -> io::Result<()> {
        self.source.set_user(self);
        let (parking, ticket) = loop {
            let parking = Parking::open();
            let ticket = parking.ticket();
            match self.source.enlist(direction, seen, turn, ticket) {
                Enlisted::Waiting => break (parking, ticket),
                other => {
                    hint::cold_path();
                    if let Some(result) = self.do_not_wait(parking, &other) {
                        return result;
                    }
                }
            }
        };
        let cause = parking.wait(reason(direction), deadline);
        if cause != Cause::Notified {
            hint::cold_path();
            return self.give_up(direction, ticket, cause);
        }
        Ok(())
    }

    /// What comes of an attempt to wait instead; `None`: another attempt.
    #[cold]
    #[inline(never)]
    fn do_not_wait(&self, parking: Parking, why: &Enlisted) -> Option<io::Result<()>> {
        drop(parking);
        match why {
            Enlisted::Waiting => unreachable!("the caller waits"),
            Enlisted::Changed => Some(Ok(())),
            Enlisted::Closed => Some(Err(closed())),
            Enlisted::Unregistered => self.register().err().map(Err),
        }
    }

    /// The wait has ended, but not because there may be something.
    #[cold]
    #[inline(never)]
    fn give_up(&self, direction: Direction, ticket: Ticket, cause: Cause) -> io::Result<()> {
        self.source.forget(direction, ticket);
        park::unwind_if_cancelled(cause);
        Err(timed_out())
    }

    /// From now on the caller's worker notices what changes.
    fn register(&self) -> io::Result<()> {
        self.source.register(self.raw(), sched::poller()?)
    }

    pub(crate) fn timeout(&self, direction: Direction) -> Option<Duration> {
        self.limits.timeout(direction)
    }

    /// Counts for a call that is waiting, too: from when it first had a timeout to keep.
    ///
    /// # Errors
    /// `InvalidInput` for a timeout of zero, as in std.
    pub(crate) fn set_timeout(
        &self,
        direction: Direction,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        if timeout == Some(Duration::ZERO) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a timeout of zero would end every call; `None` means no timeout",
            ));
        }
        self.limits.set_timeout(direction, timeout);
        self.flags.set(Flags::LIMITED);
        self.stir();
        Ok(())
    }

    /// Counts for a call that is waiting, too.
    pub(crate) fn set_deadline(&self, deadline: Option<Instant>) -> io::Result<()> {
        if self.is_closed() {
            return Err(closed());
        }
        self.limits.set_deadline(deadline);
        self.flags.set(Flags::LIMITED);
        self.stir();
        Ok(())
    }

    fn stir(&self) {
        make_ready(self.source.stir());
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.flags.has(Flags::CLOSED)
    }

    /// Ends every call that waits and every later one with an error, and the connection. See the head of
    /// this file.
    pub(crate) fn close(&self) {
        if self.flags.set(Flags::CLOSED) {
            return;
        }
        let fd = self.raw();
        // For copies of the descriptor: what `dup3` closes then is only ours.
        // SAFETY: no pointers; an error says that it is no connected socket.
        unsafe { libc::shutdown(fd, Shutdown::Both as libc::c_int) };
        let waiters = self.source.close();
        // Without it the socket is shut down, and closed with the last handle.
        if let Some(dead) = dead_file() {
            // SAFETY: no pointers. `fd` is ours, and stays open: it names another file from now on. No error
            // can come of two valid and different descriptors.
            unsafe { libc::dup3(dead.as_raw_fd(), fd, libc::O_CLOEXEC) };
        }
        make_ready(waiters);
    }
}

impl Drop for Io {
    fn drop(&mut self) {
        self.source.give_back(self.flags.has(Flags::SHOWN));
        // SAFETY: dropped here only.
        unsafe { ManuallyDrop::drop(&mut self.fd) };
    }
}

/// A file on which every call fails: an epoll instance can neither be read nor written, and is no socket. `None`
/// when there is no descriptor left for it.
fn dead_file() -> Option<OwnedFd> {
    // SAFETY: no pointers.
    let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
    // SAFETY: it is new, and nobody else's.
    (fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd) })
}

#[inline]
fn reason(direction: Direction) -> WaitReason {
    match direction {
        Direction::Read => WaitReason::Read,
        Direction::Write => WaitReason::Write,
    }
}

/// Waits for the next try of what is never reported. A close is seen then.
fn pause_until(
    deadline: Option<Instant>,
    reason: WaitReason,
    pause: &mut Duration,
) -> io::Result<()> {
    let next_try = Instant::now() + *pause;
    let until = deadline.map_or(next_try, |deadline| deadline.min(next_try));
    park::unwind_if_cancelled(Parking::open().wait(reason, Some(until)));
    if deadline == Some(until) {
        return Err(timed_out());
    }
    *pause = (2 * *pause).min(LAST_PAUSE);
    Ok(())
}

fn make_ready(runnables: impl IntoIterator<Item = Runnable>) {
    runnables.into_iter().for_each(sched::ready);
}

#[cold]
fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "it was closed")
}

#[cold]
pub(crate) fn timed_out() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "timed out")
}

fn set_nonblocking(fd: BorrowedFd<'_>, nonblocking: bool) -> io::Result<()> {
    let value = libc::c_int::from(nonblocking);
    // SAFETY: reads a local variable.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), libc::FIONBIO, &value) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
