//! What happens to a cluster: daemons that die, fall silent and come back.

use nix::sys::signal::Signal;

use super::{DevCluster, REJOIN_DEADLINE};
use crate::finished::Finished;
use crate::fuse;
use crate::watchdog::processes_of;

impl DevCluster {
    /// `kill -9` of a daemon, behind the back of `cairn dev`.
    #[track_caller]
    pub fn kill(&self, name: &str) {
        self.process(name).kill();
    }

    /// SIGSTOP: the daemon answers nothing, and its connections stay open.
    #[track_caller]
    pub fn freeze(&self, name: &str) {
        self.process(name).signal(Signal::SIGSTOP);
    }

    /// SIGCONT after [`freeze`](Self::freeze).
    #[track_caller]
    pub fn thaw(&self, name: &str) {
        self.process(name).signal(Signal::SIGCONT);
    }

    /// `kill -9` of every daemon at once, and of the mount.
    #[track_caller]
    pub fn kill_everything(&self) {
        let processes = processes_of(&self.dir());
        for process in &processes {
            process.signal(Signal::SIGKILL);
        }
        for process in &processes {
            process.wait_gone(REJOIN_DEADLINE);
        }
        fuse::detach(&self.mount_path());
    }

    /// `cairn dev kill`.
    #[track_caller]
    pub fn dev_kill(&self, name: &str) -> Finished {
        self.dev("kill", &[name])
    }

    /// `cairn dev start`, whatever comes of it.
    #[track_caller]
    pub fn dev_start(&self, name: &str) -> Finished {
        self.dev("start", &[name])
    }

    /// Starts daemons that were killed and waits until every node serves.
    #[track_caller]
    pub fn revive(&self, names: &[&str]) {
        for name in names {
            self.dev_start(name).expect_success();
        }
        self.wait_nodes(REJOIN_DEADLINE, "active", &self.node_names());
    }
}
