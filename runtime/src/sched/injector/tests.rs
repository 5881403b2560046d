use super::*;
use crate::sched::inbox::tests::{ItemRef, Items, numbers};

#[cfg(not(loom))]
#[test]
fn the_oldest_first_and_a_few_more() {
    let items = Items::new(4);
    let injector = Injector::new();
    assert!(injector.is_empty());
    for number in 0..4 {
        injector.push(items.get(number).numbered(number));
    }
    let rest = List::new();
    let first = injector.pop(2, |item| rest.push_back(item));
    assert_eq!(first.map(ItemRef::number), Some(0));
    assert_eq!(numbers(&rest), [1, 2]);
    assert!(!injector.is_empty());
    assert_eq!(injector.pop(2, |_| unreachable!()).map(ItemRef::number), Some(3));
    assert!(injector.is_empty());
    assert!(injector.pop(2, |_| unreachable!()).is_none());
}

#[cfg(loom)]
mod models {
    use super::*;
    use crate::sched::event::Event;
    use loom::sync::Arc;
    use loom::thread;

    fn pop_all(injector: &Injector<ItemRef>, more: usize) -> Vec<usize> {
        let mut seen = Vec::new();
        let rest = List::new();
        while let Some(first) = injector.pop(more, |item| rest.push_back(item)) {
            seen.push(first.number());
            seen.extend(numbers(&rest));
        }
        seen
    }

    /// A pusher against two that pop, alone and in batches: each item goes to one of them, in order, and
    /// the length is right afterwards.
    ///
    /// Fails when `push` or `pop_locked` writes the length after it has given the lock back (an update is
    /// lost), and when `pop_locked` takes no account of the batch.
    #[test]
    fn loom_push_against_pop() {
        loom::model(|| {
            let items = Items::new(3);
            let injector = Arc::new(Injector::new());
            injector.push(items.get(0).numbered(0));
            let pusher = {
                let injector = injector.clone();
                let (one, two) = (items.get(1), items.get(2));
                thread::spawn(move || {
                    injector.push(one.numbered(1));
                    injector.push(two.numbered(2));
                })
            };
            let thief = {
                let injector = injector.clone();
                thread::spawn(move || injector.pop(0, |_| unreachable!()).map(ItemRef::number))
            };
            let mut seen = pop_all(&injector, 1);
            pusher.join().unwrap();
            let stolen = thief.join().unwrap();
            seen.extend(pop_all(&injector, 1));
            assert!(seen.is_sorted(), "{seen:?}");
            seen.extend(stolen);
            seen.sort_unstable();
            assert_eq!(seen, [0, 1, 2]);
            assert!(injector.is_empty());
            assert!(injector.list.lock().is_empty());
        });
    }

    /// A reader that goes to sleep when the length is zero, with the fences of `event.rs` between: no
    /// item is left over. (`idle.rs` has the same fences; its models use a bare counter as the queue.)
    ///
    /// Fails when the fence of `Event::prepare` or that of `Event::wake` is missing, and when `push`
    /// does not count.
    #[test]
    fn loom_push_against_a_reader_of_the_length() {
        loom::model(|| {
            let items = Items::new(2);
            let injector = Arc::new(Injector::new());
            let event = Arc::new(Event::new());
            let pusher = {
                let (injector, event) = (injector.clone(), event.clone());
                let items = [0, 1].map(|n| items.get(n));
                thread::spawn(move || {
                    for (number, item) in items.into_iter().enumerate() {
                        injector.push(item.numbered(number));
                        event.wake();
                    }
                })
            };
            let mut seen = Vec::new();
            while seen.len() < 2 {
                event.sleeper().prepare();
                if injector.is_empty() {
                    event.wait(None);
                } else {
                    event.sleeper().finish();
                }
                seen.extend(pop_all(&injector, 0));
            }
            assert_eq!(seen, [0, 1]);
            pusher.join().unwrap();
        });
    }
}
