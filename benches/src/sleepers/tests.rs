use super::*;

#[test]
fn wake_ups_are_spread_evenly() {
    const SLEEPERS: usize = 1000;
    let mut per_tenth = [0; 10];
    for i in 0..SLEEPERS {
        let wanted = duration(i);
        assert!(!wanted.is_zero() && wanted <= SPREAD, "{i}: {wanted:?}");
        per_tenth[(wanted.as_nanos() * 10 / (SPREAD.as_nanos() + 1)) as usize] += 1;
    }
    assert!(per_tenth.iter().all(|count| (95..=105).contains(count)), "{per_tenth:?}");
}

#[test]
#[should_panic(expected = "nobody wakes early")]
fn who_wakes_early_is_noticed() {
    lateness(Instant::now(), Duration::from_secs(3600));
}
