use super::*;

fn addresses(slots: &Slots) -> Vec<usize> {
    slots.iter().map(|FreeSlot(slot)| slot.as_ptr().addr()).collect()
}

/// As many lists as that, as if so many goroutines were alive.
fn take_lists(shared: &mut Shared, count: usize) -> Vec<Slots> {
    (0..count)
        .map(|_| {
            let mut slots = Slots::new();
            shared.refill(&mut slots).unwrap();
            slots
        })
        .collect()
}

#[test]
fn after_a_burst_slots_lie_side_by_side_again_and_none_is_lost() {
    let mut shared = Shared::new();
    // Three slabs.
    let lists = take_lists(&mut shared, 150);
    let mut before: Vec<_> = lists.iter().flat_map(addresses).collect();
    // They come back mixed: one of each list in turn.
    let mut rows: Vec<_> = lists.into_iter().map(Vec::into_iter).collect();
    let mut mixed = Slots::new();
    loop {
        let all = mixed.len();
        mixed.extend(rows.iter_mut().filter_map(Iterator::next));
        if mixed.len() == all {
            break;
        }
    }
    while !mixed.is_empty() {
        let mut list = mixed.split_off(mixed.len().saturating_sub(BATCH));
        shared.put(&mut list);
        assert!(list.is_empty());
    }

    let mut after = Vec::new();
    while after.len() < before.len() {
        let list = take_lists(&mut shared, 1).remove(0);
        if after.len() >= MOST_LISTS * BATCH {
            let place = |slot: &FreeSlot| (Slab::number_of(slot), slot.0.as_ptr().addr());
            assert!(list.is_sorted_by_key(place));
            assert!(list.len() == BATCH || after.len() + list.len() == before.len());
        }
        after.extend(addresses(&list));
    }
    before.sort_unstable();
    after.sort_unstable();
    assert_eq!(after, before);
    assert_eq!(shared.slabs.len(), 3);
}

#[test]
fn what_was_given_last_comes_first() {
    let mut shared = Shared::new();
    let lists = take_lists(&mut shared, 3);
    let given: Vec<_> = lists.iter().map(addresses).collect();
    lists.into_iter().for_each(|mut list| shared.put(&mut list));
    let taken: Vec<_> = take_lists(&mut shared, 3).iter().map(addresses).collect();
    assert!(taken.iter().eq(given.iter().rev()));
}
