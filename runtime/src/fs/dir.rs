//! Directories: read in batches, created.

use super::{FileType, Metadata};
use crate::blocking::blocking;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::unix::fs::{DirBuilderExt, DirEntryExt};
use std::path::{Path, PathBuf};
use std::vec;

/// So many entries are fetched in one trip to a blocking thread.
const BATCH: usize = 256;

/// What is in a directory: [`std::fs::ReadDir`]. Made by [`read_dir`](super::read_dir).
///
/// Entries are fetched in batches of 256, so what changes in the directory meanwhile may be seen or not; so it is
/// with std. The iterator ends after an error.
pub struct ReadDir {
    batch: vec::IntoIter<io::Result<DirEntry>>,
    /// None: there is no more.
    rest: Option<std::fs::ReadDir>,
}

/// Something in a directory: [`std::fs::DirEntry`]. [`DirEntryExt`] has its inode.
pub struct DirEntry {
    std: std::fs::DirEntry,
    /// Known from the directory, as a rule; found out with the batch where it is not.
    file_type: Option<FileType>,
}

impl ReadDir {
    pub(super) fn open(path: &Path) -> io::Result<ReadDir> {
        let (batch, rest) = blocking(|| std::fs::read_dir(path).map(fetch))?;
        Ok(ReadDir { batch, rest })
    }
}

fn fetch(
    mut rest: std::fs::ReadDir,
) -> (vec::IntoIter<io::Result<DirEntry>>, Option<std::fs::ReadDir>) {
    let batch: Vec<_> = rest.by_ref().take(BATCH).map(|entry| Ok(DirEntry::new(entry?))).collect();
    let is_last = batch.len() < BATCH;
    (batch.into_iter(), (!is_last).then_some(rest))
}

impl Iterator for ReadDir {
    type Item = io::Result<DirEntry>;

    fn next(&mut self) -> Option<io::Result<DirEntry>> {
        if let Some(entry) = self.batch.next() {
            return Some(entry);
        }
        let rest = self.rest.take()?;
        (self.batch, self.rest) = blocking(|| fetch(rest));
        self.batch.next()
    }
}

impl DirEntry {
    fn new(std: std::fs::DirEntry) -> DirEntry {
        let file_type = std.file_type().ok();
        DirEntry { std, file_type }
    }

    /// The path given to [`read_dir`](super::read_dir), with the name of the entry.
    pub fn path(&self) -> PathBuf {
        self.std.path()
    }

    /// Its name in the directory.
    pub fn file_name(&self) -> OsString {
        self.std.file_name()
    }

    /// What kind of thing it is; symbolic links are not followed. Never waits, as a rule.
    ///
    /// # Errors
    /// The directory does not say, and the entry cannot be asked.
    pub fn file_type(&self) -> io::Result<FileType> {
        match self.file_type {
            Some(file_type) => Ok(file_type),
            None => blocking(|| self.std.file_type()),
        }
    }

    /// What the system knows about it; symbolic links are not followed.
    ///
    /// # Errors
    /// It is gone, or the directory may not be searched.
    pub fn metadata(&self) -> io::Result<Metadata> {
        blocking(|| self.std.metadata())
    }
}

impl DirEntryExt for DirEntry {
    fn ino(&self) -> u64 {
        self.std.ino()
    }
}

impl fmt::Debug for ReadDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadDir").finish_non_exhaustive()
    }
}

impl fmt::Debug for DirEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.std.fmt(f)
    }
}

/// How a directory is created: [`std::fs::DirBuilder`]. [`DirBuilderExt`] has its mode.
#[derive(Debug)]
pub struct DirBuilder(std::fs::DirBuilder);

impl DirBuilder {
    /// Of one directory, for whoever the umask lets.
    #[expect(clippy::new_without_default, reason = "std's has none either")]
    pub fn new() -> DirBuilder {
        DirBuilder(std::fs::DirBuilder::new())
    }

    /// Whether parents that are missing are created too, and it is no error if the directory exists.
    pub fn recursive(&mut self, recursive: bool) -> &mut DirBuilder {
        self.0.recursive(recursive);
        self
    }

    /// Creates a directory.
    ///
    /// # Errors
    /// As for [`std::fs::DirBuilder::create`].
    pub fn create(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let path = path.as_ref();
        blocking(|| self.0.create(path))
    }
}

impl DirBuilderExt for DirBuilder {
    fn mode(&mut self, mode: u32) -> &mut DirBuilder {
        self.0.mode(mode);
        self
    }
}
