//! Files and directories: what `std::fs` does, from goroutines and from plain threads.

use std::cell::Cell;
use std::fmt::Debug;
use std::io::{self, BufRead, BufReader, IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{
    DirBuilderExt, DirEntryExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt,
};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use fibra::fs::{self, DirBuilder, File, OpenOptions};
use fibra::go;
use fibra_tests::{Signal, alone, assert_cancelled, at, everywhere, join, outcome, turn};

/// An empty directory that goes away.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Dir {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("fibra-fs-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Dir(path)
    }

    fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The path of a new file with this content.
    fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// The path of a new named pipe.
    fn pipe(&self, name: &str) -> PathBuf {
        let path = self.join(name);
        let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        path
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

/// Runs a test in goroutines of all kinds, and on a plain thread.
fn in_all_ways(test: impl Fn(&Dir) + Sync) {
    everywhere(|setup| {
        let dir = Dir::new();
        setup.run(|| test(&dir));
    });
    alone(|| test(&Dir::new()));
}

/// Bytes of which no two stretches are alike.
fn bytes(len: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 56) as u8
    };
    (0..len).map(|_| next()).collect()
}

/// Both give the same value, or the same error.
#[track_caller]
fn assert_same<T: Debug + PartialEq>(ours: io::Result<T>, stds: io::Result<T>) {
    match (ours, stds) {
        (Ok(ours), Ok(stds)) => assert_eq!(ours, stds),
        (Err(ours), Err(stds)) => {
            assert_eq!((ours.kind(), ours.raw_os_error()), (stds.kind(), stds.raw_os_error()));
            assert_eq!(ours.to_string(), stds.to_string());
        }
        (ours, stds) => panic!("{ours:?}, with std {stds:?}"),
    }
}

/// Both give the same error.
#[track_caller]
fn assert_fails<T: Debug, U: Debug>(ours: io::Result<T>, stds: io::Result<U>) {
    assert_same::<()>(Err(ours.unwrap_err()), Err(stds.unwrap_err()));
}

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

#[test]
fn names_are_changed_linked_and_removed() {
    in_all_ways(|dir| {
        let a = dir.file("a", b"content");
        let (b, c, link) = (dir.join("b"), dir.join("c"), dir.join("link"));
        fs::rename(&a, &b).unwrap();
        assert!(!fs::exists(&a).unwrap() && fs::exists(&b).unwrap());
        assert_eq!(fs::copy(&b, &a).unwrap(), 7);
        fs::hard_link(&b, &c).unwrap();
        assert_eq!(fs::metadata(&b).unwrap().ino(), fs::metadata(&c).unwrap().ino());
        assert_ne!(fs::metadata(&b).unwrap().ino(), fs::metadata(&a).unwrap().ino());
        fs::symlink("b", &link).unwrap();
        assert_eq!(fs::read_link(&link).unwrap(), Path::new("b"));
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert!(fs::metadata(&link).unwrap().is_file());
        assert_eq!(fs::canonicalize(&link).unwrap(), std::fs::canonicalize(&b).unwrap());
        fs::remove_file(&b).unwrap();
        assert!(!fs::exists(&link).unwrap());

        let deep = dir.join("x/y/z");
        fs::create_dir_all(&deep).unwrap();
        fs::create_dir(deep.join("more")).unwrap();
        fs::remove_dir(deep.join("more")).unwrap();
        fs::write(deep.join("file"), "").unwrap();
        assert_fails(fs::remove_dir(&deep), std::fs::remove_dir(&deep));
        fs::remove_dir_all(dir.join("x")).unwrap();
        assert!(!deep.exists());
        DirBuilder::new().recursive(true).mode(0o700).create(&deep).unwrap();
        assert_eq!(fs::metadata(&deep).unwrap().mode() & 0o777, 0o700);
    });
}

#[test]
fn errors_are_stds() {
    in_all_ways(|dir| {
        let (file, missing, nul) = (dir.file("file", b"x"), dir.join("missing"), Path::new("a\0b"));
        for path in [&*missing, &file.join("below"), &dir.0, nul, Path::new("")] {
            let mut buf = [0];
            let ours = File::open(path).and_then(|mut file| file.read(&mut buf));
            let stds = std::fs::File::open(path).and_then(|mut file| file.read(&mut buf));
            assert_fails(ours, stds);
            assert_fails(fs::read(path), std::fs::read(path));
            assert_fails(fs::read_to_string(path), std::fs::read_to_string(path));
            if path != missing {
                assert_fails(fs::write(path, "x"), std::fs::write(path, "x"));
            }
            assert_fails(fs::copy(path, &file), std::fs::copy(path, &file));
            assert_fails(fs::remove_file(path), std::fs::remove_file(path));
            assert_fails(fs::read_link(path), std::fs::read_link(path));
            if path != dir.0 {
                assert_fails(fs::read_dir(path), std::fs::read_dir(path));
                assert_same(fs::exists(path), std::fs::exists(path));
                assert_fails(fs::canonicalize(path), std::fs::canonicalize(path));
                assert_fails(
                    fs::metadata(path).map(|it| it.len()),
                    std::fs::metadata(path).map(|it| it.len()),
                );
            }
        }
        for path in [&*file, &dir.0] {
            assert_fails(File::create_new(path), std::fs::File::create_new(path));
            assert_fails(fs::create_dir(path), std::fs::create_dir(path));
            assert_fails(fs::symlink("x", path), std::os::unix::fs::symlink("x", path));
        }
        // Nothing to open it for.
        assert_fails(OpenOptions::new().open(&file), std::fs::OpenOptions::new().open(&file));

        let (mut ours, mut stds) =
            (File::open(&file).unwrap(), std::fs::File::open(&file).unwrap());
        assert_fails(ours.write(b"x"), stds.write(b"x"));
        assert_fails(ours.write_all(b"x"), stds.write_all(b"x"));
        assert_fails(ours.set_len(0), stds.set_len(0));
        let mut options = std::fs::OpenOptions::new();
        let mut stds = options.write(true).open(&file).unwrap();
        let mut ours = OpenOptions::new().write(true).open(&file).unwrap();
        assert_fails(ours.read(&mut [0]), stds.read(&mut [0]));
        assert_fails(ours.read_at(&mut [0], 0), stds.read_at(&mut [0], 0));
        assert_fails(ours.read_to_end(&mut vec![]), stds.read_to_end(&mut vec![]));
        assert_fails(ours.read_exact(&mut [0]), stds.read_exact(&mut [0]));
    });
}

#[test]
fn files_of_the_kernel_are_read() {
    in_all_ways(|_| {
        for path in
            ["/proc/version", "/proc/filesystems", "/sys/kernel/mm/transparent_hugepage/enabled"]
        {
            let expected = std::fs::read_to_string(path).unwrap();
            assert_eq!(fs::read_to_string(path).unwrap(), expected);
            let mut text = String::new();
            let mut file = File::open(path).unwrap();
            file.read_to_string(&mut text).unwrap();
            assert_eq!(text, expected);
            // Again from its start, in small pieces.
            file.rewind().unwrap();
            let read: Result<Vec<u8>, _> = BufReader::with_capacity(7, file).bytes().collect();
            assert_eq!(read.unwrap(), expected.as_bytes());
        }
        let mut zeros = [1; 9];
        File::open("/dev/zero").unwrap().read_exact(&mut zeros).unwrap();
        assert_eq!(zeros, [0; 9]);
        assert_eq!(File::open("/dev/null").unwrap().read(&mut zeros).unwrap(), 0);
        let full = File::options().write(true).open("/dev/full").unwrap().write(b"x");
        assert_eq!(full.unwrap_err().raw_os_error(), Some(libc::ENOSPC));
    });
}

#[test]
fn an_empty_pipe_keeps_nobody_else_waiting() {
    everywhere(|setup| {
        let dir = Dir::new();
        let path = dir.pipe("pipe");
        setup.run(|| {
            let other_end = path.clone();
            // Each open waits for the other one.
            let reader = go!(move || {
                let mut file = File::open(&path).unwrap();
                let mut text = String::new();
                file.read_to_string(&mut text).unwrap();
                text
            });
            let mut file = OpenOptions::new().write(true).open(&other_end).unwrap();
            for word in ["one ", "two ", "three"] {
                file.write_all(word.as_bytes()).unwrap();
                fibra::yield_now();
            }
            drop(file);
            assert_eq!(join(reader), "one two three");
        });
    });
}

#[test]
fn two_readers_of_a_pipe_each_get_a_part() {
    everywhere(|setup| {
        let (read, mut write) = io::pipe().unwrap();
        let file = Arc::new(File::from(OwnedFd::from(read)));
        setup.run(move || {
            let readers: Vec<_> = (0..2)
                .map(|_| {
                    let file = file.clone();
                    go!(move || {
                        let mut buf = [0; 1];
                        // The second reads while the first one waits in the kernel.
                        assert_eq!((&*file).read(&mut buf).unwrap(), 1);
                        buf[0]
                    })
                })
                .collect();
            fibra::yield_now();
            write.write_all(b"ab").unwrap();
            let mut got: Vec<u8> = readers.into_iter().map(join).collect();
            got.sort();
            assert_eq!(got, b"ab");
        });
    });
}

#[test]
fn readers_of_one_file_share_it() {
    everywhere(|setup| {
        let dir = Dir::new();
        let content = bytes(500_000);
        let path = dir.file("file", &content);
        setup.run(|| {
            let file = Arc::new(File::open(&path).unwrap());
            let (sum, len) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicUsize::new(0)));
            let readers: Vec<_> = (0..4)
                .map(|i| {
                    let (file, sum, len) = (file.clone(), sum.clone(), len.clone());
                    go!(move || {
                        // Some in place, some on blocking threads.
                        let mut buf = vec![0; if i == 0 { 300_000 } else { 1000 }];
                        loop {
                            let n = (&*file).read(&mut buf).unwrap();
                            if n == 0 {
                                break;
                            }
                            len.fetch_add(n, Ordering::Relaxed);
                            let bytes: u64 = buf[..n].iter().map(|byte| u64::from(*byte)).sum();
                            sum.fetch_add(bytes, Ordering::Relaxed);
                            fibra::yield_now();
                        }
                    })
                })
                .collect();
            readers.into_iter().for_each(join);
            assert_eq!(len.load(Ordering::Relaxed), content.len());
            let expected: u64 = content.iter().map(|byte| u64::from(*byte)).sum();
            assert_eq!(sum.load(Ordering::Relaxed), expected);
        });
    });
}

/// Whether the kernel reads this file from memory without waiting.
fn is_read_in_place(path: &Path) -> bool {
    let (file, mut byte) = (std::fs::File::open(path).unwrap(), 0u8);
    let iovec = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    // SAFETY: `iovec` is one buffer of one byte that may be written.
    unsafe { libc::preadv2(file.as_raw_fd(), &iovec, 1, 0, libc::RWF_NOWAIT) == 1 }
}

#[test]
fn what_is_in_memory_is_read_without_a_park() {
    at(&[1], &[false], fibra_tests::LONG * 3, |setup| {
        let dir = Dir::new();
        let content = bytes(10_000);
        let path = dir.file("file", &content);
        if !is_read_in_place(&path) {
            return;
        }
        setup.without_spares().run(|| {
            // Whoever parks lets the other one run.
            thread_local!(static TURNS: Cell<usize> = const { Cell::new(0) });
            let done = Signal::new();
            let end = done.clone();
            let other = go!(move || {
                while !end.is_set() {
                    TURNS.set(TURNS.get() + 1);
                    fibra::yield_now();
                }
            });
            let mut file = File::open(&path).unwrap();
            let mut stayed = 0;
            for _ in 0..100 {
                // A time slice of its own. It may be over early when the machine is busy.
                fibra::yield_now();
                let before = TURNS.get();
                file.rewind().unwrap();
                let mut all = Vec::new();
                file.read_to_end(&mut all).unwrap();
                assert!(all == content);
                stayed += usize::from(TURNS.get() == before);
            }
            done.set();
            join(other);
            assert!(stayed > 50, "{stayed} of 100 reads did not park");
        });
    });
}

#[test]
fn a_large_directory_is_listed() {
    // Others count descriptors.
    let first = turn();
    let dir = Dir::new();
    for i in 0..5000 {
        match i % 100 {
            0 => std::fs::create_dir(dir.join(&i.to_string())).unwrap(),
            1 => std::os::unix::fs::symlink("x", dir.join(&i.to_string())).unwrap(),
            _ => drop(dir.file(&i.to_string(), b"")),
        }
    }
    let expected: Vec<_> = std::fs::read_dir(&dir.0)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            (entry.path(), entry.file_name(), entry.file_type().unwrap(), entry.ino())
        })
        .collect();
    assert_eq!(expected.len(), 5000);
    drop(first);
    let list = || {
        let mut entries = fs::read_dir(&dir.0).unwrap();
        let listed: Vec<_> = entries
            .by_ref()
            .map(|entry| {
                let entry = entry.unwrap();
                (entry.path(), entry.file_name(), entry.file_type().unwrap(), entry.ino())
            })
            .collect();
        assert!(listed == expected);
        assert!(entries.next().is_none());
    };
    everywhere(|setup| setup.run(list));
    alone(list);
    let _last = turn();
    drop(dir);
}

#[test]
fn directories_of_every_size_are_listed() {
    in_all_ways(|dir| {
        // Around the size of a batch.
        for len in [0, 1, 255, 256, 257, 512] {
            let path = dir.join(&len.to_string());
            fs::create_dir(&path).unwrap();
            for i in 0..len {
                std::fs::write(path.join(i.to_string()), "").unwrap();
            }
            assert_eq!(fs::read_dir(&path).unwrap().map(Result::unwrap).count(), len);
        }
        // Entries stay good when the rest is not read, and say what became of theirs.
        let entry = fs::read_dir(dir.join("512")).unwrap().next().unwrap().unwrap();
        assert!(entry.metadata().unwrap().is_file());
        fs::remove_file(entry.path()).unwrap();
        assert_eq!(entry.metadata().unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(entry.file_type().unwrap().is_file());
    });
}

#[test]
fn a_cancelled_reader_keeps_what_it_read() {
    everywhere(|setup| {
        let (read, mut write) = io::pipe().unwrap();
        let mut file = File::from(OwnedFd::from(read));
        setup.run(move || {
            let (ready, got) = (Signal::new(), Arc::new(Mutex::new(Vec::new())));
            let (reading, kept) = (ready.clone(), got.clone());
            let reader = go!(move || {
                reading.set();
                let mut buf = [0; 4];
                let n = file.read(&mut buf).unwrap();
                kept.lock().unwrap().extend_from_slice(&buf[..n]);
                fibra::park();
            });
            ready.wait();
            reader.cancel();
            fibra::yield_now();
            write.write_all(b"data").unwrap();
            assert_cancelled(outcome(reader));
            assert_eq!(*got.lock().unwrap(), b"data");
        });
    });
}

#[test]
fn a_cancelled_writer_writes_all() {
    in_all_ways(|dir| {
        let (path, content) = (dir.join("file"), bytes(1 << 20));
        let (file, all) = (path.clone(), content.clone());
        let ready = Signal::new();
        let running = ready.clone();
        let writer = go!(move || {
            running.set();
            fs::write(&file, &all).unwrap();
            fibra::park();
        });
        ready.wait();
        writer.cancel();
        assert_cancelled(outcome(writer));
        assert!(std::fs::read(&path).unwrap() == content);
    });
}

#[test]
fn a_panicking_goroutine_may_clean_up() {
    everywhere(|setup| {
        let dir = Dir::new();
        let path = dir.file("file", b"x");
        setup.run(|| {
            struct Remove(PathBuf);
            impl Drop for Remove {
                fn drop(&mut self) {
                    assert_eq!(fs::read(&self.0).unwrap(), b"x");
                    fs::remove_file(&self.0).unwrap();
                }
            }
            let remove = Remove(path.clone());
            let worker = go!(move || {
                let _remove = remove;
                fibra::park();
            });
            worker.cancel();
            assert_cancelled(outcome(worker));
            assert!(!path.exists());
        });
    });
}
