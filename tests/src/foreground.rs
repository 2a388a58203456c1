//! A daemon that is a child of the test itself, with its output in a file.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::binary::cairn_program;
use crate::process::Process;
use crate::wait;

/// `cairn master`, `cairn node` or `cairn mount`, in the foreground. Killed when dropped.
#[derive(Debug)]
pub struct ForegroundDaemon {
    child: Child,
    log: PathBuf,
}

impl ForegroundDaemon {
    /// Starts `cairn` with `arguments`; all it says goes to the file `log`.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(arguments: &[&str], log: &Path) -> Self {
        Self::of(&cairn_program(), arguments, log)
    }

    /// Starts a program with `arguments`; all it says goes to the file `log`.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn of(program: &Path, arguments: &[&str], log: &Path) -> Self {
        let output = File::options().create(true).append(true).open(log);
        let output = output.unwrap_or_else(|error| panic!("cannot open {}: {error}", log.display()));
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a file descriptor can be duplicated"))
            .stderr(output)
            .spawn()
            .expect("the program under test can be started");
        Self { child, log: log.to_path_buf() }
    }

    /// The process.
    #[must_use]
    pub fn process(&self) -> Process {
        Process::new(self.child.id())
    }

    /// How it ended, if it did.
    ///
    /// # Panics
    /// Never: the child is ours.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the child is ours to wait for")
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait_end(&mut self, deadline: Duration) -> ExitStatus {
        let Some(status) = wait::within(deadline, || self.ended()) else {
            panic!("the daemon still runs after {deadline:?}; it said:\n{}", self.said());
        };
        status
    }

    /// All it has said.
    ///
    /// # Panics
    /// When its log cannot be read.
    #[must_use]
    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_else(|error| panic!("cannot read {}: {error}", self.log.display()))
    }
}

impl Drop for ForegroundDaemon {
    fn drop(&mut self) {
        if self.ended().is_none() {
            self.child.kill().expect("a running child can be killed");
            self.child.wait().expect("the child is ours to wait for");
        }
    }
}
