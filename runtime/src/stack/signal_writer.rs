//! Text from inside a signal handler.

use std::fmt;
use std::mem::MaybeUninit;

#[cfg(test)]
mod tests;

/// Writes text to a file descriptor without allocation, locks or std's I/O: async-signal-safe.
///
/// It gathers text, so that a line of usual length leaves in one `write(2)` and is not torn by
/// other writers. Nothing leaves by itself at the end: call [`flush`](Self::flush).
///
/// It is also a [`fmt::Write`], whose integer and string formatting neither allocate nor lock; a
/// `Display` of your own must keep that up.
pub(crate) struct SignalWriter {
    descriptor: libc::c_int,
    len: usize,
    // Small: std's alternate stacks are 8 KiB, and the kernel's signal frame takes up to half.
    buffer: [MaybeUninit<u8>; 512],
}

impl SignalWriter {
    pub(crate) const fn new(descriptor: libc::c_int) -> Self {
        Self { descriptor, len: 0, buffer: [MaybeUninit::uninit(); 512] }
    }

    /// Adds text.
    pub(crate) fn str(&mut self, text: &str) {
        for &byte in text.as_bytes() {
            if self.len == self.buffer.len() {
                self.flush();
            }
            self.buffer[self.len].write(byte);
            self.len += 1;
        }
    }

    /// Adds a number, in decimal.
    pub(crate) fn number(&mut self, mut number: u64) {
        let mut digits = [0u8; 20];
        let mut first = digits.len();
        loop {
            first -= 1;
            digits[first] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        // Digits are ASCII, so this cannot fail.
        self.str(str::from_utf8(&digits[first..]).unwrap_or_default());
    }

    /// Sends everything to the descriptor. What it refuses is dropped: there is nobody to tell.
    pub(crate) fn flush(&mut self) {
        let mut sent = 0;
        while sent < self.len {
            let rest = &self.buffer[sent..self.len];
            // SAFETY: `rest` is readable, and initialised because it ends before `len`.
            let wrote = unsafe { libc::write(self.descriptor, rest.as_ptr().cast(), rest.len()) };
            match usize::try_from(wrote) {
                Ok(0) => break,
                Ok(count) => sent += count,
                Err(_) if interrupted() => {}
                Err(_) => break,
            }
        }
        self.len = 0;
    }
}

impl fmt::Write for SignalWriter {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.str(text);
        Ok(())
    }
}

fn interrupted() -> bool {
    // SAFETY: it returns the address of this thread's errno, which is always readable.
    unsafe { *libc::__errno_location() == libc::EINTR }
}
