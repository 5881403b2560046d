//! What goroutines cost while they live, and that they give it back. Run this with `--release` too: only
//! then the figures are those that count, and a million goroutines are parked.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fibra::{JoinHandle, Runtime};
use fibra_tests::child::{self, Child, poll, poll_until, status, waited_for_processors};

/// How soon after a burst its memory is back, if the system has a processor for whoever gives it back.
const SOON: Duration = Duration::from_secs(5);
/// The most that may be left of what it took, in percent.
const LEFT: usize = 25;
/// Resident bytes that a parked goroutine may cost at the default stack size. Unoptimised frames are larger,
/// and a part of the goroutines needs a second page for them.
const EACH: usize = if cfg!(debug_assertions) { 6000 } else { 5000 };

/// Waits until all of them are parked; their handles.
fn park(runtime: &Runtime, count: usize) -> Vec<JoinHandle<()>> {
    let parked = Arc::new(AtomicUsize::new(0));
    let handles = (0..count)
        .map(|_| {
            let parked = parked.clone();
            runtime.spawn(move || {
                parked.fetch_add(1, Ordering::Relaxed);
                drop(parked);
                fibra::park();
            })
        })
        .collect();
    let deadline = Instant::now() + child::LIMIT;
    let all = poll_until(deadline, || parked.load(Ordering::Relaxed) == count);
    assert!(all, "{} of {count} are parked", parked.load(Ordering::Relaxed));
    handles
}

fn finish(handles: Vec<JoinHandle<()>>) {
    for handle in &handles {
        handle.goroutine_handle().unpark();
    }
    for handle in handles {
        handle.join().unwrap();
    }
}

/// Resident memory, in KiB.
fn resident() -> usize {
    status("VmRSS")
}

/// Parks many, finishes them, and sees that their memory goes back although the runtime lives.
fn give_back(count: usize) {
    let runtime = Runtime::builder().workers(2).build().unwrap();
    finish(park(&runtime, 1000));
    let before = resident();
    let handles = park(&runtime, count);
    let peak = resident();
    finish(handles);
    let (began, waited) = (Instant::now(), waited_for_processors());
    let most = before + (peak - before) * LEFT / 100;
    let is_late = || began.elapsed() > SOON + waited_for_processors().saturating_sub(waited);
    poll("the memory is back, or late", || resident() <= most || is_late());
    let (after, time) = (resident(), began.elapsed());
    let is_back = after <= most;
    println!("{count} goroutines: {before} KiB, {peak} KiB, after {time:.1?} {after} KiB");
    assert!(is_back, "more than {most} KiB are left");
    assert_eq!(runtime.metrics().live, 0);
    // The stacks still work.
    finish(park(&runtime, 1000));
}

#[test]
fn memory_goes_back_after_a_burst() {
    if child::is_sanitized() {
        return; // It keeps memory of its own.
    }
    let end = Child::new().run("", |_| give_back(200_000));
    print!("{}", end.succeeded().stdout);
}

/// With `mprotect` guards there are fewer: as many as the budget of maps allows at default sysctls.
#[test]
fn memory_goes_back_with_mprotect_guards() {
    if child::is_sanitized() {
        return; // It keeps memory of its own.
    }
    let environment = Child::new().env("FIBRA_STACK_GUARD", "mprotect");
    let end = environment.run("", |_| give_back(20_000));
    print!("{}", end.succeeded().stdout);
}

/// At default sysctls, with guards, 256 KiB of address space each.
#[test]
fn a_parked_goroutine_costs_about_a_page() {
    if child::is_sanitized() {
        return; // Frames are larger, and there is shadow memory.
    }
    let million = 1_000_000;
    // 4.5 GiB, page tables, and some for others.
    let enough = child::meminfo("MemAvailable") > 7 << 20;
    let count = if cfg!(debug_assertions) || !enough { million / 10 } else { million };
    if count < million {
        println!("not a million goroutines: debug assertions, or less than 7 GiB of memory");
    }
    let end = Child::new().run(&count.to_string(), |count| {
        let count = count.parse().unwrap();
        let runtime = Runtime::builder().workers(2).build().unwrap();
        finish(park(&runtime, 10));
        let before = [resident(), status("VmPTE")];
        let began = Instant::now();
        let handles = park(&runtime, count);
        let time = began.elapsed();
        let after = [resident(), status("VmPTE")];
        let [each, tables] = [0, 1].map(|i| ((after[i] - before[i]) << 10) / count);
        println!("{count} goroutines in {time:.1?}: {each} bytes each, page tables {tables}");
        assert!(each <= EACH, "{each} bytes each");
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        println!("{} memory maps", maps.lines().count());
        finish(handles);
        assert_eq!(runtime.metrics().live, 0);
    });
    print!("{}", end.succeeded().stdout);
}
