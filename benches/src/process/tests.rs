use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::*;

#[test]
fn field_is_found_by_its_whole_name() {
    let status = "Name:\tx\nVmPTEs:\t 7 kB\nVmPTE:\t     120 kB\nnonvoluntary_ctxt_switches:\t3\n";
    assert_eq!(field(status, "VmPTE"), Some(120));
    assert_eq!(field(status, "voluntary_ctxt_switches"), None);
    assert_eq!(field(status, "Name"), None);
}

#[test]
fn touched_memory_is_resident() {
    let before = Memory::now();
    let touched = vec![1u8; 64 << 20];
    let growth = Memory::now().since(before);
    drop(touched);
    assert!(growth.resident >= 60 << 20, "{growth:?}");
    assert!(growth.page_tables >= 64 << 10, "{growth:?}");
}

#[test]
fn switches_of_a_thread_are_counted() {
    let (stop, stopped) = mpsc::channel::<()>();
    let before = Switches::now().unwrap();
    let sleeper = thread::spawn(move || {
        for _ in 0..50 {
            thread::sleep(Duration::from_millis(1));
        }
        let _ = stopped.recv();
    });
    thread::sleep(Duration::from_millis(500));
    let after = Switches::now().unwrap();
    drop(stop);
    sleeper.join().unwrap();
    assert!(after.since(&before) >= 50);
    assert!(after.threads() > 0);
}

#[test]
fn cpu_time_does_not_count_sleep() {
    let before = thread_cpu_time();
    let start = Instant::now();
    thread::sleep(Duration::from_millis(100));
    let asleep = thread_cpu_time() - before;
    assert!(asleep < start.elapsed() / 2, "{asleep:?}");
    let before = thread_cpu_time();
    assert!(crate::job::compute() >= crate::job::LENGTH);
    assert!(thread_cpu_time() - before >= crate::job::LENGTH);
}
