//! What several examples need beside their subject. The examples themselves stand beside `src/`, one
//! program each: `cargo run --release --example digest`.

use std::fmt::Display;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use fibra::fs::File;
use sha2::digest::Output;
use sha2::{Digest, Sha256};

/// The SHA-256 of a file's content.
pub type Sum = Output<Sha256>;

/// The digest of one file.
///
/// Opening it is a trip to a blocking thread, and so is reading what is not in the page cache. Meanwhile the
/// goroutine parks, and its worker goes on with others; so whoever calls this bounds how many files are open at
/// once. What is in the page cache is read on the worker itself, where it is hashed.
///
/// # Errors
/// The file cannot be opened or read.
pub fn sha256(path: &Path) -> io::Result<Sum> {
    const BUFFER: usize = 64 * 1024;
    let mut file = File::open(path)?;
    // `io::copy` reads straight into a `BufWriter`'s buffer, which is on the heap: stacks are small.
    let mut hasher = BufWriter::with_capacity(BUFFER, Sha256::new());
    io::copy(&mut file, &mut hasher)?;
    Ok(hasher.into_inner()?.finalize())
}

/// Writes a line in the format of `sha256sum`, which begins with a backslash when something in the
/// name had to be escaped.
///
/// # Errors
/// Those of `out`.
pub fn write_sum(out: &mut impl Write, sum: &Sum, path: &Path) -> io::Result<()> {
    // A name on Unix is bytes, not always UTF-8.
    let name = path.as_os_str().as_bytes();
    if name.iter().any(|byte| b"\\\n\r".contains(byte)) {
        out.write_all(b"\\")?;
    }
    write!(out, "{sum:x}  ")?;
    for byte in name {
        match byte {
            b'\\' => out.write_all(br"\\")?,
            b'\n' => out.write_all(br"\n")?,
            b'\r' => out.write_all(br"\r")?,
            _ => out.write_all(&[*byte])?,
        }
    }
    out.write_all(b"\n")
}

/// This project's folder: what the examples work on unless told otherwise.
pub fn project() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    root.canonicalize().unwrap_or(root)
}

/// A buffer before stdout, for output of many lines. Whoever uses it flushes it.
pub fn stdout() -> BufWriter<io::Stdout> {
    BufWriter::with_capacity(64 * 1024, io::stdout())
}

/// Reports on stderr. If that fails, there is nowhere left to say so.
pub fn report(program: &str, what: impl Display) {
    let _ = writeln!(io::stderr(), "{program}: {what}");
}

/// How a program ends that has `written` to stdout. That the reader has seen enough, as in
/// `prime_sieve | head`, is no failure.
pub fn finish(program: &str, written: io::Result<()>) -> ExitCode {
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            report(program, format_args!("standard output: {error}"));
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}
