//! What is to be started, and how.

use super::{Child, CommandArgs, CommandEnvs, ExitStatus, Output, Stdio};
use crate::blocking::blocking;
use crate::sched::policy;
use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process;

/// A program to be started, with its arguments and surroundings: [`std::process::Command`], method for method.
///
/// Children are started by a thread that ends when it has been idle for some time. That makes a difference only for
/// a std command made into this one whose `pre_exec` asks for a signal at the end of its parent
/// (`PR_SET_PDEATHSIG`): for Linux that is the thread.
///
/// ```
/// use fibra::process::Command;
///
/// let output = Command::new("echo").args(["to", "be"]).output()?;
/// assert!(output.status.success());
/// assert_eq!(output.stdout, b"to be\n");
/// # std::io::Result::Ok(())
/// ```
pub struct Command {
    std: process::Command,
    /// Whether the user has said what stdin, stdout and stderr are to be.
    chosen: [bool; 3],
}

impl Command {
    /// With no arguments, the environment and directory of this process, and its stdin, stdout and stderr, except
    /// for [`output`](Self::output). A program without a `/` is looked up in `PATH`.
    pub fn new(program: impl AsRef<OsStr>) -> Command {
        Command { std: process::Command::new(program), chosen: [false; 3] }
    }

    /// One more argument.
    pub fn arg(&mut self, arg: impl AsRef<OsStr>) -> &mut Command {
        self.std.arg(arg);
        self
    }

    /// More arguments.
    pub fn args<I, S>(&mut self, args: I) -> &mut Command
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        self.std.args(args);
        self
    }

    /// What the program is told to be called, instead of what it was found by.
    pub fn arg0(&mut self, arg: impl AsRef<OsStr>) -> &mut Command {
        self.std.arg0(arg);
        self
    }

    /// Sets a variable of its environment.
    pub fn env(&mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Command {
        self.std.env(key, value);
        self
    }

    /// Sets variables of its environment.
    pub fn envs<I, K, V>(&mut self, vars: I) -> &mut Command
    where
        I: IntoIterator<Item = (K, V)>,
        K: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        self.std.envs(vars);
        self
    }

    /// Removes a variable from its environment.
    pub fn env_remove(&mut self, key: impl AsRef<OsStr>) -> &mut Command {
        self.std.env_remove(key);
        self
    }

    /// Begins with an empty environment.
    pub fn env_clear(&mut self) -> &mut Command {
        self.std.env_clear();
        self
    }

    /// Its working directory.
    pub fn current_dir(&mut self, dir: impl AsRef<Path>) -> &mut Command {
        self.std.current_dir(dir);
        self
    }

    /// Its user.
    pub fn uid(&mut self, id: u32) -> &mut Command {
        self.std.uid(id);
        self
    }

    /// Its group.
    pub fn gid(&mut self, id: u32) -> &mut Command {
        self.std.gid(id);
        self
    }

    /// Its process group; 0 for one of its own.
    pub fn process_group(&mut self, group: i32) -> &mut Command {
        self.std.process_group(group);
        self
    }

    /// Its stdin: this process's own unless set, and nothing for [`output`](Self::output).
    pub fn stdin(&mut self, stdio: impl Into<Stdio>) -> &mut Command {
        self.chosen[0] = true;
        self.std.stdin(stdio);
        self
    }

    /// Its stdout: this process's own unless set, and a pipe for [`output`](Self::output).
    pub fn stdout(&mut self, stdio: impl Into<Stdio>) -> &mut Command {
        self.chosen[1] = true;
        self.std.stdout(stdio);
        self
    }

    /// Its stderr: this process's own unless set, and a pipe for [`output`](Self::output).
    pub fn stderr(&mut self, stdio: impl Into<Stdio>) -> &mut Command {
        self.chosen[2] = true;
        self.std.stderr(stdio);
        self
    }

    /// Starts it. Parks until it runs the program.
    ///
    /// # Errors
    /// There is no such program, or it cannot be started.
    pub fn spawn(&mut self) -> io::Result<Child> {
        blocking(|| self.std.spawn()).map(Child::from)
    }

    /// Starts it, waits for its end, and gives what it wrote.
    ///
    /// # Errors
    /// As for [`spawn`](Self::spawn) and [`Child::wait_with_output`].
    pub fn output(&mut self) -> io::Result<Output> {
        let [stdin, stdout, stderr] = self.chosen;
        if !stdin {
            self.std.stdin(Stdio::null());
        }
        if !stdout {
            self.std.stdout(Stdio::piped());
        }
        if !stderr {
            self.std.stderr(Stdio::piped());
        }
        let child = self.spawn();
        // Back to what it is for `spawn`.
        if !stdin {
            self.std.stdin(Stdio::inherit());
        }
        if !stdout {
            self.std.stdout(Stdio::inherit());
        }
        if !stderr {
            self.std.stderr(Stdio::inherit());
        }
        child?.wait_with_output()
    }

    /// Starts it and waits for its end.
    ///
    /// # Errors
    /// As for [`spawn`](Self::spawn) and [`Child::wait`].
    pub fn status(&mut self) -> io::Result<ExitStatus> {
        self.spawn()?.wait()
    }

    /// Puts the program in the place of this process, with all its threads. Returns only if that fails.
    pub fn exec(&mut self) -> io::Error {
        policy::restore();
        self.std.exec()
    }

    /// The program.
    pub fn get_program(&self) -> &OsStr {
        self.std.get_program()
    }

    /// The arguments.
    pub fn get_args(&self) -> CommandArgs<'_> {
        self.std.get_args()
    }

    /// What is set, or removed from, the environment.
    pub fn get_envs(&self) -> CommandEnvs<'_> {
        self.std.get_envs()
    }

    /// The working directory, if it is set.
    pub fn get_current_dir(&self) -> Option<&Path> {
        self.std.get_current_dir()
    }
}

/// What it says about stdin, stdout and stderr counts for [`Command::output`], too.
impl From<process::Command> for Command {
    fn from(std: process::Command) -> Command {
        Command { std, chosen: [true; 3] }
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.std.fmt(f)
    }
}
