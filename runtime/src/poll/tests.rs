//! Whoever waits for a source is woken when it is ready; under loom against every order of steps, and with real
//! descriptors.

use super::*;
use crate::ticket::{Cause, Listen, thread::ThreadParker};

/// Ends the park of a thread.
fn ready(runnable: Runnable) {
    // SAFETY: only threads park in these tests.
    unsafe { crate::ticket::thread::wake(runnable) };
}

const READABLE: Readiness = Readiness { readable: true, writable: false, restless: false };

/// What `crate::io` does: tries, waits while there is nothing, tries again, and wakes the next one.
fn call<T>(source: &Source, parker: &ThreadParker, mut attempt: impl FnMut() -> Option<T>) -> T {
    let mut turn = Turn::default();
    let value = loop {
        let seen = source.tick(Direction::Read);
        if let Some(value) = attempt() {
            break value;
        }
        let ticket = parker.parker.open(Listen::NONE);
        match source.enlist(Direction::Read, seen, &mut turn, ticket) {
            Enlisted::Changed => {}
            Enlisted::Waiting => assert_eq!(parker.block(None), Cause::Notified),
            Enlisted::Unregistered | Enlisted::Closed => panic!("it is registered and open"),
        }
    };
    if turn.was_taken() {
        source.pass_on(Direction::Read).into_iter().for_each(ready);
    }
    value
}

#[cfg(loom)]
mod models {
    use super::*;
    use crate::primitive::atomic::{AtomicUsize, Ordering};
    use loom::model::Builder;
    use loom::thread;

    /// A source with so many readers, of which each takes one of the things that come.
    fn model(readers: usize, come: fn(&Source, &AtomicUsize)) {
        let mut builder = Builder::new();
        builder.preemption_bound = Some(2);
        builder.check(move || {
            let source: &'static Source = Box::leak(Box::new(Source::new()));
            let things: &'static AtomicUsize = Box::leak(Box::new(AtomicUsize::new(0)));
            source.pretend_registered();
            let readers: Vec<_> = (0..readers)
                .map(|_| {
                    thread::spawn(move || {
                        let parker: &'static ThreadParker = ThreadParker::lease();
                        call(source, parker, || {
                            let take = |n: usize| n.checked_sub(1);
                            things.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).ok()
                        })
                    })
                })
                .collect();
            come(source, things);
            for reader in readers {
                reader.join().unwrap();
            }
        });
    }

    fn notice(source: &Source) {
        source.notice_as(0, READABLE, &mut ready);
    }

    /// A change comes before, between or after a reader's try and its wait.
    ///
    /// Fails when `enlist` does not compare the ticks, when `change` does not count, and when the tick is read
    /// after the try.
    #[test]
    fn loom_no_change_is_missed() {
        model(1, |source, things| {
            things.fetch_add(1, Ordering::SeqCst);
            notice(source);
        });
    }

    /// One change is enough for two readers.
    ///
    /// Fails when whoever was woken does not pass on, and when `crowded` is not set.
    #[test]
    fn loom_one_change_serves_two() {
        model(2, |source, things| {
            things.fetch_add(2, Ordering::SeqCst);
            notice(source);
        });
    }

    /// The second change comes while the first one is passed on.
    #[test]
    fn loom_two_changes_serve_two() {
        model(2, |source, things| {
            for _ in 0..2 {
                things.fetch_add(1, Ordering::SeqCst);
                notice(source);
            }
        });
    }
}

#[cfg(not(loom))]
mod real {
    use super::*;
    use std::io::{Read, Write};
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;
    use std::thread;
    use std::time::Instant;

    fn pair() -> (UnixStream, UnixStream) {
        let (left, right) = UnixStream::pair().unwrap();
        left.set_nonblocking(true).unwrap();
        (left, right)
    }

    fn read(source: &Source, mut stream: &UnixStream) -> u8 {
        let mut byte = [0];
        let attempt = || stream.read_exact(&mut byte).ok();
        call(source, ThreadParker::lease(), attempt);
        byte[0]
    }

    #[test]
    fn a_reader_is_woken_by_what_comes() {
        let poller = Poller::new().unwrap();
        let (stream, mut other) = pair();
        let source = Source::lease();
        source.register(stream.as_raw_fd(), poller.clone()).unwrap();
        assert!(poller.is_used());
        thread::scope(|s| {
            let reader = s.spawn(|| read(source, &stream));
            other.write_all(&[7]).unwrap();
            while !reader.is_finished() {
                poller.poll(Wait::For(Duration::from_millis(1)), || (), ready);
            }
            assert_eq!(reader.join().unwrap(), 7);
        });
        source.give_back(false);
        assert!(!poller.is_used());
    }

    #[test]
    fn a_wake_up_ends_one_wait() {
        let poller = Poller::new().unwrap();
        poller.wake();
        poller.poll(Wait::Forever, || (), |_| panic!("nobody waits"));
        let start = Instant::now();
        let limit = Duration::from_millis(5);
        poller.poll(Wait::For(limit), || (), |_| panic!("nobody waits"));
        assert!(start.elapsed() >= limit, "the wake-up was used up");
    }

    /// Fails when `poll_for_owner` does not pass the wake-up on.
    #[test]
    fn a_wake_up_is_not_lost_to_somebody_else() {
        let poller = Poller::new().unwrap();
        poller.wake();
        poller.poll_for_owner(|_| panic!("nobody waits"));
        poller.poll(Wait::Forever, || (), |_| panic!("nobody waits"));
    }

    /// Reports of a former lease are not the next one's.
    #[test]
    fn an_old_report_says_nothing() {
        let source = Box::leak(Box::new(Source::new()));
        source.pretend_registered();
        let before = source.tick(Direction::Read);
        source.notice_as(1, READABLE, &mut |_| panic!("nobody waits"));
        assert_eq!(source.tick(Direction::Read), before);
        source.notice_as(0, READABLE, &mut |_| panic!("nobody waits"));
        assert_ne!(source.tick(Direction::Read), before);
    }

    /// Whoever waits there registers elsewhere, also at the same poller again.
    #[test]
    fn a_poller_may_retire_and_come_back() {
        let poller = Poller::new().unwrap();
        let (stream, mut other) = pair();
        let source = Source::lease();
        source.register(stream.as_raw_fd(), poller.clone()).unwrap();
        let parker = ThreadParker::lease();
        let ticket = parker.parker.open(Listen::NONE);
        let seen = source.tick(Direction::Read);
        let enlisted = source.enlist(Direction::Read, seen, &mut Turn::default(), ticket);
        assert!(matches!(enlisted, Enlisted::Waiting));
        poller.retire(ready);
        assert_eq!(parker.block(None), Cause::Notified);
        let seen = source.tick(Direction::Read);
        let enlisted = source.enlist(Direction::Read, seen, &mut Turn::default(), ticket);
        assert!(matches!(enlisted, Enlisted::Unregistered));
        other.write_all(&[7]).unwrap();
        for poller in [poller, Poller::new().unwrap()] {
            source.register(stream.as_raw_fd(), poller.clone()).unwrap();
            let seen = source.tick(Direction::Read);
            poller.poll(Wait::For(Duration::from_secs(10)), || (), ready);
            assert_ne!(source.tick(Direction::Read), seen, "readiness is reported anew");
            poller.retire(ready);
        }
        source.give_back(false);
    }

    /// Who comes again takes the old place, and whoever left is passed over.
    #[test]
    fn the_line_is_in_order() {
        let source = Box::leak(Box::new(Source::new()));
        source.pretend_registered();
        let parkers = [(); 3].map(|()| ThreadParker::lease());
        let tickets = parkers.map(|parker| parker.parker.open(Listen::NONE));
        let mut turns = [Turn::default(); 3];
        let mut enlist = |who: usize, ticket| {
            let seen = source.tick(Direction::Read);
            let enlisted = source.enlist(Direction::Read, seen, &mut turns[who], ticket);
            assert!(matches!(enlisted, Enlisted::Waiting));
        };
        (0..3).for_each(|who| enlist(who, tickets[who]));
        let notice = || source.notice_as(0, READABLE, &mut ready);
        let cause = |who: usize| parkers[who].parker.cause();
        notice();
        assert_eq!([0, 1, 2].map(cause), [Some(Cause::Notified), None, None]);
        enlist(0, parkers[0].parker.open(Listen::NONE));
        source.forget(Direction::Read, tickets[1]);
        notice();
        assert_eq!([0, 1, 2].map(cause), [Some(Cause::Notified), None, None]);
        notice();
        assert_eq!([0, 1, 2].map(cause), [Some(Cause::Notified), None, Some(Cause::Notified)]);
    }

    /// Regular files cannot be polled.
    #[test]
    fn what_cannot_be_polled_is_refused() {
        let poller = Poller::new().unwrap();
        let file = std::fs::File::open("/proc/self/exe").unwrap();
        let source = Source::lease();
        let error = source.register(file.as_raw_fd(), poller.clone()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EPERM));
        assert!(!poller.is_used());
        source.give_back(false);
    }

    /// More than are reported at once.
    #[test]
    fn who_polls_for_the_owner_takes_all_there_is() {
        let poller = Poller::new().unwrap();
        let leases: Vec<_> = (0..200)
            .map(|_| {
                let (stream, other) = pair();
                let source = Source::lease();
                let before = source.tick(Direction::Write);
                source.register(stream.as_raw_fd(), poller.clone()).unwrap();
                (source, before, stream, other)
            })
            .collect();
        poller.wake();
        poller.poll_for_owner(ready);
        assert!(leases.iter().all(|(source, before, ..)| source.tick(Direction::Write) != *before));
        // The wake-up was passed on, or this would take for ever.
        assert_eq!(poller.poll(Wait::Forever, || (), ready), 0);
        leases.into_iter().for_each(|(source, ..)| source.give_back(false));
    }

    /// Writers and readers are told apart, and the end concerns both.
    #[test]
    fn directions_are_apart() {
        let poller = Poller::new().unwrap();
        let (stream, mut other) = pair();
        let source = Source::lease();
        source.register(stream.as_raw_fd(), poller.clone()).unwrap();
        let ticks = || Direction::BOTH.map(|direction| source.tick(direction));
        let poll = || poller.poll(Wait::For(Duration::from_secs(10)), || (), ready);
        let [read, _] = ticks();
        poll();
        assert_eq!(ticks()[0], read, "writable only");
        other.write_all(&[1]).unwrap();
        poll();
        assert_ne!(ticks()[0], read);
        let [read, write] = ticks();
        source.set_drained(read);
        assert!(source.is_drained(read));
        drop(other);
        poll();
        let [read_now, write_now] = ticks();
        assert!(read_now != read && write_now != write);
        source.set_drained(read_now);
        assert!(!source.is_drained(read_now), "after the end reads are tried");
        source.close().into_iter().for_each(ready);
        assert!(!poller.is_used(), "a closed one is not polled");
        source.give_back(false);
    }
}
