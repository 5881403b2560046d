//! Reading and writing an open file.
//!
//! Reads try what is in memory first (`cached.rs`). Calls that consist of several, such as `read_exact`, take the
//! rest in one trip to a blocking thread.

use super::File;
use super::cached::{MOST, Place};
use crate::blocking::blocking;
use std::io::{self, IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

/// The first step of reading a file to its end, which grows from there.
const FIRST_STEP: usize = 8 << 10;

impl File {
    fn read_cached(&self, buf: &mut [u8], place: Place) -> Option<usize> {
        self.cached.read(self.std.as_fd(), &mut [IoSliceMut::new(buf)], place)
    }

    /// Reads into `buf` until it is full, the file ends, or not all is in memory. How much.
    fn read_much_cached(&self, buf: &mut [u8], place: Place) -> usize {
        let mut done = 0;
        while done < buf.len() {
            let place = match place {
                Place::Cursor => Place::Cursor,
                Place::Offset(offset) => Place::Offset(offset.saturating_add(done as u64)),
            };
            match self.read_cached(&mut buf[done..], place) {
                Some(0) | None => break,
                Some(len) => done += len,
            }
        }
        done
    }

    /// Makes a call that uses the cursor on a blocking thread.
    fn away<T: Send>(&self, call: impl FnOnce(&std::fs::File) -> T + Send) -> T {
        self.cached.away(|| blocking(|| call(&self.std)))
    }
}

impl Read for &File {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.read_cached(buf, Place::Cursor) {
            Some(len) => Ok(len),
            None => self.away(|mut file| file.read(buf)),
        }
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        match self.cached.read(self.std.as_fd(), bufs, Place::Cursor) {
            Some(len) => Ok(len),
            None => self.away(|mut file| file.read_vectored(bufs)),
        }
    }

    fn read_exact(&mut self, buf: &mut [u8]) -> io::Result<()> {
        let done = self.read_much_cached(buf, Place::Cursor);
        match &mut buf[done..] {
            [] => Ok(()),
            rest => self.away(|mut file| file.read_exact(rest)),
        }
    }

    fn read_to_end(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
        let start = buf.len();
        let mut step = FIRST_STEP;
        // A large file goes to a blocking thread sooner or later: then as a whole, as soon as that is clear.
        while step <= MOST && self.cached.may_read(Place::Cursor, step) {
            let len = buf.len();
            buf.resize(len + step, 0);
            let read = self.read_cached(&mut buf[len..], Place::Cursor);
            buf.truncate(len + read.unwrap_or(0));
            match read {
                Some(0) => return Ok(len - start),
                Some(_) => step *= 2,
                None => break,
            }
        }
        let here = buf.len() - start;
        self.away(|mut file| file.read_to_end(buf)).map(|rest| here + rest)
    }

    fn read_to_string(&mut self, buf: &mut String) -> io::Result<usize> {
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes)?;
        // Checks it, and complains as std does.
        bytes.as_slice().read_to_string(buf)
    }
}

impl Write for &File {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.away(|mut file| file.write(buf))
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.away(|mut file| file.write_vectored(bufs))
    }

    fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
        self.away(|mut file| file.write_all(buf))
    }

    /// Does nothing: there is no buffer here. See [`File::sync_all`].
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for &File {
    fn seek(&mut self, pos: SeekFrom) -> io::Result<u64> {
        // How long a file is may be known to a server only. The cursor is a number.
        let is_short = !matches!(pos, SeekFrom::End(_));
        if is_short && self.cached.cursor_is_free() {
            return (&self.std).seek(pos);
        }
        self.away(|mut file| file.seek(pos))
    }
}

impl Read for File {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(bufs)
    }

    fn read_exact(&mut self, buf: &mut [u8]) -> io::Result<()> {
        (&*self).read_exact(buf)
    }

    fn read_to_end(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
        (&*self).read_to_end(buf)
    }

    fn read_to_string(&mut self, buf: &mut String) -> io::Result<usize> {
        (&*self).read_to_string(buf)
    }
}

impl Write for File {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self).write(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(bufs)
    }

    fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
        (&*self).write_all(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        (&*self).flush()
    }
}

impl Seek for File {
    fn seek(&mut self, pos: SeekFrom) -> io::Result<u64> {
        (&*self).seek(pos)
    }
}

/// At an offset: the cursor stays where it is.
impl FileExt for File {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        match self.read_cached(buf, Place::Offset(offset)) {
            Some(len) => Ok(len),
            None => blocking(|| self.std.read_at(buf, offset)),
        }
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let done = self.read_much_cached(buf, Place::Offset(offset));
        match &mut buf[done..] {
            [] => Ok(()),
            rest => blocking(|| self.std.read_exact_at(rest, offset + done as u64)),
        }
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        blocking(|| self.std.write_at(buf, offset))
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        blocking(|| self.std.write_all_at(buf, offset))
    }
}
