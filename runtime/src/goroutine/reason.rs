//! Why goroutines wait.

/// Why a goroutine is parked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum WaitReason {
    /// It is not.
    None,
    Park,
    Sleep,
    Join,
    Scope,
    Blocking,
    Send,
    Receive,
    Select,
    Semaphore,
    Mutex,
    RwLock,
    Condvar,
    Future,
    Read,
    Write,
}

impl WaitReason {
    const NAMES: [(WaitReason, &'static str); 16] = [
        (WaitReason::None, "running"),
        (WaitReason::Park, "park"),
        (WaitReason::Sleep, "sleep"),
        (WaitReason::Join, "join"),
        (WaitReason::Scope, "scope"),
        (WaitReason::Blocking, "blocking call"),
        (WaitReason::Send, "send"),
        (WaitReason::Receive, "receive"),
        (WaitReason::Select, "select"),
        (WaitReason::Semaphore, "semaphore"),
        (WaitReason::Mutex, "mutex"),
        (WaitReason::RwLock, "rwlock"),
        (WaitReason::Condvar, "condvar"),
        (WaitReason::Future, "future"),
        (WaitReason::Read, "read"),
        (WaitReason::Write, "write"),
    ];

    pub(crate) fn name(self) -> &'static str {
        WaitReason::NAMES[self as usize].1
    }

    pub(super) fn of(value: u8) -> WaitReason {
        WaitReason::NAMES[usize::from(value)].0
    }
}
