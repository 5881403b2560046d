//! A pipeline: one goroutine walks a directory tree, a few hash what it finds, `main` prints what they
//! found out, in the format of `sha256sum`.
//!
//! `cargo run --release --example pipeline -- PATH --digesters 4`
//!
//! ```text
//! walk ──paths──▶ hash (several) ──sums──▶ print
//! ```
//!
//! * **Bounds.** Both channels are bounded, so a stage that is ahead waits for the next one. However large the
//!   tree, only a few files are in flight: the lines come in the order in which files are done.
//! * **Disks.** Directories and files are read through `fibra::fs`. A goroutine that waits for one parks, so that
//!   many digesters may wait on few workers.
//! * **The end** goes forward: when the walker returns, the channel of paths closes, so the digesters return,
//!   so the channel of sums closes.
//! * **Trouble.** The first stage that fails returns its error to the [`ErrGroup`], which cancels the context that
//!   they all share. The others notice and return. So the first file or directory that cannot be read stops
//!   the program: it is reported on stderr, and the exit status is 1.
//! * **Lost interest** goes backward: if stdout is closed, the last receiver is dropped, so nobody can send any
//!   more.
//!
//! Whatever happens, [`ErrGroup::wait`] returns when all the goroutines have, so nothing is left running.
//! The example `digest` reads the same trees in another way: all of it, whatever happens, sorted.

use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use fibra::chan::{Receiver, Sender, bounded};
use fibra::context::Context;
use fibra::{ErrGroup, fs, select};
use fibra_examples::{Sum, finish, report, sha256, stdout, write_sum};

/// Print the SHA-256 of every regular file below a directory, until one cannot be read.
#[derive(Parser)]
#[command(name = "pipeline")]
struct Args {
    /// Directory or file to hash
    path: PathBuf,
    /// Goroutines that hash
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=1024))]
    digesters: u64,
}

/// What could not be read.
struct Failure {
    path: PathBuf,
    error: io::Error,
}

/// What a channel holds.
const BUFFER: usize = 16;

#[fibra::main]
fn main() -> ExitCode {
    let args = Args::parse();
    let (group, cx) = ErrGroup::with_context(&Context::background());
    let (found, paths) = bounded(BUFFER);
    let (hashed, sums) = bounded(BUFFER);
    for _ in 0..args.digesters {
        let (paths, hashed, cx) = (paths.clone(), hashed.clone(), cx.clone());
        group.go(move || hash(&paths, &hashed, &cx));
    }
    group.go(move || walk(&args.path, &found, &cx));
    // Only the digesters have these now, so that their channels close with them.
    drop((paths, hashed));

    let printed = print(sums);
    match group.wait() {
        Ok(()) => finish("pipeline", printed),
        Err(failure) => {
            report("pipeline", failure);
            ExitCode::FAILURE
        }
    }
}

/// Sends the path of every regular file at or below `root`. Links are not followed.
fn walk(root: &Path, found: &Sender<PathBuf>, cx: &Context) -> Result<(), Failure> {
    let meta = fs::metadata(root).map_err(|error| Failure::new(root, error))?;
    if meta.is_file() {
        let _ = found.send(root.to_owned());
        return Ok(());
    }
    let mut dirs = vec![root.to_owned()];
    while let Some(dir) = dirs.pop() {
        let failure = |error| Failure::new(&dir, error);
        for item in fs::read_dir(&dir).map_err(failure)? {
            let item = item.map_err(failure)?;
            let kind = item.file_type().map_err(failure)?;
            if kind.is_dir() {
                dirs.push(item.path());
            } else if kind.is_file() {
                select! {
                    send(found, item.path()) -> sent => if sent.is_err() {
                        return Ok(()); // nobody hashes any more
                    },
                    recv(cx.done()) -> _ => return Ok(()),
                }
            }
        }
    }
    Ok(())
}

/// Sends the digests of files.
fn hash(
    paths: &Receiver<PathBuf>,
    hashed: &Sender<(Sum, PathBuf)>,
    cx: &Context,
) -> Result<(), Failure> {
    for path in paths.iter() {
        if cx.err().is_some() {
            break; // what is still in the channel is not wanted any more
        }
        let sum = sha256(&path).map_err(|error| Failure::new(&path, error))?;
        if hashed.send((sum, path)).is_err() {
            break; // nobody prints any more
        }
    }
    Ok(())
}

/// Prints digests until there are no more, or it is of no use.
fn print(sums: Receiver<(Sum, PathBuf)>) -> io::Result<()> {
    let mut out = stdout();
    for (sum, path) in sums {
        write_sum(&mut out, &sum, &path)?;
    }
    out.flush()
}

impl Failure {
    fn new(path: &Path, error: io::Error) -> Failure {
        Failure { path: path.to_owned(), error }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.error)
    }
}
