//! A master that schedules slaves, as nginx does with its Lua coroutines: slaves never switch to each other.
//!
//! `cargo run --release --example master_slave`
//!
//! Each request is a coroutine, straight-line code that yields what it waits for: a timer, or the answer of a
//! back end. The master has the only loop: it keeps what everybody waits for, makes the next thing happen, and
//! resumes the slave that waited for it. Time is a number here, so that the output is always the same.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use fibra::coroutine::{Coroutine, Step, Yielder};

/// What a slave waits for.
enum Wait {
    Sleep(u64),
    /// A question to the back end.
    Ask(String),
}

/// What it is resumed with.
enum Event {
    Begin,
    Woken,
    Answer(String),
}

type Slave = Coroutine<Event, Wait, String>;

/// What a slave can do; each of these gives control to the master until it has happened.
struct Master<'a>(&'a Yielder<Event, Wait>);

impl Master<'_> {
    fn sleep(&self, time: u64) {
        match self.0.suspend(Wait::Sleep(time)) {
            Event::Woken => {}
            Event::Begin | Event::Answer(_) => unreachable!("it was to sleep"),
        }
    }

    fn ask(&self, question: &str) -> String {
        match self.0.suspend(Wait::Ask(question.to_owned())) {
            Event::Answer(answer) => answer,
            Event::Begin | Event::Woken => unreachable!("it was to be answered"),
        }
    }
}

fn main() {
    let requests: Vec<Slave> = vec![
        slave(|master| {
            let user = master.ask("user 7");
            let orders = master.ask(&format!("orders of {user}"));
            format!("{user}: {orders}")
        }),
        slave(|master| {
            master.sleep(25);
            "slow page".to_owned()
        }),
        slave(|master| {
            // Tries again after a while.
            for attempt in 1.. {
                let answer = master.ask("weather");
                if answer != "busy" || attempt == 3 {
                    return format!("{answer} at attempt {attempt}");
                }
                master.sleep(4 * attempt);
            }
            unreachable!("it gives up before")
        }),
        slave(|_| "static page".to_owned()),
    ];
    serve(requests);
}

fn slave(handler: fn(&Master<'_>) -> String) -> Slave {
    Coroutine::new(move |y, _begin| handler(&Master(y)))
}

/// The master's loop.
fn serve(requests: Vec<Slave>) {
    let mut slaves: BTreeMap<usize, Slave> = requests.into_iter().enumerate().collect();
    let mut busy = 2;
    let mut now = 0;
    // What will happen, soonest first; among equals the lower number.
    let mut agenda: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
    let mut events: BTreeMap<usize, Event> = BTreeMap::new();
    for &number in slaves.keys() {
        agenda.push(Reverse((0, number)));
        events.insert(number, Event::Begin);
    }
    while let Some(Reverse((time, number))) = agenda.pop() {
        now = time;
        let (Some(slave), Some(event)) = (slaves.get_mut(&number), events.remove(&number)) else {
            unreachable!("each waits for one thing");
        };
        match slave.resume(event) {
            Step::Yielded(Wait::Sleep(duration)) => {
                println!("{now:3} request {number} sleeps {duration}");
                agenda.push(Reverse((now + duration, number)));
                events.insert(number, Event::Woken);
            }
            Step::Yielded(Wait::Ask(question)) => {
                println!("{now:3} request {number} asks for {question}");
                let answer = answer(&question, &mut busy);
                agenda.push(Reverse((now + 10, number)));
                events.insert(number, Event::Answer(answer));
            }
            Step::Returned(page) => {
                println!("{now:3} request {number} done: {page}");
                slaves.remove(&number);
            }
        }
    }
    println!("{now:3} all done, {} left", slaves.len());
}

/// The back end.
fn answer(question: &str, busy: &mut u32) -> String {
    match question {
        "user 7" => "Ada".to_owned(),
        "orders of Ada" => "2 engines".to_owned(),
        "weather" if *busy > 0 => {
            *busy -= 1;
            "busy".to_owned()
        }
        "weather" => "sunny".to_owned(),
        _ => "nothing".to_owned(),
    }
}
