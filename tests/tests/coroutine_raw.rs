//! Raw contexts: `make`, `jump` and `ontop`.

use std::cell::{Cell, RefCell};
use std::hint::black_box;
use std::ptr::{self, NonNull};

use fibra::coroutine::raw::{self, Context, MIN_STACK, Transfer};
use fibra::coroutine::{Coroutine, Step};
use fibra_tests::child::Child;
use fibra_tests::{pinned, turn};

/// Memory for one context; dropped by whoever knows that the context has ended.
struct Memory(Vec<u128>);

impl Memory {
    fn new() -> Memory {
        Memory::of(64 << 10)
    }

    fn of(bytes: usize) -> Memory {
        Memory(vec![0; bytes / size_of::<u128>()])
    }

    fn make(&mut self, entry: raw::Entry) -> Context {
        let bytes = size_of_val(&self.0[..]);
        let start = NonNull::from(&mut self.0[..]).cast::<u8>();
        // SAFETY: the memory belongs to the context as long as the test keeps it, and the entry functions of
        // these tests take any word.
        unsafe { raw::make(NonNull::slice_from_raw_parts(start, bytes), entry) }
    }
}

fn word(n: usize) -> *mut () {
    ptr::without_provenance_mut(n)
}

/// Jumps to the other side of a transfer.
fn jump(transfer: Transfer, data: usize) -> Transfer {
    // SAFETY: every context of these tests is jumped to while its memory is there, on the test's own thread.
    unsafe { raw::jump(transfer.context.expect("the other side has not ended"), word(data)) }
}

fn start(context: Context, data: usize) -> Transfer {
    jump(Transfer { context: Some(context), data: ptr::null_mut() }, data)
}

#[test]
fn a_word_travels_both_ways() {
    fn add_one(mut transfer: Transfer) -> Transfer {
        while transfer.data.addr() < 1000 {
            let data = transfer.data.addr();
            transfer = jump(transfer, data + 1);
        }
        transfer
    }
    let mut memory = Memory::new();
    let kept: [usize; 16] = std::array::from_fn(|i| black_box(i * 3));
    let mut transfer = start(memory.make(add_one), 0);
    for n in 1..1000 {
        assert_eq!(transfer.data.addr(), n);
        transfer = jump(transfer, n);
    }
    let last = jump(transfer, 1000);
    assert_eq!(last.data.addr(), 1000);
    assert!(last.context.is_none(), "it has returned");
    assert_eq!(kept, std::array::from_fn(|i| i * 3), "registers survive");
}

/// What the contexts of a test share: its address is the word.
#[derive(Default)]
struct Shared {
    places: [Cell<Option<Context>>; 4],
    log: RefCell<Vec<usize>>,
}

impl Shared {
    fn of<'a>(transfer: &Transfer) -> &'a Shared {
        // SAFETY: the word is the address of one, which its test keeps until all contexts have ended.
        unsafe { &*transfer.data.cast::<Shared>() }
    }

    fn word(&self) -> *mut () {
        ptr::from_ref(self).cast_mut().cast()
    }

    /// Jumps to the context at a place.
    fn jump(&self, place: usize) -> Transfer {
        start(self.places[place].take().expect("it waits there"), self.word().addr())
    }
}

/// Nobody is the resumer: 0 → 1 → 2 → 3 → 0, twice around, then each ends in the next one.
#[test]
fn contexts_jump_in_a_ring_and_end_in_each_other() {
    fn station<const I: usize>(mut transfer: Transfer) -> Transfer {
        let shared = Shared::of(&transfer);
        for _ in 0..2 {
            shared.places[I - 1].set(transfer.context);
            shared.log.borrow_mut().push(I);
            transfer = shared.jump((I + 1) % 4);
        }
        shared.log.borrow_mut().push(I * 10);
        // Only who came from the test's own context gets one; the others' predecessors have ended.
        assert_eq!(transfer.context.is_some(), I == 1);
        shared.places[0].set(transfer.context.or(shared.places[0].take()));
        Transfer { context: shared.places[(I + 1) % 4].take(), data: transfer.data }
    }
    let [mut one, mut two, mut three] = [(); 3].map(|()| Memory::new());
    let shared = Shared::default();
    let entries: [raw::Entry; 3] = [station::<1>, station::<2>, station::<3>];
    for ((place, memory), entry) in (1..).zip([&mut one, &mut two, &mut three]).zip(entries) {
        shared.places[place].set(Some(memory.make(entry)));
    }
    for _ in 0..2 {
        shared.places[3].set(shared.jump(1).context);
    }
    assert!(shared.jump(1).context.is_none(), "all have ended");
    assert_eq!(*shared.log.borrow(), [1, 2, 3, 1, 2, 3, 10, 20, 30]);
}

/// Runs where the other side stopped, and what it returns arrives there.
#[test]
fn a_function_runs_on_top_of_a_context() {
    fn double(transfer: Transfer) -> Transfer {
        let local = 0u8;
        PLACE.set(ptr::from_ref(black_box(&local)).addr());
        Transfer { data: word(transfer.data.addr() * 2), ..transfer }
    }
    fn echo(mut transfer: Transfer) -> Transfer {
        while transfer.data.addr() != 0 {
            let data = transfer.data.addr();
            transfer = jump(transfer, data + 1);
        }
        transfer
    }
    thread_local!(static PLACE: Cell<usize> = const { Cell::new(0) });
    let mut memory = Memory::new();
    let there = memory.0.as_ptr_range();
    let there = there.start.addr()..there.end.addr();
    let ontop = |context: Context, data| {
        // SAFETY: as in `jump`; `double` takes any word.
        unsafe { raw::ontop(context, word(data), double) }
    };
    // Before it starts, while it waits, and as its last.
    let transfer = ontop(memory.make(echo), 10);
    assert!(there.contains(&PLACE.replace(0)), "on the stack of the other one");
    assert_eq!(transfer.data.addr(), 21);
    let transfer = ontop(transfer.context.unwrap(), 100);
    assert!(there.contains(&PLACE.replace(0)), "on the stack of the other one");
    assert_eq!(transfer.data.addr(), 201);
    let last = ontop(transfer.context.unwrap(), 0);
    assert!(last.context.is_none());
}

/// The function may keep the context that it came from, and have its own one go on instead.
#[test]
fn a_function_on_top_changes_who_is_told() {
    fn hide(transfer: Transfer) -> Transfer {
        let shared = Shared::of(&transfer);
        shared.places[0].set(transfer.context);
        Transfer { context: None, data: transfer.data }
    }
    fn entry(transfer: Transfer) -> Transfer {
        assert!(transfer.context.is_none());
        Transfer { context: Shared::of(&transfer).places[0].take(), data: word(3) }
    }
    let shared = Shared::default();
    let mut memory = Memory::new();
    // SAFETY: as in `jump`; `hide` gets the word that it wants.
    let last = unsafe { raw::ontop(memory.make(entry), shared.word(), hide) };
    assert_eq!(last.data.addr(), 3);
}

#[test]
fn a_backtrace_ends_at_the_root() {
    #[inline(never)]
    fn marked_frame() {
        let trace = std::backtrace::Backtrace::force_capture().to_string();
        for frame in ["marked_frame", "enter"] {
            assert!(trace.contains(frame), "{trace}");
        }
        let last = trace.lines().rfind(|line| !line.trim_start().starts_with("at ")).unwrap();
        assert!(last.contains("fibra_context_root"), "{trace}");
    }
    fn entry(transfer: Transfer) -> Transfer {
        marked_frame();
        let transfer = jump(transfer, 0);
        marked_frame();
        transfer
    }
    fn on_top(transfer: Transfer) -> Transfer {
        marked_frame_on_top();
        transfer
    }
    #[inline(never)]
    fn marked_frame_on_top() {
        let trace = std::backtrace::Backtrace::force_capture().to_string();
        let at = |frame| trace.find(frame).unwrap_or_else(|| panic!("no {frame}: {trace}"));
        assert!(at("marked_frame_on_top") < at("fibra_context_on_top"), "{trace}");
        assert!(at("fibra_context_on_top") < at("entry"), "{trace}");
        assert!(at("entry") < at("fibra_context_root"), "{trace}");
    }
    let mut memory = Memory::of(1 << 20);
    let waiting = start(memory.make(entry), 0).context.unwrap();
    // SAFETY: as in `jump`; the function takes any word.
    let last = unsafe { raw::ontop(waiting, word(0), on_top) };
    assert!(last.context.is_none());
}

/// Contexts go together with coroutines and goroutines: what parks is the goroutine, whatever stack it is on.
#[test]
fn a_goroutine_parks_on_the_stack_of_a_context() {
    fn entry(mut transfer: Transfer) -> Transfer {
        for n in 1..10 {
            fibra::yield_now();
            let mut inner = Coroutine::new(|y, n: usize| y.suspend(n * n));
            assert_eq!(inner.resume(n), Step::Yielded(n * n));
            fibra::yield_now();
            transfer = jump(transfer, n);
        }
        transfer
    }
    // Contexts stay on their thread.
    pinned(|setup| {
        setup.run(|| {
            fibra::scope(|s| {
                for _ in 0..10 {
                    s.go(|| {
                        let mut memory = Memory::of(1 << 18);
                        let mut transfer = start(memory.make(entry), 0);
                        for n in 1..10 {
                            assert_eq!(transfer.data.addr(), n);
                            fibra::yield_now();
                            transfer = jump(transfer, 0);
                        }
                        assert!(transfer.context.is_none());
                    });
                }
            });
        });
    });
}

#[test]
#[should_panic(expected = "a context takes 2048 bytes at least")]
fn too_little_memory() {
    let _ = Memory::of(MIN_STACK - 16).make(|transfer| transfer);
}

#[test]
fn little_memory_is_enough() {
    let mut memory = Memory::of(MIN_STACK);
    let last = start(memory.make(|transfer| jump(transfer, 1)), 0);
    assert!(jump(last, 2).context.is_none());
}

#[test]
fn returning_without_a_successor_ends_the_process() {
    let _turn = turn();
    let end = Child::new().run("", |_| {
        let mut memory = Memory::new();
        start(memory.make(|transfer| Transfer { context: None, ..transfer }), 0);
        unreachable!("nobody comes back");
    });
    let end = end.died_of(libc::SIGABRT);
    let said =
        "fibra: the entry function of a raw context returned without a context to go on with\n";
    assert_eq!(end.stderr, said, "{end}");
}

#[test]
fn a_panic_ends_the_process() {
    let _turn = turn();
    for place in ["entry", "on top"] {
        let end = Child::new().run(place, |place| {
            fn entry(transfer: Transfer) -> Transfer {
                if transfer.data.is_null() {
                    panic!("in a context");
                }
                jump(transfer, 0)
            }
            let mut memory = Memory::of(1 << 20);
            if place == "entry" {
                start(memory.make(entry), 0);
            } else {
                let context = start(memory.make(entry), 1).context.unwrap();
                // SAFETY: as in `jump`; the function takes any word.
                unsafe { raw::ontop(context, word(0), |_| panic!("in a context")) };
            }
        });
        let end = end.died_of(libc::SIGABRT);
        assert!(end.stderr.contains("in a context"), "{end}");
        assert!(end.stderr.contains("cannot unwind"), "{end}");
    }
}

/// A new context inherits the environment of who made it, and each keeps its own.
#[cfg(feature = "fp-env")]
#[test]
fn floating_point_environment() {
    use std::arch::asm;
    fn get() -> (u32, u16) {
        let (mut mxcsr, mut x87) = (0u32, 0u16);
        // SAFETY: stores two control registers.
        unsafe {
            asm!("stmxcsr [{}]", "fnstcw [{}]", in(reg) &raw mut mxcsr, in(reg) &raw mut x87,
                 options(nostack));
        }
        (mxcsr, x87)
    }
    fn set((mxcsr, x87): (u32, u16)) {
        // SAFETY: the test does no arithmetic before it sets them back.
        unsafe {
            asm!("ldmxcsr [{}]", "fldcw [{}]", in(reg) &raw const mxcsr, in(reg) &raw const x87,
                 options(nostack));
        }
    }
    const ROUND_UP: (u32, u16) = (0x5f80, 0x0b7f);
    const ROUND_DOWN: (u32, u16) = (0x3f80, 0x077f);
    fn entry(transfer: Transfer) -> Transfer {
        assert_eq!(get(), ROUND_DOWN, "that of whoever made it");
        set(ROUND_UP);
        let transfer = jump(transfer, 0);
        assert_eq!(get(), ROUND_UP);
        transfer
    }
    fn on_top(transfer: Transfer) -> Transfer {
        assert_eq!(get(), ROUND_UP, "that of the context");
        transfer
    }
    let before = get();
    let mut memory = Memory::new();
    set(ROUND_DOWN);
    let context = memory.make(entry);
    set(before);
    let transfer = start(context, 0);
    assert_eq!(get(), before);
    // SAFETY: as in `jump`; the function takes any word.
    unsafe { raw::ontop(transfer.context.unwrap(), word(0), on_top) };
    assert_eq!(get(), before);
}
