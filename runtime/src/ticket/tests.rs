use super::*;

#[cfg(not(loom))]
mod states {
    use super::*;

    fn parker() -> &'static Parker {
        Box::leak(Box::new(Parker::new(Kind::Thread)))
    }

    #[test]
    fn one_claim_wins_and_the_second_to_come_makes_it_runnable() {
        let p = parker();
        let early = p.open(Listen::NONE);
        assert_eq!(early.claim(Cause::Notified), Claim::Early);
        assert_eq!(early.claim(Cause::Timeout), Claim::Lost);
        assert_eq!(p.settle(), Settled::Ended(Cause::Notified));

        let late = p.open(Listen::NONE);
        assert_eq!(p.settle(), Settled::Parked);
        assert_eq!(early.claim(Cause::Notified), Claim::Lost, "a stale ticket");
        assert!(matches!(late.claim(Cause::Timeout), Claim::Won(_)));
        assert_eq!(p.cause(), Some(Cause::Timeout));
    }

    #[test]
    fn a_request_waits_for_a_park_that_listens() {
        let p = parker();
        assert_eq!(p.request(Request::Cancel), Claim::Lost);
        let deaf = p.open(Listen::NONE);
        assert_eq!(p.settle(), Settled::Parked);
        assert_eq!(p.request(Request::Unpark), Claim::Lost);
        assert!(matches!(deaf.claim(Cause::Notified), Claim::Won(_)));
        p.open(Listen::UNPARK);
        assert_eq!(p.settle(), Settled::Ended(Cause::Notified));
        assert!(p.take(Request::Unpark) && !p.take(Request::Unpark));
        p.open(Listen::CANCEL.and(Listen::UNPARK));
        assert_eq!(p.settle(), Settled::Ended(Cause::Cancelled));
        p.reuse();
        assert!(!p.requested(Request::Cancel));
    }

    #[test]
    fn a_request_ends_a_park_that_is_open() {
        let p = parker();
        p.open(Listen::CANCEL);
        assert_eq!(p.request(Request::Cancel), Claim::Early);
        assert_eq!(p.settle(), Settled::Ended(Cause::Cancelled));
        p.reuse();
        p.open(Listen::CANCEL);
        assert_eq!(p.settle(), Settled::Parked);
        assert!(matches!(p.request(Request::Cancel), Claim::Won(_)));
    }

    #[test]
    fn whoever_is_parked_in_advance_is_made_runnable_by_every_claim() {
        let p = parker();
        let early = p.open_parked(Listen::NONE);
        assert!(matches!(early.claim(Cause::Notified), Claim::Won(_)));
        assert_eq!(p.look_at_requests(), Settled::Parked, "it is in a list");
        assert_eq!(p.expire(Cause::Timeout), Err(Cause::Notified), "it is in a list");
        assert!(early.is_latest());

        let given_up = p.open_parked(Listen::NONE);
        assert!(!early.is_latest());
        assert_eq!(p.expire(Cause::Timeout), Ok(()));
        assert_eq!(given_up.claim(Cause::Notified), Claim::Lost);
    }

    #[test]
    fn whoever_is_parked_in_advance_looks_at_requests_itself() {
        let p = parker();
        assert_eq!(p.request(Request::Cancel), Claim::Lost);
        let deaf = p.open_parked(Listen::NONE);
        assert_eq!(p.look_at_requests(), Settled::Parked);
        assert!(matches!(deaf.claim(Cause::Notified), Claim::Won(_)));
        let listening = p.open_parked(Listen::CANCEL);
        assert_eq!(p.look_at_requests(), Settled::Ended(Cause::Cancelled));
        assert_eq!(listening.claim(Cause::Notified), Claim::Lost);
        p.reuse();
        p.open_parked(Listen::CANCEL);
        assert_eq!(p.look_at_requests(), Settled::Parked);
        assert!(matches!(p.request(Request::Cancel), Claim::Won(_)));
    }
}

/// Each model counts who makes the owner runnable: exactly one side, once, whatever the order.
#[cfg(loom)]
mod models {
    use super::*;
    use loom::sync::Arc;
    use loom::sync::atomic::AtomicUsize;
    use loom::thread;

    fn won(claim: Claim) -> usize {
        usize::from(matches!(claim, Claim::Won(_)))
    }

    fn ended(settled: Settled) -> usize {
        usize::from(matches!(settled, Settled::Ended(_)))
    }

    /// Claim against settle against a second claim (a timeout). Fails when `settle` does not look for a
    /// cause (return `Parked` always), and when `try_claim` takes PARKED from a word read earlier.
    #[test]
    fn loom_claim_against_park_against_timeout() {
        loom::model(|| {
            let parker = Arc::new(Parker::new(Kind::Thread));
            let handed = Arc::new(AtomicUsize::new(0));
            let ticket = parker.open(Listen::NONE);
            let sender = {
                let (parker, handed) = (parker.clone(), handed.clone());
                thread::spawn(move || {
                    handed.store(1, Ordering::Relaxed);
                    let claim = ticket.claim(Cause::Notified);
                    drop(parker);
                    (claim != Claim::Lost, won(claim))
                })
            };
            let timer = {
                let parker = parker.clone();
                thread::spawn(move || {
                    let claim = ticket.claim(Cause::Timeout);
                    drop(parker);
                    (claim != Claim::Lost, won(claim))
                })
            };
            let mut runnable = ended(parker.settle());
            let (sent, woken) = sender.join().unwrap();
            let (timed_out, expired) = timer.join().unwrap();
            runnable += woken + expired;
            assert!(sent != timed_out, "exactly one claim wins");
            assert_eq!(runnable, 1, "made runnable exactly once");
            if sent {
                assert_eq!(parker.cause(), Some(Cause::Notified));
                assert_eq!(handed.load(Ordering::Relaxed), 1);
            }
        });
    }

    /// The value written before the claim is visible to the owner, without a join. Fails when the claim
    /// is `Relaxed`.
    #[test]
    fn loom_what_is_handed_over_is_visible() {
        loom::model(|| {
            let parker = Arc::new(Parker::new(Kind::Thread));
            let handed = Arc::new(AtomicUsize::new(0));
            let ticket = parker.open(Listen::NONE);
            let sender = {
                let (parker, handed) = (parker.clone(), handed.clone());
                thread::spawn(move || {
                    handed.store(7, Ordering::Relaxed);
                    let _ = won(ticket.claim(Cause::Notified));
                    drop(parker);
                })
            };
            if parker.settle() == Settled::Ended(Cause::Notified) {
                assert_eq!(handed.load(Ordering::Relaxed), 7);
            }
            sender.join().unwrap();
        });
    }

    /// A cancel against two parks in a row, the first of which does not listen. Fails when `settle`
    /// does not look at the requests, and when `request` looks at the word before it sets its bit.
    #[test]
    fn loom_a_request_is_never_missed() {
        loom::model(|| {
            let parker = Arc::new(Parker::new(Kind::Thread));
            let canceller = {
                let parker = parker.clone();
                thread::spawn(move || won(parker.request(Request::Cancel)))
            };
            let first = parker.open(Listen::NONE);
            let mut runnable = ended(parker.settle());
            assert_eq!(runnable, 0, "the first park is deaf");
            let _ = first.claim(Cause::Notified);
            parker.open(Listen::CANCEL);
            runnable += ended(parker.settle());
            runnable += canceller.join().unwrap();
            assert_eq!(runnable, 1, "the second park ends once");
            assert_eq!(parker.cause(), Some(Cause::Cancelled));
        });
    }

    /// A claim against an owner that gives up: either that one goes on by itself, or it is made runnable.
    /// Fails when `expire` says `Ok` whatever the word was.
    #[test]
    fn loom_claim_against_the_end_of_a_park_in_advance() {
        loom::model(|| {
            let parker = Arc::new(Parker::new(Kind::Goroutine));
            let ticket = parker.open_parked(Listen::NONE);
            let sender = {
                let parker = parker.clone();
                thread::spawn(move || {
                    let claim = ticket.claim(Cause::Notified);
                    drop(parker);
                    assert_ne!(claim, Claim::Early);
                    won(claim)
                })
            };
            let by_itself = usize::from(parker.expire(Cause::Timeout).is_ok());
            assert_eq!(by_itself + sender.join().unwrap(), 1);
        });
    }

    fn request_against_parks_in_advance(request: Request, listen: Listen, cause: Cause) {
        loom::model(move || {
            let parker = Arc::new(Parker::new(Kind::Goroutine));
            let requester = {
                let parker = parker.clone();
                thread::spawn(move || won(parker.request(request)))
            };
            let first = parker.open_parked(Listen::NONE);
            assert_eq!(parker.look_at_requests(), Settled::Parked, "the first park is deaf");
            let _ = first.claim(Cause::Notified);
            parker.open_parked(listen);
            let by_itself = ended(parker.look_at_requests());
            assert_eq!(by_itself + requester.join().unwrap(), 1, "the second park ends once");
            assert_eq!(parker.cause(), Some(cause));
        });
    }

    /// Fails without the light or the heavy fence.
    #[test]
    fn loom_a_cancel_of_who_is_parked_in_advance_is_never_missed() {
        request_against_parks_in_advance(Request::Cancel, Listen::CANCEL, Cause::Cancelled);
    }

    /// Fails without the fence for those who listen.
    #[test]
    fn loom_an_unpark_of_who_is_parked_in_advance_is_never_missed() {
        request_against_parks_in_advance(Request::Unpark, Listen::UNPARK, Cause::Notified);
    }

    /// A worker's list as a number: each time that somebody puts the owner there, it switches away once, in two parks of
    /// which it gives the second one up. Fails when the owner goes on at once after a lost `expire`.
    #[test]
    fn loom_whoever_is_put_into_a_list_switches_away() {
        loom::model(|| {
            let parker = Arc::new(Parker::new(Kind::Goroutine));
            let list = Arc::new(AtomicUsize::new(0));
            let first = parker.open_parked(Listen::CANCEL);
            let others = [None, Some(first)].map(|ticket: Option<Ticket>| {
                let (parker, list) = (parker.clone(), list.clone());
                thread::spawn(move || {
                    let claim = match ticket {
                        Some(ticket) => ticket.claim(Cause::Notified),
                        None => parker.request(Request::Cancel),
                    };
                    list.fetch_add(won(claim), Ordering::AcqRel);
                })
            });
            let switch_away = || {
                while list.compare_exchange(1, 0, Ordering::AcqRel, Ordering::Acquire).is_err() {
                    thread::yield_now();
                }
            };
            if parker.look_at_requests() == Settled::Parked {
                switch_away();
            }
            assert!(parker.cause().is_some());
            parker.open_parked(Listen::CANCEL);
            if parker.expire(Cause::Timeout).is_err() {
                switch_away();
            }
            for other in others {
                other.join().unwrap();
            }
            assert_eq!(list.load(Ordering::Acquire), 0, "it is in the list, and has gone on");
        });
    }
}
