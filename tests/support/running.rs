//! Owns runs of `store` that tests watch and steer while they go on.

use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::{Ran, TestTree};

/// How long a run that hangs holds a test up before it fails; nothing is asserted about how long anything takes.
const PATIENCE: Duration = Duration::from_secs(120);

/// A build script that says that it runs and then waits to be let go.
pub const HELD: &str =
    "touch $PKG_PATH/here; until [ -e $PKG_PATH/go ]; do sleep 0.02; done; rm $PKG_PATH/here";

/// A run that goes on.
pub struct Running {
    args: String,
    child: Option<Child>,
    stdout: Option<JoinHandle<String>>,
    stderr: Option<JoinHandle<()>>,
    said: Arc<Mutex<Vec<u8>>>,
}

impl TestTree {
    /// Starts `store ARGS…`.
    pub fn start(&self, args: &[&str]) -> Running {
        let mut command = self.command(args);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let said = Arc::new(Mutex::new(Vec::new()));
        let hears = Arc::clone(&said);
        Running {
            args: args.join(" "),
            child: Some(child),
            stdout: Some(thread::spawn(move || {
                let mut text = String::new();
                out.read_to_string(&mut text).unwrap();
                text
            })),
            stderr: Some(thread::spawn(move || {
                let mut some = [0; 4096];
                while let Ok(count @ 1..) = err.read(&mut some) {
                    hears.lock().unwrap().extend(&some[..count]);
                }
            })),
            said,
        }
    }

    /// The half-built folder of `name`, whose script is [`HELD`], once it runs.
    pub fn held(&self, name: &str) -> PathBuf {
        let start = format!("{name}--");
        let mut found = None;
        wait_until(&format!("`{name}` builds"), || {
            let entries = std::fs::read_dir(self.store_dir().join("tmp"))
                .into_iter()
                .flatten();
            found = entries
                .flatten()
                .filter(|entry| entry.file_name().to_str().unwrap().starts_with(&start))
                .map(|entry| entry.path().join("output"))
                .find(|output| output.join("here").exists());
            found.is_some()
        });
        found.unwrap()
    }

    /// Lets the build of `name`, whose script is [`HELD`], end well.
    pub fn let_go(&self, name: &str) {
        std::fs::write(self.held(name).join("go"), "").unwrap();
    }
}

impl Running {
    /// Sends a signal, e.g. `SIGINT` for ctrl-C.
    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = nix::unistd::Pid::from_raw(self.pid());
        nix::sys::signal::kill(pid, signal).unwrap();
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.child.as_ref().unwrap().id()).unwrap()
    }

    /// Waits until it has said `words` on standard error.
    pub fn says(&self, words: &str) {
        wait_until(&format!("`store {}` says `{words}`", self.args), || {
            String::from_utf8_lossy(&self.said.lock().unwrap()).contains(words)
        });
    }

    /// Waits for its end.
    pub fn ends(mut self) -> Ran {
        let mut status = None;
        wait_until(&format!("`store {}` ends", self.args), || {
            status = self.child.as_mut().unwrap().try_wait().unwrap();
            status.is_some()
        });
        self.child = None;
        let stdout = self.stdout.take().unwrap().join().unwrap();
        self.stderr.take().unwrap().join().unwrap();
        Ran {
            args: self.args.clone(),
            code: status.unwrap().code(),
            stdout,
            stderr: String::from_utf8(self.said.lock().unwrap().clone()).unwrap(),
        }
    }
}

impl Drop for Running {
    /// Leaves nothing running behind a test that failed.
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[track_caller]
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(10));
    }
}
