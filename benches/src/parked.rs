//! Goroutines that park for ever, while `footprint.sh` looks at the memory of the process from outside.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

static ARRIVED: AtomicUsize = AtomicUsize::new(0);

/// Whoever calls this parks next, for ever.
pub fn arrive() {
    ARRIVED.fetch_add(1, Ordering::Relaxed);
}

/// Waits on a plain thread until `count` have arrived, says so on stdout, and stays until the process is ended.
pub fn hold(count: usize) -> ! {
    while ARRIVED.load(Ordering::Relaxed) < count {
        thread::sleep(Duration::from_millis(1));
    }
    // The last to arrive are on their way.
    thread::sleep(Duration::from_millis(100));
    println!("parked");
    loop {
        thread::park();
    }
}
