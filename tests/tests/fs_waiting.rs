//! Files that keep a reader waiting, or that several use at once; readers and writers that are cancelled.

use std::cell::Cell;
use std::io::{self, BufReader, Read, Seek, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use fibra::fs::{self, File, OpenOptions};
use fibra::go;
use fibra_tests::files::{Dir, bytes, in_all_ways};
use fibra_tests::{Signal, assert_cancelled, at, everywhere, join, outcome};

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
