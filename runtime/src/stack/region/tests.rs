use super::*;

#[test]
fn slots_tile_the_region_and_are_found_by_address() {
    let region = Region::reserve(StackSize::MIN, 3).unwrap();
    let stride = Region::stride(StackSize::MIN);
    let base = region.slot(0).guard().addr();
    for index in 0..3 {
        let slot = region.slot(index);
        assert_eq!(slot.guard().addr(), base + index * stride);
        assert_eq!(slot.limit().addr(), slot.guard().addr() + GUARD);
        assert_eq!(slot.label().addr() + LABEL, base + (index + 1) * stride);
        assert_eq!(slot.label().addr() % 16, 0);
        for address in [slot.guard().addr(), slot.limit().addr(), slot.label().addr() + 15] {
            assert_eq!(Region::slot_at(address), Some(slot));
            assert!(slot.contains(address));
        }
        assert!(slot.guard_contains(slot.limit().addr() - 1));
        assert!(!slot.guard_contains(slot.limit().addr()));
    }
    assert_ne!(Region::slot_at(base - 1).map(Slot::guard), Some(region.slot(0).guard()));
    assert!(!region.slot(2).contains(base + 3 * stride));
}

#[test]
fn addresses_outside_are_nobodys() {
    let local = 0;
    assert_eq!(Region::slot_at(ptr::from_ref(&local).addr()), None);
    assert_eq!(Region::slot_at(0), None);
    assert_eq!(Region::slot_at(usize::MAX), None);
}

#[test]
fn older_regions_stay_known() {
    let sizes = [16 << 10, 64 << 10, 1 << 20].map(|bytes| StackSize::new(bytes).unwrap());
    let slots = sizes.map(|size| Region::reserve(size, 2).unwrap().slot(1));
    for slot in slots {
        assert_eq!(Region::slot_at(slot.label().addr()), Some(slot));
    }
}

#[test]
fn too_much_address_space_is_an_error() {
    for slots in [1 << 20, usize::MAX] {
        let error = Region::reserve(StackSize::MAX, slots).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
    }
}
