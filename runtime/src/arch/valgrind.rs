//! Tells Valgrind about stacks (feature `valgrind`); otherwise nothing, at no cost.
//!
//! Valgrind sees a stack pointer that moves. From that it concludes which memory below it is dead and which frame
//! is new, and reports accesses that it takes for wrong; so it must know that a move from one stack to another
//! is none within one stack. A request to it is an instruction sequence without an effect, with the address of
//! the arguments in rax: outside Valgrind that costs a few cycles (`valgrind/valgrind.h`, which allows the use of
//! this interface under any licence).
//!
//! What is registered: the pool's stacks when their memory is first handed out, and memory that somebody else
//! provides as long as a coroutine or context is on it. A stack of the pool is never unmapped nor used as anything else,
//! so it need not be taken back: to be registered says where a stack is, not that anybody runs there.

/// The number of a registered stack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StackId(#[cfg(feature = "valgrind")] usize);

#[cfg(feature = "valgrind")]
mod imp {
    use super::StackId;
    use std::arch::asm;

    const STACK_REGISTER: usize = 0x1501;
    const STACK_DEREGISTER: usize = 0x1502;
    /// Of memcheck; the other tools ignore it.
    const MAKE_MEM_UNDEFINED: usize = ((b'M' as usize) << 24 | (b'C' as usize) << 16) + 1;

    /// The answer, or 0 outside Valgrind.
    fn request(request: usize, arguments: [usize; 2]) -> usize {
        let words = [request, arguments[0], arguments[1], 0, 0, 0];
        let mut answer = 0usize;
        // SAFETY: the rotations add up to 128 bits, so rdi is what it was. Valgrind reads the words and writes rdx.
        unsafe {
            asm!(
                "rol rdi, 3",
                "rol rdi, 13",
                "rol rdi, 61",
                "rol rdi, 51",
                "xchg rbx, rbx",
                in("rax") &raw const words,
                inout("rdx") answer,
                options(nostack),
            );
        }
        answer
    }

    pub(crate) fn register_stack(limit: *const u8, top: *const u8) -> StackId {
        StackId(request(STACK_REGISTER, [limit.expose_provenance(), top.expose_provenance()]))
    }

    pub(crate) fn deregister_stack(stack: StackId) {
        request(STACK_DEREGISTER, [stack.0, 0]);
    }

    pub(crate) fn make_undefined(start: *const u8, bytes: usize) {
        request(MAKE_MEM_UNDEFINED, [start.expose_provenance(), bytes]);
    }
}

#[cfg(not(feature = "valgrind"))]
mod imp {
    use super::StackId;

    #[inline(always)]
    pub(crate) fn register_stack(_: *const u8, _: *const u8) -> StackId {
        StackId()
    }

    #[inline(always)]
    pub(crate) fn deregister_stack(_: StackId) {}

    #[inline(always)]
    pub(crate) fn make_undefined(_: *const u8, _: usize) {}
}

/// There is a stack from `limit` up to `top`.
pub(crate) use imp::register_stack;

/// It is no stack any more.
pub(crate) use imp::deregister_stack;

/// The memory may be written to, and holds nothing: whatever the stack pointer did before.
pub(crate) use imp::make_undefined;
