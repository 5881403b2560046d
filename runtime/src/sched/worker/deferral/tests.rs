use super::*;

fn trust_after(results: impl IntoIterator<Item = bool>) -> Trust {
    results.into_iter().fold(Trust::default(), Trust::after)
}

#[test]
fn a_spawner_is_trusted_after_it_was_prompt_often_enough() {
    assert!(!trust_after([]).is_enough());
    assert!(!trust_after([true; ENOUGH as usize - 1]).is_enough());
    assert!(trust_after([true; ENOUGH as usize]).is_enough());
}

#[test]
fn once_in_a_while_it_may_be_late() {
    let one_in = |n: usize| trust_after((1..=1000 * n).map(|spawn| spawn % n != 0)).is_enough();
    assert!(one_in(40));
    assert!(!one_in(10));
}

#[test]
fn two_in_a_row_that_are_late_are_too_many_for_a_short_time() {
    let mut trust = trust_after([true; 2 * ENOUGH as usize]);
    trust = trust.after(false).after(false);
    assert!(!trust.is_enough());
    assert!(trust_after([true; 1000]).prompt <= MOST, "it is not remembered for ever");
}

#[test]
fn one_that_is_trusted_is_timed_now_and_then() {
    let mut trust = trust_after([true; ENOUGH as usize - 1]);
    assert!(trust.is_due(), "each time until it is trusted");
    trust = trust.after(true);
    for _ in 0..UNTIMED {
        assert!(!trust.is_due());
        trust = trust.after_untimed();
    }
    assert!(trust.is_due());
    assert!(!trust.after(true).is_due());
}
