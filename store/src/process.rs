//! Owns how programs are started: the one place that makes commands, and running one to its end within bounds.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

/// How much of what a program says on stderr is kept: its end, in bytes.
const STDERR_KEPT: usize = 16 * 1024;
/// The most that a program may print on stdout, in bytes; it is held in memory.
const STDOUT_MOST: u64 = 64 * 1024 * 1024;
/// How often a program is started that is still open for writing.
const BUSY_TRIES: u32 = 50;
/// How often a running program is looked after.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Why a program did not do what it was started for.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// There is no program of that name.
    #[error("`{0}` is not installed on this machine")]
    NotInstalled(String),
    /// The system could not start or await it.
    #[error("cannot run `{program}`: {source}")]
    System {
        /// The program.
        program: String,
        /// The system's answer.
        source: io::Error,
    },
    /// It ended, but said that it failed.
    #[error("`{program}` failed ({status}){}", said(.stderr))]
    Failed {
        /// The program.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it said on stderr.
        stderr: String,
    },
    /// It took too long and was ended.
    #[error("`{program}` was ended, since it took longer than {} s{}", .limit.as_secs(), said(.stderr))]
    TimedOut {
        /// The program.
        program: String,
        /// How long it had.
        limit: Duration,
        /// The end of what it said on stderr.
        stderr: String,
    },
    /// It was ended because nobody wants its result any more.
    #[error("`{0}` was ended because the run was interrupted")]
    Cancelled(String),
    /// It printed more than any answer of it can be.
    #[error("`{program}` printed more than {} MiB", STDOUT_MOST >> 20, program = .0)]
    Babbling(String),
}

fn said(stderr: &str) -> String {
    match stderr.trim() {
        "" => String::new(),
        text => format!(":\n{text}"),
    }
}

/// Whether a running program shall go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It shall.
    GoOn,
    /// Its result is no longer wanted.
    Cancel,
}

/// What a program that succeeded left to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// All of its stdout.
    pub stdout: Vec<u8>,
    /// The end of its stderr.
    pub stderr: String,
}

/// A command that runs `program`, which is looked up in `PATH`.
#[allow(
    clippy::disallowed_methods,
    reason = "the one place; whoever calls it says what the program may see"
)]
pub fn command(program: impl AsRef<OsStr>) -> Command {
    Command::new(program)
}

/// Runs `command` to its end, for at most `limit`; it reads nothing and has no terminal. `look` is called many times a
/// second. When this process dies, or gives up on the program, all that the program started dies as well.
///
/// # Errors
/// See [`ProcessError`].
pub fn run(
    mut command: Command,
    limit: Duration,
    look: &mut dyn FnMut() -> Verdict,
) -> Result<Said, ProcessError> {
    let program = command.get_program().to_owned();
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    alone(&mut command);
    let mut child = spawn(&mut command).map_err(|error| refused(&program, error))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (ended, stdout, stderr) = std::thread::scope(|scope| {
        let stdout = scope.spawn(|| read_all(stdout));
        let stderr = scope.spawn(|| read_end(stderr));
        let ended = attend(&mut child, limit, look);
        // Neither thread panics: both only read.
        (
            ended,
            stdout.join().unwrap_or_default(),
            stderr.join().unwrap_or_default(),
        )
    });
    let program = program.to_string_lossy().into_owned();
    match ended.map_err(|source| ProcessError::System {
        program: program.clone(),
        source,
    })? {
        Ended::Exited(status) if status.success() => match stdout {
            Some(stdout) => Ok(Said { stdout, stderr }),
            None => Err(ProcessError::Babbling(program)),
        },
        Ended::Exited(_) if stdout.is_none() => Err(ProcessError::Babbling(program)),
        Ended::Exited(status) => Err(ProcessError::Failed {
            program,
            status,
            stderr,
        }),
        Ended::TookTooLong => Err(ProcessError::TimedOut {
            program,
            limit,
            stderr,
        }),
        Ended::Cancelled => Err(ProcessError::Cancelled(program)),
    }
}

/// Starts it. While another thread starts a program, that one shares for a moment what this process has open for
/// writing, and a program that was just written cannot run; so it is tried a few times.
fn spawn(command: &mut Command) -> io::Result<Child> {
    for _ in 0..BUSY_TRIES {
        match command.spawn() {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => std::thread::sleep(LOOK_EVERY),
            spawned => return spawned,
        }
    }
    command.spawn()
}

fn refused(program: &OsString, source: io::Error) -> ProcessError {
    let program = program.to_string_lossy().into_owned();
    match source.kind() {
        io::ErrorKind::NotFound => ProcessError::NotInstalled(program),
        _ => ProcessError::System { program, source },
    }
}

/// Gives the program a session of its own, so that it can ask nobody on the terminal and can be ended with all it
/// starts, and has it die with the thread that started it.
fn alone(command: &mut Command) {
    let parent = std::process::id();
    let prepare = move || {
        nix::unistd::setsid()?;
        nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
        let orphaned = u32::try_from(nix::unistd::getppid().as_raw()) != Ok(parent);
        if orphaned {
            return Err(Errno::ESRCH.into());
        }
        Ok(())
    };
    // SAFETY: between fork and exec only setsid, prctl and getppid are called, which are async-signal-safe, and
    // nothing is allocated: an `io::Error` made from an `Errno` is a number.
    unsafe { command.pre_exec(prepare) };
}

enum Ended {
    Exited(ExitStatus),
    TookTooLong,
    Cancelled,
}

fn attend(child: &mut Child, limit: Duration, look: &mut dyn FnMut() -> Verdict) -> io::Result<Ended> {
    let begun = Instant::now();
    // A process ID is a `pid_t` that std shows as `u32`.
    let group = Pid::from_raw(child.id().cast_signed());
    let why = loop {
        match waitid(
            Id::Pid(group),
            WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT,
        ) {
            Ok(WaitStatus::StillAlive) => {}
            Ok(_) => break None,
            Err(Errno::EINTR) => continue,
            Err(_) => break None,
        }
        if look() == Verdict::Cancel {
            break Some(Ended::Cancelled);
        }
        if begun.elapsed() >= limit {
            break Some(Ended::TookTooLong);
        }
        std::thread::sleep(LOOK_EVERY);
    };
    // While it is not reaped its number is no other group's. What it leaves behind would hold our pipes open.
    let _ = killpg(group, Signal::SIGKILL);
    let status = child.wait()?;
    Ok(why.unwrap_or(Ended::Exited(status)))
}

/// Everything, or nothing when it is more than [`STDOUT_MOST`].
fn read_all(from: Option<impl Read>) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut from = from?;
    // What cannot be read any more is no reason to call the program failed.
    let _ = (&mut from).take(STDOUT_MOST + 1).read_to_end(&mut bytes);
    (bytes.len() as u64 <= STDOUT_MOST).then_some(bytes)
}

fn read_end(from: Option<impl Read>) -> String {
    let mut end = VecDeque::with_capacity(2 * STDERR_KEPT);
    let mut buffer = [0; 4096];
    let mut from = match from {
        Some(from) => from,
        None => return String::new(),
    };
    while let Ok(count) = from.read(&mut buffer) {
        if count == 0 {
            break;
        }
        end.extend(&buffer[..count]);
        let spare = end.len().saturating_sub(STDERR_KEPT);
        end.drain(..spare);
    }
    String::from_utf8_lossy(end.make_contiguous()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = command("/bin/sh");
        command.args(["-c", script]);
        command
    }

    fn go_on() -> Verdict {
        Verdict::GoOn
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn what_it_prints_is_kept_and_it_reads_nothing() {
        let said = run(sh("cat; echo out; echo err >&2"), LONG, &mut go_on).unwrap();
        assert_eq!(said.stdout, b"out\n");
        assert_eq!(said.stderr, "err\n");
    }

    #[test]
    fn a_failure_shows_the_end_of_what_it_said() {
        let script = "i=0; while [ $i -lt 3000 ]; do echo line $i >&2; i=$((i+1)); done; exit 7";
        let error = run(sh(script), LONG, &mut go_on).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("line 2999") && !text.contains("line 0\n"), "{text}");
        assert!(matches!(error, ProcessError::Failed { status, .. } if status.code() == Some(7)));
    }

    #[test]
    fn one_that_is_not_there_is_named() {
        let error = run(command("no-such-program-here"), LONG, &mut go_on).unwrap_err();
        assert!(matches!(error, ProcessError::NotInstalled(name) if name == "no-such-program-here"));
    }

    #[test]
    fn what_hangs_is_ended_with_all_it_started() {
        // The inner sleep would hold the pipes open for an hour.
        let error = run(
            sh("sleep 3600 & sleep 3600"),
            Duration::from_millis(50),
            &mut go_on,
        );
        assert!(matches!(error, Err(ProcessError::TimedOut { .. })));
        let mut cancel = || Verdict::Cancel;
        let error = run(sh("sleep 3600"), LONG, &mut cancel);
        assert!(matches!(error, Err(ProcessError::Cancelled(_))));
    }

    #[test]
    fn what_stays_behind_does_not_hold_us_up() {
        run(sh("sleep 3600 & exit 0"), LONG, &mut go_on).unwrap();
    }

    #[test]
    fn it_has_no_terminal_to_ask_on() {
        let error = run(sh("exec 2>/dev/null; : </dev/tty"), LONG, &mut go_on);
        assert!(matches!(error, Err(ProcessError::Failed { .. })));
    }
}
