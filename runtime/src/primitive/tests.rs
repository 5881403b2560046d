//! What a signal does to a sleep.

use super::sleep_interruptibly;
use std::mem;
use std::os::unix::thread::JoinHandleExt;
use std::ptr;
use std::thread;
use std::time::{Duration, Instant};

/// A signal that is nobody else's, and does nothing but interrupt.
pub(crate) fn interrupting_signal() -> libc::c_int {
    extern "C" fn ignore(_signal: libc::c_int) {}
    let signal = libc::SIGRTMIN() + 3;
    // SAFETY: the handler does nothing at all; zeros are an empty mask and no flags.
    unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        action.sa_sigaction = ignore as *const () as usize;
        assert_eq!(libc::sigaction(signal, &action, ptr::null_mut()), 0);
    }
    signal
}

/// One that began again each time would never end under many signals.
#[test]
fn a_signal_ends_a_sleep() {
    const FOR_EVER: Duration = Duration::from_secs(3600);
    let signal = interrupting_signal();
    let start = Instant::now();
    let sleeping = thread::spawn(|| sleep_interruptibly(FOR_EVER));
    while !sleeping.is_finished() {
        assert!(start.elapsed() < Duration::from_secs(60), "it goes on");
        // SAFETY: the thread was not joined. That it has ended meanwhile may be an error.
        unsafe { libc::pthread_kill(sleeping.as_pthread_t(), signal) };
        thread::sleep(Duration::from_millis(1));
    }
    sleeping.join().unwrap();
}
