//! From the handler to the channels.
//!
//! ```text
//! handler ──PENDING, eventfd──▶ thread ──▶ the channel of each subscription
//! ```
//!
//! The handler sets the signal's flag and, if it was not set, writes to an eventfd: both may be done in the middle
//! of anything. The thread reads the eventfd, takes the flags, takes the subscriptions that are new, and delivers.
//!
//! * No signal is lost: a flag that the handler finds set will be taken, since whoever set it wakes the thread
//!   after that, and the thread reads the eventfd before it takes the flags.
//! * A signal that comes after [`subscribe`] has returned is delivered there: flags are taken before new
//!   subscriptions.
//!
//! # What is merged
//!
//! A channel must not hold a signal twice. It holds the last `len` signals that were sent: only this thread sends,
//! and channels are first in, first out. So a subscription remembers what it has sent, cut down to `len`: that is
//! what may wait to be received, and only what is not among it is sent. One that is received between the look at
//! `len` and now was received after this signal has come, which is what merging means.

use super::Signal;
use crate::chan::Sender;
use crate::sched::policy;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Signals are numbered from 1 to 64.
const NUMBERS: usize = 65;

/// What the program itself causes, when something goes wrong.
const FAULTS: [libc::c_int; 4] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL];

/// Signals that have come and are not delivered yet.
static PENDING: [AtomicBool; NUMBERS] = [const { AtomicBool::new(false) }; NUMBERS];

/// None: nobody has ever subscribed.
static POST: Mutex<Option<Post>> = Mutex::new(None);

/// What subscribers and the thread share.
struct Post {
    /// Wakes the thread. Never closed, as the thread never ends: handlers use its number.
    bell: Arc<File>,
    /// Subscriptions that the thread does not know yet.
    new: Vec<Subscription>,
    /// For which signals the handler is installed.
    installed: [bool; NUMBERS],
}

/// One receiver; from its arrival on the thread's own.
struct Subscription {
    wanted: [bool; NUMBERS],
    outlet: Outlet,
    /// At least the numbers of those that wait in the channel, oldest first.
    sent: VecDeque<usize>,
}

/// Where a subscription is served.
pub(super) enum Outlet {
    Signals(Sender<Signal>),
    Times(Sender<()>),
}

/// Has signals sent to `outlet` from now on.
pub(super) fn subscribe(signals: &[Signal], outlet: Outlet) -> io::Result<()> {
    let mut wanted = [false; NUMBERS];
    for &signal in signals {
        wanted[check(signal)?] = true;
    }
    if signals.is_empty() {
        return Err(invalid("no signals to be notified of".into()));
    }
    let mut post = POST.lock().unwrap_or_else(PoisonError::into_inner);
    let post = match &mut *post {
        Some(post) => post,
        none => none.insert(Post::open()?),
    };
    post.new.retain(Subscription::is_open);
    // Before the handler, so that nothing is lost between the two. If that fails the receiver is dropped, which ends
    // the subscription.
    post.new.push(Subscription { wanted, outlet, sent: VecDeque::new() });
    (1..NUMBERS).filter(|&number| wanted[number]).try_for_each(|number| post.install(number))
}

/// The number of a signal that may be handled.
fn check(signal: Signal) -> io::Result<usize> {
    match signal.0 {
        libc::SIGKILL | libc::SIGSTOP => Err(invalid(format!("{signal} cannot be caught"))),
        number if FAULTS.contains(&number) => {
            Err(invalid(format!("{signal} is about a fault of the program itself")))
        }
        number => match usize::try_from(number) {
            Ok(number) if (1..NUMBERS).contains(&number) => Ok(number),
            _ => Err(invalid(format!("there is no {signal}"))),
        },
    }
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

impl Post {
    fn open() -> io::Result<Post> {
        // SAFETY: takes numbers only.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: it was opened just now, and nobody else knows it.
        let bell = Arc::new(File::from(unsafe { OwnedFd::from_raw_fd(fd) }));
        let heard = bell.clone();
        policy::start_thread("fibra-signal".into(), move || serve(&heard))?;
        Ok(Post { bell, new: Vec::new(), installed: [false; NUMBERS] })
    }

    /// Installs the handler for one signal, once.
    fn install(&mut self, number: usize) -> io::Result<()> {
        if self.installed[number] {
            return Ok(());
        }
        let signal = number as libc::c_int;
        let bell = self.bell.as_raw_fd();
        let had_handler = action(signal)?.sa_sigaction > libc::SIG_IGN;
        // SAFETY: the action may run in a handler: it uses an atomic and `write`, and does not panic. `errno` is
        // put back by the crate.
        unsafe { signal_hook_registry::register(signal, move || on_signal(number, bell)) }?;
        if !had_handler {
            use_alternate_stack(signal);
        }
        self.installed[number] = true;
        Ok(())
    }
}

/// What the handler does.
fn on_signal(number: usize, bell: RawFd) {
    let Some(pending) = PENDING.get(number) else { return };
    // AcqRel: whoever finds it set knows that the bell will be heard after that.
    if !pending.swap(true, Ordering::AcqRel) {
        let one = 1u64;
        // SAFETY: `one` is readable for its size. The eventfd is never closed.
        unsafe { libc::write(bell, (&raw const one).cast(), size_of::<u64>()) };
    }
}

fn action(signal: libc::c_int) -> io::Result<libc::sigaction> {
    // SAFETY: all zeros is a valid `sigaction`.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: `action` is writable, and a null new action changes nothing.
    if unsafe { libc::sigaction(signal, ptr::null(), &mut action) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(action)
}

/// Has the handler run on the thread's alternate stack: the kernel's frame alone may be larger than what is left
/// of a goroutine's stack. That of std has room for little more than one frame, so no other signal may come in
/// between, except for faults, which do not wait. To be called only if there was no handler before, which might
/// need more than that.
fn use_alternate_stack(signal: libc::c_int) {
    let Ok(mut ours) = action(signal) else { return };
    ours.sa_flags |= libc::SA_ONSTACK;
    // SAFETY: they write to the mask, which is ours; `ours` is the installed action, with changes only in where and
    // when it runs.
    unsafe {
        libc::sigfillset(&mut ours.sa_mask);
        for fault in FAULTS {
            libc::sigdelset(&mut ours.sa_mask, fault);
        }
        libc::sigaction(signal, &ours, ptr::null_mut());
    }
}

/// The thread: for as long as the process lives.
fn serve(mut bell: &File) {
    let mut subscriptions: Vec<Subscription> = Vec::new();
    loop {
        let mut count = [0; size_of::<u64>()];
        if let Err(error) = bell.read(&mut count) {
            debug_assert_eq!(error.kind(), io::ErrorKind::Interrupted);
            continue;
        }
        // AcqRel: pairs with the handler's.
        let came: Vec<usize> =
            (1..NUMBERS).filter(|&n| PENDING[n].swap(false, Ordering::AcqRel)).collect();
        let new = POST
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_mut()
            .map(|post| std::mem::take(&mut post.new));
        subscriptions.extend(new.into_iter().flatten());
        subscriptions.retain(Subscription::is_open);
        for &number in &came {
            for subscription in &mut subscriptions {
                subscription.deliver(number);
            }
        }
    }
}

impl Subscription {
    fn is_open(&self) -> bool {
        match &self.outlet {
            Outlet::Signals(tx) => !tx.is_closed(),
            Outlet::Times(tx) => !tx.is_closed(),
        }
    }

    fn deliver(&mut self, number: usize) {
        if !self.wanted[number] {
            return;
        }
        let waiting = self.outlet.len();
        self.sent.drain(..self.sent.len().saturating_sub(waiting));
        if self.sent.contains(&number) {
            return;
        }
        self.sent.push_back(number);
        self.outlet.send(Signal(number as i32));
    }
}

impl Outlet {
    /// How many wait to be received.
    fn len(&self) -> usize {
        match self {
            Outlet::Signals(tx) => tx.len(),
            Outlet::Times(tx) => tx.len(),
        }
    }

    /// If it is closed, that is found out the next time.
    fn send(&self, signal: Signal) {
        match self {
            Outlet::Signals(tx) => drop(tx.try_send(signal)),
            Outlet::Times(tx) => drop(tx.try_send(())),
        }
    }
}
