//! Prints the SHA-256 of every regular file below a directory, in the format of `sha256sum`.
//!
//! `cargo run --release --example digest -- PATH`
//!
//! * PATH may be a directory or a file; a PATH that is a symbolic link is followed. Without it, this
//!   project's own source is hashed: the workspace without its `target` and `.git`.
//! * Below PATH symbolic links are not followed, and whatever is neither a regular file nor a
//!   directory (a link, a pipe, a socket, a device) is passed over in silence, as `find -type f` does.
//! * Lines are sorted by the bytes of the path. `sha256sum -c` accepts them, whatever is in a name.
//! * What cannot be read is reported on stderr, and everything else is still hashed; the exit status
//!   is then 1.
//!
//! The tree is walked level by level, then the files found are hashed; both times [`for_each`] fans
//! out over goroutines, which park while a directory or a file is read. Per file only its path and its
//! digest are kept.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use fibra::fs;
use fibra::sync::Mutex;
use fibra_examples::{Sum, report, sha256, write_sum};
use indicatif::{ProgressBar, ProgressStyle};

/// Print the SHA-256 of every regular file below a directory, as `sha256sum` does.
#[derive(Parser)]
#[command(name = "digest")]
struct Args {
    /// Directory or file to hash [default: this project's source, without `target` and `.git`]
    path: Option<PathBuf>,
}

/// A path below the root, and what has become of it.
struct Entry {
    path: PathBuf,
    state: State,
}

enum State {
    /// A regular file that waits to be hashed.
    Found,
    Hashed(Sum),
    /// A file or a directory that could not be read.
    Failed(io::Error),
}

/// A directory, and what it turned out to hold.
#[derive(Default)]
struct Dir {
    path: PathBuf,
    dirs: Vec<Dir>,
    entries: Vec<Entry>,
}

#[fibra::main]
fn main() -> ExitCode {
    let (root, skipped) = match Args::parse().path {
        Some(path) => (path, vec![]),
        None => {
            let root = fibra_examples::project();
            let skipped = ["target", ".git"].map(|name| root.join(name));
            (root, skipped.to_vec())
        }
    };
    let mut entries = walk(root, &skipped);
    hash(&mut entries);
    // Not `Path`'s order, which compares component by component.
    entries.sort_unstable_by(|a, b| a.path.as_os_str().cmp(b.path.as_os_str()));

    let mut failed = false;
    for entry in &entries {
        if let State::Failed(error) = &entry.state {
            report("digest", format_args!("{}: {error}", entry.path.display()));
            failed = true;
        }
    }
    let printed = fibra_examples::finish("digest", print(&entries));
    if failed { ExitCode::FAILURE } else { printed }
}

/// How many files or directories are read at once: enough to keep the workers busy with some while others
/// wait for a disk.
const AT_ONCE: usize = 16;

/// Calls `work` on each item, in parallel: a few goroutines take one after another.
///
/// A goroutine for each item would be less to write, and too much to run: `work` parks, and whenever it
/// does its worker would start the next one, until all items are in flight, each with a stack, an open
/// file and a buffer. This way there are never more of these than [`AT_ONCE`].
fn for_each<T: Send>(items: &mut [T], work: &(impl Fn(&mut T) + Sync)) {
    let goroutines = items.len().min(AT_ONCE);
    let items = Mutex::new(items.iter_mut());
    let next = || items.lock().next();
    fibra::scope(|s| {
        for _ in 0..goroutines {
            s.go(|| {
                while let Some(item) = next() {
                    work(item);
                }
            });
        }
    });
}

/// Finds every regular file below `root`, in no particular order, except below `skipped`.
///
/// A level of the tree at a time, not by recursion: a tree can be deeper than a stack.
fn walk(root: PathBuf, skipped: &[PathBuf]) -> Vec<Entry> {
    let state = match fs::metadata(&root) {
        Ok(meta) if meta.is_dir() => {
            let mut entries = vec![];
            let mut level = vec![Dir::new(root)];
            while !level.is_empty() {
                for_each(&mut level, &|dir| dir.read(skipped));
                let mut next = vec![];
                for dir in &mut level {
                    next.append(&mut dir.dirs);
                    entries.append(&mut dir.entries);
                }
                level = next;
            }
            return entries;
        }
        Ok(meta) if meta.is_file() => State::Found,
        Ok(_) => State::Failed(io::Error::other("neither a regular file nor a directory")),
        Err(error) => State::Failed(error),
    };
    vec![Entry { path: root, state }]
}

impl Dir {
    fn new(path: PathBuf) -> Dir {
        Dir { path, ..Dir::default() }
    }

    /// Fills in what the directory holds. What cannot be read becomes a failed entry.
    fn read(&mut self, skipped: &[PathBuf]) {
        if let Err(error) = self.try_read(skipped) {
            self.entry(self.path.clone(), State::Failed(error));
        }
    }

    fn try_read(&mut self, skipped: &[PathBuf]) -> io::Result<()> {
        for item in fs::read_dir(&self.path)? {
            let item = item?;
            let path = item.path();
            match item.file_type() {
                Ok(kind) if kind.is_file() => self.entry(path, State::Found),
                Ok(kind) if kind.is_dir() && !skipped.contains(&path) => {
                    self.dirs.push(Dir::new(path));
                }
                Ok(_) => {}
                Err(error) => self.entry(path, State::Failed(error)),
            }
        }
        Ok(())
    }

    fn entry(&mut self, path: PathBuf, state: State) {
        self.entries.push(Entry { path, state });
    }
}

/// Hashes the files among `entries`, with a progress bar when stderr is a terminal.
fn hash(entries: &mut [Entry]) {
    // indicatif draws on stderr, and nothing when that is not a terminal.
    let bar = ProgressBar::new(entries.len() as u64).with_style(
        ProgressStyle::with_template("{wide_bar} {human_pos}/{human_len} files, {eta} left")
            .expect("the template is well-formed"),
    );
    for_each(entries, &|entry| {
        if let State::Found = entry.state {
            entry.state = sha256(&entry.path).map_or_else(State::Failed, State::Hashed);
        }
        bar.inc(1);
    });
    bar.finish_and_clear();
}

/// Writes the digests in the format of `sha256sum`.
fn print(entries: &[Entry]) -> io::Result<()> {
    let mut out = fibra_examples::stdout();
    for entry in entries {
        if let State::Hashed(sum) = &entry.state {
            write_sum(&mut out, sum, &entry.path)?;
        }
    }
    out.flush()
}
