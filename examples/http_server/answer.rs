//! What a client gets.

use std::io::Write;

use crate::request::Request;

/// What is served.
pub(crate) enum Route {
    Hello,
    Echo,
    /// With the methods that would be.
    NotAllowed(&'static str),
    NotFound,
}

#[derive(Clone, Copy)]
pub(crate) enum Code {
    Ok,
    BadRequest,
    NotFound,
    NotAllowed,
    RequestTimeout,
    BodyTooLarge,
    HeadTooLarge,
    NotImplemented,
}

impl Route {
    pub(crate) fn find(method: &str, path: &str) -> Route {
        match (path, method) {
            ("/", "GET" | "HEAD") => Route::Hello,
            ("/", _) => Route::NotAllowed("GET, HEAD"),
            ("/echo", "POST") => Route::Echo,
            ("/echo", _) => Route::NotAllowed("POST"),
            _ => Route::NotFound,
        }
    }
}

impl Code {
    fn text(self) -> &'static str {
        match self {
            Code::Ok => "200 OK",
            Code::BadRequest => "400 Bad Request",
            Code::NotFound => "404 Not Found",
            Code::NotAllowed => "405 Method Not Allowed",
            Code::RequestTimeout => "408 Request Timeout",
            Code::BodyTooLarge => "413 Content Too Large",
            Code::HeadTooLarge => "431 Request Header Fields Too Large",
            Code::NotImplemented => "501 Not Implemented",
        }
    }
}

/// Appends the answer to a request with this body.
pub(crate) fn answer(out: &mut Vec<u8>, request: &Request, body: &[u8], keep_alive: bool) {
    let (code, kind, body) = match request.route {
        Route::Hello => (Code::Ok, "text/plain", &b"Hello, world!"[..]),
        Route::Echo => (Code::Ok, "application/octet-stream", body),
        Route::NotAllowed(_) => (Code::NotAllowed, "text/plain", &b""[..]),
        Route::NotFound => (Code::NotFound, "text/plain", &b"There is / and /echo.\n"[..]),
    };
    head(out, code, kind, body.len());
    if let Route::NotAllowed(methods) = request.route {
        put(out, &["Allow: ", methods, "\r\n"]);
    }
    match (request.modern, keep_alive) {
        (_, false) => put(out, &["Connection: close\r\n"]),
        (false, true) => put(out, &["Connection: keep-alive\r\n"]),
        (true, true) => {} // goes without saying
    }
    put(out, &["\r\n"]);
    if !request.head_only {
        out.extend_from_slice(body);
    }
}

/// Appends the answer to what is no request, or will not be read. The connection ends with it.
pub(crate) fn refuse(out: &mut Vec<u8>, code: Code) {
    head(out, code, "text/plain", 0);
    put(out, &["Connection: close\r\n\r\n"]);
}

fn head(out: &mut Vec<u8>, code: Code, kind: &str, length: usize) {
    put(out, &["HTTP/1.1 ", code.text(), "\r\nContent-Type: ", kind, "\r\nContent-Length: "]);
    write!(out, "{length}\r\n").expect("a vector takes everything");
}

fn put(out: &mut Vec<u8>, texts: &[&str]) {
    for text in texts {
        out.extend_from_slice(text.as_bytes());
    }
}
