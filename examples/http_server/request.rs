//! What a client wants.

use httparse::{EMPTY_HEADER, Error, Header, Status};

use crate::answer::{Code, Route};

/// The longest body.
pub(crate) const BODY: usize = 1024 * 1024;
/// More headers than a reasonable client sends.
const HEADERS: usize = 64;

/// What this server has to know from the head of a request.
pub(crate) struct Request {
    pub(crate) route: Route,
    /// HEAD: the answer has no body.
    pub(crate) head_only: bool,
    pub(crate) body: Length,
    /// The client speaks HTTP/1.1.
    pub(crate) modern: bool,
    /// It wants to use the connection for another request.
    pub(crate) keep_alive: bool,
    /// It sends the body when it is told to.
    pub(crate) expects_continue: bool,
}

/// How one finds the end of a body.
pub(crate) enum Length {
    Known(usize),
    Chunked,
}

/// What was found at the front of some bytes, and how many bytes it is; `None` if they end before it does.
pub(crate) type Parsed<T> = Result<Option<(usize, T)>, Code>;

impl Request {
    pub(crate) fn parse(bytes: &[u8]) -> Parsed<Request> {
        let mut headers = [EMPTY_HEADER; HEADERS];
        let mut parsed = httparse::Request::new(&mut headers);
        let Status::Complete(length) = parsed.parse(bytes)? else {
            return Ok(None);
        };
        // All three are there when the head is complete.
        let method = parsed.method.unwrap_or_default();
        let target = parsed.path.unwrap_or_default();
        let modern = parsed.version == Some(1);
        let mut request = Request {
            route: Route::find(method, target.split('?').next().unwrap_or(target)),
            head_only: method == "HEAD",
            body: Length::Known(0),
            modern,
            keep_alive: modern,
            expects_continue: false,
        };
        request.read_headers(parsed.headers)?;
        Ok(Some((length, request)))
    }

    /// A length that two readers understand differently lets one client speak in the name of another, when
    /// one of them is a proxy. So whatever is not clear is refused.
    fn read_headers(&mut self, headers: &[Header<'_>]) -> Result<(), Code> {
        let (mut hosts, mut length, mut chunked, mut close) = (0, None, false, false);
        for Header { name, value } in headers {
            if name.eq_ignore_ascii_case("host") {
                hosts += 1;
            } else if name.eq_ignore_ascii_case("content-length") {
                if length.replace(number(value)?).is_some() {
                    return Err(Code::BadRequest);
                }
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                if chunked || !self.modern {
                    return Err(Code::BadRequest);
                }
                if !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(Code::NotImplemented);
                }
                chunked = true;
            } else if name.eq_ignore_ascii_case("connection") {
                let mut options = value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
                close |= options.clone().any(|option| option.eq_ignore_ascii_case(b"close"));
                self.keep_alive |= options.any(|option| option.eq_ignore_ascii_case(b"keep-alive"));
            } else if name.eq_ignore_ascii_case("expect") {
                self.expects_continue = self.modern && value.eq_ignore_ascii_case(b"100-continue");
            }
        }
        if hosts > 1 || (hosts == 0 && self.modern) {
            return Err(Code::BadRequest);
        }
        self.keep_alive &= !close;
        self.body = match (length, chunked) {
            (Some(_), true) => return Err(Code::BadRequest),
            (None, true) => Length::Chunked,
            (length, false) => Length::Known(length.unwrap_or(0)),
        };
        Ok(())
    }
}

/// The line before a chunk: the length of the chunk.
pub(crate) fn chunk_size(bytes: &[u8]) -> Parsed<u64> {
    match httparse::parse_chunk_size(bytes) {
        Ok(Status::Complete(found)) => Ok(Some(found)),
        Ok(Status::Partial) => Ok(None),
        Err(_) => Err(Code::BadRequest),
    }
}

/// The end of the line that a chunk is.
pub(crate) fn chunk_end(bytes: &[u8]) -> Parsed<()> {
    match bytes {
        [b'\r', b'\n', ..] => Ok(Some((2, ()))),
        [] | [b'\r'] => Ok(None),
        _ => Err(Code::BadRequest),
    }
}

/// The headers after the last chunk, which nobody here wants to know.
pub(crate) fn trailers(bytes: &[u8]) -> Parsed<()> {
    let mut headers = [EMPTY_HEADER; HEADERS];
    match httparse::parse_headers(bytes, &mut headers)? {
        Status::Complete((length, _)) => Ok(Some((length, ()))),
        Status::Partial => Ok(None),
    }
}

impl From<Error> for Code {
    fn from(error: Error) -> Code {
        match error {
            Error::TooManyHeaders => Code::HeadTooLarge,
            _ => Code::BadRequest,
        }
    }
}

/// The length of a body: digits and nothing else. `parse` also takes a sign.
fn number(value: &[u8]) -> Result<usize, Code> {
    let text = str::from_utf8(value).map_err(|_| Code::BadRequest)?;
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Code::BadRequest);
    }
    text.parse().ok().filter(|&length| length <= BODY).ok_or(Code::BodyTooLarge)
}
