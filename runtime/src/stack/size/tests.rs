use super::*;

#[test]
fn rounds_up_to_a_power_of_two_and_at_least_the_minimum() {
    for (asked, got) in [
        (1, 16 << 10),
        (16 << 10, 16 << 10),
        ((16 << 10) + 1, 32 << 10),
        (200_000, 256 << 10),
        (64 << 30, 64 << 30),
    ] {
        assert_eq!(StackSize::new(asked).unwrap().bytes(), got, "{asked}");
    }
    assert_eq!(StackSize::new(256 << 10).unwrap(), StackSize::DEFAULT);
}

#[test]
fn rejects_nothing_and_too_much() {
    for bytes in [0, (64 << 30) + 1, usize::MAX / 2 + 2, usize::MAX] {
        let error = StackSize::new(bytes).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(error.to_string().contains(&format!("a stack of {bytes} bytes")), "{error}");
    }
}

#[test]
fn every_size_has_a_class_of_its_own() {
    assert_eq!(StackSize::MIN.class(), 0);
    assert_eq!(StackSize::DEFAULT.class(), 4);
    assert_eq!(StackSize::MAX.class(), StackSize::CLASSES - 1);
}

#[test]
fn reads_like_a_human_wrote_it() {
    for (bytes, text) in [
        (16 << 10, "16 KiB"),
        (512 << 10, "512 KiB"),
        (1 << 20, "1 MiB"),
        (1 << 30, "1 GiB"),
        (64 << 30, "64 GiB"),
    ] {
        assert_eq!(StackSize::new(bytes).unwrap().to_string(), text);
    }
}
