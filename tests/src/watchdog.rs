//! Ends a cluster: at the end of its test, or when the test hangs.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use crate::fuse;
use crate::process::Process;

/// No test needs a cluster for longer. System calls of a test on a mount that answers nothing
/// return when its daemon is gone, so a hang becomes a failure.
const LIFE_LIMIT: Duration = Duration::from_mins(30);

/// Ends a cluster when its life limit passes; dropped with the cluster, it does nothing.
#[derive(Debug)]
pub(crate) struct Watchdog {
    _alive: Sender<()>,
}

impl Watchdog {
    /// Watches over the cluster in `dir`, mounted at `mount`.
    pub(crate) fn over(dir: &Path, mount: &Path) -> Self {
        let (alive, ended) = mpsc::channel();
        let (dir, mount): (PathBuf, PathBuf) = (dir.to_path_buf(), mount.to_path_buf());
        thread::spawn(move || {
            if ended.recv_timeout(LIFE_LIMIT) == Err(RecvTimeoutError::Timeout) {
                fuse::notice(&format!("{} lived for {LIFE_LIMIT:?}: ended by the watchdog", dir.display()));
                end(&dir, &mount);
            }
        });
        Self { _alive: alive }
    }
}

/// Processes that the pid files of a dev cluster name, without those that have ended.
pub(crate) fn processes_of(dir: &Path) -> Vec<Process> {
    named_processes_of(dir).into_iter().map(|(_, process)| process).collect()
}

/// The same, with the names of the pid files: `master-1`, `node-3`, `mount`.
pub(crate) fn named_processes_of(dir: &Path) -> Vec<(String, Process)> {
    let files = fs::read_dir(dir.join("run")).into_iter().flatten().flatten().map(|file| file.path());
    let pid_files = files.filter(|file| file.extension().is_some_and(|extension| extension == "pid"));
    let root = dir.parent().expect("the folder of a cluster has one around it");
    let named = pid_files.filter_map(|file| {
        let name = file.file_stem()?.to_str()?.to_owned();
        Some((name, Process::from_pid_file(&file)?))
    });
    named.filter(|(_, process)| process.belongs_to(root)).collect()
}

/// Kills every daemon of a dev cluster and takes its mount away.
pub(crate) fn end(dir: &Path, mount: &Path) {
    for process in processes_of(dir) {
        process.kill_if_alive();
    }
    fuse::detach(mount);
}
