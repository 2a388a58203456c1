use std::collections::BTreeMap;
use std::io;
use std::process::ExitStatus;

use tokio::sync::mpsc;

use super::DevFailure;
use super::daemon::{Daemon, StartedDaemon};
use super::directory::ClusterDirectory;
use super::process::Process;
use crate::cli::log_tail::log_tail;

/// A daemon that has ended.
#[derive(Debug)]
pub(crate) struct DaemonEnd {
    pub(crate) name: String,
    how: Option<ExitStatus>,
}

impl DaemonEnd {
    /// For people: exit code or signal.
    pub(crate) fn how(&self) -> String {
        self.how.map_or_else(|| "not our child".to_owned(), |status| status.to_string())
    }
}

/// Waits for the daemons of a cluster, our children and those that ran before.
#[derive(Debug)]
pub(crate) struct Supervision {
    ends: mpsc::UnboundedReceiver<io::Result<DaemonEnd>>,
    sender: mpsc::UnboundedSender<io::Result<DaemonEnd>>,
    log_starts: BTreeMap<String, u64>,
}

impl Supervision {
    pub(crate) fn new() -> Self {
        let (sender, ends) = mpsc::unbounded_channel();
        Self { ends, sender, log_starts: BTreeMap::new() }
    }

    /// Takes over a child just started.
    pub(crate) fn watch_child(&mut self, daemon: &Daemon, started: StartedDaemon) {
        self.log_starts.insert(daemon.name.clone(), started.log_start);
        let (name, sender, mut child) = (daemon.name.clone(), self.sender.clone(), started.child);
        tokio::spawn(async move {
            let end = child.wait().await.map(|status| DaemonEnd { name, how: Some(status) });
            // Nobody listens any more once the cluster is left alone.
            sender.send(end).ok();
        });
    }

    /// Takes over a daemon that ran already.
    pub(crate) fn watch_other(&self, daemon: &Daemon, process: Process) {
        let (name, sender) = (daemon.name.clone(), self.sender.clone());
        tokio::spawn(async move {
            let end = process.ended().await.map(|()| DaemonEnd { name, how: None });
            sender.send(end).ok();
        });
    }

    /// Waits for the next daemon to end.
    pub(crate) async fn next_end(&mut self) -> Result<DaemonEnd, DevFailure> {
        let end = self.ends.recv().await.expect("this side keeps a sender");
        end.map_err(DevFailure::process("wait for", "a daemon"))
    }

    /// The failure that a daemon's end before readiness is, with the last lines of its log.
    pub(crate) fn early_end(&self, end: &DaemonEnd, directory: &ClusterDirectory) -> DevFailure {
        let log = directory.log(&end.name);
        let from = self.log_starts.get(&end.name).copied().unwrap_or(0);
        let tail = log_tail(&log, from);
        DevFailure::EndedEarly { name: end.name.clone(), how: end.how(), log, tail }
    }
}
