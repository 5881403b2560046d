//! What a server says on one connection. The servers of all runtimes share it, so that they differ only in
//! how they wait; `c/epoll_hello.c` and `go/hello/` do the same in their languages.

#[cfg(test)]
mod tests;

/// The bytes of a request that are kept, and the most that one read takes.
const ROOM: usize = 4096;

const REPLY: &[u8] = b"HTTP/1.1 200 OK\r\n\
    Content-Type: text/plain\r\n\
    Content-Length: 13\r\n\
    \r\n\
    Hello, World!";

/// What a server does on each connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Greets for every HTTP request. Looks only for the end of its header, so it must not have a body.
    Hello,
    /// Sends back whatever comes, until the other side closes.
    Echo,
    /// Sends back one message, and closes.
    Cycle,
}

impl Service {
    /// What `label` stands for.
    pub fn from_label(label: &str) -> Option<Service> {
        match label {
            "hello" => Some(Service::Hello),
            "echo" => Some(Service::Echo),
            "cycle" => Some(Service::Cycle),
            _ => None,
        }
    }
}

/// One connection: read into [`room`](Self::room), write what [`replies`](Self::replies) gives, until
/// [`is_over`](Self::is_over).
#[derive(Debug)]
pub struct Conversation {
    service: Service,
    input: Box<[u8]>,
    /// How much of `input` is the beginning of a request.
    filled: usize,
    output: Vec<u8>,
}

impl Conversation {
    /// Nothing has been said yet.
    pub fn new(service: Service) -> Conversation {
        let input = vec![0; ROOM].into_boxed_slice();
        Conversation { service, input, filled: 0, output: Vec::new() }
    }

    /// Where the next read goes. Empty if a request has no end, so that the read then looks like the end of
    /// the connection.
    pub fn room(&mut self) -> &mut [u8] {
        &mut self.input[self.filled..]
    }

    /// What is to be sent, after `count` bytes have been read: one reply for each request that is
    /// complete, or nothing.
    pub fn replies(&mut self, count: usize) -> &[u8] {
        match self.service {
            Service::Hello => self.greetings(count),
            Service::Echo | Service::Cycle => &self.input[..count],
        }
    }

    /// Whether the server is to close the connection after it has replied.
    pub fn is_over(&self) -> bool {
        self.service == Service::Cycle
    }

    fn greetings(&mut self, count: usize) -> &[u8] {
        let end = self.filled + count;
        let mut begin = 0;
        self.output.clear();
        while let Some(length) = header_length(&self.input[begin..end]) {
            self.output.extend_from_slice(REPLY);
            begin += length;
        }
        self.input.copy_within(begin..end, 0);
        self.filled = end - begin;
        &self.output
    }
}

/// The length of the header that `bytes` begin with, if all of it is there. Looks at every fourth byte
/// (Horspool's search), because that is the same little work in every language.
fn header_length(bytes: &[u8]) -> Option<usize> {
    let mut last = 3;
    while last < bytes.len() {
        last += match bytes[last] {
            b'\n' if &bytes[last - 3..last] == b"\r\n\r" => return Some(last + 1),
            b'\n' => 2,
            b'\r' => 1,
            _ => 4,
        };
    }
    None
}
