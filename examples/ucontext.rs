//! The classic demonstrations of ucontext, with symmetric coroutines.
//!
//! `cargo run --release --example ucontext`
//!
//! What `getcontext`, `makecontext`, `swapcontext` and `uc_link` do is done by `declare`, `define`, `transfer` and
//! `link` of a [`Group`]; its documentation has the table. The master is `main`: it enters the group, and a member
//! without another successor, or one that leaves, gives control back to it.

use std::cell::Cell;
use std::rc::Rc;

use fibra::coroutine::{Group, ResumeError, Status};

fn main() -> Result<(), ResumeError<()>> {
    println!("# main -> slave -> back by link");
    there_and_back()?;
    println!("# two slaves that link to the master");
    two_slaves()?;
    println!("# slave1 is suspended and resumed");
    suspended()?;
    println!("# slave1 links to slave2");
    linked()?;
    println!("# three entry functions take turns on one stack");
    rotation()
}

/// `uc_link` is the master's context.
fn there_and_back() -> Result<(), ResumeError<()>> {
    let group = Group::new();
    let slave = group.add(|_, ()| println!("Hello slave"));
    println!("Hello master");
    group.enter(slave, ())?;
    println!("Hello master again");
    Ok(())
}

fn two_slaves() -> Result<(), ResumeError<()>> {
    let group = Group::new();
    for name in ["slave1", "slave2"] {
        let slave = group.add(move |_, ()| println!("Hello {name}"));
        group.enter(slave, ())?;
        println!("Hello BGN");
    }
    Ok(())
}

/// The first slave swaps back in the middle, and goes on later.
fn suspended() -> Result<(), ResumeError<()>> {
    let group = Group::new();
    let slave1 = group.add(|me, ()| {
        println!("Hello slave1");
        me.leave(());
        println!("Hello slave1 again");
    });
    let slave2 = group.add(|_, ()| println!("Hello slave2"));
    for slave in [slave1, slave2, slave1] {
        group.enter(slave, ())?;
        println!("Hello BGN");
    }
    Ok(())
}

/// The master enters the first one only; when that returns, the second one runs.
fn linked() -> Result<(), ResumeError<()>> {
    let group = Group::new();
    let slave1 = group.add(|_, ()| println!("Hello slave1"));
    let slave2 = group.add(|_, ()| println!("Hello slave2"));
    group.link(slave1, slave2);
    group.enter(slave1, ())?;
    println!("Hello BGN");
    assert_eq!([slave1, slave2].map(|it| group.status(it)), [Status::Dead; 2]);
    Ok(())
}

/// Each function is the successor of the one before, and starts anew each time; as none of them is suspended, one
/// stack is enough. In C this goes on for ever.
fn rotation() -> Result<(), ResumeError<()>> {
    const ROUNDS: u32 = 3;
    let group = Group::new();
    let functions = [0, 1, 2].map(|_| group.declare());
    let places = Rc::new(Cell::new((usize::MAX, 0)));
    for (i, this) in functions.into_iter().enumerate() {
        let places = places.clone();
        let mut calls = 0;
        group.repeat(this, move |me, ()| {
            let on_stack = 0u8;
            let place = (&raw const on_stack).addr();
            let (low, high) = places.get();
            places.set((place.min(low), place.max(high)));
            calls += 1;
            println!("func{} for the {calls}. time", i + 1);
            if i == 2 && calls == ROUNDS {
                me.link(None);
            }
        });
        group.link(this, functions[(i + 1) % 3]);
    }
    group.enter(functions[0], ())?;
    let (low, high) = places.get();
    println!("on {}", if high - low < 256 << 10 { "one stack" } else { "several stacks" });
    Ok(())
}
