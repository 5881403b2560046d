//! What goroutines cost while they do nothing: memory and wake-ups.
//!
//! The last line on stdout is JSON; `parked N` has one such line for each stack size, the default first.

use std::process::{Command, ExitCode};
use std::time::Duration;
use std::{env, io, thread};

use fibra_benches::WORKERS;
use fibra_benches::arguments::{self, number};
use fibra_benches::crowd::Crowd;
use fibra_benches::on_fibra::{self, Affinity};
use fibra_benches::process::{Memory, Switches};
use fibra_benches::report::Report;

const USAGE: &str = "\
usage: footprint parked N [STACK]  bytes a parked goroutine; STACK is a number of bytes or `default`;
                                   without it, both default and 64 KiB stacks
       footprint idle N SECONDS    context switches a second while N goroutines are parked
       footprint burst N           memory before, during and after N goroutines are parked";

/// How long the threads may take to come to rest.
const SETTLE: Duration = Duration::from_secs(2);

fn main() -> io::Result<ExitCode> {
    let words: Vec<_> = env::args().skip(1).collect();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    match (words.as_slice(), number(2), number(3)) {
        (["parked", n], Some::<usize>(_), _) => return parked_each_size(n),
        (["parked", _, "default"], Some(n), _) => parked(n, None),
        (["parked", _, _], Some(n), Some(stack)) => parked(n, Some(stack)),
        (["idle", _, _], Some(n), Some(seconds)) => idle(n, seconds as u64)?,
        (["burst", _], Some(n), _) => burst(n),
        _ => return Ok(arguments::refuse(USAGE)),
    }
    Ok(ExitCode::SUCCESS)
}

/// Each size in a process of its own: a pool that the first one left would flatter the second.
fn parked_each_size(n: &str) -> io::Result<ExitCode> {
    for stack in ["default", "65536"] {
        if !Command::new(env::current_exe()?).args(["parked", n, stack]).status()?.success() {
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn parked(n: usize, stack: Option<usize>) {
    let runtime = on_fibra::runtime(WORKERS, Affinity::Worker, stack);
    let crowd = Crowd::leak(n);
    let before = Memory::now();
    crowd.gather(&runtime);
    let growth = Memory::now().since(before);
    let each = |bytes: u64| bytes as f64 / n as f64;

    let mut report = Report::new("parked");
    report.count("goroutines", n as u64);
    if let Some(bytes) = stack {
        report.count("stack_bytes", bytes as u64);
    }
    report.rate("resident_bytes_each", each(growth.resident));
    report.rate("page_table_bytes_each", each(growth.page_tables));
    report.rate("bytes_each", each(growth.resident + growth.page_tables));
    println!("{report}");
    crowd.release(&runtime);
}

fn idle(n: usize, seconds: u64) -> io::Result<()> {
    let runtime = on_fibra::runtime(WORKERS, Affinity::Worker, None);
    let crowd = Crowd::leak(n);
    crowd.gather(&runtime);
    thread::sleep(SETTLE);
    let before = Switches::now()?;
    thread::sleep(Duration::from_secs(seconds));
    let after = Switches::now()?;
    let switches = after.since(&before);

    let mut report = Report::new("idle");
    report.count("goroutines", n as u64);
    report.count("seconds", seconds);
    report.count("threads", after.threads() as u64);
    report.count("switches", switches);
    report.rate("switches_a_second", switches as f64 / seconds as f64);
    println!("{report}");
    crowd.release(&runtime);
    Ok(())
}

fn burst(n: usize) {
    let runtime = on_fibra::runtime(WORKERS, Affinity::Worker, None);
    let crowd = Crowd::leak(n);
    let before = Memory::now();
    crowd.gather(&runtime);
    let peak = Memory::now();
    crowd.release(&runtime);

    let mut report = Report::new("burst");
    report.count("goroutines", n as u64);
    report.count("resident_before", before.resident);
    report.count("page_tables_before", before.page_tables);
    report.count("resident_peak", peak.resident);
    report.count("page_tables_peak", peak.page_tables);
    for second in 0..=5 {
        if second > 0 {
            thread::sleep(Duration::from_secs(1));
        }
        let now = Memory::now();
        report.count(format!("resident_after_{second}_s"), now.resident);
        report.count(format!("page_tables_after_{second}_s"), now.page_tables);
    }
    println!("{report}");
}
