use std::thread;

use super::*;

fn on_a_thread<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| scope.spawn(f).join().unwrap())
}

fn disable() {
    let none = libc::stack_t { ss_sp: ptr::null_mut(), ss_flags: libc::SS_DISABLE, ss_size: SIZE };
    assert!(set(&none));
}

#[test]
fn a_stack_that_is_there_is_kept() {
    on_a_thread(|| {
        let before = current();
        assert_eq!(before.ss_flags & libc::SS_DISABLE, 0, "std gives one to each thread");
        ensure_alternate_stack();
        assert_eq!(current().ss_sp, before.ss_sp);
    });
}

#[test]
fn a_missing_stack_is_made_once() {
    on_a_thread(|| {
        let of_std = current();
        disable();
        ensure_alternate_stack();
        let made = current();
        assert_eq!((made.ss_flags, made.ss_size), (0, SIZE));
        ensure_alternate_stack();
        assert_eq!(current().ss_sp, made.ss_sp);
        // std unmaps its own when the thread ends.
        assert!(set(&of_std));
    });
}

#[test]
fn dropping_one_disables_it() {
    on_a_thread(|| {
        let of_std = current();
        assert!(AlternateStack::install_if_missing().is_none());
        disable();
        drop(AlternateStack::install_if_missing().unwrap());
        assert_ne!(current().ss_flags & libc::SS_DISABLE, 0);
        assert!(set(&of_std));
    });
}

#[test]
fn dropping_one_leaves_a_successor_alone() {
    on_a_thread(|| {
        let of_std = current();
        disable();
        let ours = AlternateStack::install_if_missing().unwrap();
        assert!(set(&of_std));
        drop(ours);
        assert_eq!(current().ss_sp, of_std.ss_sp);
    });
}
