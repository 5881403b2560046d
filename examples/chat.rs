//! A chat server for clients such as `nc`: each line goes to everybody else.
//!
//! `cargo run --release --example chat -- 127.0.0.1:7000`, then several times `nc 127.0.0.1 7000`
//!
//! The first line is the client's name. Without an address the server takes a free port, and prints which.
//! Ctrl-C says goodbye and ends it.
//!
//! What to see:
//!
//! * **One goroutine owns the room** and learns of everything by a channel, so there is nothing to lock. Its
//!   `select!` also listens to Ctrl-C.
//! * **Each client has two goroutines**: one reads its lines, one writes to it what comes out of a channel.
//! * **Nobody waits for a slow client.** Its channel is bounded, and the room never waits to send: a client
//!   whose channel is full is out.
//! * **Closing is the signal.** When the room drops a client's sender, its writer comes to the end of the
//!   channel and closes the connection; that ends the reader, too.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use fibra::chan::{Receiver, Sender, bounded};
use fibra::net::{TcpListener, TcpStream};
use fibra::sync::WaitGroup;
use fibra::{go, select, signal};
use fibra_examples::report;

/// The longest name, in bytes.
const NAME: usize = 32;
/// The longest line, in bytes. What is longer becomes several.
const LINE: u64 = 1024;
/// How many lines may wait for a client.
const QUEUE: usize = 64;
/// How long a client may take for what it is sent before it is cut off.
const PATIENCE: Duration = Duration::from_secs(5);

/// Pass lines on between clients.
#[derive(Parser)]
#[command(name = "chat")]
struct Args {
    /// Address to listen on
    #[arg(default_value = "127.0.0.1:0")]
    addr: SocketAddr,
}

/// One line, with its end, shared by all who get it.
type Line = Arc<str>;

/// Tells a client from all others that ever come, which its name does not.
type Id = u64;

/// What clients do.
enum Event {
    /// The room says whether the name is free. If so, the client is in.
    Join(Id, Client, Sender<bool>),
    Say(Id, String),
    Leave(Id),
}

/// What the room knows of a client.
struct Client {
    name: String,
    /// With room for one more line than may wait, which is the last.
    lines: Sender<Line>,
}

/// Who is there.
#[derive(Default)]
struct Room(BTreeMap<Id, Client>);

#[fibra::main]
fn main() -> ExitCode {
    match serve(Args::parse().addr) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report("chat", error);
            ExitCode::FAILURE
        }
    }
}

/// Serves until Ctrl-C.
fn serve(addr: SocketAddr) -> io::Result<()> {
    let ctrl_c = signal::ctrl_c()?;
    let listener = TcpListener::bind(addr)?;
    println!("listening on {}", listener.local_addr()?);
    let (events, happened) = bounded(64);
    let writers = WaitGroup::new();
    go!(accept(listener, events, writers.clone()));

    let mut room = Room::default();
    loop {
        select! {
            recv(happened) -> event => match event {
                Ok(event) => room.handle(event),
                Err(_) => break, // nobody accepts any more
            },
            recv(ctrl_c) -> _ => break,
        }
    }
    room.tell(None, "* the server goes home");
    drop(room);
    if !writers.wait_timeout(PATIENCE) {
        report("chat", "not everybody took the last lines");
    }
    Ok(())
}

impl Room {
    fn handle(&mut self, event: Event) {
        match event {
            Event::Join(id, client, answer) => {
                let free = self.0.values().all(|other| other.name != client.name);
                if free {
                    let _ = client.lines.try_send(self.welcome());
                    self.tell(None, &format!("* {} is here", client.name));
                    self.0.insert(id, client);
                }
                let _ = answer.send(free);
            }
            // Whoever was dropped may still have something to say.
            Event::Say(id, text) => {
                if let Some(Client { name, .. }) = self.0.get(&id) {
                    let line = format!("{name}: {text}");
                    self.tell(Some(id), &line);
                }
            }
            Event::Leave(id) => {
                if let Some(Client { name, .. }) = self.0.remove(&id) {
                    self.tell(None, &format!("* {name} has left"));
                }
            }
        }
    }

    /// What somebody is told who comes.
    fn welcome(&self) -> Line {
        let names: Vec<_> = self.0.values().map(|client| client.name.as_str()).collect();
        match names[..] {
            [] => "* nobody else is here\n".into(),
            _ => format!("* here with you: {}\n", names.join(", ")).into(),
        }
    }

    /// Sends a line to all, or to all but one, and drops those for whom too many are waiting.
    fn tell(&mut self, but: Option<Id>, line: &str) {
        let line = Line::from(format!("{line}\n"));
        let send = |id: &Id, client: &mut Client| {
            let slow = client.lines.len() >= QUEUE;
            if slow {
                let _ = client.lines.try_send("* you are too slow\n".into());
            } else if but != Some(*id) {
                let _ = client.lines.try_send(line.clone()); // fails only if it is about to leave
            }
            slow
        };
        let slow: Vec<_> = self.0.extract_if(.., send).collect();
        for (_, client) in slow {
            self.tell(None, &format!("* {} was too slow", client.name));
        }
    }
}

fn accept(listener: TcpListener, events: Sender<Event>, writers: WaitGroup) {
    for (id, stream) in (0..).zip(listener.incoming()) {
        match stream {
            Ok(stream) => {
                go!(attend(id, stream, events.clone(), writers.clone()));
            }
            Err(error) => {
                // Too many open files, for example. It will pass when others have left.
                report("chat", error);
                fibra::sleep(Duration::from_millis(100));
            }
        }
    }
}

/// Listens to a client until it leaves.
fn attend(id: Id, stream: TcpStream, events: Sender<Event>, writers: WaitGroup) {
    let stream = Arc::new(stream);
    let mut input = BufReader::new(&*stream);
    if let Ok(Some(lines)) = join(id, &stream, &mut input, &events) {
        let output = stream.clone();
        writers.go(move || write(&output, &lines));
        while let Ok(Some(text)) = read_line(&mut input) {
            if !text.is_empty() && events.send(Event::Say(id, text)).is_err() {
                break;
            }
        }
        let _ = events.send(Event::Leave(id));
    }
}

/// Asks for a name until it is one, and gives the lines that the room has for the client. `None`: it left.
fn join(
    id: Id,
    mut stream: &TcpStream,
    input: &mut impl BufRead,
    events: &Sender<Event>,
) -> io::Result<Option<Receiver<Line>>> {
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(b"* what is your name?\n")?;
    while let Some(name) = read_line(input)? {
        if name.is_empty() || name.len() > NAME {
            stream.write_all(b"* that is no name\n")?;
            continue;
        }
        let (lines, waiting) = bounded(QUEUE + 1);
        let (answer, free) = bounded(1);
        let _ = events.send(Event::Join(id, Client { name, lines }, answer));
        match free.recv() {
            Ok(true) => return Ok(Some(waiting)),
            Ok(false) => stream.write_all(b"* that name is taken\n")?,
            Err(_) => break, // the server goes home
        }
    }
    Ok(None)
}

/// Writes the lines that the room has for a client, until there will be no more.
fn write(mut stream: &TcpStream, lines: &Receiver<Line>) {
    // When this fails, the client has left, or will not be waited for.
    let _ = lines.iter().try_for_each(|line| stream.write_all(line.as_bytes()));
    // Ends the wait for the client's next line, too.
    stream.close();
}

/// The next line, without its end and whatever else is no text. `None`: there is none.
fn read_line(input: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = vec![];
    if input.take(LINE).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&line);
    Ok(Some(text.trim().chars().filter(|c| !c.is_control()).collect()))
}
