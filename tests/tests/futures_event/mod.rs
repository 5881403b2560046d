//! Something that futures wait for, and wakers that count.

use std::future::{self, Future};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Wake, Waker};

/// Happens once. Keeps the waker of each poll until then.
#[derive(Clone, Default)]
pub(crate) struct Event(Arc<Mutex<(bool, Vec<Waker>)>>);

impl Event {
    pub(crate) fn new() -> Event {
        Event::default()
    }

    pub(crate) fn wait(&self) -> impl Future<Output = ()> + Send + use<> {
        let event = self.clone();
        future::poll_fn(move |context| {
            let mut state = event.0.lock().unwrap();
            if state.0 {
                return Poll::Ready(());
            }
            state.1.push(context.waker().clone());
            Poll::Pending
        })
    }

    pub(crate) fn set(&self) {
        self.0.lock().unwrap().0 = true;
        self.wakers().into_iter().for_each(Waker::wake);
    }

    /// How many wakers it keeps.
    pub(crate) fn waiting(&self) -> usize {
        self.0.lock().unwrap().1.len()
    }

    /// Those of the polls so far that were not taken before.
    pub(crate) fn wakers(&self) -> Vec<Waker> {
        std::mem::take(&mut self.0.lock().unwrap().1)
    }
}

/// A future's task, which only counts how often it is woken.
#[derive(Default)]
pub(crate) struct Task(AtomicUsize);

impl Task {
    pub(crate) fn new() -> Arc<Task> {
        Arc::default()
    }

    pub(crate) fn woken(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}
