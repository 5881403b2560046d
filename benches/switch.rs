//! The switch of stacks: Fibra's coroutine against those of corosensei and generator.

use std::cell::Cell;
use std::hint::black_box;

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine as Corosensei, CoroutineResult};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use fibra::coroutine::{Coroutine, Step};
use generator::{Gn, Scope};

/// Operations in an iteration.
const TIMES: usize = 100;

/// Each value that comes back is the next one to go in, so no switch can be left out or overlap.
fn resume_suspend(c: &mut Criterion) {
    let mut group = c.benchmark_group("resume_suspend");
    group.throughput(Throughput::Elements(TIMES as u64));

    group.bench_function("fibra", |b| {
        let mut next = Coroutine::<usize, usize, ()>::new(|y, mut value| {
            loop {
                value = y.suspend(value + 1);
            }
        });
        let mut value = 0;
        b.iter(|| {
            let first = value;
            for _ in 0..TIMES {
                match next.resume(value) {
                    Step::Yielded(next) => value = next,
                    Step::Returned(()) => unreachable!("it goes on for ever"),
                }
            }
            assert_eq!(value, first + TIMES);
        });
    });

    group.bench_function("corosensei", |b| {
        let mut next = Corosensei::<usize, usize, ()>::new(|y, mut value| {
            loop {
                value = y.suspend(value + 1);
            }
        });
        let mut value = 0;
        b.iter(|| {
            let first = value;
            for _ in 0..TIMES {
                match next.resume(value) {
                    CoroutineResult::Yield(next) => value = next,
                    CoroutineResult::Return(()) => unreachable!("it goes on for ever"),
                }
            }
            assert_eq!(value, first + TIMES);
        });
    });

    group.bench_function("generator", |b| {
        fn endless(mut scope: Scope<'_, 'static, usize, usize>) -> usize {
            let mut value = scope.get_yield().unwrap_or_default();
            loop {
                value = scope.yield_(value + 1).unwrap_or_default();
            }
        }
        let mut next = Gn::<usize>::new_scoped(endless);
        let mut value = 0;
        b.iter(|| {
            let first = value;
            for _ in 0..TIMES {
                value = next.send(value);
            }
            assert_eq!(value, first + TIMES);
        });
    });
    group.finish();
}

/// All reuse a stack: Fibra out of its pool, corosensei by handing the same one on, generator by giving the same
/// generator another body.
fn create_run_drop(c: &mut Criterion) {
    let mut group = c.benchmark_group("create_run_drop");
    group.throughput(Throughput::Elements(TIMES as u64));

    group.bench_function("fibra", |b| {
        b.iter(|| {
            let mut value = 0;
            for _ in 0..TIMES {
                let mut once = Coroutine::<usize, (), usize>::new(|_, value| value + 1);
                match once.resume(black_box(value)) {
                    Step::Returned(next) => value = next,
                    Step::Yielded(()) => unreachable!("it does not suspend"),
                }
            }
            assert_eq!(value, TIMES);
        });
    });

    group.bench_function("corosensei", |b| {
        let reused = Cell::new(Some(DefaultStack::default()));
        b.iter(|| {
            let mut value = 0;
            for _ in 0..TIMES {
                let stack = reused.take().expect("it was put back");
                let mut once =
                    Corosensei::<usize, (), usize>::with_stack(stack, |_, value| value + 1);
                match once.resume(black_box(value)) {
                    CoroutineResult::Return(next) => value = next,
                    CoroutineResult::Yield(()) => unreachable!("it does not suspend"),
                }
                reused.set(Some(once.into_stack()));
            }
            assert_eq!(value, TIMES);
        });
    });

    group.bench_function("generator", |b| {
        fn once(mut scope: Scope<'_, 'static, usize, usize>) -> usize {
            scope.get_yield().unwrap_or_default() + 1
        }
        let mut again = Gn::<usize>::new_scoped(once);
        again.send(0);
        b.iter(|| {
            let mut value = 0;
            for _ in 0..TIMES {
                again.scoped_init(once);
                value = again.send(black_box(value));
            }
            assert_eq!(value, TIMES);
        });
    });
    group.finish();
}

criterion_group!(benches, resume_suspend, create_run_drop);
criterion_main!(benches);
