//! The system calls of every message.
//!
//! Not by libc's functions: those are points at which a thread can be cancelled, and the bookkeeping for that costs as
//! much as the rest of a message.

use crate::arch;
use std::ffi::c_int;
use std::io;
use std::os::fd::RawFd;

/// There is no address to read or write.
const NOBODY: [usize; 2] = [0, 0];

/// Descriptor, start, length and flags as the kernel takes them.
#[inline(always)]
fn arguments(fd: RawFd, start: *const u8, len: usize, flags: c_int) -> [usize; 6] {
    let [address, address_len] = NOBODY;
    [fd as usize, start.expose_provenance(), len, flags as usize, address, address_len]
}

/// Takes from a socket what there is, without waiting.
#[inline(always)]
pub(crate) fn recv(fd: RawFd, buf: &mut [u8]) -> io::Result<usize> {
    let arguments = arguments(fd, buf.as_mut_ptr(), buf.len(), libc::MSG_DONTWAIT);
    // SAFETY: the kernel writes at most the length of the buffer to it. A wrong descriptor is an error.
    unsafe { arch::system_call(libc::SYS_recvfrom, arguments) }
}

/// Gives to a socket what it has room for, without waiting.
#[inline(always)]
pub(crate) fn send(fd: RawFd, buf: &[u8]) -> io::Result<usize> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    let arguments = arguments(fd, buf.as_ptr(), buf.len(), flags);
    // SAFETY: the kernel reads at most the length of the buffer. A wrong descriptor is an error.
    unsafe { arch::system_call(libc::SYS_sendto, arguments) }
}
