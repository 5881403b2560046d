//! The coroutine library of cloudwu (github.com/cloudwu/coroutine) and its test program: a scheduler whose coroutines
//! all run on one stack.
//!
//! What a coroutine has on the stack is copied out when another one needs the place, and back before it goes on. So a
//! suspended one costs a few hundred bytes, and there can be very many. In return nothing outside may point into its
//! frames meanwhile, which the compiler does not check: that is the one `unsafe` line.
//!
//! `cargo run --release --example shared_stack`

use std::cell::Cell;
use std::io;

use fibra::coroutine::{Coroutine, SharedStack, Status, Yielder};

/// Coroutines by their number, all on one stack.
struct Schedule {
    stack: SharedStack,
    coroutines: Vec<Coroutine<(), (), ()>>,
}

thread_local! {
    /// Whose turn it is.
    static RUNNING: Cell<Option<usize>> = const { Cell::new(None) };
}

impl Schedule {
    fn open(stack_bytes: usize) -> io::Result<Schedule> {
        Ok(Schedule { stack: SharedStack::new(stack_bytes)?, coroutines: Vec::new() })
    }

    /// Adds one that does nothing before it is resumed; its number.
    fn add(&mut self, body: impl Fn(&dyn Fn()) + 'static) -> usize {
        let body = move |yielder: &Yielder<(), ()>, ()| body(&|| yielder.suspend(()));
        // SAFETY: `foo`, which is all that runs here, lets nobody have the address of something on its frames.
        let coroutine = unsafe { Coroutine::on_shared_stack(&self.stack, body) };
        self.coroutines.push(coroutine);
        self.coroutines.len() - 1
    }

    fn resume(&mut self, number: usize) {
        RUNNING.set(Some(number));
        self.coroutines[number].next();
        RUNNING.set(None);
    }

    fn is_alive(&self, number: usize) -> bool {
        self.coroutines[number].status() != Status::Dead
    }
}

fn foo(start: u32, pause: &dyn Fn()) {
    for i in 0..5 {
        let number = RUNNING.get().expect("it runs");
        println!("coroutine {number} : {}", start + i);
        pause();
    }
}

fn main() -> io::Result<()> {
    let mut schedule = Schedule::open(64 * 1024)?;
    let first = schedule.add(|pause| foo(0, pause));
    let second = schedule.add(|pause| foo(100, pause));
    println!("main start");
    while schedule.is_alive(first) && schedule.is_alive(second) {
        schedule.resume(first);
        schedule.resume(second);
    }
    println!("main end");
    Ok(())
}
