//! What the kernel says of this process.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::time::Duration;

#[cfg(test)]
mod tests;

/// Memory of this process, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Pages in memory: `VmRSS`, the same number as in `/proc/self/statm`.
    pub resident: u64,
    /// The page tables, which the resident pages do not include: `VmPTE`.
    pub page_tables: u64,
}

impl Memory {
    /// The memory in use now.
    pub fn now() -> Memory {
        let status = fs::read_to_string("/proc/self/status").expect("/proc is mounted");
        Memory {
            resident: field(&status, "VmRSS").expect("a resident size") * 1024,
            page_tables: field(&status, "VmPTE").expect("a page table size") * 1024,
        }
    }

    /// How much more it is than `before`; 0 where it is less.
    pub fn since(self, before: Memory) -> Memory {
        Memory {
            resident: self.resident.saturating_sub(before.resident),
            page_tables: self.page_tables.saturating_sub(before.page_tables),
        }
    }
}

/// Context switches, voluntary and not, of each thread but the one that asks.
#[derive(Clone, Debug)]
pub struct Switches(HashMap<String, u64>);

impl Switches {
    /// The switches of each thread up to now.
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    pub fn now() -> io::Result<Switches> {
        let me = fs::read_link("/proc/thread-self")?;
        let mut threads = HashMap::new();
        for entry in fs::read_dir("/proc/self/task")? {
            let entry = entry?;
            if Some(&*entry.file_name()) == me.file_name() {
                continue;
            }
            // A thread may end while we look.
            if let Ok(status) = fs::read_to_string(entry.path().join("status")) {
                let switches = ["voluntary_ctxt_switches", "nonvoluntary_ctxt_switches"];
                let sum = switches.iter().filter_map(|key| field(&status, key)).sum();
                threads.insert(entry.file_name().to_string_lossy().into_owned(), sum);
            }
        }
        Ok(Switches(threads))
    }

    /// How many there were since `before`. Those of threads that have ended are not seen.
    pub fn since(&self, before: &Switches) -> u64 {
        let of = |(thread, count): (&String, &u64)| count - before.0.get(thread).unwrap_or(&0);
        self.0.iter().map(of).sum()
    }

    /// How many threads there are, without the one that asked.
    pub fn threads(&self) -> usize {
        self.0.len()
    }
}

/// The CPU time that the calling thread has used so far.
pub fn thread_cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` has room for the result, and nobody else looks at it.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    assert_eq!(result, 0, "Linux has this clock for every thread");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The number behind `key:` in a `status` file.
fn field(status: &str, key: &str) -> Option<u64> {
    status
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))
        .and_then(|value| value.split_whitespace().next()?.parse().ok())
}
