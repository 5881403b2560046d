//! A million goroutines, and a hundred thousand that wait for them.
//!
//! `cargo run --release --example skynet`
//!
//! A goroutine spawns ten, each of which spawns ten, and so on; the leaves send their number up and
//! the others the sum of what they received. The sum goes to stdout, the time to stderr.
//!
//! What to see: more than a million goroutines and a hundred thousand channels come and go in a fraction
//! of a second. The newest goroutines run first, so the tree is walked depth first: few of them have a stack
//! at the same time, and the whole takes some 30 MiB of memory.

use std::time::Instant;

use fibra::chan::{Sender, bounded};
use fibra::go;

const LEAVES: u64 = 1_000_000;
const CHILDREN: u64 = 10;

#[fibra::main]
fn main() {
    let start = Instant::now();
    let (tx, rx) = bounded(1);
    go!(node(0, LEAVES, tx));
    let sum = rx.recv().expect("the root sends one sum");
    let elapsed = start.elapsed();
    println!("{sum}");
    eprintln!("{LEAVES} leaves in {elapsed:.1?}");
}

/// Sends the sum of the `leaves` numbers from `first` up.
fn node(first: u64, leaves: u64, parent: Sender<u64>) {
    let sum = if leaves == 1 {
        first
    } else {
        // Room for all, so that no child waits for its turn to send.
        let (tx, rx) = bounded(CHILDREN as usize);
        let each = leaves / CHILDREN;
        for child in 0..CHILDREN {
            go!(node(first + child * each, each, tx.clone()));
        }
        drop(tx); // so that the iteration ends with the last child
        rx.iter().sum()
    };
    parent.send(sum).expect("the parent waits for all its children");
}
