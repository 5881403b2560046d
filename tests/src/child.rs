//! Tests that end or pollute their process run in a child: this test binary again, told to run the one test.
//!
//! ```ignore
//! #[test]
//! fn exits_with_its_argument() {
//!     let end = Child::new().run("7", |code| std::process::exit(code.parse().unwrap()));
//!     assert_eq!(end.status.code(), Some(7));
//! }
//! ```
//!
//! The parent starts the child, waits and judges; the child runs the closure and ends with status 0 if that
//! returns. So the closure captures nothing (it is checked), gets what it needs to know as a string, and a
//! test calls `run` at one place only. A child that takes longer than [`LIMIT`] is killed, and its test
//! fails.

use fibra::{Runtime, RuntimeBuilder};
use std::any::type_name;
use std::env;
use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::panic::{self, AssertUnwindSafe};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// How long a child may take.
pub const LIMIT: Duration = Duration::from_secs(60);
/// How long [`poll`] waits for what should happen soon.
pub const SOON: Duration = Duration::from_secs(20);

/// In the child: the argument of its closure.
const ARGUMENT: &str = "FIBRA_TEST_CHILD";
/// In the child's stdout: what follows is not the test harness's.
const MARK: &str = "---- the child ----\n";

/// A child that runs a closure of the calling test.
#[derive(Debug)]
pub struct Child {
    command: Command,
}

/// How a child ended, and what it wrote.
#[derive(Debug)]
pub struct Ending {
    /// As the system reports it.
    pub status: ExitStatus,
    /// What it wrote to stdout, without the test harness's part.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

impl Child {
    /// A child with this process's environment.
    #[expect(clippy::new_without_default, reason = "there is no default child")]
    pub fn new() -> Child {
        Child::under(&[])
    }

    /// A child started by `program`, which gets the command line of the child behind its own arguments.
    pub fn under(program: &[&str]) -> Child {
        let myself = env::current_exe().expect("a test binary has a path");
        let mut command = match program {
            [] => Command::new(myself),
            [first, rest @ ..] => {
                let mut command = Command::new(first);
                command.args(rest).arg(myself);
                command
            }
        };
        // Panic messages are looked at, and should be alike everywhere.
        command.env_remove("RUST_BACKTRACE");
        Child { command }
    }

    /// Sets one variable of the child's environment.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Child {
        self.command.env(name, value);
        self
    }

    /// Runs `body(argument)` in the child. `body` is a closure written in the test function itself.
    ///
    /// # Panics
    /// When the child takes longer than [`LIMIT`], or does not get to `body`.
    pub fn run<F: FnOnce(&str)>(mut self, argument: &str, body: F) -> Ending {
        const { assert!(size_of::<F>() == 0, "the child would not see what is captured") };
        if let Ok(argument) = env::var(ARGUMENT) {
            become_the_child();
            // A panic ends the child at once: what it unwinds through may wait for hogs.
            let result = panic::catch_unwind(AssertUnwindSafe(|| body(&argument)));
            io::stdout().flush().expect("stdout is a pipe");
            std::process::exit(if result.is_ok() { 0 } else { 101 });
        }
        self.command
            .args([test_of::<F>(), "--exact", "--nocapture", "--test-threads=1"])
            .env(ARGUMENT, argument);
        let mut end = finish(self.command);
        match end.stdout.split_once(MARK) {
            Some((_harness, rest)) => end.stdout = rest.to_owned(),
            None => panic!("{} did not run\n{end}", test_of::<F>()),
        }
        end
    }
}

/// The test that a closure is written in, as the test harness names it.
fn test_of<F>() -> &'static str {
    let closure = type_name::<F>(); // crate::test::{{closure}}
    closure
        .strip_suffix("::{{closure}}")
        .and_then(|path| path.split_once("::"))
        .map_or(closure, |(_crate, test)| test)
}

fn become_the_child() {
    // SAFETY: both calls take numbers, or a struct that outlives them, and change limits of this process only.
    unsafe {
        // Hogs and sleepers do not outlive a test that was killed, and nothing leaves core files.
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        libc::setrlimit(libc::RLIMIT_CORE, &none);
    }
    print!("\n{MARK}");
}

/// Workers and affinity, as a child's argument.
pub const KINDS: [&str; 4] = ["1 worker", "2 worker", "4 worker", "2 any"];

/// What one of [`KINDS`] says.
pub fn builder(kind: &str) -> RuntimeBuilder {
    let (workers, affinity) = kind.split_once(' ').unwrap();
    let builder = Runtime::builder().workers(workers.parse().unwrap());
    match affinity {
        "worker" => builder,
        // SAFETY: in these tests nothing thread-bound lives across a park.
        _ => unsafe { builder.migratable() },
    }
}

/// Starts a command and waits for its end.
///
/// # Panics
/// When it takes longer than [`LIMIT`]; then it and its children are killed.
pub fn finish(mut command: Command) -> Ending {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    let group = -child.id().cast_signed();
    let (ended, watched) = mpsc::channel::<()>();
    let watchdog = thread::spawn(move || {
        let late = watched.recv_timeout(LIMIT) == Err(RecvTimeoutError::Timeout);
        if late {
            // SAFETY: `kill` has no preconditions. The group exists until its leader is waited for.
            unsafe { libc::kill(group, libc::SIGKILL) };
        }
        late
    });
    let output = child.wait_with_output().expect("a child can be waited for");
    drop(ended);
    let end = Ending {
        status: output.status,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    };
    let late = watchdog.join().expect("the watchdog does not panic");
    assert!(!late, "no end within {LIMIT:?}: {command:?}\n{end}");
    end
}

impl Ending {
    /// # Panics
    /// Unless its status is 0.
    pub fn succeeded(self) -> Ending {
        assert!(self.status.success(), "{self}");
        self
    }

    /// # Panics
    /// Unless this signal ended it.
    pub fn died_of(self, signal: libc::c_int) -> Ending {
        assert_eq!(self.status.signal(), Some(signal), "{self}");
        self
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ending { status, stdout, stderr } = self;
        write!(f, "{status}\nstdout: {stdout}\nstderr: {stderr}")
    }
}

/// Waits for something that gives no sign of its own.
///
/// # Panics
/// When it does not happen [`SOON`].
#[track_caller]
pub fn poll(what: &str, happened: impl Fn() -> bool) {
    assert!(poll_until(Instant::now() + SOON, happened), "not soon: {what}");
}

/// The same, until a deadline; whether it happened.
pub fn poll_until(deadline: Instant, happened: impl Fn() -> bool) -> bool {
    while !happened() {
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(1));
    }
    true
}

/// A number from `/proc/self/status`; sizes are in KiB.
pub fn status(field: &str) -> usize {
    field_of("/proc/self/status", field)
}

/// A number from `/proc/meminfo`, in KiB.
pub fn meminfo(field: &str) -> usize {
    field_of("/proc/meminfo", field)
}

fn field_of(file: &str, field: &str) -> usize {
    let text = fs::read_to_string(file).expect("/proc is there");
    text.lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or_else(|| panic!("no {field} in {file}"))
}

/// The id and name of each thread of this process.
pub fn threads() -> Vec<(String, String)> {
    fs::read_dir("/proc/self/task")
        .expect("/proc is there")
        .filter_map(|entry| {
            let entry = entry.ok()?;
            // It may have ended meanwhile.
            let name = fs::read_to_string(entry.path().join("comm")).ok()?;
            let id = entry.file_name().into_string().ok()?;
            Some((id, name.trim_end().to_owned()))
        })
        .collect()
}

/// For how long the other threads of this process have been ready to run without a processor, all together. What a
/// thread waits now counts when it has got one.
pub fn waited_for_processors() -> Duration {
    // SAFETY: it has no preconditions.
    let me = unsafe { libc::gettid() }.to_string();
    let others = threads().into_iter().filter(|(id, _)| *id != me);
    let waited = others.filter_map(|(id, _)| {
        // It may have ended meanwhile.
        let times = fs::read_to_string(format!("/proc/self/task/{id}/schedstat")).ok()?;
        times.split_whitespace().nth(1)?.parse::<u64>().ok()
    });
    Duration::from_nanos(waited.sum())
}

/// The names of the threads `fibra-0`, `fibra-1` and so on that there are, sorted.
pub fn workers() -> Vec<String> {
    let mut names: Vec<String> = threads()
        .into_iter()
        .map(|(_, name)| name)
        .filter(|name| {
            name.strip_prefix("fibra-").is_some_and(|number| number.parse::<usize>().is_ok())
        })
        .collect();
    names.sort();
    names
}

/// Whether a sanitizer is at work: it uses far more address space and memory than the program.
pub fn is_sanitized() -> bool {
    status("VmSize") > 1 << 30
}
