//! What several examples need beside their subject. The examples themselves stand beside `src/`, one
//! program each: `cargo run --release --example digest`.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use sha2::digest::Output;
use sha2::{Digest, Sha256};

/// The SHA-256 of a file's content.
pub type Sum = Output<Sha256>;

/// The digest of one file.
///
/// Reads on the worker itself. A read from the page cache is a short copy, and the hashing that
/// follows it keeps the worker busy for longer: handing it to a blocking thread would cost more than
/// it takes, and would let the worker open further files meanwhile. On a slow device (a network file
/// system, a spinning disk) wrap the call in `fibra::blocking`.
///
/// # Errors
/// The file cannot be opened or read.
pub fn sha256(path: &Path) -> io::Result<Sum> {
    const BUFFER: usize = 64 * 1024;
    // `io::copy` reads straight into a `BufWriter`'s buffer, which is on the heap: stacks are small.
    let mut hasher = BufWriter::with_capacity(BUFFER, Sha256::new());
    io::copy(&mut File::open(path)?, &mut hasher)?;
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
