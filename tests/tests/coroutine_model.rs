//! Random trees of coroutines against a model of plain data.
//!
//! Each node of a tree is the program of one coroutine: it yields, panics, resumes, closes and drops its children,
//! and returns. The model goes through the same programs with an explicit program counter for each. Both write
//! down what happens, and the two records must be the same.
//!
//! Able to fail: a close that unwound only once, one that left a coroutine as it was because it had not started, one
//! that lost a panic on the way, and waiting coroutines that were taken for suspended ones were each found.

use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use fibra::coroutine::{Coroutine, Handle, RcCoroutine, ResumeError, Status, Step, Yielder};
use fibra_tests::{alone, at, text};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

/// Children are chosen modulo their number; without children nothing happens.
#[derive(Clone, Debug)]
enum Op {
    Yield(u32),
    /// Catches the unwinding when it is closed there.
    YieldStubbornly(u32),
    Panic(u32),
    Park,
    Resume(usize, u32),
    Close(usize),
    Drop(usize),
}

#[derive(Clone, Debug)]
struct Node {
    /// Numbered in the order of a walk.
    id: usize,
    ops: Vec<Op>,
    children: Vec<Rc<Node>>,
    result: u32,
    /// Whether it is an `RcCoroutine`.
    shared: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    Yielded(u32),
    Returned(u32),
    Panicked(u32),
    Dead,
    Gone,
}

#[derive(Clone, Debug, PartialEq)]
enum Event {
    Began(usize, u32),
    GoesOn(usize, u32),
    Caught(usize),
    Resumed(usize, Outcome),
    /// With the panic on the way.
    Closed(usize, Option<u32>),
    Ended(usize),
    /// Only in the real one.
    Wrong(String),
}

type Log = RefCell<Vec<Event>>;

fn ops(own: bool) -> impl Strategy<Value = Vec<Op>> {
    let on_child = prop_oneof![
        6 => (0usize..4, any::<u32>()).prop_map(|(child, input)| Op::Resume(child, input)),
        1 => (0usize..4).prop_map(Op::Close),
        1 => (0usize..4).prop_map(Op::Drop),
        1 => Just(Op::Park),
    ];
    let on_itself = prop_oneof![
        4 => any::<u32>().prop_map(Op::Yield),
        2 => any::<u32>().prop_map(Op::YieldStubbornly),
        1 => any::<u32>().prop_map(Op::Panic),
    ];
    let op =
        if own { prop_oneof![2 => on_child, 1 => on_itself].boxed() } else { on_child.boxed() };
    vec(op, 0..16)
}

fn node() -> impl Strategy<Value = Node> {
    let node = |ops, result, shared, children: Vec<Node>| Node {
        id: 0,
        ops,
        children: children.into_iter().map(Rc::new).collect(),
        result,
        shared,
    };
    let parts = || (ops(true), any::<u32>(), any::<bool>());
    let leaf = parts().prop_map(move |(ops, result, shared)| node(ops, result, shared, Vec::new()));
    leaf.prop_recursive(5, 24, 4, move |inner| {
        (parts(), vec(inner, 1..4))
            .prop_map(move |((ops, result, shared), children)| node(ops, result, shared, children))
    })
}

/// A program that is no coroutine itself.
fn driver() -> impl Strategy<Value = Node> {
    (ops(false), vec(node(), 1..4)).prop_map(|(ops, children)| {
        let children = children.into_iter().map(Rc::new).collect();
        let mut driver = Node { id: 0, ops, children, result: 0, shared: false };
        number(&mut driver, &mut 0);
        driver
    })
}

fn number(node: &mut Node, next: &mut usize) {
    node.id = *next;
    *next += 1;
    for child in &mut node.children {
        number(Rc::make_mut(child), next);
    }
}

// The real one.

enum Child {
    Own(Coroutine<u32, u32, u32>),
    Shared(RcCoroutine<u32, u32, u32>),
}

impl Child {
    fn new(node: &Rc<Node>, log: &Rc<Log>, ancestors: &[Handle]) -> Child {
        let (program, log, mut handles) = (node.clone(), log.clone(), ancestors.to_vec());
        let coroutine = Coroutine::new(move |y: &Yielder<u32, u32>, first| {
            for ancestor in &handles {
                if ancestor.status() != Status::Normal {
                    log.borrow_mut().push(Event::Wrong(format!("of an ancestor: {ancestor:?}")));
                }
            }
            handles.push(y.handle());
            let mut frame = Frame::new(&program, &log, &handles);
            log.borrow_mut().push(Event::Began(program.id, first));
            program.ops.iter().for_each(|op| frame.perform(op, Some(y)));
            program.result
        });
        if node.shared { Child::Shared(coroutine.into()) } else { Child::Own(coroutine) }
    }

    fn resume(&mut self, input: u32) -> Outcome {
        let result = panic::catch_unwind(AssertUnwindSafe(|| match self {
            Child::Own(coroutine) => coroutine.try_resume(input),
            Child::Shared(coroutine) => coroutine.resume(input),
        }));
        match result {
            Ok(Ok(Step::Yielded(value))) => Outcome::Yielded(value),
            Ok(Ok(Step::Returned(value))) => Outcome::Returned(value),
            Ok(Err(ResumeError::Dead(back))) if back == input => Outcome::Dead,
            Ok(Err(error)) => panic!("it cannot be active: {error:?}"),
            Err(payload) => Outcome::Panicked(number_in(payload)),
        }
    }

    fn close(&mut self) -> Option<u32> {
        let result = match self {
            Child::Own(coroutine) => coroutine.close(),
            Child::Shared(coroutine) => coroutine.close().expect("it is not active"),
        };
        result.err().map(number_in)
    }

    fn drop(mut self) -> Option<u32> {
        if thread::panicking() {
            // Then a drop keeps the panic to itself.
            return self.close();
        }
        panic::catch_unwind(AssertUnwindSafe(|| drop(self))).err().map(number_in)
    }

    fn status(&self) -> Status {
        match self {
            Child::Own(coroutine) => coroutine.handle().status(),
            Child::Shared(coroutine) => coroutine.handle().status(),
        }
    }
}

/// What the programs panic with.
fn number_in(payload: Box<dyn std::any::Any + Send>) -> u32 {
    match payload.downcast() {
        Ok(number) => *number,
        Err(other) => panic!("{}", text(other.as_ref())),
    }
}

/// Closes the children when it is left, and says so.
struct Frame<'a> {
    node: &'a Node,
    log: &'a Log,
    handles: &'a [Handle],
    children: Vec<Option<Child>>,
}

impl<'a> Frame<'a> {
    fn new(node: &'a Node, log: &'a Rc<Log>, handles: &'a [Handle]) -> Frame<'a> {
        let children = node.children.iter().map(|it| Some(Child::new(it, log, handles))).collect();
        Frame { node, log, handles, children }
    }

    fn note(&self, event: Event) {
        self.log.borrow_mut().push(event);
    }

    fn perform(&mut self, op: &Op, y: Option<&Yielder<u32, u32>>) {
        let id = self.node.id;
        match (op, y) {
            (Op::Yield(value), Some(y)) => {
                let input = y.suspend(*value);
                self.note(Event::GoesOn(id, input));
            }
            (Op::YieldStubbornly(value), Some(y)) => {
                let input = panic::catch_unwind(AssertUnwindSafe(|| y.suspend(*value)));
                self.note(input.map_or(Event::Caught(id), |input| Event::GoesOn(id, input)));
            }
            (Op::Panic(value), Some(_)) => panic::resume_unwind(Box::new(*value)),
            (Op::Resume(child, input), _) => self.on_child(*child, |child, it| {
                let outcome = it.as_mut().map_or(Outcome::Gone, |it| it.resume(*input));
                Event::Resumed(child, outcome)
            }),
            (Op::Close(child), _) => self.on_child(*child, |child, it| {
                Event::Closed(child, it.as_mut().and_then(Child::close))
            }),
            (Op::Drop(child), _) => self.on_child(*child, |child, it| {
                Event::Closed(child, it.take().and_then(Child::drop))
            }),
            // A park while panicking would block the thread.
            (Op::Park, _) if !thread::panicking() => fibra::yield_now(),
            _ => {}
        }
    }

    fn on_child(&mut self, child: usize, f: impl FnOnce(usize, &mut Option<Child>) -> Event) {
        if self.children.is_empty() {
            return;
        }
        let child = child % self.children.len();
        let event = f(self.node.children[child].id, &mut self.children[child]);
        self.note(event);
        let status = self.children[child].as_ref().map(Child::status);
        if matches!(status, Some(Status::Running | Status::Normal)) {
            self.note(Event::Wrong(format!("of a child: {status:?}")));
        }
        if self.handles.last().is_some_and(|it| it.status() != Status::Running) {
            self.note(Event::Wrong(format!("of itself: {:?}", self.handles.last())));
        }
    }
}

impl Drop for Frame<'_> {
    fn drop(&mut self) {
        for (node, child) in self.node.children.iter().zip(&mut self.children) {
            if let Some(child) = child {
                let closed = Event::Closed(node.id, child.close());
                self.log.borrow_mut().push(closed);
            }
        }
        self.note(Event::Ended(self.node.id));
    }
}

fn run(driver: &Node) -> Vec<Event> {
    let log = Rc::default();
    let mut frame = Frame::new(driver, &log, &[]);
    driver.ops.iter().for_each(|op| frame.perform(op, None));
    drop(frame);
    log.take()
}

// The model.

struct Machine<'a> {
    node: &'a Node,
    /// Before it has begun, `None`.
    at: Option<usize>,
    dead: bool,
    children: Vec<Option<Machine<'a>>>,
}

impl<'a> Machine<'a> {
    fn new(node: &'a Node) -> Machine<'a> {
        let children = node.children.iter().map(|it| Some(Machine::new(it))).collect();
        Machine { node, at: None, dead: false, children }
    }

    fn resume(&mut self, input: u32, log: &mut Vec<Event>) -> Outcome {
        if self.dead {
            return Outcome::Dead;
        }
        match self.at {
            None => log.push(Event::Began(self.node.id, input)),
            Some(_) => log.push(Event::GoesOn(self.node.id, input)),
        }
        self.go_on(log)
    }

    /// From behind the yield that it is at, or from the beginning.
    fn go_on(&mut self, log: &mut Vec<Event>) -> Outcome {
        let from = self.at.map_or(0, |at| at + 1);
        for at in from..self.node.ops.len() {
            self.at = Some(at);
            match self.node.ops[at] {
                Op::Yield(value) | Op::YieldStubbornly(value) => return Outcome::Yielded(value),
                Op::Panic(value) => {
                    self.end(log);
                    return Outcome::Panicked(value);
                }
                Op::Park => {}
                ref op => self.perform(op, log),
            }
        }
        self.end(log);
        Outcome::Returned(self.node.result)
    }

    fn perform(&mut self, op: &Op, log: &mut Vec<Event>) {
        let (Op::Resume(child, _) | Op::Close(child) | Op::Drop(child)) = *op else { return };
        if self.children.is_empty() {
            return;
        }
        let child = child % self.children.len();
        let (id, it) = (self.node.children[child].id, &mut self.children[child]);
        let event = match *op {
            Op::Resume(_, input) => {
                let outcome = it.as_mut().map_or(Outcome::Gone, |it| it.resume(input, log));
                Event::Resumed(id, outcome)
            }
            _ => Event::Closed(id, it.as_mut().and_then(|it| it.close(log))),
        };
        log.push(event);
        if let Op::Drop(_) = op {
            *it = None;
        }
    }

    fn close(&mut self, log: &mut Vec<Event>) -> Option<u32> {
        loop {
            match self.at {
                _ if self.dead => return None,
                None => {
                    self.dead = true;
                    return None;
                }
                Some(at) => {
                    if let Op::YieldStubbornly(_) = self.node.ops[at] {
                        log.push(Event::Caught(self.node.id));
                        if let Outcome::Panicked(value) = self.go_on(log) {
                            return Some(value);
                        }
                    } else {
                        self.end(log);
                    }
                }
            }
        }
    }

    fn end(&mut self, log: &mut Vec<Event>) {
        self.dead = true;
        for (node, child) in self.node.children.iter().zip(&mut self.children) {
            if let Some(child) = child {
                let closed = Event::Closed(node.id, child.close(log));
                log.push(closed);
            }
        }
        log.push(Event::Ended(self.node.id));
    }
}

fn model(driver: &Node) -> Vec<Event> {
    let (mut machine, mut log) = (Machine::new(driver), Vec::new());
    driver.ops.iter().for_each(|op| machine.perform(op, &mut log));
    machine.end(&mut log);
    log
}

fn check(cases: u32) {
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let result = TestRunner::new(config).run(&driver(), |driver| {
        prop_assert_eq!(run(&driver), model(&driver));
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

#[test]
fn on_a_thread() {
    alone(|| check(1000));
}

/// Several at once, so that others run while one parks.
#[test]
fn in_goroutines() {
    at(&[1, 2], &[false, true], Duration::from_secs(60), |setup| {
        setup.run(|| {
            let all: Vec<_> = (0..4).map(|_| fibra::go!(stack = 1 << 20, check(100))).collect();
            all.into_iter().for_each(fibra_tests::join);
        });
    });
}
