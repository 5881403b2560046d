use std::fs;
use std::io::ErrorKind;

use super::super::region::Region;
use super::super::size::StackSize;
use super::*;

fn fresh_slot() -> Slot {
    Region::reserve(StackSize::MIN, 1).unwrap().slot(0)
}

fn assert_guarded(slot: Slot) {
    for page in (0..GUARD).step_by(4096) {
        assert!(!readable(slot.guard().wrapping_add(page)));
    }
    assert!(readable(slot.limit()));
    assert!(readable(slot.label().cast()));
}

/// True if this kernel has `MADV_GUARD_INSTALL`; the tests must pass on others too.
fn kernel_installs() -> bool {
    Guards::with(GuardKind::Install, 0).protect(fresh_slot()).is_ok()
}

#[test]
fn both_kinds_guard_exactly_the_guard() {
    let slot = fresh_slot();
    Guards::with(GuardKind::Mprotect, 2).protect(slot).unwrap();
    assert_guarded(slot);

    let slot = fresh_slot();
    match Guards::with(GuardKind::Install, 0).protect(slot) {
        Ok(()) => assert_guarded(slot),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Unsupported),
    }
}

#[test]
fn an_installed_guard_costs_no_map() {
    if !kernel_installs() {
        return;
    }
    let guards = Guards::with(GuardKind::Install, 0);
    guards.protect(fresh_slot()).unwrap();
    assert_eq!((guards.maps(), guards.kind()), (0, Some(GuardKind::Install)));
}

#[test]
fn the_best_kind_that_works_is_found() {
    let guards = Guards::new();
    guards.protect(fresh_slot()).unwrap();
    let best = if kernel_installs() { GuardKind::Install } else { GuardKind::Mprotect };
    if std::env::var_os("FIBRA_STACK_GUARD").is_none() {
        assert_eq!(guards.kind(), Some(best));
    }
}

#[test]
fn locked_memory_falls_back_to_mprotect() {
    let slot = fresh_slot();
    // SAFETY: locking pages changes no contents.
    if unsafe { libc::mlock(slot.guard().cast(), GUARD) } != 0 {
        return; // RLIMIT_MEMLOCK forbids it.
    }
    let guards = Guards::new();
    guards.protect(slot).unwrap();
    assert_guarded(slot);
    assert_eq!(guards.kind(), Some(GuardKind::Mprotect));
    assert_eq!(guards.maps(), MAPS_PER_GUARD);
}

#[test]
fn past_the_budget_is_an_error_that_costs_nothing() {
    let guards = Guards::with(GuardKind::Mprotect, 5);
    guards.protect(fresh_slot()).unwrap();
    guards.protect(fresh_slot()).unwrap();
    let slot = fresh_slot();
    for _ in 0..3 {
        let error = guards.protect(slot).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfMemory);
        assert!(error.to_string().contains("vm.max_map_count"), "{error}");
        assert_eq!(guards.maps(), 4);
    }
    assert!(readable(slot.guard()));
}

#[test]
fn forcing_a_kind_takes_effect_for_the_next_guard() {
    let guards = Guards::new();
    guards.force(GuardKind::Mprotect);
    assert_eq!(guards.kind(), Some(GuardKind::Mprotect));
    let slot = fresh_slot();
    guards.protect(slot).unwrap();
    assert_eq!(guards.maps(), MAPS_PER_GUARD);
    assert!(guards.budget().is_some());
}

#[test]
fn the_default_budget_leaves_a_quarter_to_others() {
    let allowed: usize =
        fs::read_to_string("/proc/sys/vm/max_map_count").unwrap().trim().parse().unwrap();
    let budget = default_map_budget();
    assert!(budget <= allowed / 4 * 3, "{budget} of {allowed}");
    assert!(budget + 10_000 > allowed / 4 * 3, "{budget} of {allowed}");
}

#[test]
fn settings_are_checked() {
    let parse = |guard: Option<&str>, budget: Option<&str>| {
        Settings::parse(guard.map(OsStr::new), budget.map(OsStr::new))
    };
    let settings = parse(None, None).unwrap();
    assert_eq!(settings, Settings { guard: None, map_budget: None });
    assert_eq!(parse(Some("install"), None).unwrap().guard, Some(GuardKind::Install));
    assert_eq!(parse(Some("mprotect"), None).unwrap().guard, Some(GuardKind::Mprotect));
    assert_eq!(parse(None, Some("0")).unwrap().map_budget, Some(0));
    assert_eq!(parse(None, Some("40000")).unwrap().map_budget, Some(40_000));

    for word in ["", "Install", "none"] {
        assert!(parse(Some(word), None).unwrap_err().contains("FIBRA_STACK_GUARD"));
    }
    for word in ["", "-1", "many", "99999999999999999999999"] {
        assert!(parse(None, Some(word)).unwrap_err().contains("FIBRA_MAP_BUDGET"));
    }
}
