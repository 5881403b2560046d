use super::*;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// What is replied when `chunks` are read one after another.
fn replies(service: Service, chunks: &[&[u8]]) -> Vec<Vec<u8>> {
    let mut conversation = Conversation::new(service);
    let mut say = |chunk: &&[u8]| {
        conversation.room()[..chunk.len()].copy_from_slice(chunk);
        conversation.replies(chunk.len()).to_vec()
    };
    chunks.iter().map(&mut say).collect()
}

#[test]
fn header_ends_at_the_first_empty_line() {
    for line in 0..9 {
        for behind in ["", "\n", "\r\n\r\n", "GET"] {
            let header = format!("{}\r\n\r\n", "x".repeat(line));
            let bytes = format!("{header}{behind}");
            assert_eq!(header_length(bytes.as_bytes()), Some(header.len()), "{bytes:?}");
        }
    }
}

#[test]
fn header_without_end_is_none() {
    for length in 0..REQUEST.len() {
        assert_eq!(header_length(&REQUEST[..length]), None, "{length}");
    }
    assert_eq!(header_length(b"a\n\n\r\n\rb\r\n\r\r\n"), None);
}

#[test]
fn several_requests_get_their_replies_at_once() {
    assert_eq!(replies(Service::Hello, &[&REQUEST.repeat(3)]), [REPLY.repeat(3)]);
}

#[test]
fn request_in_pieces_gets_one_reply() {
    let twice = REQUEST.repeat(2);
    for cut in 1..REQUEST.len() {
        let (first, second) = twice.split_at(cut);
        let expected = [Vec::new(), REPLY.repeat(2)];
        assert_eq!(replies(Service::Hello, &[first, second]), expected, "{cut}");
        let (first, second) = twice.split_at(REQUEST.len() + cut);
        let expected = [REPLY.to_vec(), REPLY.to_vec()];
        assert_eq!(replies(Service::Hello, &[first, second]), expected, "{cut}");
    }
}

#[test]
fn request_without_end_leaves_no_room() {
    let mut conversation = Conversation::new(Service::Hello);
    conversation.room().fill(b'x');
    assert_eq!(conversation.replies(ROOM), b"");
    assert!(conversation.room().is_empty());
}

#[test]
fn messages_come_back() {
    for service in [Service::Echo, Service::Cycle] {
        assert_eq!(replies(service, &[b"one", b"two"]), [b"one", b"two"]);
    }
}
