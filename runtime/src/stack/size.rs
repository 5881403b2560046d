//! Stack sizes: checked once, then correct by type.

use std::fmt;
use std::io;

#[cfg(test)]
mod tests;

/// The size of a pooled stack: a power of two from 16 KiB ([`MIN`](Self::MIN)) to 64 GiB
/// ([`MAX`](Self::MAX)), so that few sizes share the pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct StackSize(usize);

impl StackSize {
    /// What a goroutine gets unless it asks for another: 256 KiB of address space.
    pub(crate) const DEFAULT: Self = Self(256 << 10);
    /// The least: four pages.
    pub(crate) const MIN: Self = Self(16 << 10);
    /// The most. A process has 128 TiB of address space; more than this is a mistake in a unit.
    pub(crate) const MAX: Self = Self(64 << 30);

    /// How many different sizes there are.
    pub(super) const CLASSES: usize = Self::MAX.class() + 1;

    /// Rounds `bytes` up to the next size.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for 0 and for more than [`MAX`](Self::MAX).
    pub(crate) fn new(bytes: usize) -> io::Result<Self> {
        if bytes == 0 {
            let text = format!("a stack of 0 bytes was asked for; the least is {}", Self::MIN);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        if bytes > Self::MAX.0 {
            let text = format!("a stack of {bytes} bytes was asked for; the most is {}", Self::MAX);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        Ok(Self(bytes.next_power_of_two().max(Self::MIN.0)))
    }

    /// The size of memory that is none of the pool's: any, and in no class.
    pub(super) const fn exact(bytes: usize) -> Self {
        Self(bytes)
    }

    /// The size in bytes.
    #[inline]
    pub(crate) const fn bytes(self) -> usize {
        self.0
    }

    /// The index of this size among all sizes: 0 for [`MIN`](Self::MIN).
    pub(super) const fn class(self) -> usize {
        (self.0.trailing_zeros() - Self::MIN.0.trailing_zeros()) as usize
    }

    /// The size as people write it: `(256, "KiB")`. For the fault handler, which must not format.
    pub(super) const fn human(self) -> (usize, &'static str) {
        match self.0.trailing_zeros() {
            30.. => (self.0 >> 30, "GiB"),
            20.. => (self.0 >> 20, "MiB"),
            _ => (self.0 >> 10, "KiB"),
        }
    }
}

impl fmt::Display for StackSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, unit) = self.human();
        write!(f, "{count} {unit}")
    }
}
