//! Programs whose `main` is a goroutine; `tests/process.rs` looks at how they end. The argument says which.

use std::error::Error;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fibra::go;

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("leaves-goroutines") => leaves_goroutines(),
        Some("code") => return code(),
        Some("ok") => return ok(),
        Some("error") => return error(),
        Some("panics") => panics(),
        Some("overflows") => overflows(),
        Some("overflows-as-a-thread") => {
            go!({}).join().expect("it does nothing");
            overflow();
        }
        Some("exits-from-a-goroutine") => exits_from_a_goroutine(),
        Some("workers") => workers(),
        other => panic!("no program {other:?}"),
    }
    ExitCode::SUCCESS
}

/// Goroutines in every state, and more hogs than workers.
#[fibra::main(workers = 2)]
fn leaves_goroutines() {
    static STARTED: AtomicUsize = AtomicUsize::new(0);
    let _kept = go!({
        STARTED.fetch_add(1, Ordering::Relaxed);
        fibra::park();
    });
    go!({
        STARTED.fetch_add(1, Ordering::Relaxed);
        fibra::sleep(Duration::from_secs(3600));
    });
    go!(fibra::blocking(|| {
        STARTED.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(Duration::from_secs(3600));
    }));
    go!({
        STARTED.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(Duration::from_secs(3600));
    });
    for _ in 0..3 {
        go!({
            STARTED.fetch_add(1, Ordering::Relaxed);
            loop {
                std::hint::spin_loop();
            }
        });
    }
    go!(|| {
        loop {
            fibra::yield_now();
        }
    });
    // It does not yield: a hog might start on its worker, and it would wait behind that for ever.
    while STARTED.load(Ordering::Relaxed) < 7 {
        std::hint::spin_loop();
    }
    println!("main returns");
}

#[fibra::main]
fn code() -> ExitCode {
    ExitCode::from(7)
}

/// The result is not `Send`.
#[fibra::main]
fn ok() -> Result<(), Rc<str>> {
    let text: Rc<str> = "unused".into();
    if text.is_empty() { Err(text) } else { Ok(()) }
}

#[fibra::main]
fn error() -> Result<(), Box<dyn Error>> {
    let number: u8 = "three hundred".parse()?;
    println!("{number}");
    Ok(())
}

#[fibra::main]
fn panics() {
    go!(fibra::park());
    panic!("out of cheese");
}

#[fibra::main]
fn overflows() {
    overflow();
}

fn overflow() {
    fn dive(depth: usize) -> usize {
        let frame = std::hint::black_box([depth; 16]);
        if depth == usize::MAX {
            return 0;
        }
        dive(depth + 1) + frame[0]
    }
    println!("{}", dive(0));
}

#[fibra::main]
fn exits_from_a_goroutine() {
    go!({
        std::process::exit(3);
    });
    fibra::park();
}

#[fibra::main]
fn workers() {
    println!("started");
}
