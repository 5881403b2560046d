//! Signals of the operating system, as values that come out of a channel.
//!
//! [`notify`] subscribes to signals; the [`Receiver`] that it gives can stand in a
//! [`select!`](crate::select) beside whatever else there is to wait for.
//!
//! ```no_run
//! use fibra::signal::{self, Signal};
//!
//! #[fibra::main]
//! fn main() -> std::io::Result<()> {
//!     let signals = signal::notify(&[Signal::INTERRUPT, Signal::TERMINATE])?;
//!     let (_jobs_in, jobs) = fibra::chan::unbounded::<String>();
//!     loop {
//!         fibra::select! {
//!             recv(jobs) -> job => match job {
//!                 Ok(job) => println!("{job}"),
//!                 Err(_) => break,
//!             },
//!             recv(signals) -> signal => {
//!                 println!("{} came: the end", signal.expect("its sender stays"));
//!                 break;
//!             },
//!         }
//!     }
//!     Ok(())
//! }
//! ```
//!
//! * Each of several receivers gets each signal that it asked for; clones of one receiver share them.
//! * As in the kernel, signals are not counted: one that comes while the same signal waits in a channel to be
//!   received is merged with it. So whoever is slow keeps nobody waiting and uses no memory, and whatever comes is
//!   received at least once after it has come.
//! * With the first subscription to a signal, what it did by default is over, also when all of its receivers are
//!   gone: then nothing happens. A handler that was there before is called as before.
//! * Between the handler and the channels there is a thread, started by the first subscription, which sleeps
//!   until a signal comes. Signals arrive also while all workers are busy; a receiver runs when its worker is free.

mod delivery;
mod name;

use crate::chan::{self, Receiver};
use delivery::Outlet;
use std::fmt;
use std::io;

/// A signal of the operating system. Its text is its name: `SIGINT`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(i32);

impl Signal {
    /// SIGALRM: a timer of `alarm` has run out.
    pub const ALARM: Signal = Signal(libc::SIGALRM);
    /// SIGCHLD: a child process has stopped or ended.
    pub const CHILD: Signal = Signal(libc::SIGCHLD);
    /// SIGCONT: the process goes on after it was stopped.
    pub const CONTINUE: Signal = Signal(libc::SIGCONT);
    /// SIGHUP: the terminal is gone. Servers read their configuration again.
    pub const HANGUP: Signal = Signal(libc::SIGHUP);
    /// SIGINT: Ctrl-C on the terminal.
    pub const INTERRUPT: Signal = Signal(libc::SIGINT);
    /// SIGIO: input or output is possible.
    pub const IO: Signal = Signal(libc::SIGIO);
    /// SIGPIPE: written to a pipe that nobody reads. Rust programs ignore it from the start.
    pub const PIPE: Signal = Signal(libc::SIGPIPE);
    /// SIGQUIT: Ctrl-\ on the terminal.
    pub const QUIT: Signal = Signal(libc::SIGQUIT);
    /// SIGTERM: asks the process to end.
    pub const TERMINATE: Signal = Signal(libc::SIGTERM);
    /// SIGTSTP: Ctrl-Z on the terminal.
    pub const TERMINAL_STOP: Signal = Signal(libc::SIGTSTP);
    /// SIGUSR1: means what the program says.
    pub const USER1: Signal = Signal(libc::SIGUSR1);
    /// SIGUSR2: means what the program says.
    pub const USER2: Signal = Signal(libc::SIGUSR2);
    /// SIGWINCH: the terminal has another size.
    pub const WINDOW_CHANGE: Signal = Signal(libc::SIGWINCH);

    /// The signal with this number. Whether there is one turns out in [`notify`].
    #[must_use]
    pub const fn from_raw(number: i32) -> Signal {
        Signal(number)
    }

    /// Its number.
    #[must_use]
    pub const fn as_raw(self) -> i32 {
        self.0
    }
}

/// Subscribes to signals. Dropping the receiver, and its clones, ends that; see the [module](self).
///
/// The channel never closes by itself.
///
/// # Errors
/// * [`InvalidInput`](io::ErrorKind::InvalidInput): `signals` is empty; or one of them does not exist, cannot be
///   caught (SIGKILL, SIGSTOP), or says that the program itself has gone wrong (SIGSEGV, SIGBUS, SIGFPE, SIGILL:
///   fibra needs the first two to report stacks that overflow).
/// * The thread between handler and channels cannot be started.
///
/// ```
/// use fibra::signal::{self, Signal};
///
/// let changes = signal::notify(&[Signal::WINDOW_CHANGE])?;
/// # // SAFETY: `raise` has no preconditions.
/// # unsafe { libc::raise(Signal::WINDOW_CHANGE.as_raw()) };
/// assert_eq!(changes.recv(), Ok(Signal::WINDOW_CHANGE));
/// # std::io::Result::Ok(())
/// ```
pub fn notify(signals: &[Signal]) -> io::Result<Receiver<Signal>> {
    // Room for each of them: since the same are merged, it never gets full.
    let (tx, rx) = chan::bounded(signals.len().max(1));
    delivery::subscribe(signals, Outlet::Signals(tx))?;
    Ok(rx)
}

/// Subscribes to Ctrl-C (SIGINT), for a program that wants to come to its end in its own way. The first does not
/// end the process any more, nor do those that follow: it is up to the program to leave when it receives one more.
///
/// What stops services sends [`Signal::TERMINATE`]; [`notify`] receives both.
///
/// # Errors
/// Those of [`notify`].
///
/// ```no_run
/// # fn serve() {}
/// let ctrl_c = fibra::signal::ctrl_c()?;
/// fibra::go!(serve());
/// ctrl_c.recv().expect("its sender stays");
/// println!("finishing; Ctrl-C once more to leave at once");
/// # std::io::Result::Ok(())
/// ```
pub fn ctrl_c() -> io::Result<Receiver<()>> {
    let (tx, rx) = chan::bounded(1);
    delivery::subscribe(&[Signal::INTERRUPT], Outlet::Times(tx))?;
    Ok(rx)
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (name::of(self.0), name::realtime(self.0)) {
            (Some(name), _) => f.pad(name),
            (None, Some(number)) => write!(f, "SIGRTMIN+{number}"),
            (None, None) => write!(f, "signal {}", self.0),
        }
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
