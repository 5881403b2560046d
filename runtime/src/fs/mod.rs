//! Files and directories: [`std::fs`] for goroutines, name for name.
//!
//! A file has no readiness that could be waited for: the system call blocks its thread until the disk, or the
//! server behind it, has answered. So these calls are made on [blocking threads](crate::blocking()) while the
//! calling goroutine parks; its worker goes on with others. A plain thread makes them itself.
//!
//! There are two exceptions, which only touch memory: moving the cursor of a file, and reading what is in the
//! page cache. A read asks the kernel first for what it has at hand (up to 256 KiB at once), and goes to a
//! blocking thread only for the rest. So reading warm files costs no more than in a plain program.
//!
//! * Every other call is a round trip to another thread: some microseconds. Many small writes want a
//!   [`BufWriter`](std::io::BufWriter); [`read`], [`write()`] and [`copy`] are one trip as a whole, and
//!   [`read_dir`] is one for many entries.
//! * A call that has begun is not cancelled half-way, so nothing is lost: a goroutine that was cancelled
//!   meanwhile unwinds at its next park. A read from a pipe opened as a [`File`] may wait for ever that way.
//! * Dropping a [`File`] closes it where that happens. That is quick, with few exceptions: the last handle of a
//!   large file that was removed, or of a file on a network.
//!
//! Errors are those of `std::fs`. Types that only hold data are std's own.
//!
//! ```
//! use fibra::fs;
//!
//! let path = std::env::temp_dir().join(format!("fibra-fs-{}", std::process::id()));
//! let same = path.clone();
//! fibra::go!(move || fs::write(&same, "seven bytes").unwrap()).join().unwrap();
//! assert_eq!(fs::read_to_string(&path).unwrap(), "seven bytes");
//! fs::remove_file(&path).unwrap();
//! assert!(!fs::exists(&path).unwrap());
//! ```

mod cached;
mod dir;
mod file;
mod file_io;
mod options;

pub use dir::{DirBuilder, DirEntry, ReadDir};
pub use file::File;
pub use options::OpenOptions;
pub use std::fs::{FileTimes, FileType, Metadata, Permissions, TryLockError};

use crate::blocking::blocking;
use std::io;
use std::path::{Path, PathBuf};

/// The whole content of a file, as [`std::fs::read`].
///
/// # Errors
/// The file cannot be opened or read.
pub fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let path = path.as_ref();
    blocking(|| std::fs::read(path))
}

/// The whole content of a file that is text, as [`std::fs::read_to_string`].
///
/// # Errors
/// The file cannot be opened or read, or is not UTF-8.
pub fn read_to_string(path: impl AsRef<Path>) -> io::Result<String> {
    let path = path.as_ref();
    blocking(|| std::fs::read_to_string(path))
}

/// Makes `contents` the whole content of a file, which is created if need be, as [`std::fs::write`].
///
/// # Errors
/// The file cannot be created or written; it may then hold a part.
pub fn write(path: impl AsRef<Path>, contents: impl AsRef<[u8]>) -> io::Result<()> {
    let (path, contents) = (path.as_ref(), contents.as_ref());
    blocking(|| std::fs::write(path, contents))
}

/// Copies a file's content and permissions, and says how many bytes these were, as [`std::fs::copy`].
///
/// # Errors
/// `from` is not a file or cannot be read, or `to` cannot be written.
pub fn copy(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<u64> {
    let (from, to) = (from.as_ref(), to.as_ref());
    blocking(|| std::fs::copy(from, to))
}

/// Renames a file or directory, and replaces what has that name, as [`std::fs::rename`].
///
/// # Errors
/// `from` does not exist, the two are on different file systems, or may not be changed.
pub fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
    let (from, to) = (from.as_ref(), to.as_ref());
    blocking(|| std::fs::rename(from, to))
}

/// Removes a file, as [`std::fs::remove_file`].
///
/// # Errors
/// It does not exist, is a directory, or may not be removed.
pub fn remove_file(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref();
    blocking(|| std::fs::remove_file(path))
}

/// Creates a directory, as [`std::fs::create_dir`].
///
/// # Errors
/// There is something of that name, its parent does not exist, or may not be changed.
pub fn create_dir(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref();
    blocking(|| std::fs::create_dir(path))
}

/// Creates a directory and all of its parents that are missing, as [`std::fs::create_dir_all`].
///
/// # Errors
/// One of them does not exist and cannot be created.
pub fn create_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref();
    blocking(|| std::fs::create_dir_all(path))
}

/// Removes an empty directory, as [`std::fs::remove_dir`].
///
/// # Errors
/// It does not exist, is not an empty directory, or may not be removed.
pub fn remove_dir(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref();
    blocking(|| std::fs::remove_dir(path))
}

/// Removes a directory with everything in it, as [`std::fs::remove_dir_all`]. Does not follow symbolic links.
///
/// # Errors
/// It does not exist, or something in it cannot be removed; the rest may then be gone.
pub fn remove_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref();
    blocking(|| std::fs::remove_dir_all(path))
}

/// What is in a directory, as [`std::fs::read_dir`].
///
/// # Errors
/// It does not exist, is not a directory, or may not be read. Reading goes on while the entries are iterated
/// over, and may fail there.
///
/// ```
/// let mut names = Vec::new();
/// for entry in fibra::fs::read_dir("src")? {
///     names.push(entry?.file_name());
/// }
/// assert!(names.contains(&"lib.rs".into()));
/// # std::io::Result::Ok(())
/// ```
pub fn read_dir(path: impl AsRef<Path>) -> io::Result<ReadDir> {
    ReadDir::open(path.as_ref())
}

/// What the system knows about a file; symbolic links are followed. As [`std::fs::metadata`].
///
/// # Errors
/// It does not exist, or the way to it may not be searched.
pub fn metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    let path = path.as_ref();
    blocking(|| std::fs::metadata(path))
}

/// What the system knows about a file, or about the symbolic link that is there, as
/// [`std::fs::symlink_metadata`].
///
/// # Errors
/// It does not exist, or the way to it may not be searched.
pub fn symlink_metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    let path = path.as_ref();
    blocking(|| std::fs::symlink_metadata(path))
}

/// The absolute path without symbolic links, as [`std::fs::canonicalize`].
///
/// # Errors
/// It does not exist, or something on the way is not a directory.
pub fn canonicalize(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    let path = path.as_ref();
    blocking(|| std::fs::canonicalize(path))
}

/// Gives a file one more name, as [`std::fs::hard_link`].
///
/// # Errors
/// `original` is not a file, or there is something of the name `link`, or the two are on different file systems.
pub fn hard_link(original: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    let (original, link) = (original.as_ref(), link.as_ref());
    blocking(|| std::fs::hard_link(original, link))
}

/// Creates a symbolic link to `original`, which need not exist, as [`std::os::unix::fs::symlink`].
///
/// # Errors
/// There is something of the name `link`, or its directory may not be changed.
pub fn symlink(original: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    let (original, link) = (original.as_ref(), link.as_ref());
    blocking(|| std::os::unix::fs::symlink(original, link))
}

/// What a symbolic link holds, as [`std::fs::read_link`].
///
/// # Errors
/// It does not exist or is no symbolic link.
pub fn read_link(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    let path = path.as_ref();
    blocking(|| std::fs::read_link(path))
}

/// Changes the permissions of a file or directory, as [`std::fs::set_permissions`].
///
/// # Errors
/// It does not exist, or may not be changed.
pub fn set_permissions(path: impl AsRef<Path>, permissions: Permissions) -> io::Result<()> {
    let path = path.as_ref();
    blocking(|| std::fs::set_permissions(path, permissions))
}

/// Whether there is something; symbolic links are followed. As [`std::fs::exists`].
///
/// # Errors
/// That cannot be found out: the way to it may not be searched, for example.
pub fn exists(path: impl AsRef<Path>) -> io::Result<bool> {
    let path = path.as_ref();
    blocking(|| std::fs::exists(path))
}
