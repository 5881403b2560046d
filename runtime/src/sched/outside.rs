//! The poller of those who have no worker: plain threads that wait for sockets. A thread of its own sleeps in it,
//! started with the first such wait and there for ever; while nothing happens it does nothing.

use super::{policy, ready};
use crate::poll::{Poller, Wait};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

static POLLER: Mutex<Option<Arc<Poller>>> = Mutex::new(None);

/// # Errors
/// When there are no descriptors left, or no thread can be started.
pub(super) fn poller() -> io::Result<Arc<Poller>> {
    let mut slot = POLLER.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(poller) = &*slot {
        return Ok(poller.clone());
    }
    let poller = Poller::new()?;
    let serve = {
        let poller = poller.clone();
        move || loop {
            poller.poll(Wait::Forever, || (), ready);
        }
    };
    policy::start_thread("fibra-poller".into(), serve)?;
    Ok(slot.insert(poller).clone())
}
