//! Processes known by their id.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

use crate::wait;

/// From SIGKILL to the end of a process, its writes to disk included.
const KILL_DEADLINE: Duration = Duration::from_secs(20);

/// A process of the cluster under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process(Pid);

impl Process {
    /// The process of a number.
    ///
    /// # Panics
    /// When the number cannot be one of a process.
    #[must_use]
    pub fn new(pid: u32) -> Self {
        let pid = i32::try_from(pid).expect("process ids are positive i32");
        assert!(pid > 1, "{pid} is not the id of a daemon");
        Self(Pid::from_raw(pid))
    }

    /// The process a pid file names; `None` when there is no such file.
    ///
    /// # Panics
    /// When the file holds no number.
    #[must_use]
    pub fn from_pid_file(path: &Path) -> Option<Self> {
        let text = fs::read_to_string(path).ok()?;
        let pid = text.trim().parse().unwrap_or_else(|_| panic!("{} holds no process id: {text:?}", path.display()));
        Some(Self::new(pid))
    }

    /// Whether it is a daemon of the cluster below `root`, and not a stranger that was given the number of
    /// one that has ended.
    #[must_use]
    pub fn belongs_to(self, root: &Path) -> bool {
        let command_line = fs::read(format!("/proc/{}/cmdline", self.0)).unwrap_or_default();
        let root = root.as_os_str().as_bytes();
        command_line.windows(root.len()).any(|window| window == root)
    }

    /// Its number.
    #[must_use]
    pub fn id(self) -> i32 {
        self.0.as_raw()
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// When the process is gone, because a test that signals nobody tests nothing.
    #[track_caller]
    pub fn signal(self, signal: Signal) {
        signal::kill(self.0, signal).unwrap_or_else(|error| panic!("cannot send {signal} to {}: {error}", self.0));
    }

    /// SIGKILL, and waits for its end.
    #[track_caller]
    pub fn kill(self) {
        self.signal(Signal::SIGKILL);
        self.wait_gone(KILL_DEADLINE);
    }

    /// SIGKILL to a process that may be gone already, and waits for its end.
    pub fn kill_if_alive(self) {
        match signal::kill(self.0, Signal::SIGKILL) {
            Ok(()) => self.wait_gone(KILL_DEADLINE),
            Err(Errno::ESRCH) => {}
            Err(error) => panic!("cannot kill {}: {error}", self.0),
        }
    }

    /// Waits until it has ended.
    #[track_caller]
    pub fn wait_gone(self, deadline: Duration) {
        wait::until_true(&format!("process {} ends", self.0), deadline, || !self.is_alive());
    }

    /// Waits until no thread of it runs any more, after SIGSTOP.
    #[track_caller]
    pub fn wait_stopped(self, deadline: Duration) {
        wait::until_true(&format!("process {} is stopped", self.0), deadline, || self.is_stopped());
    }

    /// Whether SIGSTOP holds every thread of it.
    #[must_use]
    pub fn is_stopped(self) -> bool {
        self.is_alive() && self.thread_states().all(|state| state.is_some_and(|state| state.starts_with('T')))
    }

    /// Whether it runs (or is stopped); a zombie does not. The first thread of a killed process can be one while others
    /// still have its files open.
    #[must_use]
    pub fn is_alive(self) -> bool {
        self.thread_states().flatten().any(|state| !state.starts_with(['Z', 'X']))
    }

    /// The state of each thread; `None` for one that has ended meanwhile.
    fn thread_states(self) -> impl Iterator<Item = Option<String>> {
        let threads = fs::read_dir(format!("/proc/{}/task", self.0)).into_iter().flatten().flatten();
        threads.map(|thread| field(&thread.path().join("status"), "State:"))
    }

    /// A line of `/proc/<pid>/status`, without its name.
    pub(crate) fn status_field(self, name: &str) -> Option<String> {
        field(Path::new(&format!("/proc/{}/status", self.0)), name)
    }
}

fn field(status: &Path, name: &str) -> Option<String> {
    let status = fs::read_to_string(status).ok()?;
    status.lines().find_map(|line| line.strip_prefix(name)).map(|rest| rest.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Process, wait};
    use std::path::Path;
    use std::process::Command;
    use std::time::Duration;

    #[test]
    fn a_process_belongs_to_the_folder_its_command_line_names() {
        let folder = Path::new("/some/cluster");
        let mut child = Command::new("sleep").arg("20").spawn().unwrap();
        let process = Process::new(child.id());
        // The kernel sets the command line a moment after the program has replaced its parent's.
        wait::until_true("it has a command line", Duration::from_secs(10), || process.belongs_to(Path::new("sleep")));
        assert!(!process.belongs_to(folder));
        process.kill();
        assert!(!process.belongs_to(Path::new("sleep")), "a zombie belongs to nobody");
        child.wait().unwrap();
    }

    #[test]
    fn a_stopped_process_is_alive_and_does_nothing() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let process = Process::new(child.id());
        assert!(!process.is_stopped());
        process.signal(super::Signal::SIGSTOP);
        process.wait_stopped(Duration::from_secs(10));
        assert!(process.is_alive());
        process.kill();
        child.wait().unwrap();
    }

    #[test]
    fn a_killed_process_is_not_alive_even_before_its_parent_waits() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let process = Process::new(child.id());
        assert!(process.is_alive());
        process.kill();
        assert!(!process.is_alive());
        child.wait().unwrap();
        process.kill_if_alive();
    }
}
