//! Stacks: the caller's own memory, and what happens when one is too small.

use std::cell::RefCell;
use std::hint::black_box;
use std::io;
use std::ptr;
use std::rc::Rc;

use fibra::coroutine::{self, Coroutine, Group, Stack, Status, Step, Yielder};
use fibra_tests::child::Child;
use fibra_tests::{Drops, Token, anywhere, turn};

const PAGE: usize = 4096;

/// Memory with a guard; some bytes at both ends are left out, so that nothing is aligned.
struct Mapped {
    base: *mut u8,
    bytes: usize,
    offset: usize,
    _token: Option<Token>,
}

impl Mapped {
    fn new(bytes: usize, offset: usize, token: Option<Token>) -> Mapped {
        // SAFETY: a new mapping replaces nothing, and its lowest page is not used yet.
        let base = unsafe {
            let access = libc::PROT_READ | libc::PROT_WRITE;
            let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let base = libc::mmap(ptr::null_mut(), PAGE + bytes, access, kind, -1, 0);
            assert_ne!(base, libc::MAP_FAILED);
            assert_eq!(libc::mprotect(base, PAGE, libc::PROT_NONE), 0);
            base.cast()
        };
        Mapped { base, bytes, offset, _token: token }
    }

    fn contains(&self, address: usize) -> bool {
        (self.limit().addr()..self.top().addr()).contains(&address)
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and nobody runs on it any more.
        unsafe { libc::munmap(self.base.cast(), PAGE + self.bytes) };
    }
}

// SAFETY: the mapping is used for nothing else, stays in place until it is dropped, and has a guard.
unsafe impl Stack for Mapped {
    fn limit(&self) -> *mut u8 {
        self.base.wrapping_add(PAGE)
    }

    fn top(&self) -> *mut u8 {
        self.base.wrapping_add(PAGE + self.bytes - self.offset)
    }
}

#[inline(never)]
fn place() -> usize {
    let here = 0u8;
    black_box(&raw const here).addr()
}

fn sum(n: u64) -> u64 {
    if n == 0 { 0 } else { black_box(n) + sum(n - 1) }
}

#[test]
fn it_runs_on_the_callers_memory_and_gives_it_back() {
    anywhere(|| {
        let drops = Drops::new();
        for offset in [0, 1, 8, 1000] {
            let memory = Mapped::new(100_000 / PAGE * PAGE, offset, Some(drops.token()));
            let bounds = (memory.limit().addr(), memory.top().addr());
            let before = drops.count();
            let mut c = Coroutine::builder()
                .name("mine")
                .stack(memory)
                .build(move |y: &Yielder<(), usize>, ()| {
                    assert_eq!(coroutine::running().unwrap().name(), Some("mine"));
                    y.suspend(place());
                    sum(200)
                })
                .unwrap();
            assert!((bounds.0..bounds.1).contains(&c.next().unwrap()), "offset {offset}");
            assert_eq!(c.resume(()), Step::Returned(20_100));
            assert_eq!((c.status(), drops.count()), (Status::Dead, before));
            drop(c);
            assert_eq!(drops.count(), before + 1);
        }
        assert!(!Mapped::new(PAGE, 0, None).contains(place()));
    });
}

#[test]
fn too_little_memory_is_an_error() {
    anywhere(|| {
        let drops = Drops::new();
        for (bytes, offset) in [(4 * PAGE, 1), (PAGE, 0), (PAGE, PAGE)] {
            let memory = Mapped::new(bytes, offset, Some(drops.token()));
            let built = Coroutine::builder().stack(memory).build(|_: &Yielder<(), ()>, ()| ());
            assert_eq!(built.unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
        assert_eq!(drops.count(), 3);
        let least = Coroutine::builder().stack(Mapped::new(4 * PAGE, 0, None));
        assert!(least.build(|_: &Yielder<(), ()>, ()| ()).is_ok());
    });
}

/// Who runs is known on all kinds of stacks, among many of them.
#[test]
fn those_on_the_callers_memory_are_seen_like_others() {
    anywhere(|| {
        let mut all: Vec<_> = (0..20)
            .map(|i| {
                let builder = Coroutine::builder().name(format!("{i}"));
                let builder = if i % 2 == 0 {
                    builder.stack(Mapped::new(16 * PAGE, i, None))
                } else {
                    builder
                };
                let c = builder.build(move |y: &Yielder<(), String>, ()| {
                    loop {
                        y.suspend(coroutine::running().unwrap().name().unwrap().to_owned());
                    }
                });
                let c: Coroutine<(), String, ()> = c.unwrap();
                c
            })
            .collect();
        let handles: Vec<_> = all.iter().map(Coroutine::handle).collect();
        for round in 0..3 {
            for (i, c) in all.iter_mut().enumerate() {
                assert_eq!(c.next(), Some(i.to_string()), "round {round}");
            }
        }
        all.truncate(9);
        let dead = handles.iter().filter(|it| it.status() == Status::Dead).count();
        assert_eq!(dead, 11);
        // One inside the other, on different kinds.
        let seen = Rc::new(RefCell::new(Vec::new()));
        let log = seen.clone();
        let mut outer = Coroutine::builder()
            .stack(Mapped::new(32 * PAGE, 0, None))
            .build(move |y: &Yielder<(), ()>, ()| {
                let outer = y.handle();
                let mut inner = Coroutine::new(move |_: &Yielder<(), ()>, ()| {
                    let me = coroutine::running().unwrap();
                    log.borrow_mut().extend([outer.status(), me.status()]);
                });
                inner.resume(());
            })
            .unwrap();
        outer.resume(());
        assert_eq!(*seen.borrow(), [Status::Normal, Status::Running]);
    });
}

fn overflow() -> u64 {
    sum(u64::MAX)
}

const HINT: &str = "; give it more with `stack = <bytes>` in go!, Builder::stack_size or \
                    Runtime::builder().stack_size\n";

#[test]
fn overflow_names_the_scoped_coroutine() {
    let _turn = turn();
    let end = Child::new().run("", |_| {
        coroutine::scope(|s| {
            let builder = Coroutine::builder().name("borrows").stack_size(64 << 10);
            let mut c = s.build(builder, |_: &Yielder<(), ()>, ()| overflow()).unwrap();
            c.resume(());
        });
    });
    let end = end.died_of(libc::SIGABRT);
    assert_eq!(end.stderr, format!("coroutine 'borrows' overflowed its stack of 64 KiB{HINT}"));
}

/// The innermost one, in a goroutine, with others around it, after it was looked at.
#[test]
fn overflow_names_the_innermost_coroutine() {
    let _turn = turn();
    let end = Child::new().run("", |_| {
        fibra::go!({
            let mut outer = Coroutine::builder()
                .name("outer")
                .build(|_: &Yielder<(), ()>, ()| {
                    let inner = Coroutine::builder().name("inner");
                    let mut inner = inner.build(|_: &Yielder<(), ()>, ()| overflow()).unwrap();
                    assert_eq!(inner.handle().name(), Some("inner"));
                    inner.resume(());
                })
                .unwrap();
            outer.resume(());
        })
        .join()
        .unwrap();
    });
    let end = end.died_of(libc::SIGABRT);
    assert_eq!(end.stderr, format!("coroutine 'inner' overflowed its stack of 256 KiB{HINT}"));
}

#[test]
fn overflow_of_a_member_of_a_group() {
    let _turn = turn();
    let end = Child::new().run("", |_| {
        let group = Group::new();
        let member = group.add(|_, _: u64| overflow());
        group.enter(member, 1).unwrap();
    });
    let end = end.died_of(libc::SIGABRT);
    assert_eq!(end.stderr, format!("a coroutine overflowed its stack of 256 KiB{HINT}"));
}

/// On the caller's memory it meets the caller's guard.
#[test]
fn overflow_of_the_callers_memory_is_a_fault() {
    let _turn = turn();
    let end = Child::new().run("", |_| {
        let builder = Coroutine::builder().stack(Mapped::new(16 * PAGE, 0, None));
        builder.build(|_: &Yielder<(), ()>, ()| overflow()).unwrap().resume(());
    });
    end.died_of(libc::SIGSEGV);
}
