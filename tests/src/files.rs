//! Files for tests, and comparison with what `std::fs` does.

use crate::{alone, everywhere};
use std::fmt::Debug;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

/// An empty directory that goes away.
#[derive(Debug)]
pub struct Dir(pub PathBuf);

impl Dir {
    /// A new one.
    #[allow(clippy::new_without_default)] // It makes something in the file system.
    pub fn new() -> Dir {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("fibra-fs-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Dir(path)
    }

    /// The path of what has this name there.
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The path of a new file with this content.
    pub fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// The path of a new named pipe.
    pub fn pipe(&self, name: &str) -> PathBuf {
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
pub fn in_all_ways(test: impl Fn(&Dir) + Sync) {
    everywhere(|setup| {
        let dir = Dir::new();
        setup.run(|| test(&dir));
    });
    alone(|| test(&Dir::new()));
}

/// Bytes of which no two stretches are alike.
pub fn bytes(len: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 56) as u8
    };
    (0..len).map(|_| next()).collect()
}

/// Both give the same value, or the same error.
#[track_caller]
pub fn assert_same<T: Debug + PartialEq>(ours: io::Result<T>, stds: io::Result<T>) {
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
pub fn assert_fails<T: Debug, U: Debug>(ours: io::Result<T>, stds: io::Result<U>) {
    assert_same::<()>(Err(ours.unwrap_err()), Err(stds.unwrap_err()));
}
