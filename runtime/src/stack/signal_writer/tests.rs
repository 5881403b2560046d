use std::fmt::Write as _;
use std::io::{self, Read};
use std::os::fd::AsRawFd;

use super::*;

fn written(write: impl FnOnce(&mut SignalWriter)) -> String {
    let (mut reader, writer) = io::pipe().unwrap();
    let mut out = SignalWriter::new(writer.as_raw_fd());
    write(&mut out);
    out.flush();
    drop(writer);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn numbers_read_as_numbers() {
    for number in [0, 7, 10, 1_000_000, u64::MAX] {
        assert_eq!(written(|out| out.number(number)), number.to_string());
    }
}

#[test]
fn text_longer_than_the_buffer_arrives_whole_and_in_order() {
    let long: String = (0..1000).map(|i| format!("{i} ")).collect();
    assert_eq!(written(|out| out.str(&long)), long);
}

#[test]
fn formats_like_any_writer() {
    let text = written(|out| write!(out, "goroutine {} {:?}", 42, ["a\n"]).unwrap());
    assert_eq!(text, r#"goroutine 42 ["a\n"]"#);
}

#[test]
fn a_closed_descriptor_is_survived() {
    let mut out = SignalWriter::new(-1);
    out.str(&"x".repeat(2000));
    out.flush();
    assert_eq!(out.len, 0);
}
