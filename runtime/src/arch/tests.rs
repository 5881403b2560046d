use super::{Context, Pair, Word, resume, suspend, system_call};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::ptr;

fn word(number: usize) -> Word {
    Word::new(ptr::without_provenance_mut(number))
}

/// # Safety
/// [`word`] made it.
unsafe fn number(word: Word) -> usize {
    // SAFETY: by the contract above.
    unsafe { word.assume_init() }.addr()
}

unsafe extern "sysv64" fn echo(first: Word, argument: usize) -> ! {
    let (mut came, mut pair) = (first, argument as *mut Pair);
    loop {
        // SAFETY: this runs on the test's coroutine, whose pair was passed as the argument. The test sends numbers.
        (came, pair) = unsafe { suspend(pair, word(number(came) + 1)) };
    }
}

#[test]
fn a_word_travels_both_ways_and_registers_survive() {
    let mut stack = vec![0u128; 4096];
    let top = stack.as_mut_ptr_range().end.cast::<u8>();
    let mut place = Box::<Pair>::new_uninit();
    let mut pair = place.as_mut_ptr();
    // SAFETY: a place for a pair that lives until the end of the test.
    unsafe { pair.write(Pair::new(Context::new(top, echo, pair as usize))) };
    let kept: [usize; 8] = std::array::from_fn(|i| std::hint::black_box(i * 3));
    let mut sum = 0;
    for i in 0..1000 {
        let came;
        // SAFETY: the own context was made by `Context::new`, then filled by `echo`; the vector's memory
        // is that stack, and only this thread runs on it.
        (came, pair) = unsafe { resume(pair, word(i)) };
        // SAFETY: that is what `echo` sends.
        sum += unsafe { number(came) };
    }
    assert_eq!(sum, (1..=1000).sum());
    assert_eq!(kept, std::array::from_fn(|i| i * 3));
    assert_eq!(pair, place.as_mut_ptr());
}

#[test]
fn a_system_call_takes_six_arguments_and_gives_errors() {
    // A byte of this program into a pipe: source and offset, destination and offset, length, flags.
    let mut offset = 3_i64;
    let source = std::env::current_exe().and_then(File::open).unwrap();
    let copy = |fd: i32, offset: &mut i64, flags| {
        let offset = ptr::from_mut(offset).expose_provenance();
        let arguments = [source.as_raw_fd() as usize, offset, fd as usize, 0, 1, flags];
        // SAFETY: the kernel reads the descriptors, and reads and writes the offset, which is a local variable.
        unsafe { system_call(libc::SYS_splice, arguments) }
    };
    let (mut reader, writer) = std::io::pipe().unwrap();
    assert_eq!(copy(writer.as_raw_fd(), &mut offset, 0).unwrap(), 1);
    assert_eq!(offset, 4);
    let mut byte = [0];
    std::io::Read::read_exact(&mut reader, &mut byte).unwrap();
    assert_eq!(&byte, b"F", "the fourth byte of an ELF file");
    let error = copy(-1, &mut offset, 0).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EBADF));
    let error = copy(writer.as_raw_fd(), &mut offset, usize::MAX).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
}
