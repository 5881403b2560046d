//! What other threads see of a worker, and where they leave things for it.

use super::Shared;
use super::away::Away;
use super::census::Tally;
use super::deque::{Batch, Deque};
use super::event::Sleeper;
use super::inbox::Inbox;
use super::pull;
use crate::goroutine::{Affinity, GoroutineRef, Header};
use crate::poll::Poller;
use crate::primitive::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};
use crate::primitive::{Condvar, MODELLED, Mutex};
use crate::ticket::{Runnable, Ticket};
use crate::timer::{Key, Timers};
use crossbeam_utils::CachePadded;
use std::fs::File;
use std::io;
use std::mem::{MaybeUninit, offset_of};
use std::os::unix::fs::FileExt;
use std::ptr;
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

/// So little work is left to its worker for a moment.
const FEW: usize = 2;

/// What the system tells of a thread.
#[derive(Debug)]
struct ObservedThread {
    id: libc::pid_t,
    cpu_clock: libc::clockid_t,
    /// Kept open: opened at each look it might be the program's last descriptor. Without it the thread counts as
    /// blocked.
    stat: Option<File>,
}

impl ObservedThread {
    fn current() -> ObservedThread {
        let mut cpu_clock = libc::CLOCK_MONOTONIC;
        // SAFETY: asks for the clock of the calling thread and writes it to a local variable. If there is
        // none, the thread counts as running all the time.
        unsafe { libc::pthread_getcpuclockid(libc::pthread_self(), &mut cpu_clock) };
        // SAFETY: it has no preconditions.
        let id = unsafe { libc::gettid() };
        ObservedThread { id, cpu_clock, stat: File::open("/proc/thread-self/stat").ok() }
    }

    fn is_blocked(&self) -> bool {
        // Number, name of 15 bytes at most, and the state: far less than this.
        let mut stat = [0; 64];
        let stat = match &self.stat {
            Some(file) => file.read_at(&mut stat, 0).map_or(&[][..], |length| &stat[..length]),
            None => &[],
        };
        // The state stands behind the name, which is in parentheses and may hold any character. What follows is numbers.
        let end_of_name = stat.iter().rposition(|&byte| byte == b')');
        end_of_name.and_then(|end| stat.get(end + 2)) != Some(&b'R')
    }

    fn cpu_time(&self) -> Duration {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: writes to a local variable. The clock of a thread that has ended is an error, which
        // leaves zero.
        unsafe { libc::clock_gettime(self.cpu_clock, &mut time) };
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    }
}

/// What its worker writes at each switch comes first, in one cache line; what nobody changes has the next one.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Station {
    /// What runs, for the monitor; null in the worker's loop.
    pub(super) running: AtomicPtr<Header>,
    /// Counts the times that a goroutine was resumed.
    pub(super) epoch: AtomicU64,
    /// Started, unfinished goroutines that stay here.
    pub(super) residents: AtomicU32,
    /// What runs has had its time slice: it yields at its next checkpoint.
    pub(super) overdue: AtomicBool,
    /// Enough other workers make progress: it takes no fresh goroutines, and ends with its last resident.
    pub(super) surplus: AtomicBool,
    /// The worker has not decided to end.
    active: AtomicBool,
    /// False: there are no timers. Set by whoever inserts one, cleared by whoever finds none left, both under the lock.
    /// One who is not the worker wakes it then: `Sleeper::claim` and `prepare` have the fences by which the worker
    /// either sees the timer before it sleeps, or is woken.
    may_have_timers: AtomicBool,
    /// The worker polls or gives way.
    pub(super) away: Away,
    _apart: MaybeUninit<[u8; 28]>,
    /// Where the worker sleeps; made for the first one here.
    poller: OnceLock<Arc<Poller>>,
    pub(super) index: usize,
    runtime: Weak<Shared>,
    /// Residents that other threads made ready.
    pub(super) inbox: CachePadded<Inbox<GoroutineRef>>,
    /// Fresh goroutines.
    pub(super) fresh: Deque<GoroutineRef>,
    /// Ready migratable goroutines.
    pub(super) ready: Deque<GoroutineRef>,
    /// Migratable goroutines that have used up a time slice.
    pub(super) hogs: Deque<GoroutineRef>,
    pub(super) sleeper: Sleeper,
    pub(super) tally: Tally,
    /// Deadlines of goroutines that parked here. Under a lock because a migratable one may go on, and
    /// cancel its deadline, elsewhere.
    timers: Mutex<Timers>,
    /// The latest worker's thread.
    thread: Mutex<Option<ObservedThread>>,
    /// It is there.
    thread_started: Condvar,
    /// Whether there is a worker. Changed under the lock.
    occupied: Mutex<bool>,
}

const _: () = assert!(offset_of!(Station, poller) == 64 || MODELLED);

impl Station {
    pub(super) fn new(runtime: Weak<Shared>, index: usize) -> Station {
        Station {
            running: AtomicPtr::new(ptr::null_mut()),
            epoch: AtomicU64::new(0),
            residents: AtomicU32::new(0),
            overdue: AtomicBool::new(false),
            surplus: AtomicBool::new(false),
            active: AtomicBool::new(false),
            may_have_timers: AtomicBool::new(false),
            away: Away::new(),
            _apart: MaybeUninit::uninit(),
            poller: OnceLock::new(),
            index,
            runtime,
            inbox: CachePadded::new(Inbox::new()),
            fresh: Deque::new(),
            ready: Deque::new(),
            hogs: Deque::new(),
            sleeper: Sleeper::new(),
            tally: Tally::new(),
            timers: Mutex::new(Timers::default()),
            thread: Mutex::new(None),
            thread_started: Condvar::new(),
            occupied: Mutex::new(false),
        }
    }

    /// Before its first worker.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub(super) fn prepare_poller(&self) -> io::Result<()> {
        if self.poller.get().is_none() {
            let poller = Poller::new()?;
            // If somebody else was faster, his is as good.
            let _ = self.poller.set(poller);
        }
        Ok(())
    }

    /// Of a station that has had a worker.
    #[inline]
    pub(super) fn poller(&self) -> &Arc<Poller> {
        match self.poller.get() {
            Some(poller) => poller,
            None => unreachable!("made before the first worker"),
        }
    }

    /// Wakes the worker if it sleeps or is about to.
    #[inline]
    pub(super) fn wake(&self) {
        if self.sleeper.claim() {
            self.poller().wake();
        }
    }

    /// Becomes the station of a new worker; false if it has one.
    pub(super) fn occupy(&self) -> bool {
        let mut occupied = self.occupied.lock();
        if *occupied {
            return false;
        }
        *occupied = true;
        self.surplus.store(false, Ordering::Relaxed);
        self.active.store(true, Ordering::Relaxed);
        true
    }

    /// The worker is gone.
    pub(super) fn vacate(&self) {
        let mut occupied = self.occupied.lock();
        self.active.store(false, Ordering::Relaxed);
        *occupied = false;
    }

    /// The worker wants to end although the runtime goes on. `may` looks whether it still does, under
    /// the lock that [`is_deserted`](Self::is_deserted) takes: either that one sees the station deserted
    /// and everything that parked here, or it was called before, and `may` sees the shutdown.
    pub(super) fn desert(&self, may: impl FnOnce() -> bool) -> bool {
        let _occupied = self.occupied.lock();
        let may = may();
        if may {
            self.active.store(false, Ordering::Relaxed);
        }
        may
    }

    /// Whether it has had a worker that has ended.
    pub(super) fn is_deserted(&self) -> bool {
        let _occupied = self.occupied.lock();
        !self.is_active()
    }

    /// The calling thread is the worker from now on.
    pub(super) fn note_thread(&self) {
        *self.thread.lock() = Some(ObservedThread::current());
        self.thread_started.notify_all();
    }

    /// Waits until the worker has taken all the descriptors that it needs.
    pub(super) fn wait_for_thread(&self) {
        let mut thread = self.thread.lock();
        while thread.is_none() {
            thread = self.thread_started.wait(thread);
        }
    }

    /// The worker's thread, which most likely waits for a processor, is to run on the caller's one next.
    pub(super) fn pull_thread(&self) {
        // Meanwhile it starts no threads (but for handlers of signals), which would inherit its affinity. Nor does it end, so
        // that its number stays its own.
        self.away.hold(|| {
            if let Some(thread) = &*self.thread.lock() {
                pull::pull(thread.id);
            }
        });
    }

    /// Whether the worker's thread waits for something else than a processor.
    pub(super) fn is_blocked(&self) -> bool {
        self.thread.lock().as_ref().is_none_or(ObservedThread::is_blocked)
    }

    /// CPU time that the worker has used.
    pub(super) fn cpu_time(&self) -> Duration {
        self.thread.lock().as_ref().map_or(Duration::ZERO, ObservedThread::cpu_time)
    }

    /// Whether it has a worker.
    pub(super) fn is_active(&self) -> bool {
        self.active.load(Ordering::Relaxed)
    }

    pub(super) fn is_surplus(&self) -> bool {
        self.surplus.load(Ordering::Relaxed)
    }

    /// Whether it has a worker that is not one too many.
    pub(super) fn is_regular(&self) -> bool {
        self.is_active() && !self.is_surplus()
    }

    /// Whether its worker has nothing to do, as far as others can see.
    pub(super) fn is_idle(&self) -> bool {
        self.is_active() && self.running.load(Ordering::Relaxed).is_null() && self.inbox.is_empty()
    }

    /// Whether its worker runs nobody and has not since that epoch.
    pub(super) fn has_run_nobody_since(&self, epoch: u64) -> bool {
        self.epoch.load(Ordering::Relaxed) == epoch
            && self.running.load(Ordering::Relaxed).is_null()
    }

    /// The same, although there are reports that its worker does not fetch.
    pub(super) fn waits_for_processor(&self, epoch: u64) -> bool {
        self.has_run_nobody_since(epoch)
            && self.is_active()
            && self.poller().is_used()
            && self.poller().has_reports()
            // It may have fetched them while the system was asked for them.
            && self.has_run_nobody_since(epoch)
    }

    /// How many residents it has and may get: those that started, and what it has to start. As far as the caller can see.
    pub(super) fn load(&self) -> usize {
        self.residents.load(Ordering::Relaxed) as usize + self.fresh.len()
    }

    /// How much there is to steal, as far as the caller can see.
    pub(super) fn spare_work(&self) -> usize {
        self.fresh.len() + self.ready.len() + self.hogs.len()
    }

    /// Whether that is so little that it is best left to its worker, if that one goes on.
    #[cold]
    pub(super) fn has_little(&self) -> bool {
        self.spare_work() <= FEW
    }

    /// Whether there is something to steal.
    pub(super) fn has_spare_work(&self) -> bool {
        !self.fresh.is_empty() || !self.ready.is_empty() || !self.hogs.is_empty()
    }

    /// The same, ordered with pushes after what the caller has done: see `Deque::is_surely_empty`.
    pub(super) fn surely_has_spare_work(&self) -> bool {
        [&self.fresh, &self.ready, &self.hogs].into_iter().any(|queue| !queue.is_surely_empty())
    }

    /// One of those that could be stolen.
    pub(super) fn pop_spare(&self) -> Option<GoroutineRef> {
        [&self.fresh, &self.ready, &self.hogs].into_iter().find_map(Deque::pop_oldest)
    }

    /// Takes the oldest for a worker that has none, and gives it some of the next ones, too.
    pub(super) fn steal_for(&self, thief: &Station) -> Option<GoroutineRef> {
        steal(&self.ready, &thief.ready)
            .or_else(|| steal(&self.fresh, &thief.fresh))
            .or_else(|| steal(&self.hogs, &thief.hogs))
    }

    pub(crate) fn insert_timer(&self, deadline: Instant, ticket: Ticket) -> Key {
        let mut timers = self.timers.lock();
        self.may_have_timers.store(true, Ordering::Relaxed);
        timers.insert(deadline, ticket)
    }

    pub(crate) fn cancel_timer(&self, key: Key) {
        self.timers.lock().cancel(key);
    }

    /// When a timer is due next. For the worker.
    #[inline]
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        if self.may_have_timers.load(Ordering::Relaxed) { self.next_of_timers() } else { None }
    }

    #[inline(never)]
    fn next_of_timers(&self) -> Option<Instant> {
        self.timers.lock().next_deadline()
    }

    /// Takes out the deadlines that have passed; what that ends goes to `ready`, without a lock held. A timer that
    /// another thread has just put in may be missed.
    #[inline]
    pub(super) fn expire_timers(&self, ready: impl FnMut(Runnable)) {
        if self.may_have_timers.load(Ordering::Relaxed) {
            self.expire_some(ready);
        }
    }

    #[inline(never)]
    fn expire_some(&self, ready: impl FnMut(Runnable)) {
        let mut timers = self.timers.lock();
        if timers.next_deadline().is_none() {
            self.may_have_timers.store(false, Ordering::Relaxed);
            return;
        }
        let mut due = Vec::new();
        timers.expire(Instant::now(), |runnable| due.push(runnable));
        drop(timers);
        due.into_iter().for_each(ready);
    }

    /// In the place of the worker, which does not come to it: what is due, and what has become ready. Whether
    /// anybody who has started waits for the worker.
    pub(super) fn serve(&self) -> bool {
        self.expire_timers(super::ready);
        if self.poller().is_used() {
            self.poller().poll_for_owner(super::ready);
        }
        !self.inbox.is_empty() || !self.ready.is_empty()
    }

    /// Whether residents may become ready by a timer or a socket.
    pub(super) fn may_keep_waiting(&self) -> bool {
        self.poller().is_used() || self.next_of_timers().is_some()
    }

    pub(super) fn belongs_to(&self, shared: &Arc<Shared>) -> bool {
        ptr::eq(self.runtime.as_ptr(), Arc::as_ptr(shared))
    }

    /// Makes a parked goroutine of this station runnable; the caller is no worker of its runtime.
    pub(super) fn ready_from_outside(&self, goroutine: GoroutineRef) {
        // Counted, because the runtime may be over as soon as the goroutine can run.
        let Some(shared) = self.runtime.upgrade() else {
            unreachable!("a runtime with a parked goroutine goes on")
        };
        match goroutine.affinity() {
            Affinity::Worker => shared.hand_over(self, goroutine),
            Affinity::Any => {
                shared.injector.push(goroutine);
                shared.notify();
            }
        }
    }
}

/// Not inlined: it has a large frame.
#[inline(never)]
fn steal(from: &Deque<GoroutineRef>, to: &Deque<GoroutineRef>) -> Option<GoroutineRef> {
    let mut batch = Batch::new();
    from.steal(&mut batch);
    let (&first, rest) = batch.split_first()?;
    if !rest.is_empty() {
        to.push_all(rest.iter().copied());
    }
    Some(first)
}
