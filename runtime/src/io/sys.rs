//! The system calls of every message.
//!
//! By their numbers, because the functions of libc are points at which a thread can be cancelled, and the bookkeeping
//! for that costs as much as the rest of a message: `libc::syscall` has none.

use std::io;
use std::os::fd::RawFd;

fn check(result: libc::c_long) -> io::Result<usize> {
    // An error is -1, everything else a count.
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// Takes from a socket what there is, without waiting.
#[inline]
pub(crate) fn recv(fd: RawFd, buf: &mut [u8]) -> io::Result<usize> {
    let (start, flags) = (buf.as_mut_ptr(), libc::MSG_DONTWAIT);
    let nobody = std::ptr::null::<libc::sockaddr>();
    // SAFETY: the kernel writes at most the length of the buffer to it. A wrong descriptor is an error.
    check(unsafe { libc::syscall(libc::SYS_recvfrom, fd, start, buf.len(), flags, nobody, nobody) })
}

/// Gives to a socket what it has room for, without waiting.
#[inline]
pub(crate) fn send(fd: RawFd, buf: &[u8]) -> io::Result<usize> {
    let (start, flags) = (buf.as_ptr(), libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL);
    let nobody = std::ptr::null::<libc::sockaddr>();
    // SAFETY: the kernel reads at most the length of the buffer. A wrong descriptor is an error.
    check(unsafe { libc::syscall(libc::SYS_sendto, fd, start, buf.len(), flags, nobody, 0) })
}
