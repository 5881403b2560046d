//! Child processes: what `std::process` does, from goroutines and from plain threads.

use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::sync::{Arc, Mutex};

use fibra::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use fibra::{Runtime, go};
use fibra_tests::{Signal, alone, assert_cancelled, at, child, everywhere, join, outcome, turn};

/// Runs a test in goroutines of all kinds, and on a plain thread.
fn in_all_ways(test: impl Fn() + Sync) {
    everywhere(|setup| setup.run(&test));
    alone(test);
}

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

/// A child that ends when its stdin is closed or dropped.
fn cat() -> Child {
    Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

#[test]
fn output_is_collected() {
    in_all_ways(|| {
        let output = Command::new("echo").arg("one").args(["two", "three"]).output().unwrap();
        assert!(output.status.success());
        assert_eq!((&*output.stdout, &*output.stderr), (&b"one two three\n"[..], &b""[..]));

        let output = shell("echo out; echo err >&2; exit 7").output().unwrap();
        assert_eq!(output.status.code(), Some(7));
        assert_eq!((&*output.stdout, &*output.stderr), (&b"out\n"[..], &b"err\n"[..]));

        // There is nothing on its stdin.
        let mut cat = Command::new("cat");
        for _ in 0..2 {
            let output = cat.output().unwrap();
            assert!(output.status.success() && output.stdout.is_empty());
        }
        let mut command = shell("echo out; echo err >&2");
        let output = command.stdout(Stdio::null()).output().unwrap();
        assert_eq!((&*output.stdout, &*output.stderr), (&b""[..], &b"err\n"[..]));
        let output = command.stdout(Stdio::piped()).stderr(Stdio::null()).output().unwrap();
        assert_eq!((&*output.stdout, &*output.stderr), (&b"out\n"[..], &b""[..]));
    });
}

#[test]
fn what_output_needs_is_for_output_alone() {
    let _turn = turn();
    let end = child::Child::new().run("", |_| {
        let (stdin, mut input) = io::pipe().unwrap();
        input.write_all(b"inherited\n").unwrap();
        drop(input);
        // SAFETY: takes numbers only. Nothing else reads stdin here.
        assert_eq!(unsafe { libc::dup2(stdin.as_raw_fd(), libc::STDIN_FILENO) }, 0);
        let mut command = shell("cat; echo out; echo err >&2");
        assert_eq!(command.output().unwrap().stdout, b"out\n");
        assert!(join(go!(move || command.status().unwrap())).success());
    });
    let end = end.succeeded();
    assert_eq!((&*end.stdout, &*end.stderr), ("inherited\nout\n", "err\n"));
}

#[test]
fn both_pipes_are_read_at_once() {
    in_all_ways(|| {
        // Each is more than a pipe holds, and each keeps the other one waiting.
        let script =
            "for i in 1 2 3; do head -c 500000 /dev/zero; head -c 500000 /dev/zero >&2; done";
        let output = shell(script).output().unwrap();
        assert!(output.status.success());
        assert_eq!((output.stdout.len(), output.stderr.len()), (1_500_000, 1_500_000));
    });
}

#[test]
fn much_goes_in_and_comes_out_again() {
    everywhere(|setup| {
        setup.run(|| {
            let sent: Vec<u8> = (0..10u32 << 18).flat_map(u32::to_le_bytes).collect();
            let mut cat = cat();
            let (mut stdin, mut stdout) = (cat.stdin.take().unwrap(), cat.stdout.take().unwrap());
            let (received, _) = fibra::scope(|s| {
                let writing = s.go(|| {
                    stdin.write_all(&sent).unwrap();
                    drop(stdin);
                });
                let mut received = Vec::new();
                stdout.read_to_end(&mut received).unwrap();
                (received, writing.join().unwrap())
            });
            assert_eq!(received.len(), 10 << 20);
            assert!(received == sent);
            assert!(cat.wait().unwrap().success());
        });
    });
}

#[test]
fn much_goes_through_on_plain_threads() {
    let _turn = turn();
    let sent = vec![7; 10 << 20];
    let mut cat = cat();
    let mut stdin = cat.stdin.take().unwrap();
    std::thread::scope(|s| {
        s.spawn(|| {
            stdin.write_all(&sent).unwrap();
            drop(stdin);
        });
        assert!(cat.wait_with_output().unwrap().stdout == sent);
    });
}

#[test]
fn pieces_are_read_and_written() {
    in_all_ways(|| {
        let mut cat = cat();
        let (stdin, stdout) = (cat.stdin.take().unwrap(), cat.stdout.take().unwrap());
        for word in ["one", "two", "three"] {
            let (start, end) = word.as_bytes().split_at(1);
            let n = (&stdin).write_vectored(&[IoSlice::new(start), IoSlice::new(end)]).unwrap();
            assert_eq!(n, word.len());
            let (mut first, mut rest) = ([0; 2], [0; 9]);
            let mut into = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut rest)];
            assert_eq!((&stdout).read_vectored(&mut into).unwrap(), word.len());
            assert_eq!([&first, &rest[..word.len() - 2]].concat(), word.as_bytes());
        }
        drop(stdin);
        assert_eq!((&stdout).read(&mut [0]).unwrap(), 0);
        assert!(cat.wait().unwrap().success());
    });
}

#[test]
fn a_child_that_does_not_listen_is_an_error() {
    in_all_ways(|| {
        let mut child = shell("exec <&-; echo; exec sleep 1000")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        assert_eq!(child.stdout.as_mut().unwrap().read(&mut [0; 9]).unwrap(), 1);
        let error = child.stdin.as_mut().unwrap().write(b"x").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        child.kill().unwrap();
        child.wait().unwrap();
    });
}

#[test]
fn it_is_killed_and_waited_for() {
    in_all_ways(|| {
        let mut child = cat();
        assert_eq!(child.try_wait().unwrap(), None);
        child.kill().unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.signal(), Some(libc::SIGKILL));
        // It stays that way.
        assert_eq!(child.wait().unwrap(), status);
        assert_eq!(child.try_wait().unwrap(), Some(status));
        child.kill().unwrap();

        for code in [0, 1, 42, 255] {
            let status = shell(&format!("exit {code}")).status().unwrap();
            assert_eq!(status.code(), Some(code));
        }
        let status = shell("kill -TERM $$").status().unwrap();
        assert_eq!(status.signal(), Some(libc::SIGTERM));
    });
}

#[test]
fn waiting_closes_stdin() {
    in_all_ways(|| {
        assert!(cat().wait().unwrap().success());
        assert!(cat().wait_with_output().unwrap().status.success());
    });
}

#[test]
fn who_waits_keeps_nobody_else_waiting() {
    everywhere(|setup| {
        setup.run(|| {
            let mut cat = cat();
            let stdin = cat.stdin.take().unwrap();
            let ready = Signal::new();
            let waits = ready.clone();
            let waiting = go!(move || {
                waits.set();
                cat.wait().unwrap()
            });
            ready.wait();
            // It ends only after this.
            fibra::yield_now();
            drop(stdin);
            assert!(join(waiting).success());
        });
    });
}

#[test]
fn many_are_waited_for_at_once() {
    everywhere(|setup| {
        setup.run(|| {
            let (children, pipes): (Vec<_>, Vec<_>) = (0..20)
                .map(|_| {
                    let mut cat = cat();
                    let stdin = cat.stdin.take();
                    (cat, stdin)
                })
                .unzip();
            let waiting: Vec<_> =
                children.into_iter().map(|mut child| go!(move || child.wait().unwrap())).collect();
            fibra::yield_now();
            drop(pipes);
            assert!(waiting.into_iter().map(join).all(|status| status.success()));
        });
    });
}

#[test]
fn whoever_is_cancelled_leaves_the_child_to_others() {
    everywhere(|setup| {
        setup.run(|| {
            let mut cat = cat();
            let stdin = cat.stdin.take().unwrap();
            let shared = Arc::new(fibra::sync::Mutex::new(cat));
            let ready = Signal::new();
            let (waits, first) = (ready.clone(), shared.clone());
            let first = go!(move || {
                let mut cat = first.lock();
                waits.set();
                cat.wait()
            });
            ready.wait();
            fibra::yield_now();
            first.cancel();
            assert_cancelled(outcome(first));
            let (waits, second) = (Signal::new(), shared.clone());
            let second = go!(move || {
                let status = second.lock().wait().unwrap();
                waits.set();
                status
            });
            fibra::yield_now();
            drop(stdin);
            assert!(join(second).success());
            assert!(shared.lock().wait().unwrap().success());
        });
    });
}

#[test]
fn a_cancelled_reader_leaves_the_rest_to_others() {
    everywhere(|setup| {
        setup.run(|| {
            let mut cat = cat();
            let stdout = Arc::new(cat.stdout.take().unwrap());
            let (ready, reader) = (Signal::new(), stdout.clone());
            let reads = ready.clone();
            let reading = go!(move || {
                reads.set();
                (&*reader).read(&mut [0; 9]).unwrap()
            });
            ready.wait();
            fibra::yield_now();
            reading.cancel();
            assert_cancelled(outcome(reading));
            cat.stdin.as_mut().unwrap().write_all(b"later").unwrap();
            let mut buf = [0; 5];
            (&*stdout).read_exact(&mut buf).unwrap();
            assert_eq!(&buf, b"later");
            cat.wait().unwrap();
        });
    });
}

#[test]
fn what_cannot_be_started_is_an_error() {
    in_all_ways(|| {
        let error = Command::new("no-such-program").spawn().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let error = Command::new("no-such-program").output().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let error = Command::new("./no/such/program").status().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let error = Command::new("/dev/null").spawn().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        let error = Command::new("true").arg("a\0b").spawn().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let error = Command::new("true").current_dir("/no/such/directory").spawn().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let error = Command::new("no-such-program").exec();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    });
}

#[test]
fn its_surroundings_are_set() {
    in_all_ways(|| {
        let text = |command: &mut Command| {
            let output = command.output().unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        let mut command = Command::new("env");
        command.env_clear().env("A", "1").envs([("B", "2"), ("C", "3")]).env_remove("B");
        assert_eq!(text(&mut command), "A=1\nC=3\n");
        let envs: Vec<_> =
            command.get_envs().map(|(name, value)| (name.to_str(), value.is_some())).collect();
        assert_eq!(envs, [(Some("A"), true), (Some("C"), true)]);

        let mut command = Command::new("pwd");
        assert_eq!(text(command.current_dir("/usr")), "/usr\n");
        assert_eq!(command.get_current_dir().unwrap(), "/usr");
        assert_eq!(command.get_program(), "pwd");

        let mut command = shell("echo $0");
        assert_eq!(text(command.arg("name")), "name\n");
        assert!(command.get_args().eq(["-c", "echo $0", "name"]));
        let mut command = Command::new("/bin/sh");
        let line = text(command.arg0("another").args(["-c", "tr '\\0' ' ' </proc/$$/cmdline"]));
        assert!(line.starts_with("another -c"), "{line}");

        // The group has its own number: the fifth field behind the name is the group, the fourth the parent.
        let group = text(shell("cut -d' ' -f5 /proc/$$/stat; echo $$").process_group(0));
        let (group, own) = group.split_once('\n').unwrap();
        assert_eq!(group, own.trim_end());
        assert!(format!("{command:?}").contains("/bin/sh"));
    });
}

#[test]
fn one_writes_what_the_other_reads() {
    in_all_ways(|| {
        let mut first = shell("echo abc; echo def").stdout(Stdio::piped()).spawn().unwrap();
        let mut second = Command::new("tr")
            .args(["a-f", "A-F"])
            .stdin(first.stdout.take().unwrap())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut text = String::new();
        second.stdout.as_mut().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "ABC\nDEF\n");
        assert!(first.wait().unwrap().success() && second.wait().unwrap().success());

        let file = fibra::fs::File::open("/proc/version").unwrap();
        let output = Command::new("cat").stdin(file).stdout(Stdio::piped()).output().unwrap();
        assert_eq!(output.stdout, std::fs::read("/proc/version").unwrap());
    });
}

#[test]
fn std_takes_over_and_gives_back() {
    fn is_nonblocking(pipe: &impl AsRawFd) -> bool {
        // SAFETY: takes numbers only.
        let flags = unsafe { libc::fcntl(pipe.as_raw_fd(), libc::F_GETFL) };
        flags & libc::O_NONBLOCK != 0
    }
    in_all_ways(|| {
        let ours = cat();
        assert!(is_nonblocking(ours.stdin.as_ref().unwrap()));
        let (id, number) = (ours.id(), ours.stdout.as_ref().unwrap().as_raw_fd());
        let mut stds = ours.into_std();
        assert_eq!((stds.id(), stds.stdout.as_ref().unwrap().as_raw_fd()), (id, number));
        assert!(!is_nonblocking(stds.stdin.as_ref().unwrap()));
        assert!(!is_nonblocking(stds.stdout.as_ref().unwrap()));
        stds.stdin.as_mut().unwrap().write_all(b"text").unwrap();
        let ours = Child::from(stds);
        assert_eq!(ours.wait_with_output().unwrap().stdout, b"text");

        let (read, write) = io::pipe().unwrap();
        let (read, write) =
            (ChildStdout::from(OwnedFd::from(read)), ChildStdin::from(OwnedFd::from(write)));
        (&write).write_all(b"x").unwrap();
        drop(OwnedFd::from(write));
        let mut all = Vec::new();
        (&read).read_to_end(&mut all).unwrap();
        assert_eq!(all, b"x");

        let mut command = std::process::Command::new("echo");
        command.arg("std").stdout(Stdio::piped());
        let output = Command::from(command).output().unwrap();
        assert_eq!((&*output.stdout, output.status.code()), (&b"std\n"[..], Some(0)));
    });
}

#[test]
fn without_a_descriptor_a_blocking_thread_waits() {
    let _turn = turn();
    let end = child::Child::new().run("", |_| {
        Runtime::builder().workers(1).build().unwrap().run(|| {
            let mut cat = cat();
            let stdin = cat.stdin.take().unwrap();
            // The other goroutine's wait needs nothing new.
            let order = Arc::new(Mutex::new(Vec::new()));
            let none = libc::rlimit { rlim_cur: 0, rlim_max: 4096 };
            // SAFETY: `none` is a struct that outlives the call.
            assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &none) }, 0);
            assert!(std::fs::File::open("/dev/null").is_err());
            let (noted, ready) = (order.clone(), Signal::new());
            let waits = ready.clone();
            let waiting = go!(move || {
                waits.set();
                let status = cat.wait().unwrap();
                noted.lock().unwrap().push("ended");
                status
            });
            ready.wait();
            fibra::yield_now();
            order.lock().unwrap().push("closing");
            drop(stdin);
            assert!(join(waiting).success());
            assert_eq!(*order.lock().unwrap(), ["closing", "ended"]);
        });
    });
    end.succeeded();
}

#[test]
fn a_runtime_that_ends_leaves_the_child_alone() {
    at(&[1, 2], &[false, true], fibra_tests::LONG, |setup| {
        let mut cat = cat();
        let mut stdin = cat.stdin.take().unwrap();
        let shared = Arc::new(Mutex::new(Some(cat)));
        let child = shared.clone();
        let runtime = setup.runtime();
        let ready = Signal::new();
        let waits = ready.clone();
        let waiting = runtime.spawn(move || {
            /// Gives the child back.
            struct Back(Option<Child>, Arc<Mutex<Option<Child>>>);
            impl Drop for Back {
                fn drop(&mut self) {
                    *self.1.lock().unwrap() = self.0.take();
                }
            }
            let cat = child.lock().unwrap().take();
            let mut back = Back(cat, child);
            waits.set();
            back.0.as_mut().unwrap().wait()
        });
        ready.wait();
        drop(runtime);
        assert_cancelled(outcome(waiting));
        // From a plain thread, with what another runtime has begun.
        stdin.write_all(b"still there").unwrap();
        drop(stdin);
        let cat = shared.lock().unwrap().take().unwrap();
        let output = cat.wait_with_output().unwrap();
        assert!(output.status.success());
        assert_eq!(output.stdout, b"still there");
    });
}
