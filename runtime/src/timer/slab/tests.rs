use super::*;
use crate::ticket::{Kind, Listen, Parker};

fn ticket() -> Ticket {
    Box::leak(Box::new(Parker::new(Kind::Thread))).open(Listen::NONE)
}

#[test]
fn a_key_does_not_find_the_next_entry_in_the_same_place() {
    let mut slab = Slab::new();
    let old = slab.insert(1, ticket());
    assert_eq!(slab.find(old), Some(old.index()));
    slab.free(old.index());
    assert_eq!(slab.find(old), None);
    let new = slab.insert(1, ticket());
    assert_eq!(new.index(), old.index());
    assert_eq!((slab.find(old), slab.find(new)), (None, Some(new.index())));
}

#[test]
fn it_gives_memory_back_when_the_last_of_many_goes() {
    let ticket = ticket();
    let mut slab = Slab::new();
    let keys: Vec<Key> = (0..100_000).map(|tick| slab.insert(tick, ticket)).collect();
    for key in &keys[1..] {
        slab.free(key.index());
    }
    assert!(slab.places.capacity() >= keys.len());
    slab.free(keys[0].index());
    assert!(slab.places.capacity() <= KEPT);
    // Whichever key comes late now, it finds nothing, and places are numbered from the start.
    assert!(keys.iter().all(|key| slab.find(*key).is_none()));
    assert_eq!(slab.insert(1, ticket).index(), 0);
    assert!(keys.iter().all(|key| slab.find(*key).is_none()));
}

#[test]
fn free_places_are_used_before_it_grows() {
    let ticket = ticket();
    let mut slab = Slab::new();
    let keys: Vec<Key> = (0..KEPT as u64).map(|tick| slab.insert(tick, ticket)).collect();
    let capacity = slab.places.capacity();
    for round in 0..10 {
        for key in keys.iter().skip(round).step_by(2) {
            if let Some(index) = slab.find(*key) {
                slab.free(index);
            }
        }
        while (slab.taken as usize) < KEPT {
            slab.insert(0, ticket);
        }
    }
    assert_eq!((slab.places.len(), slab.places.capacity()), (KEPT, capacity));
}
