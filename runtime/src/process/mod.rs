//! Other programs: [`std::process`] for goroutines, name for name.
//!
//! A [`Command`] starts a child process on a [blocking thread](crate::blocking()). What waits for the child, or
//! reads and writes its pipes, parks the goroutine; there is no thread behind it. On a plain thread all of it blocks
//! the thread, as std's does.
//!
//! ```
//! use fibra::process::{Command, Stdio};
//! use std::io::{Read, Write};
//!
//! let mut sort = Command::new("sort").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
//! let mut input = sort.stdin.take().unwrap();
//! fibra::go!(move || input.write_all(b"pear\napple\nfig\n").unwrap());
//! let mut sorted = String::new();
//! sort.stdout.as_mut().unwrap().read_to_string(&mut sorted)?;
//! assert_eq!(sorted, "apple\nfig\npear\n");
//! assert!(sort.wait()?.success());
//! # std::io::Result::Ok(())
//! ```

mod child;
mod command;
mod pipe;

pub use child::Child;
pub use command::Command;
pub use pipe::{ChildStderr, ChildStdin, ChildStdout};
pub use std::process::{CommandArgs, CommandEnvs, ExitStatus, Output, Stdio};
