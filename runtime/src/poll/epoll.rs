//! The backend on Linux: epoll, edge-triggered, with an eventfd for wake-ups.
//!
//! The eventfd is edge-triggered, too, so it need not be read: each write is a new edge. Its counter would be full
//! after 2⁶⁴ wake-ups.

use super::{Backend, Readiness, Reports, Wait};
use crate::arch;
use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::process;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Reports taken at once. What is fetched for them must still be in the caches when their turn comes, and the system uses
/// those as well: with 256 the user time of a small request among a thousand connections is a fifth more.
const BATCH: usize = 64;
/// How many reports before its own one is announced; the first ones, before all of them.
const AHEAD: usize = 4;
/// The token of the eventfd; no source has it.
const WAKE_UP: u64 = 0;

#[derive(Debug)]
pub(super) struct Epoll {
    epoll: OwnedFd,
    event: OwnedFd,
}

/// `epoll_pwait2` cannot be used (Linux before 5.11): waits end on whole milliseconds.
static COARSE: AtomicBool = AtomicBool::new(false);

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

impl Backend for Epoll {
    fn new() -> io::Result<Epoll> {
        // SAFETY: no pointers. The descriptor is new, and nobody else's.
        let epoll =
            unsafe { OwnedFd::from_raw_fd(check(libc::epoll_create1(libc::EPOLL_CLOEXEC))?) };
        let flags = libc::EFD_CLOEXEC | libc::EFD_NONBLOCK;
        // SAFETY: as above.
        let event = unsafe { OwnedFd::from_raw_fd(check(libc::eventfd(0, flags))?) };
        let backend = Epoll { epoll, event };
        let flags = libc::EPOLLIN | libc::EPOLLET;
        backend.control(libc::EPOLL_CTL_ADD, backend.event.as_raw_fd(), flags, WAKE_UP)?;
        Ok(backend)
    }

    fn add(&self, fd: RawFd, token: u64) -> io::Result<()> {
        debug_assert_ne!(token, WAKE_UP);
        let flags =
            libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLPRI | libc::EPOLLET;
        self.control(libc::EPOLL_CTL_ADD, fd, flags, token)
    }

    fn remove(&self, fd: RawFd) {
        // An error says that it is gone already.
        let _gone = self.control(libc::EPOLL_CTL_DEL, fd, 0, WAKE_UP);
    }

    fn wait(
        &self,
        wait: Wait,
        over: impl FnOnce(),
        announce: impl Fn(u64),
        mut report: impl FnMut(u64, Readiness),
    ) -> Reports {
        let mut events = [MaybeUninit::<libc::epoll_event>::uninit(); BATCH];
        let count = self.wait_raw(&mut events, wait);
        over();
        let mut reports = Reports { sources: 0, woken: false, full: count == BATCH };
        // SAFETY: the kernel has written the first `count`.
        let events = unsafe { events[..count].assume_init_ref() };
        for &event in events.iter().take(AHEAD) {
            announce(event.u64);
        }
        for (index, &event) in events.iter().enumerate() {
            if let Some(&soon) = events.get(index + AHEAD) {
                announce(soon.u64);
            }
            let (flags, token) = (event.events, event.u64);
            if token == WAKE_UP {
                reports.woken = true;
            } else {
                reports.sources += 1;
                report(token, Readiness::of(flags));
            }
        }
        reports
    }

    fn is_ready(&self) -> bool {
        let mut epoll =
            libc::pollfd { fd: self.epoll.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: reads and writes one local variable. An error is as good as nothing.
        unsafe { libc::poll(&mut epoll, 1, 0) == 1 }
    }

    fn wake(&self) {
        let one = 1u64.to_ne_bytes();
        // SAFETY: writes eight bytes from a local variable. It could only fail because the counter is full,
        // and then the owner is woken all the same.
        unsafe { libc::write(self.event.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }
}

impl Epoll {
    fn control(&self, what: i32, fd: RawFd, flags: i32, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: flags as u32, u64: token };
        // SAFETY: reads a local variable. A wrong descriptor is an error.
        check(unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), what, fd, &mut event) })?;
        Ok(())
    }

    /// How many reports there are. An interrupted wait has none.
    fn wait_raw(&self, events: &mut [MaybeUninit<libc::epoll_event>], wait: Wait) -> usize {
        let epoll = self.epoll.as_raw_fd() as usize;
        let (buffer, most) = (events.as_mut_ptr().expose_provenance(), events.len());
        if let Wait::For(limit) = wait
            && !COARSE.load(Ordering::Relaxed)
        {
            let limit = libc::timespec {
                tv_sec: libc::time_t::try_from(limit.as_secs()).unwrap_or(libc::time_t::MAX),
                tv_nsec: limit.subsec_nanos().into(),
            };
            let limit = ptr::from_ref(&limit).expose_provenance();
            let (no_signals, their_size) = (0, 0);
            let arguments = [epoll, buffer, most, limit, no_signals, their_size];
            // SAFETY: the kernel writes at most `most` reports to the buffer, and reads the limit.
            match unsafe { arch::system_call(libc::SYS_epoll_pwait2, arguments) } {
                Ok(count) => return count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => return 0,
                // Missing, or forbidden by a filter of system calls.
                Err(_) => COARSE.store(true, Ordering::Relaxed),
            }
        }
        let millis = match wait {
            Wait::No => 0,
            Wait::Forever => -1,
            Wait::For(limit) => whole_millis(limit),
        };
        let arguments = [epoll, buffer, most, millis as usize, 0, 0];
        // SAFETY: the kernel writes at most `most` reports to the buffer.
        match unsafe { arch::system_call(libc::SYS_epoll_wait, arguments) } {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            Err(error) => cannot_wait(&error),
        }
    }
}

/// Somebody has closed a descriptor that is not theirs. Nobody would be woken any more.
#[cold]
fn cannot_wait(error: &io::Error) -> ! {
    let _nobody_reads = writeln!(io::stderr(), "fibra: cannot wait for events: {error}");
    process::abort();
}

/// Rounded up, so that nobody wakes up before it is time, and again and again.
fn whole_millis(limit: Duration) -> i32 {
    limit.as_nanos().div_ceil(1_000_000).try_into().unwrap_or(i32::MAX)
}

impl Readiness {
    fn of(flags: u32) -> Readiness {
        let any = |which: i32| flags & which as u32 != 0;
        let over = any(libc::EPOLLHUP | libc::EPOLLERR);
        Readiness {
            readable: over || any(libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLPRI),
            writable: over || any(libc::EPOLLOUT),
            restless: over || any(libc::EPOLLRDHUP | libc::EPOLLPRI),
        }
    }
}
