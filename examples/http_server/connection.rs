//! The life of a connection.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use fibra::net::TcpStream;
use fibra::uncancellable;

use crate::Server;
use crate::answer::{Code, answer, refuse};
use crate::request::{self, BODY, Length, Parsed, Request};

/// The longest head of a request, and the most that one read takes.
const HEAD: usize = 8 * 1024;
/// A buffer that has grown beyond this becomes smaller again.
const KEEP: usize = 64 * 1024;
/// How long a client has for reading the last answer.
const LINGER: Duration = Duration::from_secs(1);

pub(crate) struct Connection<'a> {
    server: &'a Server,
    stream: TcpStream,
    input: Input,
    /// Of the request that is being answered.
    body: Vec<u8>,
    /// Answers that were not sent yet.
    output: Vec<u8>,
    /// The request that is being read has a deadline.
    timed: bool,
}

/// Why there will be no further request.
enum End {
    /// This is the last answer.
    Refused(Code),
    /// There is nobody to answer.
    Lost(io::Error),
}

impl<'a> Connection<'a> {
    pub(crate) fn new(server: &'a Server, stream: TcpStream) -> Connection<'a> {
        let (input, body, output) = (Input::new(), vec![], vec![]);
        Connection { server, stream, input, body, output, timed: false }
    }

    /// Answers requests until one side has enough.
    pub(crate) fn serve(mut self) -> io::Result<()> {
        self.stream.set_nodelay(true)?;
        self.stream.set_read_timeout(Some(self.server.idle))?;
        self.stream.set_write_timeout(Some(self.server.idle))?;
        // Here nothing is in flight, so here it may be cancelled.
        while self.input.fill(&self.stream)? > 0 {
            if !uncancellable(|| self.answer_all())? {
                return uncancellable(|| self.linger());
            }
        }
        Ok(())
    }

    /// Answers all requests of which something was read, with one write unless the rest of the last one
    /// has to be waited for. False when the connection is to end.
    fn answer_all(&mut self) -> io::Result<bool> {
        let goes_on = loop {
            match self.answer_one() {
                Ok(true) if !self.input.bytes().is_empty() => {}
                Ok(goes_on) => break goes_on,
                Err(End::Refused(code)) => {
                    refuse(&mut self.output, code);
                    break false;
                }
                Err(End::Lost(error)) => return Err(error),
            }
        };
        self.set_timed(false)?;
        self.flush()?;
        Ok(goes_on)
    }

    fn answer_one(&mut self) -> Result<bool, End> {
        let request = self.parse(Request::parse, Code::HeadTooLarge)?;
        self.read_body(&request)?;
        self.set_timed(false)?;
        let goes_on = request.keep_alive && !self.server.stopping.load(Ordering::Relaxed);
        answer(&mut self.output, &request, &self.body, goes_on);
        self.body.clear();
        self.body.shrink_to(KEEP);
        Ok(goes_on)
    }

    fn read_body(&mut self, request: &Request) -> Result<(), End> {
        if request.expects_continue && self.input.bytes().is_empty() {
            self.output.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n"); // sent before the next read
        }
        if let Length::Known(length) = request.body {
            return self.take(length);
        }
        loop {
            let size = self.parse(request::chunk_size, Code::BadRequest)?;
            if size == 0 {
                return self.parse(request::trailers, Code::HeadTooLarge);
            }
            self.take(usize::try_from(size).unwrap_or(usize::MAX))?;
            self.parse(request::chunk_end, Code::BadRequest)?;
        }
    }

    /// Moves the next bytes from the input to the body.
    fn take(&mut self, mut length: usize) -> Result<(), End> {
        if length > BODY - self.body.len() {
            return Err(End::Refused(Code::BodyTooLarge));
        }
        while length > 0 {
            if self.input.bytes().is_empty() {
                self.read_more()?;
            }
            let bytes = self.input.bytes();
            let part = length.min(bytes.len());
            self.body.extend_from_slice(&bytes[..part]);
            self.input.consume(part);
            length -= part;
        }
        Ok(())
    }

    /// Takes something from the input, and reads more until all of it is there.
    fn parse<T>(&mut self, parse: fn(&[u8]) -> Parsed<T>, too_long: Code) -> Result<T, End> {
        loop {
            match parse(self.input.bytes()).map_err(End::Refused)? {
                Some((length, found)) => {
                    self.input.consume(length);
                    return Ok(found);
                }
                None if self.input.is_full() => return Err(End::Refused(too_long)),
                None => self.read_more()?,
            }
        }
    }

    /// Reads more of a request, within the time that it has. Sends the answers to those before it first, as
    /// the client may be waiting for them.
    fn read_more(&mut self) -> Result<(), End> {
        self.flush()?;
        self.set_timed(true)?;
        match self.input.fill(&self.stream) {
            Ok(0) => Err(End::Lost(ErrorKind::UnexpectedEof.into())),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::TimedOut => {
                Err(End::Refused(Code::RequestTimeout))
            }
            Err(error) => Err(End::Lost(error)),
        }
    }

    /// Begins or ends the time that a request has. One that comes in one piece does without.
    fn set_timed(&mut self, timed: bool) -> io::Result<()> {
        if self.timed == timed {
            return Ok(());
        }
        self.timed = timed;
        self.stream.set_deadline(timed.then(|| Instant::now() + self.server.arrival))
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.output.is_empty() {
            self.stream.write_all(&self.output)?;
            self.output.clear();
            self.output.shrink_to(KEEP);
        }
        Ok(())
    }

    /// Waits until the client has left, or for a moment. Closing the connection while something is unread
    /// resets it, and takes the last answer away from a client that was about to read it.
    fn linger(&mut self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)?;
        self.stream.set_deadline(Some(Instant::now() + LINGER))?;
        loop {
            self.input.clear();
            if self.input.fill(&self.stream)? == 0 {
                return Ok(());
            }
        }
    }
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> End {
        End::Lost(error)
    }
}

/// What was read and not used yet.
struct Input {
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Input {
    fn new() -> Input {
        Input { buffer: vec![0; HEAD].into(), start: 0, end: 0 }
    }

    fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    fn is_full(&self) -> bool {
        self.bytes().len() == self.buffer.len()
    }

    fn consume(&mut self, length: usize) {
        self.start += length;
        if self.start == self.end {
            self.clear();
        }
    }

    fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }

    /// Reads what is there; 0 when the other side has said all. Not to be called when it is full.
    fn fill(&mut self, mut stream: &TcpStream) -> io::Result<usize> {
        if self.end == self.buffer.len() {
            self.buffer.copy_within(self.start.., 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let length = stream.read(&mut self.buffer[self.end..])?;
        self.end += length;
        Ok(length)
    }
}
