use cairn_master::store::LogWriting;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::binary::profile_directory;

/// Threads of one master in real time.
const WORKERS: usize = 2;

/// The time that a group lives in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupClock {
    /// The machine's, on a real disk.
    Real,
    /// Simulated, which moves on when nothing can happen before; on a disk in memory, since no power fails here.
    Simulated,
}

impl GroupClock {
    /// A runtime for one master.
    pub(crate) fn runtime(self) -> Runtime {
        let built = match self {
            Self::Real => Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build(),
            Self::Simulated => Builder::new_current_thread().enable_all().start_paused(true).build(),
        };
        built.expect("a runtime can be made")
    }

    pub(super) fn log_writing(self) -> LogWriting {
        match self {
            Self::Real => LogWriting::Thread,
            Self::Simulated => LogWriting::Inline,
        }
    }

    pub(super) fn disk(self) -> TempDir {
        let mut folder = tempfile::Builder::new();
        let made = match self {
            Self::Real => {
                let parent = profile_directory().join("clusters");
                std::fs::create_dir_all(&parent).expect("the target directory can be written");
                folder.prefix("group-").tempdir_in(parent)
            }
            Self::Simulated if std::path::Path::new("/dev/shm").is_dir() => {
                folder.prefix("group-").tempdir_in("/dev/shm")
            }
            Self::Simulated => folder.prefix("group-").tempdir(),
        };
        made.expect("a folder can be made")
    }
}
