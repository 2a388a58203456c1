//! A further mount of a cluster, with a daemon of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::foreground::ForegroundDaemon;
use crate::fuse;
use crate::process::Process;
use crate::wait;

/// From the start of a mount daemon to a usable mount.
const MOUNT_DEADLINE: Duration = Duration::from_secs(30);
/// Begins the line that a mount says when it is ready, which is a little after the kernel lists it.
const READY: &str = "mounted at ";

/// A mount; taken away when dropped.
#[derive(Debug)]
pub struct Mount {
    path: PathBuf,
    daemon: ForegroundDaemon,
}

impl Mount {
    /// Mounts the cluster of `masters` at `path`, which is made if missing.
    ///
    /// # Panics
    /// When the mount does not come up.
    #[must_use]
    #[track_caller]
    pub fn start(path: &Path, masters: &str, options: &[&str], log: &Path) -> Self {
        fs::create_dir_all(path).unwrap_or_else(|error| panic!("cannot make {}: {error}", path.display()));
        let text = path.to_str().expect("the harness makes UTF-8 paths");
        let mut arguments = vec!["mount", text, "--masters", masters];
        arguments.extend(options);
        // Mounts that follow one another may have one log.
        let said_before = fs::read(log).map_or(0, |said| said.len());
        let mut mount = Self { path: path.to_path_buf(), daemon: ForegroundDaemon::start(&arguments, log) };
        let is_ready = |mount: &Self| mount.daemon.said()[said_before..].lines().any(|line| line.starts_with(READY));
        let up = wait::within(MOUNT_DEADLINE, || (mount.daemon.ended().is_some() || is_ready(&mount)).then_some(()));
        assert!(up.is_some() && fuse::is_mounted(path), "no mount; its daemon said:\n{}", mount.daemon.said());
        mount
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its daemon.
    #[must_use]
    pub fn process(&self) -> Process {
        self.daemon.process()
    }

    /// All its daemon has said.
    #[must_use]
    pub fn said(&self) -> String {
        self.daemon.said()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        fuse::detach(&self.path);
    }
}
