//! `cairn watch`, running.

use std::process::ExitStatus;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde::Deserialize;

use crate::dev_cluster::DevCluster;
use crate::foreground::ForegroundDaemon;
use crate::wait;

/// From the start until it says that it is ready, and from an interrupt to its end.
const DEADLINE: Duration = Duration::from_secs(30);
/// What its messages begin with; all other lines are data.
const MESSAGE: &str = "cairn: ";

/// A program that watches keys; ended when dropped.
#[derive(Debug)]
pub struct KeyWatcher {
    daemon: ForegroundDaemon,
}

/// A line of `cairn watch --json`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct WatchedChange {
    /// Log index of the command.
    pub index: u64,
    /// The key.
    pub key: String,
    /// What happened to it.
    pub change: String,
    /// The blob that it points at; none when it was removed.
    pub uuid: Option<String>,
    /// Its length.
    pub size: Option<u64>,
}

impl KeyWatcher {
    /// Starts it with further arguments, and waits until it tells of every change from then on.
    ///
    /// # Panics
    /// When it does not get ready.
    #[must_use]
    #[track_caller]
    pub fn start(cluster: &DevCluster, arguments: &[&str]) -> Self {
        let log = cluster.folder("test-logs").join(format!("watch-{}.log", arguments.join("-").replace('/', "_")));
        let arguments = [&["watch", "--masters", cluster.masters()], arguments].concat();
        let watcher = Self { daemon: ForegroundDaemon::start(&arguments, &log) };
        wait::until_true("the watcher is ready", DEADLINE, || watcher.said().contains("ready\n"));
        watcher
    }

    /// All it has said, data and messages.
    #[must_use]
    pub fn said(&self) -> String {
        self.daemon.said()
    }

    /// Whole lines of data so far.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let said = self.said();
        let whole = said.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().filter(|line| !line.is_empty() && !line.starts_with(MESSAGE)).map(str::to_owned).collect()
    }

    /// The first lines of data, once there are so many; there must be no more of them.
    ///
    /// # Panics
    /// When there are not in time, or more.
    #[track_caller]
    pub fn wait_lines(&self, count: usize, deadline: Duration) -> Vec<String> {
        let Some(lines) = wait::within(deadline, || Some(self.lines()).filter(|lines| lines.len() >= count)) else {
            panic!("{count} changes are not told within {deadline:?}; it said:\n{}", self.said());
        };
        assert_eq!(lines.len(), count, "told more than happened:\n{}", self.said());
        lines
    }

    /// The same of one started with `--json`.
    ///
    /// # Panics
    /// When a line is no change, too.
    #[track_caller]
    pub fn wait_changes(&self, count: usize, deadline: Duration) -> Vec<WatchedChange> {
        let parsed = |line: String| serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        self.wait_lines(count, deadline).into_iter().map(parsed).collect()
    }

    /// Stops it where it is.
    pub fn freeze(&self) {
        let process = self.daemon.process();
        process.signal(Signal::SIGSTOP);
        process.wait_stopped(DEADLINE);
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.daemon.process().signal(Signal::SIGCONT);
    }

    /// Interrupts it, as Ctrl-C does.
    #[track_caller]
    pub fn stop(mut self) -> ExitStatus {
        self.daemon.process().signal(Signal::SIGINT);
        self.daemon.wait_end(DEADLINE)
    }
}
