//! An open file, and what is asked of it beside reading and writing (`file_io.rs`).

use super::cached::Cached;
use super::{FileTimes, Metadata, OpenOptions, Permissions, TryLockError};
use crate::blocking::blocking;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::path::Path;

/// An open file: [`std::fs::File`], method for method.
///
/// [`Read`](io::Read), [`Write`](io::Write) and [`Seek`](io::Seek) are there for `File` and for `&File`;
/// [`FileExt`](std::os::unix::fs::FileExt) reads and writes at an offset. What goes to a blocking thread is said
/// [above](super).
///
/// ```
/// use std::io::{BufRead, BufReader};
///
/// let file = fibra::fs::File::open("Cargo.toml")?;
/// let lines = BufReader::new(file).lines().collect::<Result<Vec<_>, _>>()?;
/// assert_eq!(lines[0], "[package]");
/// # std::io::Result::Ok(())
/// ```
pub struct File {
    pub(super) std: std::fs::File,
    pub(super) cached: Cached,
}

impl File {
    /// Opens a file for reading.
    ///
    /// # Errors
    /// It does not exist, or may not be read.
    pub fn open(path: impl AsRef<Path>) -> io::Result<File> {
        OpenOptions::new().read(true).open(path)
    }

    /// Opens a file for writing: empties it, or creates it if it does not exist.
    ///
    /// # Errors
    /// It cannot be created, or may not be written.
    pub fn create(path: impl AsRef<Path>) -> io::Result<File> {
        OpenOptions::new().write(true).create(true).truncate(true).open(path)
    }

    /// Creates a file for reading and writing that must not exist.
    ///
    /// # Errors
    /// It exists, or cannot be created.
    pub fn create_new(path: impl AsRef<Path>) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create_new(true).open(path)
    }

    /// Options for opening one; the same as [`OpenOptions::new`].
    pub fn options() -> OpenOptions {
        OpenOptions::new()
    }

    /// Waits until content and metadata are on the disk.
    ///
    /// # Errors
    /// They cannot be written there.
    pub fn sync_all(&self) -> io::Result<()> {
        blocking(|| self.std.sync_all())
    }

    /// Waits until the content is on the disk, and what is needed to find it there.
    ///
    /// # Errors
    /// It cannot be written there.
    pub fn sync_data(&self) -> io::Result<()> {
        blocking(|| self.std.sync_data())
    }

    /// Cuts the file off at `size` bytes, or fills it up with zeros. The cursor stays.
    ///
    /// # Errors
    /// It was not opened for writing, or cannot get that large.
    pub fn set_len(&self, size: u64) -> io::Result<()> {
        blocking(|| self.std.set_len(size))
    }

    /// What the system knows about the file.
    ///
    /// # Errors
    /// The file system cannot tell.
    pub fn metadata(&self) -> io::Result<Metadata> {
        blocking(|| self.std.metadata())
    }

    /// Changes the file's permissions.
    ///
    /// # Errors
    /// It is not the caller's to change.
    pub fn set_permissions(&self, permissions: Permissions) -> io::Result<()> {
        blocking(|| self.std.set_permissions(permissions))
    }

    /// Changes when it was last read and written.
    ///
    /// # Errors
    /// It is not the caller's to change.
    pub fn set_times(&self, times: FileTimes) -> io::Result<()> {
        blocking(|| self.std.set_times(times))
    }

    /// Changes when it was last written.
    ///
    /// # Errors
    /// It is not the caller's to change.
    pub fn set_modified(&self, time: std::time::SystemTime) -> io::Result<()> {
        self.set_times(FileTimes::new().set_modified(time))
    }

    /// Waits for the file's exclusive lock. Advisory: it keeps out only those who ask for it.
    ///
    /// Whoever waits takes up one of the blocking threads, which whoever holds the lock may need for its own
    /// calls. With hundreds that wait, take turns at an [`fibra::sync::Mutex`](crate::sync::Mutex) first.
    ///
    /// # Errors
    /// As for [`std::fs::File::lock`].
    pub fn lock(&self) -> io::Result<()> {
        blocking(|| self.std.lock())
    }

    /// Waits for the file's shared lock, as [`lock`](Self::lock) for the exclusive one.
    ///
    /// # Errors
    /// As for [`std::fs::File::lock_shared`].
    pub fn lock_shared(&self) -> io::Result<()> {
        blocking(|| self.std.lock_shared())
    }

    /// Takes the file's exclusive lock if nobody has one.
    ///
    /// # Errors
    /// Somebody has, or as for [`std::fs::File::try_lock`].
    pub fn try_lock(&self) -> Result<(), TryLockError> {
        blocking(|| self.std.try_lock())
    }

    /// Takes the file's shared lock if nobody has the exclusive one.
    ///
    /// # Errors
    /// Somebody has, or as for [`std::fs::File::try_lock_shared`].
    pub fn try_lock_shared(&self) -> Result<(), TryLockError> {
        blocking(|| self.std.try_lock_shared())
    }

    /// Gives all locks of this file back, as closing it does.
    ///
    /// # Errors
    /// As for [`std::fs::File::unlock`].
    pub fn unlock(&self) -> io::Result<()> {
        // Not on a blocking thread: all of them may be waiting for just this.
        self.std.unlock()
    }

    /// A second handle of the same open file: they share the cursor.
    ///
    /// # Errors
    /// The process has too many descriptors.
    pub fn try_clone(&self) -> io::Result<File> {
        self.cached.share();
        let clone = File::from(self.std.try_clone()?);
        clone.cached.share();
        Ok(clone)
    }

    /// Makes std's of it.
    pub fn into_std(self) -> std::fs::File {
        self.std
    }
}

impl From<std::fs::File> for File {
    fn from(std: std::fs::File) -> File {
        File { std, cached: Cached::new() }
    }
}

impl From<File> for std::fs::File {
    fn from(file: File) -> std::fs::File {
        file.std
    }
}

impl From<OwnedFd> for File {
    fn from(fd: OwnedFd) -> File {
        File::from(std::fs::File::from(fd))
    }
}

impl From<File> for OwnedFd {
    fn from(file: File) -> OwnedFd {
        file.std.into()
    }
}

impl From<File> for std::process::Stdio {
    fn from(file: File) -> std::process::Stdio {
        file.std.into()
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.std.as_fd()
    }
}

impl AsRawFd for File {
    fn as_raw_fd(&self) -> RawFd {
        self.std.as_raw_fd()
    }
}

impl IntoRawFd for File {
    fn into_raw_fd(self) -> RawFd {
        self.std.into_raw_fd()
    }
}

impl FromRawFd for File {
    unsafe fn from_raw_fd(fd: RawFd) -> File {
        // SAFETY: by the caller, the descriptor is open and becomes ours.
        File::from(unsafe { std::fs::File::from_raw_fd(fd) })
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.std.fmt(f)
    }
}
