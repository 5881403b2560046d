//! What a coroutine is doing, why it stopped, and why it cannot be resumed.

use std::fmt;

/// What a [`Coroutine`](super::Coroutine) is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It has not started, or stopped in [`Yielder::suspend`](super::Yielder::suspend); it can be resumed.
    Suspended,
    /// Its code is being executed.
    Running,
    /// It is active but has resumed another coroutine, and waits for that one.
    Normal,
    /// It returned or panicked, or was closed.
    Dead,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Status::Suspended => "suspended",
            Status::Running => "running",
            Status::Normal => "normal",
            Status::Dead => "dead",
        })
    }
}

/// Why [`Coroutine::resume`](super::Coroutine::resume) came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<Yield, Out> {
    /// It suspended itself with this value.
    Yielded(Yield),
    /// It returned this value and is dead.
    Returned(Out),
}

impl<Yield, Out> Step<Yield, Out> {
    /// What it suspended with.
    #[inline]
    pub fn yielded(self) -> Option<Yield> {
        match self {
            Step::Yielded(value) => Some(value),
            Step::Returned(_) => None,
        }
    }

    /// What it returned.
    #[inline]
    pub fn returned(self) -> Option<Out> {
        match self {
            Step::Yielded(_) => None,
            Step::Returned(value) => Some(value),
        }
    }
}

impl<T> Step<T, T> {
    /// The value, whichever way it came.
    #[inline]
    pub fn into_value(self) -> T {
        match self {
            Step::Yielded(value) | Step::Returned(value) => value,
        }
    }
}

/// The coroutine could not be resumed; the input is handed back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResumeError<In> {
    /// It has returned or panicked, or was closed.
    Dead(In),
    /// It is running: this is a resume from inside itself.
    Running(In),
    /// It is active, but waits for a coroutine that it has resumed itself, or for what its goroutine waits for.
    Normal(In),
    /// It is suspended, but another one is active on the [shared stack](super::SharedStack) that it needs.
    StackInUse(In),
}

impl<In> ResumeError<In> {
    /// The input that was not used.
    pub fn into_input(self) -> In {
        match self {
            ResumeError::Dead(input)
            | ResumeError::Running(input)
            | ResumeError::Normal(input)
            | ResumeError::StackInUse(input) => input,
        }
    }

    /// The status that stood in the way; `Suspended` if it was not the status.
    pub fn status(&self) -> Status {
        match self {
            ResumeError::Dead(_) => Status::Dead,
            ResumeError::Running(_) => Status::Running,
            ResumeError::Normal(_) => Status::Normal,
            ResumeError::StackInUse(_) => Status::Suspended,
        }
    }

    /// The input back, unless such a coroutine can be resumed.
    pub(super) fn unless_suspended(status: Status, input: In) -> Result<In, ResumeError<In>> {
        match status {
            Status::Suspended => Ok(input),
            Status::Running => Err(ResumeError::Running(input)),
            Status::Normal => Err(ResumeError::Normal(input)),
            Status::Dead => Err(ResumeError::Dead(input)),
        }
    }
}

impl<In> fmt::Display for ResumeError<In> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ResumeError::Dead(_) => "cannot resume a dead coroutine",
            ResumeError::Running(_) => "cannot resume a coroutine from inside itself",
            ResumeError::Normal(_) => "cannot resume a coroutine that waits for another one",
            ResumeError::StackInUse(_) => {
                "cannot resume a coroutine while another one is active on its shared stack"
            }
        })
    }
}

impl<In: fmt::Debug> std::error::Error for ResumeError<In> {}
