use super::{Context, switch};

/// Two contexts in an array: the test's own, then the other side's.
unsafe extern "sysv64" fn echo(mut word: usize, argument: usize) -> ! {
    let contexts = argument as *mut Context;
    loop {
        // SAFETY: the test keeps both contexts alive and switches to each in turn.
        word = unsafe { switch(contexts.add(1), contexts, word + 1) };
    }
}

#[test]
fn a_word_travels_both_ways_and_registers_survive() {
    let mut stack = vec![0u128; 4096];
    let top = stack.as_mut_ptr_range().end.cast::<u8>();
    let mut contexts = [Context::empty(), Context::empty()];
    let pair = contexts.as_mut_ptr();
    // SAFETY: `pair` points to two contexts that live until the end of the test.
    unsafe { pair.add(1).write(Context::new(top, echo, pair as usize)) };
    let kept: [usize; 8] = std::array::from_fn(|i| std::hint::black_box(i * 3));
    let mut sum = 0;
    for i in 0..1000 {
        // SAFETY: `pair + 1` was made by `Context::new`, then filled by the switch in `echo`; the
        // vector's memory is that stack, and only this thread runs on it.
        sum += unsafe { switch(pair, pair.add(1), i) };
    }
    assert_eq!(sum, (1..=1000).sum());
    assert_eq!(kept, std::array::from_fn(|i| i * 3));
}
