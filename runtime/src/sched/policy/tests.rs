//! When workers are under the batch policy, and whose policy it is.

use super::*;
use crate::Runtime;

/// Whether a thread of this process could come under the batch policy. Where not, nothing may change.
fn is_possible() -> bool {
    of_this_thread() == libc::SCHED_OTHER
        && !is_filtered()
        && thread::spawn(|| set(libc::SCHED_BATCH)).join().unwrap()
}

fn after(verdict: &mut Verdict, policy: &Policy, now: Instant) -> bool {
    verdict.update(policy, now);
    policy.is_batch()
}

#[test]
fn once_it_has_helped_to_stand_aside_it_is_batch_for_a_spell() {
    let policy = Policy::new();
    let mut verdict = Verdict::new();
    let start = Instant::now();
    assert!(!after(&mut verdict, &policy, start));
    policy.note_help();
    assert!(!policy.is_batch(), "the monitor decides");
    assert!(after(&mut verdict, &policy, start));
    assert!(after(&mut verdict, &policy, start + SPELL / 2));
    policy.note_help();
    assert!(after(&mut verdict, &policy, start + SPELL / 2));
    assert!(after(&mut verdict, &policy, start + SPELL));
    assert!(verdict.update(&policy, start + SPELL * 3 / 2), "sleepers are to be told");
    assert!(!policy.is_batch());
    assert!(!verdict.update(&policy, start + SPELL * 2), "once");
}

#[test]
fn twice_in_vain_ends_it() {
    let policy = Policy::new();
    let mut verdict = Verdict::new();
    let start = Instant::now();
    policy.note_help();
    assert!(after(&mut verdict, &policy, start));
    policy.note_in_vain();
    assert!(after(&mut verdict, &policy, start), "it may be by chance");
    policy.note_in_vain();
    assert!(after(&mut verdict, &policy, start + OCCASION / 2), "that is the same occasion");
    policy.note_in_vain();
    assert!(after(&mut verdict, &policy, start + SUSPICION), "that was long ago");
    policy.note_in_vain();
    let soon = start + SUSPICION * 3 / 2;
    assert!(verdict.update(&policy, soon), "sleepers are to be told");
    assert!(!policy.is_batch());

    policy.note_help();
    assert!(!after(&mut verdict, &policy, soon + DISTRUST / 2));
    assert!(!after(&mut verdict, &policy, soon + DISTRUST), "what helped before does not count");
    policy.note_in_vain();
    policy.note_help();
    assert!(!after(&mut verdict, &policy, soon + DISTRUST), "nor beside what was in vain");
    policy.note_help();
    assert!(after(&mut verdict, &policy, soon + DISTRUST));
}

/// In a thread of its own, whose policy is this one: what it is after a change to batch, and after one back.
fn there_and_back(first: libc::c_int) -> [libc::c_int; 2] {
    let change = move || {
        assert!(set(first));
        let policy = Policy::new();
        let own = OwnPolicy::new();
        [true, false].map(|is_batch| {
            policy.is_batch.store(is_batch, Ordering::Relaxed);
            own.follow(&policy);
            of_this_thread()
        })
    };
    thread::spawn(change).join().unwrap()
}

#[test]
fn a_thread_follows_unless_its_user_has_chosen_another_policy() {
    if is_possible() {
        assert_eq!(there_and_back(libc::SCHED_OTHER), [libc::SCHED_BATCH, libc::SCHED_OTHER]);
        for chosen in [libc::SCHED_IDLE, libc::SCHED_BATCH] {
            assert_eq!(there_and_back(chosen), [chosen; 2]);
        }
    }
}

#[test]
fn it_keeps_its_priority() {
    const NICE: libc::c_int = 3;
    let nice = || {
        // SAFETY: takes numbers. On Linux it is the thread's.
        unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }
    };
    let change = move || {
        // SAFETY: takes numbers.
        assert_eq!(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) }, 0);
        assert!(exchange(libc::SCHED_OTHER, libc::SCHED_BATCH));
        let under_batch = nice();
        assert!(exchange(libc::SCHED_BATCH, libc::SCHED_OTHER));
        [under_batch, nice()]
    };
    if is_possible() && nice() < NICE {
        assert_eq!(thread::spawn(change).join().unwrap(), [NICE; 2]);
    }
}

/// Installs one that forbids nothing, for the calling thread.
pub(in crate::sched) fn install_filter() {
    let mut allow = libc::sock_filter {
        code: (libc::BPF_RET | libc::BPF_K) as u16,
        jt: 0,
        jf: 0,
        k: libc::SECCOMP_RET_ALLOW,
    };
    let filter = libc::sock_fprog { len: 1, filter: &raw mut allow };
    // SAFETY: the filter is a local variable, which the system copies.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        let mode = libc::SECCOMP_MODE_FILTER;
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const filter), 0);
    }
}

#[test]
fn under_a_filter_for_system_calls_it_changes_nothing() {
    let change = || {
        install_filter();
        let before = of_this_thread();
        assert!(!exchange(before, libc::SCHED_BATCH));
        assert_eq!(of_this_thread(), before);
    };
    if is_possible() {
        thread::spawn(change).join().unwrap();
    }
}

/// In a goroutine, until the thread of its worker has this policy.
fn wait_until_it_is(expected: libc::c_int, mut evidence: impl FnMut()) {
    let start = Instant::now();
    while of_this_thread() != expected {
        assert!(start.elapsed() < Duration::from_secs(60), "it stays {}", of_this_thread());
        evidence();
        // Its worker has nothing else to do, and sleeps.
        crate::sleep(Duration::from_millis(1));
    }
}

#[test]
fn workers_follow_and_those_that_sleep_are_told_when_it_is_over() {
    if !is_possible() {
        return;
    }
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let (shared, thread) = runtime.run(|| {
        let shared = current::worker().unwrap().shared().clone();
        wait_until_it_is(libc::SCHED_BATCH, || shared.policy.note_help());
        // SAFETY: it has no preconditions.
        (shared, unsafe { libc::gettid() })
    });
    // Nobody is awake from here on.
    let start = Instant::now();
    // SAFETY: takes a number.
    while unsafe { libc::sched_getscheduler(thread) } != libc::SCHED_OTHER {
        assert!(start.elapsed() < Duration::from_secs(60), "nobody tells it");
        thread::sleep(SPELL / 100);
    }
    assert!(!shared.policy.is_batch());
}

#[test]
fn neither_threads_of_the_library_nor_another_program_inherit_it() {
    if !is_possible() {
        return;
    }
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let policies = runtime.run(|| {
        let shared = current::worker().unwrap().shared().clone();
        wait_until_it_is(libc::SCHED_BATCH, || shared.policy.note_help());
        let (sender, receiver) = std::sync::mpsc::channel();
        let of_user = thread::spawn(of_this_thread);
        start_thread("test".into(), move || sender.send(of_this_thread()).unwrap()).unwrap();
        let policies = [of_user.join().unwrap(), receiver.recv().unwrap()];
        restore();
        (policies, of_this_thread())
    });
    assert_eq!(policies, ([libc::SCHED_BATCH, libc::SCHED_OTHER], libc::SCHED_OTHER));
}
