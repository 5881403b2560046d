//! Reads that only touch memory, made on the worker itself.
//!
//! `preadv2` with `RWF_NOWAIT` reads what is in the page cache and never waits for a disk. It may give less than
//! was asked for, and that is handed on: a read may be short. Whatever else it says, the plain call on a blocking
//! thread says better, so that errors are those of std:
//!
//! * EAGAIN: not cached, or a pipe is empty.
//! * EOPNOTSUPP (ENOSYS before Linux 4.6): this kind of file has no such reads; it is not asked again.
//! * Any other error: the plain call meets it, too.
//!
//! # When it is not tried
//!
//! * On a plain thread, which may block anyway.
//! * When the goroutine's time slice is over: reading from memory never parks, and the trip to a blocking thread
//!   gives the others of the worker their turn.
//! * For more than [`MOST`] bytes: copying takes time, too.
//! * Where the kernel's lock of the cursor may be taken, by a read that waits for a disk: while a call that uses
//!   the cursor of this file is under way on a blocking thread, and once the cursor is shared with a clone.

use crate::park;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// The most that is copied at once on a worker.
pub(super) const MOST: usize = 256 << 10;

/// More buffers than that are an error for the kernel.
const MOST_BUFFERS: usize = 1024;

/// What is known of one file.
///
/// All of it is a matter of speed alone, so its loads and stores are relaxed.
#[derive(Debug)]
pub(super) struct Cached {
    /// The kernel has reads that do not wait, for this kind of file.
    works: AtomicBool,
    /// A clone has the same cursor.
    shared: AtomicBool,
    /// Calls that use the cursor, under way on blocking threads.
    away: AtomicU32,
}

/// Where to read.
#[derive(Clone, Copy)]
pub(super) enum Place {
    Cursor,
    Offset(u64),
}

impl Cached {
    pub(super) fn new() -> Cached {
        Cached {
            works: AtomicBool::new(true),
            shared: AtomicBool::new(false),
            away: AtomicU32::new(0),
        }
    }

    /// From now on another file has the same cursor.
    pub(super) fn share(&self) {
        self.shared.store(true, Ordering::Relaxed);
    }

    /// Runs a call that uses the cursor on a blocking thread.
    pub(super) fn away<T>(&self, call: impl FnOnce() -> T) -> T {
        struct Back<'a>(&'a AtomicU32);
        impl Drop for Back<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::Relaxed);
            }
        }
        self.away.fetch_add(1, Ordering::Relaxed);
        let _back = Back(&self.away);
        call()
    }

    /// Whether the cursor can be used without waiting for anybody.
    pub(super) fn cursor_is_free(&self) -> bool {
        may_stay() && !self.shared.load(Ordering::Relaxed) && self.away.load(Ordering::Relaxed) == 0
    }

    /// Whether it is worth trying to read `len` bytes here.
    pub(super) fn may_read(&self, place: Place, len: usize) -> bool {
        self.works.load(Ordering::Relaxed)
            && len <= MOST
            && match place {
                Place::Cursor => self.cursor_is_free(),
                Place::Offset(_) => may_stay(),
            }
    }

    /// Reads what is in memory; 0 is the end of the file. None: only the plain call can tell.
    pub(super) fn read(
        &self,
        file: BorrowedFd<'_>,
        bufs: &mut [IoSliceMut<'_>],
        place: Place,
    ) -> Option<usize> {
        if !self.may_read(place, bufs.iter().map(|buf| buf.len()).sum()) {
            return None;
        }
        match read_nowait(file, bufs, place) {
            Ok(0) => ZERO_IS_THE_END.then_some(0),
            Ok(len) => Some(len),
            Err(error) => {
                if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENOSYS)) {
                    self.works.store(false, Ordering::Relaxed);
                }
                None
            }
        }
    }
}

/// Whether the caller is a goroutine that should do by itself what is short.
fn may_stay() -> bool {
    park::may_run_in_place().is_some_and(|worker| !worker.is_overdue())
}

fn read_nowait(
    file: BorrowedFd<'_>,
    bufs: &mut [IoSliceMut<'_>],
    place: Place,
) -> io::Result<usize> {
    let offset = match place {
        // What stands for the cursor.
        Place::Cursor => -1,
        Place::Offset(offset) => {
            i64::try_from(offset).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?
        }
    };
    let count = bufs.len().min(MOST_BUFFERS) as libc::c_int;
    // SAFETY: an `IoSliceMut` is laid out as an `iovec`, of memory that is ours to write for this call; there
    // are at least `count` of them.
    let read = unsafe {
        libc::preadv2(
            file.as_raw_fd(),
            bufs.as_mut_ptr().cast::<libc::iovec>(),
            count,
            offset,
            libc::RWF_NOWAIT,
        )
    };
    usize::try_from(read).map_err(|_| io::Error::last_os_error())
}

/// False on kernels of which such reads can give 0 before the end of the file: Linux 5.9 and 5.10 (preadv2(2),
/// "Bugs"). Also if the version cannot be found out.
static ZERO_IS_THE_END: LazyLock<bool> = LazyLock::new(|| {
    std::fs::read_to_string("/proc/sys/kernel/osrelease").is_ok_and(|it| !has_false_ends(&it))
});

fn has_false_ends(release: &str) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    matches!((numbers.next(), numbers.next()), (Some("5"), Some("9" | "10")))
}

#[cfg(test)]
mod tests;
