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

/// Two that throw a byte to and fro until the end, and say when they have done it once.
fn players(end: &Arc<AtomicBool>) -> (JoinHandle<()>, Signal) {
    let (left, mut right) = UnixStream::pair().unwrap();
    let (end, played) = (end.clone(), Signal::new());
    let once = played.clone();
    let playing = fibra::go!(name = "player", move || {
        let other = fibra::go!(name = "player", move || {
            let mut byte = [0];
            while right.read(&mut byte).unwrap() == 1 {
                right.write_all(&byte).unwrap();
            }
        });
        let mut left = left;
        while !end.load(Ordering::SeqCst) {
            left.write_all(&[1]).unwrap();
            left.read_exact(&mut [0]).unwrap();
            once.set();
        }
        drop(left);
        join(other);
    });
    (playing, played)
}

/// Ticks so often, then ends it all when everybody has played: whoever keeps a worker keeps it until then.
fn ticking(ticks: usize, played: Vec<Signal>, end: &Arc<AtomicBool>) -> JoinHandle<()> {
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
        played.iter().for_each(Signal::wait);
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
            let (players, played): (Vec<_>, _) = (0..4).map(|_| players(&end)).unzip();
            join(ticking(10, played, &end));
            hogs.into_iter().for_each(join);
            players.into_iter().for_each(join);
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
            let (players, played): (Vec<_>, _) = (0..4).map(|_| players(&end)).unzip();
            join(ticking(20, played, &end));
            join(hog);
            players.into_iter().for_each(join);
        });
    });
    let end = end.succeeded();
    let reports: Vec<_> = end.stderr.lines().collect();
    assert_eq!(reports.len(), 1, "{end}");
    assert!(reports[0].contains("'hog' (spawned at tests/tests/net_ticker.rs:"), "{end}");
    assert!(reports[0].contains("has kept its worker for "), "{end}");
}
