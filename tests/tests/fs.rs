//! What `std::fs` does with one file, from goroutines and from plain threads.

use std::io::{self, BufRead, BufReader, IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use fibra::fs::{self, File, OpenOptions};
use fibra::go;
use fibra_tests::files::{Dir, assert_fails, assert_same, bytes, in_all_ways};
use fibra_tests::{Signal, everywhere, join};

#[test]
fn whole_files_are_written_and_read() {
    in_all_ways(|dir| {
        for len in [0, 1, 4096, 100_000, 3 << 20] {
            let (path, content) = (dir.join("file"), bytes(len));
            fs::write(&path, &content).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), content);
            assert!(fs::read(&path).unwrap() == content);
        }
        let path = dir.file("text", "Füße\n".as_bytes());
        assert_eq!(fs::read_to_string(&path).unwrap(), "Füße\n");
        let path = dir.file("no text", b"ab\xff");
        assert_fails(fs::read_to_string(&path), std::fs::read_to_string(&path));
    });
}

#[test]
fn files_are_read_in_every_way() {
    in_all_ways(|dir| {
        // Around the sizes at which reading changes: a step, what is read in place, more.
        for len in [0, 1, 8191, 8192, 8193, 262_143, 262_144, 262_145, 1_000_003] {
            let content = bytes(len);
            let path = dir.file("file", &content);
            let open = || File::open(&path).unwrap();

            let mut all = vec![1, 2];
            assert_eq!(open().read_to_end(&mut all).unwrap(), len);
            assert!(all[..2] == [1, 2] && all[2..] == content);

            let (mut pieces, mut piece, mut file) = (Vec::new(), [0; 3000], open());
            loop {
                match file.read(&mut piece).unwrap() {
                    0 => break,
                    n => pieces.extend_from_slice(&piece[..n]),
                }
            }
            assert!(pieces == content);
            assert_eq!(file.read(&mut piece).unwrap(), 0);

            let mut exact = vec![0; len];
            let mut file = open();
            file.read_exact(&mut exact).unwrap();
            assert!(exact == content);
            let std_error = || (&[][..]).read_exact(&mut [0]);
            assert_fails(file.read_exact(&mut [0]), std_error());
            let mut more = vec![0; len + 1];
            assert_fails(open().read_exact(&mut more), std_error());
            assert!(more[..len] == content);

            let mut at = vec![0; len];
            let file = open();
            file.read_exact_at(&mut at[len / 2..], len as u64 / 2).unwrap();
            file.read_exact_at(&mut at[..len / 2], 0).unwrap();
            assert!(at == content);
            assert_eq!((&file).stream_position().unwrap(), 0);
            assert_eq!(file.read_at(&mut [0; 9], len as u64).unwrap(), 0);
            assert_fails(file.read_exact_at(&mut more, 0), std_error());

            let mut copied = Vec::new();
            assert_eq!(io::copy(&mut open(), &mut copied).unwrap(), len as u64);
            assert!(copied == content);
            assert_eq!(open().read(&mut []).unwrap(), 0);
        }
    });
}

#[test]
fn text_is_read_and_checked() {
    in_all_ways(|dir| {
        let lines: String = (0..10_000).map(|i| format!("line {i} – ß\n")).collect();
        let path = dir.file("text", lines.as_bytes());
        let mut text = String::from("before: ");
        let n = File::open(&path).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(n, lines.len());
        assert!(text.strip_prefix("before: ") == Some(&lines));
        let read = BufReader::new(File::open(&path).unwrap()).lines().map(Result::unwrap);
        assert!(read.eq(lines.lines()));

        let path = dir.file("bad", b"good\xc3");
        let mut text = String::from("before");
        let error = File::open(&path).unwrap().read_to_string(&mut text);
        assert_fails(error, std::fs::read_to_string(&path));
        assert_eq!(text, "before");
    });
}

#[test]
fn buffers_are_filled_one_after_another() {
    in_all_ways(|dir| {
        let content = bytes(5000);
        let path = dir.join("file");
        let slices: Vec<_> = content.chunks(3).map(IoSlice::new).collect();
        let mut file = File::create_new(&path).unwrap();
        // More of them than the kernel takes at once.
        assert_eq!(file.write_vectored(&slices).unwrap(), 1024 * 3);
        file.write_all(&content[1024 * 3..]).unwrap();
        assert!(std::fs::read(&path).unwrap() == content);

        file.rewind().unwrap();
        let mut read = vec![0; 5000];
        let mut slices: Vec<_> = read.chunks_mut(3).map(IoSliceMut::new).collect();
        assert_eq!(file.read_vectored(&mut slices).unwrap(), 1024 * 3);
        assert_eq!(file.stream_position().unwrap(), 1024 * 3);
        assert!(read[..1024 * 3] == content[..1024 * 3]);
        assert!(read[1024 * 3..].iter().all(|byte| *byte == 0));
        // Together they are more than is read in place.
        let (mut a, mut b) = (vec![0; 200_000], vec![0; 200_000]);
        file.rewind().unwrap();
        let both = &mut [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b)];
        assert_eq!(file.read_vectored(both).unwrap(), 5000);
        assert!(a[..5000] == content);
        assert_eq!(file.read_vectored(&mut []).unwrap(), 0);
    });
}

#[test]
fn the_cursor_moves_as_with_std() {
    in_all_ways(|dir| {
        let path = dir.file("file", b"0123456789");
        let (mut ours, mut stds) =
            (File::open(&path).unwrap(), std::fs::File::open(&path).unwrap());
        for pos in [
            SeekFrom::Start(3),
            SeekFrom::Current(2),
            SeekFrom::Current(-1),
            SeekFrom::End(-2),
            SeekFrom::Current(-100),
            SeekFrom::End(-11),
            SeekFrom::Start(u64::MAX),
            SeekFrom::End(5),
            SeekFrom::Start(9),
        ] {
            assert_same(ours.seek(pos), stds.seek(pos));
            let (mut a, mut b) = ([0; 2], [0; 2]);
            assert_same(ours.read(&mut a), stds.read(&mut b));
            assert_eq!(a, b, "{pos:?}");
            assert_same(ours.stream_position(), stds.stream_position());
        }
        // No offset stands for the cursor.
        ours.seek(SeekFrom::Start(4)).unwrap();
        for offset in [u64::MAX, u64::MAX - 1, 1 << 63] {
            let (mut a, mut b) = ([0; 2], [0; 2]);
            assert_same(ours.read_at(&mut a, offset), stds.read_at(&mut b, offset));
            assert_same(ours.read_exact_at(&mut a, offset), stds.read_exact_at(&mut b, offset));
        }
        assert_eq!(ours.stream_position().unwrap(), 4);
    });
}

#[test]
fn a_clone_has_the_same_cursor() {
    in_all_ways(|dir| {
        let path = dir.file("file", b"abcdef");
        let mut one = File::open(&path).unwrap();
        let mut two = one.try_clone().unwrap();
        let mut buf = [0; 2];
        for (file, expected) in [(&mut one, b"ab"), (&mut two, b"cd")] {
            file.read_exact(&mut buf).unwrap();
            assert_eq!(&buf, expected);
        }
        assert_eq!(one.stream_position().unwrap(), 4);
        two.rewind().unwrap();
        let mut all = String::new();
        one.read_to_string(&mut all).unwrap();
        assert_eq!(all, "abcdef");
    });
}

#[test]
fn writing_appending_and_cutting() {
    in_all_ways(|dir| {
        let path = dir.join("file");
        let mut file = File::create(&path).unwrap();
        file.write_all(b"first").unwrap();
        file.write_all_at(b"FI", 0).unwrap();
        assert_eq!(file.write_at(b"T", 4).unwrap(), 1);
        assert_eq!(file.write(b", second").unwrap(), 8);
        file.flush().unwrap();
        file.sync_data().unwrap();
        file.sync_all().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"FIrsT, second");
        let mut more = OpenOptions::new().append(true).open(&path).unwrap();
        write!(more, ", {}rd", 3).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"FIrsT, second, 3rd");
        file.set_len(5).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 5);
        assert_eq!(fs::metadata(&path).unwrap().len(), 5);
        file.set_len(7).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"FIrsT\0\0");
        drop(File::create(&path).unwrap());
        assert_eq!(std::fs::read(&path).unwrap(), b"");
    });
}

#[test]
fn options_permissions_and_times() {
    in_all_ways(|dir| {
        let path = dir.join("file");
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(true).mode(0o600);
        let file = options.clone().custom_flags(libc::O_APPEND).open(&path).unwrap();
        // SAFETY: takes numbers only.
        let flags = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETFL) };
        assert_eq!(flags & libc::O_APPEND, libc::O_APPEND);
        assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o600);
        file.set_permissions(fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o604)).unwrap();
        assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o604);
        let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_007);
        file.set_modified(then).unwrap();
        assert_eq!(file.metadata().unwrap().modified().unwrap(), then);
    });
}

#[test]
fn conversions_keep_the_file() {
    in_all_ways(|dir| {
        let path = dir.file("file", b"abcdef");
        let mut file = File::from(std::fs::File::open(&path).unwrap());
        let number = file.as_raw_fd();
        let mut buf = [0; 2];
        file.read_exact(&mut buf).unwrap();
        let mut file = file.into_std();
        file.read_exact(&mut buf).unwrap();
        let mut file = File::from(OwnedFd::from(file));
        file.read_exact(&mut buf).unwrap();
        assert_eq!(&buf, b"ef");
        assert_eq!(std::fs::File::from(file).as_raw_fd(), number);
    });
}

#[test]
fn locks_keep_others_out() {
    everywhere(|setup| {
        let dir = Dir::new();
        let path = dir.file("file", b"");
        setup.run(|| {
            let (one, two) = (File::open(&path).unwrap(), File::open(&path).unwrap());
            one.lock().unwrap();
            assert!(matches!(two.try_lock(), Err(fs::TryLockError::WouldBlock)));
            assert!(matches!(two.try_lock_shared(), Err(fs::TryLockError::WouldBlock)));
            let order = Arc::new(Mutex::new(Vec::new()));
            let (ready, noted) = (Signal::new(), order.clone());
            let waiting = ready.clone();
            let waiter = go!(move || {
                waiting.set();
                two.lock().unwrap();
                noted.lock().unwrap().push("locked");
                two
            });
            ready.wait();
            order.lock().unwrap().push("unlocking");
            one.unlock().unwrap();
            let two = join(waiter);
            assert_eq!(*order.lock().unwrap(), ["unlocking", "locked"]);
            two.unlock().unwrap();
            one.lock_shared().unwrap();
            two.try_lock_shared().unwrap();
        });
    });
}
