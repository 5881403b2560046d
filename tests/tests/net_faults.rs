//! Sockets when the other side fails: resets, silence, slow ones beside fast ones.

use fibra::net::TcpStream;
use fibra_tests::sockets::{SOON, read, tcp_pair, write};
use fibra_tests::{anywhere, join};
use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

fn reset(stream: TcpStream) {
    stream.set_linger(Some(Duration::ZERO)).unwrap();
}

#[test]
fn a_reset_ends_a_read() {
    anywhere(|| {
        let (client, server) = tcp_pair();
        let client = Arc::new(client);
        let reader = read(&client);
        fibra::sleep(SOON);
        reset(server);
        assert_eq!(join(reader), Err(ErrorKind::ConnectionReset));
        // The error is told once.
        assert_eq!((&*client).read(&mut [0; 8]).unwrap(), 0);
        assert_eq!((&*client).write(&[0; 8]).unwrap_err().kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn a_reset_ends_a_write() {
    anywhere(|| {
        let (client, server) = tcp_pair();
        let client = Arc::new(client);
        let writer = write(&client);
        fibra::sleep(SOON);
        reset(server);
        let kind = join(writer).unwrap_err();
        assert!([ErrorKind::ConnectionReset, ErrorKind::BrokenPipe].contains(&kind), "{kind:?}");
    });
}

/// Everybody who waits is told, though the error itself is there for one only.
#[test]
fn a_reset_ends_all_reads_and_writes() {
    anywhere(|| {
        for _ in 0..20 {
            let (client, server) = tcp_pair();
            let client = Arc::new(client);
            let readers = [(); 3].map(|()| read(&client));
            let writers = [(); 2].map(|()| write(&client));
            fibra::sleep(SOON);
            reset(server);
            let mut resets = 0;
            for outcome in readers.map(join) {
                assert!([Ok(0), Err(ErrorKind::ConnectionReset)].contains(&outcome), "{outcome:?}");
                resets += usize::from(outcome.is_err());
            }
            for outcome in writers.map(join) {
                let kind = outcome.unwrap_err();
                let is_reset = kind == ErrorKind::ConnectionReset;
                assert!(is_reset || kind == ErrorKind::BrokenPipe, "{kind:?}");
                resets += usize::from(is_reset);
            }
            assert!(resets <= 1, "an error is told once");
        }
    });
}

/// The other side is there, and says nothing.
#[test]
fn a_deadline_ends_the_wait_for_the_silent() {
    anywhere(|| {
        let pairs: Vec<_> = (0..50).map(|_| tcp_pair()).collect();
        let start = Instant::now();
        let deadline = start + Duration::from_millis(20);
        let readers: Vec<_> = pairs
            .iter()
            .map(|(client, _silent)| {
                let client = client.try_clone().unwrap();
                fibra::go!(move || {
                    client.set_deadline(Some(deadline)).unwrap();
                    let error = (&client).read_exact(&mut [0; 8]).unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::TimedOut);
                })
            })
            .collect();
        readers.into_iter().for_each(join);
        assert!(Instant::now() >= deadline);
    });
}

/// One byte each time, beside as much as there is room for.
#[test]
fn slow_ones_beside_fast_ones() {
    const LEN: usize = 2 << 20;
    anywhere(|| {
        let slow: Vec<_> = (0..20u8)
            .map(|number| {
                let (mut left, mut right) = tcp_pair();
                let writer = fibra::go!(move || {
                    for step in 0..20 {
                        fibra::sleep(Duration::from_millis(1));
                        left.write_all(&[number + step]).unwrap();
                    }
                });
                let reader = fibra::go!(move || {
                    let mut bytes = Vec::new();
                    right.read_to_end(&mut bytes).unwrap();
                    assert!(bytes.into_iter().eq(number..number + 20));
                });
                [writer, reader]
            })
            .collect();
        let fast: Vec<_> = (0..4u8)
            .map(|number| {
                let (mut left, mut right) = tcp_pair();
                let writer = fibra::go!(move || left.write_all(&vec![number; LEN]).unwrap());
                let reader = fibra::go!(move || {
                    let (mut buf, mut len) = (vec![0; 10_000], 0);
                    loop {
                        match right.read(&mut buf).unwrap() {
                            0 => break,
                            read => {
                                assert!(buf[..read].iter().all(|&byte| byte == number));
                                len += read;
                            }
                        }
                        // Slower than the writer.
                        fibra::yield_now();
                    }
                    assert_eq!(len, LEN);
                });
                [writer, reader]
            })
            .collect();
        fast.into_iter().chain(slow).flatten().for_each(join);
    });
}
