//! Libraries that were written for the blocking streams of std, unchanged over those of fibra.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::{Arc, LazyLock};

use fibra::net::{TcpListener, TcpStream};
use fibra_tests::everywhere;
use httparse::{EMPTY_HEADER, Status};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, RootCertStore, ServerConfig,
    ServerConnection, StreamOwned,
};
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Error, Message};

const CLIENTS: usize = 16;

/// Runs several connections at once: a goroutine for each end.
fn connections(serve: impl Fn(TcpStream) + Sync, request: impl Fn(usize, TcpStream) + Sync) {
    everywhere(|setup| {
        setup.run(|| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let addr = listener.local_addr().unwrap();
            let (listener, serve, request) = (&listener, &serve, &request);
            fibra::scope(|s| {
                s.go(move || {
                    for stream in listener.incoming().take(CLIENTS) {
                        let stream = stream.unwrap();
                        s.go(move || serve(stream));
                    }
                });
                for i in 0..CLIENTS {
                    s.go(move || request(i, TcpStream::connect(addr).unwrap()));
                }
            });
        });
    });
}

/// Some bytes, others for each client.
fn bytes(client: usize, length: usize) -> Vec<u8> {
    (0..length).map(|i| (client + i / 3) as u8).collect()
}

/// The settings of a server for `localhost`, and its certificate.
static IDENTITY: LazyLock<(Arc<ServerConfig>, CertificateDer<'static>)> = LazyLock::new(|| {
    let own = rcgen::generate_simple_self_signed(["localhost".into()]).unwrap();
    let cert = own.cert.der().clone();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(own.signing_key.serialize_der()));
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![cert.clone()], key)
        .unwrap();
    (Arc::new(config), cert)
});

fn tls_server(stream: TcpStream) -> StreamOwned<ServerConnection, TcpStream> {
    StreamOwned::new(ServerConnection::new(IDENTITY.0.clone()).unwrap(), stream)
}

/// A client that trusts these certificates.
fn tls_client(
    trusted: &[CertificateDer<'static>],
    stream: TcpStream,
) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(trusted.iter().cloned());
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), stream)
}

/// The client says that it has finished, and reads on.
#[test]
fn rustls_in_both_directions() {
    connections(
        |stream| {
            let mut stream = tls_server(stream);
            let mut got = vec![];
            stream.read_to_end(&mut got).unwrap();
            got.reverse();
            stream.write_all(&got).unwrap();
            stream.conn.send_close_notify();
            stream.flush().unwrap();
        },
        |i, stream| {
            let mut stream = tls_client(std::slice::from_ref(&IDENTITY.1), stream);
            let mut data = bytes(i, 100_000 + i);
            stream.write_all(&data).unwrap();
            stream.conn.send_close_notify();
            stream.flush().unwrap();
            let mut answer = vec![];
            stream.read_to_end(&mut answer).unwrap();
            data.reverse();
            assert!(answer == data, "client {i} got other bytes");
        },
    );
}

#[test]
fn rustls_word_by_word() {
    const WORDS: usize = 20;
    connections(
        |stream| {
            let mut stream = tls_server(stream);
            for _ in 0..WORDS {
                let mut word = [0; 8];
                stream.read_exact(&mut word).unwrap();
                word.reverse();
                stream.write_all(&word).unwrap();
            }
            // The client leaves without a word, and rustls does not take that for the end.
            let error = stream.read(&mut [0]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        },
        |i, stream| {
            let mut stream = tls_client(std::slice::from_ref(&IDENTITY.1), stream);
            for turn in 0..WORDS {
                let sent = [i as u8, turn as u8, 2, 3, 4, 5, 6, 7];
                stream.write_all(&sent).unwrap();
                let mut word = [0; 8];
                stream.read_exact(&mut word).unwrap();
                assert!(word.iter().eq(sent.iter().rev()), "{word:?}");
            }
        },
    );
}

#[test]
fn rustls_tells_both_sides_that_the_certificate_is_unknown() {
    fn cause(error: &io::Error) -> &rustls::Error {
        error.get_ref().and_then(|error| error.downcast_ref()).expect("an error of rustls")
    }
    connections(
        |stream| {
            let error = tls_server(stream).read(&mut [0]).unwrap_err();
            let rustls::Error::AlertReceived(alert) = cause(&error) else { panic!("{error}") };
            assert_eq!(*alert, rustls::AlertDescription::UnknownCA);
        },
        |_, stream| {
            let error = tls_client(&[], stream).write(b"hello").unwrap_err();
            let unknown = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
            assert_eq!(*cause(&error), unknown);
        },
    );
}

#[test]
fn tungstenite_echoes_messages() {
    connections(
        |stream| {
            let mut socket = tungstenite::accept(stream).unwrap();
            let end = loop {
                match socket.read() {
                    Ok(message @ (Message::Text(_) | Message::Binary(_))) => {
                        socket.send(message).unwrap();
                    }
                    Ok(_) => {} // pings are answered with the next message
                    Err(error) => break error,
                }
            };
            assert!(matches!(end, Error::ConnectionClosed), "{end}");
        },
        |i, stream| {
            let (mut socket, answer) = tungstenite::client("ws://localhost/echo", stream).unwrap();
            assert_eq!(answer.status(), 101);
            for message in [
                Message::text(format!("hello from {i}")),
                Message::binary(bytes(i, 200_000)),
                Message::text("€".repeat(i)),
                Message::binary(vec![]),
            ] {
                socket.send(Message::Ping(vec![i as u8].into())).unwrap();
                socket.send(message.clone()).unwrap();
                let pong = socket.read().unwrap();
                assert!(matches!(&pong, Message::Pong(data) if **data == [i as u8]), "{pong:?}");
                assert!(socket.read().unwrap() == message, "client {i} got another message");
            }
            let bye = CloseFrame { code: CloseCode::Normal, reason: "bye".into() };
            socket.close(Some(bye.clone())).unwrap();
            let last = socket.read().unwrap();
            assert_eq!(last, Message::Close(Some(bye)));
            let end = socket.read().unwrap_err();
            assert!(matches!(end, Error::ConnectionClosed), "{end}");
        },
    );
}

/// Reads until `parse` finds the end of what it looks for; gives that.
fn read_head<T>(stream: &mut TcpStream, parse: impl Fn(&[u8]) -> Option<T>) -> T {
    let mut head = vec![];
    loop {
        let mut part = [0; 7];
        let length = stream.read(&mut part).unwrap();
        assert!(length > 0, "the end after {}", head.escape_ascii());
        head.extend_from_slice(&part[..length]);
        if let Some(found) = parse(&head) {
            return found;
        }
    }
}

#[test]
fn httparse_takes_what_comes_in_pieces() {
    connections(
        |mut stream| {
            let path = read_head(&mut stream, |head| {
                let mut headers = [EMPTY_HEADER; 4];
                let mut request = httparse::Request::new(&mut headers);
                match request.parse(head).unwrap() {
                    Status::Complete(length) => {
                        assert_eq!(length, head.len());
                        assert_eq!(request.method, Some("GET"));
                        assert_eq!(request.headers[0].name, "Host");
                        Some(request.path.unwrap().to_owned())
                    }
                    Status::Partial => None,
                }
            });
            for piece in ["HTTP/1.1 200 OK\r\nPath: ", &path, "\r\nLength", ": 0\r\n\r", "\n"] {
                stream.write_all(piece.as_bytes()).unwrap();
                fibra::yield_now();
            }
        },
        |i, mut stream| {
            for piece in ["GET /", &i.to_string(), " HTTP/1", ".1\r\nHost: here\r\n", "\r\n"] {
                stream.write_all(piece.as_bytes()).unwrap();
                fibra::yield_now();
            }
            read_head(&mut stream, |head| {
                let mut headers = [EMPTY_HEADER; 4];
                let mut response = httparse::Response::new(&mut headers);
                match response.parse(head).unwrap() {
                    Status::Complete(_) => {
                        assert_eq!(response.code, Some(200));
                        let path = response.headers[0].value;
                        assert_eq!(path, format!("/{i}").as_bytes());
                        Some(())
                    }
                    Status::Partial => None,
                }
            });
        },
    );
}
