use std::collections::HashSet;
use std::io::ErrorKind;
use std::slice;
use std::sync::Barrier;
use std::thread;

use super::super::guard::readable;
use super::super::region::GUARD;
use super::*;

const SIZE: StackSize = StackSize::MIN;

fn mprotect_pool(budget: usize) -> Pool {
    Pool { guards: Guards::with(GuardKind::Mprotect, budget), ..Pool::new() }
}

/// The usable bytes. The label at the end must be left alone.
fn bytes(stack: &mut Stack) -> &mut [u8] {
    let len = stack.top().addr() - stack.limit().addr();
    // SAFETY: the stack is borrowed for as long as its bytes, which are mapped and initialised
    // by the kernel.
    unsafe { slice::from_raw_parts_mut(stack.limit(), len) }
}

/// How many pages of a stack are in memory.
fn resident(stack: &Stack) -> usize {
    let mut pages = vec![0_u8; stack.size().bytes() / 4096];
    // SAFETY: the range is mapped, and there is a byte for each of its pages.
    let failed =
        unsafe { libc::mincore(stack.limit().cast(), stack.size().bytes(), pages.as_mut_ptr()) };
    assert_eq!(failed, 0);
    pages.iter().filter(|&&page| page & 1 != 0).count()
}

#[test]
fn a_stack_is_writable_from_end_to_end_and_guarded_below() {
    for pool in [Pool::new(), mprotect_pool(1000)] {
        let mut stack = pool.acquire(SIZE).unwrap();
        assert_eq!(stack.size(), SIZE);
        assert_eq!(stack.top().addr() % 16, 0);
        assert_eq!(stack.top().addr() + 16, stack.limit().addr() + SIZE.bytes());
        bytes(&mut stack).fill(0xAB);
        assert!(!readable(stack.limit().wrapping_sub(1)));
        assert!(!readable(stack.limit().wrapping_sub(GUARD)));
        pool.release(stack);
    }
}

#[test]
fn the_last_released_is_the_next_acquired() {
    let pool = Pool::new();
    let stacks: Vec<_> = (0..5).map(|_| pool.acquire(SIZE).unwrap()).collect();
    let tops: Vec<_> = stacks.iter().map(Stack::top).collect();
    stacks.into_iter().for_each(|stack| pool.release(stack));
    let again: Vec<_> = (0..5).map(|_| pool.acquire(SIZE).unwrap()).collect();
    assert_eq!(again.iter().map(Stack::top).rev().collect::<Vec<_>>(), tops);
}

#[test]
fn sizes_do_not_mix() {
    let pool = Pool::new();
    let small = pool.acquire(SIZE).unwrap();
    let large = pool.acquire(StackSize::DEFAULT).unwrap();
    let (small_top, large_top) = (small.top(), large.top());
    pool.release_batch([small, large]);
    assert_eq!(pool.acquire(StackSize::DEFAULT).unwrap().top(), large_top);
    assert_eq!(pool.acquire(SIZE).unwrap().top(), small_top);
}

#[test]
fn a_released_stack_has_no_label() {
    unsafe fn nobody(_: *const (), _: &mut super::super::SignalWriter) {}
    let pool = Pool::new();
    let stack = pool.acquire(SIZE).unwrap();
    stack.set_label(nobody, std::ptr::null());
    let label = stack.top().cast::<[usize; 2]>();
    // SAFETY: the label is two words above `top`; the region stays mapped for ever.
    assert_ne!(unsafe { label.read() }[0], 0);
    pool.release(stack);
    // SAFETY: as above.
    assert_eq!(unsafe { label.read() }, [0, 0]);
}

#[test]
fn past_the_budget_reuse_still_works_and_no_slot_is_lost() {
    let pool = mprotect_pool(4);
    let first = pool.acquire(SIZE).unwrap();
    let second = pool.acquire(SIZE).unwrap();
    for _ in 0..100 {
        let error = pool.acquire(SIZE).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfMemory);
    }
    let census = pool.census();
    assert_eq!((census.in_use, census.guard_maps, census.map_budget), (2, 4, Some(4)));
    assert_eq!(census.reserved, FIRST_REGION, "failures use up no slots");
    assert_eq!(pool.class(SIZE).bare.len(), 1);

    let top = second.top();
    pool.release(second);
    assert_eq!(pool.acquire(SIZE).unwrap().top(), top);

    // A kind that works takes up the slot that failed.
    pool.guards().force(GuardKind::Install);
    match pool.acquire(SIZE) {
        Ok(_) => assert_eq!(pool.class(SIZE).bare.len(), 0),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Unsupported),
    }
    drop(first);
}

#[test]
fn regions_grow_and_the_largest_size_fits() {
    let pool = Pool::new();
    let stacks: Vec<_> = (0..100).map(|_| pool.acquire(SIZE).unwrap()).collect();
    assert_eq!(pool.census().reserved, 128);
    assert_eq!(stacks.iter().map(Stack::top).collect::<HashSet<_>>().len(), 100);
    let mut huge = pool.acquire(StackSize::MAX).unwrap();
    bytes(&mut huge)[0] = 1;
    assert_eq!(pool.census().reserved, 129);
    drop(stacks);
}

#[test]
fn trim_gives_idle_memory_back_once() {
    let pool = Pool::new();
    let mut stacks: Vec<_> = (0..TRIM_BATCH + 3).map(|_| pool.acquire(SIZE).unwrap()).collect();
    for stack in &mut stacks {
        bytes(stack).fill(1);
        assert_eq!(resident(stack), SIZE.bytes() / 4096);
    }
    let mut hot = pool.acquire(SIZE).unwrap();
    bytes(&mut hot).fill(1);
    let hot_top = hot.top();
    pool.release_batch(stacks.drain(..));
    let between = now();
    while now() <= between {
        thread::yield_now();
    }
    pool.release(hot);

    assert!(pool.trim(Duration::from_secs(3600)), "all are warm, none is that old");
    assert_eq!(pool.census().warm, TRIM_BATCH + 4);
    assert!(pool.trim_released_by(between), "the hot one stays warm");
    assert_eq!(pool.census().warm, 1);
    assert_eq!(pool.census().pooled, TRIM_BATCH + 4);

    let mut hot = pool.acquire(SIZE).unwrap();
    assert_eq!((hot.top(), resident(&hot)), (hot_top, SIZE.bytes() / 4096));
    let mut cold = pool.acquire(SIZE).unwrap();
    assert_eq!(resident(&cold), 0);
    // Usable at once, still guarded, and full of zeros.
    assert!(bytes(&mut cold).iter().all(|&byte| byte == 0));
    assert!(!readable(cold.limit().wrapping_sub(1)));
    bytes(&mut hot).fill(2);
    pool.release_batch([cold, hot]);

    assert!(!pool.trim(Duration::ZERO));
    assert!(!pool.trim(Duration::ZERO));
    assert_eq!((pool.census().warm, pool.census().in_use), (0, 0));
}

#[test]
fn no_slot_has_two_owners() {
    let threads = 4 * thread::available_parallelism().map_or(2, |n| n.get());
    for pool in [Pool::new(), mprotect_pool(60)] {
        let barrier = Barrier::new(threads);
        let work = |mark: u64| {
            barrier.wait();
            let mut seed = mark;
            let mut held: Vec<Stack> = Vec::new();
            for _ in 0..3000 {
                seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                match seed >> 61 {
                    0..4 => held.extend(pool.acquire(SIZE)),
                    4 => pool.release_batch(held.drain(held.len() / 2..)),
                    5 if mark == 1 => _ = pool.trim(Duration::ZERO),
                    _ => held.pop().into_iter().for_each(|stack| pool.release(stack)),
                }
                // Whoever else had a stack of ours would change our mark, or trim would.
                for stack in &held {
                    let word = stack.limit().cast::<u64>();
                    // SAFETY: the word is ours, aligned and mapped.
                    unsafe { word.write_volatile(mark) };
                }
                thread::yield_now();
                for stack in &held {
                    let word = stack.limit().cast::<u64>();
                    // SAFETY: as above.
                    assert_eq!(unsafe { word.read_volatile() }, mark);
                }
            }
            pool.release_batch(held);
        };
        thread::scope(|scope| {
            for mark in 1..=threads as u64 {
                scope.spawn(move || work(mark));
            }
        });
        let census = pool.census();
        assert_eq!(census.in_use, 0);
        assert!(census.pooled <= census.reserved);
        assert!(census.map_budget.is_none_or(|budget| census.guard_maps <= budget));
        let class = pool.class(SIZE);
        let known = class.warm.iter().map(|warm| &warm.slot).chain(&class.cold).chain(&class.bare);
        let distinct: HashSet<_> = known.clone().map(|slot| slot.guard()).collect();
        assert_eq!(distinct.len(), known.count());
        assert_eq!(distinct.len(), class.guarded + class.bare.len());
    }
}
