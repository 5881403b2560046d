use super::*;

/// The indexes of what `add` adds to an empty list, and the list.
fn indexes(
    slab: &mut Slab,
    add: impl FnOnce(&mut Slab, &mut Vec<FreeSlot>),
) -> (Vec<usize>, Vec<FreeSlot>) {
    let mut slots = Vec::new();
    add(slab, &mut slots);
    (slots.iter().map(|slot| slab.area.index(slot)).collect(), slots)
}

#[test]
fn what_was_given_back_comes_in_the_order_of_addresses() {
    let mut slab = Slab::map(7, false).unwrap();
    let (carved, mut slots) = indexes(&mut slab, |slab, slots| slab.carve(200, slots));
    assert_eq!(carved, (0..200).collect::<Vec<_>>());
    assert!(slots.iter().all(|slot| Slab::number_of(slot) == 7));
    let (taken, _) = indexes(&mut slab, |slab, slots| slab.take(10, slots));
    assert_eq!(taken, [], "nothing was given back");

    let kept = slots.swap_remove(65);
    // Any order will do.
    slots.rotate_left(70);
    slots.into_iter().for_each(|slot| slab.give(slot));
    let (taken, _) = indexes(&mut slab, |slab, slots| slab.take(100, slots));
    assert_eq!(taken, (0..65).chain(66..101).collect::<Vec<_>>());
    slab.give(kept);
    let (taken, _) = indexes(&mut slab, |slab, slots| slab.take(1000, slots));
    assert_eq!(taken, [65].into_iter().chain(101..200).collect::<Vec<_>>());
    let (taken, _) = indexes(&mut slab, |slab, slots| slab.take(1, slots));
    assert_eq!(taken, []);
}

#[test]
fn a_slab_is_carved_to_its_end() {
    let mut slab = Slab::map(0, false).unwrap();
    let (carved, _) = indexes(&mut slab, |slab, slots| slab.carve(SLOTS - 1, slots));
    assert_eq!(carved.len(), SLOTS - 1);
    let (carved, last) = indexes(&mut slab, |slab, slots| slab.carve(256, slots));
    assert_eq!(carved, [SLOTS - 1]);
    let (carved, _) = indexes(&mut slab, |slab, slots| slab.carve(256, slots));
    assert_eq!(carved, []);
    last.into_iter().for_each(|slot| slab.give(slot));
    let (taken, _) = indexes(&mut slab, |slab, slots| slab.take(256, slots));
    assert_eq!(taken, [SLOTS - 1]);
}
