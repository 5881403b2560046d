//! One work on one runtime, several rounds: prints the nanoseconds per operation of each round.
//!
//! `go/main.go` does the same in Go, and `against-go.sh` runs both in turn.

use std::process::ExitCode;
use std::time::Duration;

use fibra_benches::on_fibra::{self, Affinity};
use fibra_benches::{WORKERS, arguments, on_tokio};

const USAGE: &str =
    "usage: rounds fibra|fibra-migratable|tokio spawn|spawn-join|yield COUNT ROUNDS";

/// How many goroutines yield.
const YIELDERS: usize = 100;

#[derive(Clone, Copy)]
enum Work {
    Spawn,
    SpawnJoin,
    Yield,
}

impl Work {
    fn from_label(label: &str) -> Option<Work> {
        match label {
            "spawn" => Some(Work::Spawn),
            "spawn-join" => Some(Work::SpawnJoin),
            "yield" => Some(Work::Yield),
            _ => None,
        }
    }

    fn on_fibra(self, count: usize) -> Duration {
        match self {
            Work::Spawn => on_fibra::spawn_all(count),
            Work::SpawnJoin => on_fibra::spawn_join(count),
            Work::Yield => on_fibra::yield_among(YIELDERS, count / YIELDERS),
        }
    }

    async fn on_tokio(self, count: usize) -> Duration {
        match self {
            Work::Spawn => on_tokio::spawn_all(count).await,
            Work::SpawnJoin => on_tokio::spawn_join(count).await,
            Work::Yield => on_tokio::yield_among(YIELDERS, count / YIELDERS).await,
        }
    }
}

fn main() -> ExitCode {
    arguments::run(USAGE, run)
}

fn run() -> Option<()> {
    let runtime = arguments::text(1)?;
    let work = Work::from_label(&arguments::text(2)?)?;
    let count: usize = arguments::number(3)?;
    let rounds: usize = arguments::number(4)?;
    let print = |elapsed: Duration| println!("{:.1}", elapsed.as_nanos() as f64 / count as f64);
    if runtime == "tokio" {
        let runtime = on_tokio::runtime();
        for _ in 0..rounds {
            print(on_tokio::run(&runtime, work.on_tokio(count)));
        }
    } else {
        let runtime = on_fibra::runtime(WORKERS, Affinity::from_label(&runtime)?, None);
        for _ in 0..rounds {
            print(runtime.run(|| work.on_fibra(count)));
        }
    }
    Some(())
}
