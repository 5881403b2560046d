//! Coroutines of Fibra and of other Rust libraries, several rounds of one work: prints a line for each.
//!
//! `cpp/coroutines.cpp` does the same with Boost.Context and ucontext, and `coroutines.sh` runs all in turn.

use std::hint::black_box;
use std::process::ExitCode;
use std::ptr::{self, NonNull};
use std::time::{Duration, Instant};

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine as Corosensei, CoroutineResult};
use fibra::coroutine::raw::{self, Transfer};
use fibra::coroutine::{Coroutine, SharedStack, Step};
use fibra_benches::arguments;
use fibra_benches::round::Round;
use generator::{Gn, Scope};

const USAGE: &str = "\
usage: coroutines CONTESTANT WORK COUNT ROUNDS
CONTESTANT: fibra|fibra-raw|fibra-shared|corosensei|generator
WORK:       switch|create";

/// What `fibra-raw` runs on; the others have default stacks of theirs.
const RAW_STACK: usize = 64 * 1024;

fn main() -> ExitCode {
    arguments::run(USAGE, run)
}

fn run() -> Option<()> {
    let contestant = arguments::text(1)?;
    let work = arguments::text(2)?;
    let count: usize = arguments::number(3)?;
    let rounds: usize = arguments::number(4)?;
    let once: fn(usize) -> Duration = match (contestant.as_str(), work.as_str()) {
        ("fibra", "switch") => fibra_switch,
        ("fibra", "create") => fibra_create,
        ("fibra-raw", "switch") => raw_switch,
        ("fibra-raw", "create") => raw_create,
        ("fibra-shared", "switch") => shared_switch,
        ("fibra-shared", "create") => shared_create,
        ("corosensei", "switch") => corosensei_switch,
        ("corosensei", "create") => corosensei_create,
        ("generator", "switch") => generator_switch,
        ("generator", "create") => generator_create,
        _ => return None,
    };
    for _ in 0..rounds {
        println!("{}", Round::new(once(count), count));
    }
    Some(())
}

/// Passes a value through `step`, `count` times, each time the one that came out. Each time it must grow by one.
#[inline(always)]
fn pass(count: usize, mut step: impl FnMut(usize) -> usize) -> Duration {
    let mut value = black_box(0);
    let begin = Instant::now();
    for _ in 0..count {
        value = step(value);
    }
    let elapsed = begin.elapsed();
    assert_eq!(value, count, "a switch was lost");
    elapsed
}

fn endless(y: &fibra::coroutine::Yielder<usize, usize>, mut value: usize) {
    loop {
        value = y.suspend(value + 1);
    }
}

#[inline(always)]
fn yielded(step: Step<usize, ()>) -> usize {
    match step {
        Step::Yielded(value) => value,
        Step::Returned(()) => unreachable!("it goes on for ever"),
    }
}

#[inline(always)]
fn returned(step: Step<(), usize>) -> usize {
    match step {
        Step::Returned(value) => value,
        Step::Yielded(()) => unreachable!("it does not suspend"),
    }
}

fn fibra_switch(count: usize) -> Duration {
    let mut next = Coroutine::new(endless);
    pass(count, |value| yielded(next.resume(value)))
}

fn fibra_create(count: usize) -> Duration {
    pass(count, |value| {
        let mut once = Coroutine::<usize, (), usize>::new(|_, value| value + 1);
        returned(once.resume(value))
    })
}

/// Two of them, so that each resume finds the other one's frames on the stack.
fn shared_switch(count: usize) -> Duration {
    let stack = SharedStack::new(64 * 1024).expect("there is memory");
    // SAFETY: nothing outside points into the frames of `endless`.
    let mut both = [(); 2].map(|()| unsafe { Coroutine::on_shared_stack(&stack, endless) });
    let mut turn = 0;
    pass(count, |value| {
        turn ^= 1;
        yielded(both[turn].resume(value))
    })
}

fn shared_create(count: usize) -> Duration {
    let stack = SharedStack::new(64 * 1024).expect("there is memory");
    pass(count, |value| {
        let body = |_: &fibra::coroutine::Yielder<usize, ()>, value: usize| value + 1;
        // SAFETY: nothing points into its frames.
        let mut once = unsafe { Coroutine::on_shared_stack(&stack, body) };
        returned(once.resume(value))
    })
}

/// The word plus one, for ever.
fn raw_endless(mut transfer: Transfer) -> Transfer {
    loop {
        let Some(there) = transfer.context else { unreachable!("it waits") };
        // SAFETY: the other side waits in `raw_switch`.
        transfer = unsafe { raw::jump(there, transfer.data.wrapping_byte_add(1)) };
    }
}

fn raw_switch(count: usize) -> Duration {
    let mut memory = vec![0u8; RAW_STACK];
    // SAFETY: the memory is kept until nobody jumps to the context any more, and is enough.
    let mut next = Some(unsafe { raw::make(NonNull::from(&mut memory[..]), raw_endless) });
    pass(count, |value| {
        let Some(there) = next.take() else { unreachable!("it comes back each time") };
        // SAFETY: the context waits in `raw_endless`, or has not started.
        let transfer = unsafe { raw::jump(there, ptr::without_provenance_mut(value)) };
        next = transfer.context;
        transfer.data.addr()
    })
}

fn raw_create(count: usize) -> Duration {
    fn once(transfer: Transfer) -> Transfer {
        Transfer { data: transfer.data.wrapping_byte_add(1), ..transfer }
    }
    let mut memory = vec![0u8; RAW_STACK];
    pass(count, |value| {
        // SAFETY: the context before has ended; the memory is enough.
        unsafe {
            let context = raw::make(NonNull::from(&mut memory[..]), once);
            raw::jump(context, ptr::without_provenance_mut(value)).data.addr()
        }
    })
}

fn corosensei_switch(count: usize) -> Duration {
    let mut next = Corosensei::<usize, usize, ()>::new(|y, mut value| {
        loop {
            value = y.suspend(value + 1);
        }
    });
    pass(count, |value| match next.resume(value) {
        CoroutineResult::Yield(value) => value,
        CoroutineResult::Return(()) => unreachable!("it goes on for ever"),
    })
}

/// It has no pool: each gets the stack of the one before.
fn corosensei_create(count: usize) -> Duration {
    let mut reused = Some(DefaultStack::default());
    pass(count, |value| {
        let Some(stack) = reused.take() else { unreachable!("it is put back") };
        let mut once = Corosensei::<usize, (), usize>::with_stack(stack, |_, value| value + 1);
        match once.resume(value) {
            CoroutineResult::Return(value) => {
                reused = Some(once.into_stack());
                value
            }
            CoroutineResult::Yield(()) => unreachable!("it does not suspend"),
        }
    })
}

fn generator_switch(count: usize) -> Duration {
    fn endless(mut scope: Scope<'_, 'static, usize, usize>) -> usize {
        let mut value = scope.get_yield().unwrap_or_default();
        loop {
            value = scope.yield_(value + 1).unwrap_or_default();
        }
    }
    let mut next = Gn::<usize>::new_scoped(endless);
    pass(count, |value| next.send(value))
}

/// It has no pool either: the same one gets a new body each time.
fn generator_create(count: usize) -> Duration {
    fn once(mut scope: Scope<'_, 'static, usize, usize>) -> usize {
        scope.get_yield().unwrap_or_default() + 1
    }
    let mut again = Gn::<usize>::new_scoped(once);
    again.send(0);
    pass(count, |value| {
        again.scoped_init(once);
        again.send(value)
    })
}
