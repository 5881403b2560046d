//! Time goes on beside a busy network and goroutines that keep their workers.

use fibra::net::UnixStream;
use fibra::time::Ticker;
use fibra::{JoinHandle, Runtime};
use fibra_tests::child::Child;
use fibra_tests::{Signal, everywhere, join, turn};
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const PERIOD: Duration = Duration::from_millis(2);

/// Two that throw a byte to and fro until the end; how often they did.
fn players(end: &Arc<AtomicBool>) -> JoinHandle<usize> {
    let (left, mut right) = UnixStream::pair().unwrap();
    let end = end.clone();
    fibra::go!(name = "player", move || {
        let other = fibra::go!(name = "player", move || {
            let mut byte = [0];
            while right.read(&mut byte).unwrap() == 1 {
                right.write_all(&byte).unwrap();
            }
        });
        let (mut left, mut count) = (left, 0);
        while !end.load(Ordering::SeqCst) {
            left.write_all(&[1]).unwrap();
            left.read_exact(&mut [0]).unwrap();
            count += 1;
        }
        drop(left);
        join(other);
        count
    })
}

/// Ticks so often, then ends it all.
fn ticking(ticks: usize, end: &Arc<AtomicBool>) -> JoinHandle<()> {
    let end = end.clone();
    fibra::go!(name = "ticker", move || {
        let ticker = Ticker::new(PERIOD);
        let mut last = ticker.recv();
        for _ in 1..ticks {
            let due = ticker.recv();
            let passed = due.duration_since(last).as_nanos();
            assert!(passed > 0 && passed.is_multiple_of(PERIOD.as_nanos()), "{passed}");
            last = due;
        }
        end.store(true, Ordering::SeqCst);
    })
}

#[test]
fn a_ticker_ticks_beside_those_who_check() {
    everywhere(|setup| {
        setup.run(|| {
            let end = Arc::new(AtomicBool::new(false));
            let hogs: Vec<_> = (0..setup.workers)
                .map(|_| {
                    let end = end.clone();
                    fibra::go!(move || {
                        while !end.load(Ordering::SeqCst) {
                            fibra::checkpoint();
                        }
                    })
                })
                .collect();
            let players: Vec<_> = (0..4).map(|_| players(&end)).collect();
            join(ticking(10, &end));
            hogs.into_iter().for_each(join);
            assert!(players.into_iter().map(join).all(|count| count > 0));
        });
    });
}

/// One who does not check is named, and nobody else is. There is one worker: whatever goes on has been taken from it
/// by the monitor.
#[test]
fn one_who_does_not_check_is_named() {
    let _turn = turn();
    let end = Child::new().run("", |_| {
        // SAFETY: nothing thread-bound lives across a park here.
        let builder = unsafe { Runtime::builder().workers(1).migratable() };
        let runtime = builder.report_stalls(true).build().unwrap();
        runtime.run(|| {
            let end = Arc::new(AtomicBool::new(false));
            let started = Signal::new();
            let hog = {
                let (end, started) = (end.clone(), started.clone());
                fibra::go!(name = "hog", move || {
                    started.set();
                    while !end.load(Ordering::SeqCst) {
                        std::hint::spin_loop();
                    }
                })
            };
            started.wait();
            let players: Vec<_> = (0..4).map(|_| players(&end)).collect();
            join(ticking(20, &end));
            join(hog);
            assert!(players.into_iter().map(join).all(|count| count > 0));
        });
    });
    let end = end.succeeded();
    let reports: Vec<_> = end.stderr.lines().collect();
    assert_eq!(reports.len(), 1, "{end}");
    assert!(reports[0].contains("'hog' (spawned at tests/tests/net_ticker.rs:"), "{end}");
    assert!(reports[0].contains("has kept its worker for "), "{end}");
}
