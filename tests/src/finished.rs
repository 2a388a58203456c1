//! Running a program to its end, with a deadline.

use std::fmt;
use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

use crate::wait;

/// Bytes of output that a failure message shows.
const SHOWN_OUTPUT_BYTES: usize = 4096;

/// A program that has ended, with all it said.
#[derive(Debug)]
pub struct Finished {
    line: String,
    status: ExitStatus,
    /// What it wrote to standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error.
    pub stderr: String,
    /// From just before its start to its end.
    pub took: Duration,
}

impl Finished {
    /// Runs `command` to its end. Output goes to unnamed files, so a daemon that the program leaves
    /// behind cannot hold the caller up.
    ///
    /// # Panics
    /// When it cannot be started, or when it takes longer than `deadline`: then it is killed.
    #[track_caller]
    pub fn of(command: &mut Command, deadline: Duration) -> Self {
        let line = format!("{command:?}");
        let (mut stdout, mut stderr) = (unnamed_file(), unnamed_file());
        let start = Instant::now();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(stdout.try_clone().expect("a file descriptor can be duplicated"))
            .stderr(stderr.try_clone().expect("a file descriptor can be duplicated"))
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {line}: {error}"));
        let status = end_of(&mut child, deadline);
        let took = start.elapsed();
        let (stdout, stderr) = (contents(&mut stdout), String::from_utf8_lossy(&contents(&mut stderr)).into_owned());
        let Some(status) = status else {
            panic!("{line} was killed after {deadline:?}\nstdout: {}\nstderr: {stderr}", shown(&stdout));
        };
        Self { line, status, stdout, stderr, took }
    }

    /// The exit code; `None` when a signal ended it.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Whether it exited with 0.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.status.success()
    }

    /// Itself, when it exited with `code`.
    ///
    /// # Panics
    /// When it did not, with everything it said.
    #[track_caller]
    #[must_use]
    pub fn expect_code(self, code: i32) -> Self {
        assert!(self.status.code() == Some(code), "expected exit code {code}: {self}");
        self
    }

    /// Itself, when it exited with 0.
    ///
    /// # Panics
    /// When it did not, with everything it said.
    #[track_caller]
    #[allow(clippy::return_self_not_must_use, reason = "often there is no more to look at")]
    pub fn expect_success(self) -> Self {
        self.expect_code(0)
    }

    /// Itself, when it failed by itself, not by a signal.
    ///
    /// # Panics
    /// When it succeeded or was killed.
    #[track_caller]
    #[must_use]
    pub fn expect_failure(self) -> Self {
        assert!(self.status.code().is_some_and(|code| code != 0), "expected a failure: {self}");
        self
    }

    /// Standard output as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard output as one JSON document.
    ///
    /// # Panics
    /// When it is none, or lacks the fields of `T`.
    #[track_caller]
    #[must_use]
    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.stdout).unwrap_or_else(|error| panic!("not the promised JSON ({error}): {self}"))
    }

    /// Standard output as one JSON document a line.
    ///
    /// # Panics
    /// When a line is none, or lacks the fields of `T`.
    #[track_caller]
    #[must_use]
    pub fn json_lines<T: DeserializeOwned>(&self) -> Vec<T> {
        let parse = |line: &str| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("not the promised JSON ({error}): {line}"))
        };
        self.text().lines().map(parse).collect()
    }
}

impl fmt::Display for Finished {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = match (self.status.code(), self.status.signal()) {
            (Some(code), _) => format!("exit code {code}"),
            (None, signal) => format!("signal {signal:?}"),
        };
        write!(
            formatter,
            "{} ended after {:?} with {end}\nstdout: {}\nstderr: {}",
            self.line,
            self.took,
            shown(&self.stdout),
            self.stderr
        )
    }
}

fn end_of(child: &mut Child, deadline: Duration) -> Option<ExitStatus> {
    let status = wait::within(deadline, || child.try_wait().expect("the child is ours to wait for"));
    if status.is_none() {
        child.kill().expect("a running child can be killed");
    }
    status
}

fn unnamed_file() -> File {
    tempfile::tempfile().expect("the temporary directory takes files")
}

fn contents(file: &mut File) -> Vec<u8> {
    let mut bytes = Vec::new();
    file.rewind().expect("a regular file can be rewound");
    file.read_to_end(&mut bytes).expect("a regular file can be read");
    bytes
}

fn shown(bytes: &[u8]) -> String {
    let part = &bytes[..bytes.len().min(SHOWN_OUTPUT_BYTES)];
    String::from_utf8_lossy(part).into_owned()
}

#[cfg(test)]
mod tests {
    use super::Finished;
    use std::process::Command;
    use std::time::Duration;

    const AMPLE: Duration = Duration::from_secs(20);

    #[test]
    fn output_and_exit_code_are_kept() {
        let finished = Finished::of(Command::new("sh").args(["-c", "echo out; echo err >&2; exit 3"]), AMPLE);
        assert_eq!((finished.code(), finished.text().as_str()), (Some(3), "out\n"));
        assert_eq!(finished.stderr, "err\n");
    }

    #[test]
    fn a_background_child_that_keeps_the_output_open_holds_nobody_up() {
        let finished = Finished::of(Command::new("sh").args(["-c", "sleep 5 & echo started"]), AMPLE);
        assert_eq!(finished.text(), "started\n");
        assert!(finished.took < Duration::from_secs(4), "took {:?}", finished.took);
    }

    #[test]
    #[should_panic(expected = "was killed after")]
    fn a_program_that_hangs_is_killed_and_named() {
        Finished::of(Command::new("sleep").arg("30"), Duration::from_millis(50));
    }
}
