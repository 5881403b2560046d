use super::*;
use crate::ticket::{Kind, Listen, Parker, Settled};
use std::time::Duration;

fn parked() -> (&'static Parker, Ticket) {
    let parker: &'static Parker = Box::leak(Box::new(Parker::new(Kind::Thread)));
    let ticket = parker.open(Listen::NONE);
    assert_eq!(parker.settle(), Settled::Parked);
    (parker, ticket)
}

#[test]
fn due_entries_end_their_parks_in_order_and_no_others() {
    let start = Instant::now();
    let at = |ms| start + Duration::from_millis(ms);
    let mut timers = Timers::default();
    let (late, late_ticket) = parked();
    let (early, early_ticket) = parked();
    let (gone, gone_ticket) = parked();
    timers.insert(at(20), late_ticket);
    timers.insert(at(10), early_ticket);
    let key = timers.insert(at(5), gone_ticket);
    timers.cancel(key);
    assert_eq!(timers.next_deadline(), Some(at(10)));
    let mut ready = Vec::new();
    timers.expire(at(19), |runnable| ready.push(runnable.parker().as_ptr().cast_const()));
    assert_eq!(ready, [std::ptr::from_ref(early)]);
    assert_eq!((late.cause(), gone.cause()), (None, None));
    timers.expire(at(20), |runnable| ready.push(runnable.parker().as_ptr().cast_const()));
    assert_eq!(late.cause(), Some(Cause::Timeout));
    assert_eq!(timers.next_deadline(), None);
}
