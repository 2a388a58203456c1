use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::durable_files::{create_dir, empty_dir};

/// What is left to do when part of the directory cannot be put back.
pub(crate) const IF_LOST: &str = "If it is lost, take this master out of its group (`cairn master remove`) and add \
                                  another with a new id and an empty directory";

/// The directory of one master's store, locked against every other process.
///
/// `identity.toml`; `log/`: the Raft log; `state/<number>/`: the state, the highest number counts; `snapshots/` and
/// `incoming/`: checkpoints to send and being received, emptied at every start.
#[derive(Debug)]
pub(crate) struct StoreDirectory {
    root: PathBuf,
    _lock: File,
}

/// Why a directory cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// Another process has it.
    #[error("{} is in use by another process: stop it first", dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// It cannot be made or read.
    #[error("cannot use {}: {source}", dir.display())]
    Unusable {
        /// The directory.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl StoreDirectory {
    /// Takes the directory; makes what is missing.
    pub(crate) fn take(root: &Path) -> Result<Self, DirectoryError> {
        let unusable = |source| DirectoryError::Unusable { dir: root.to_owned(), source };
        fs::create_dir_all(root).map_err(unusable)?;
        let lock = File::create(root.join("lock")).map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(DirectoryError::InUse { dir: root.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(unusable(source)),
        }
        let directory = Self { root: root.to_owned(), _lock: lock };
        directory.prepare().map_err(unusable)?;
        Ok(directory)
    }

    fn prepare(&self) -> io::Result<()> {
        for dir in [self.log(), self.state(), self.snapshots(), self.incoming()] {
            create_dir(&dir)?;
        }
        empty_dir(&self.snapshots())?;
        empty_dir(&self.incoming())
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.root.join("state")
    }

    pub(crate) fn snapshots(&self) -> PathBuf {
        self.root.join("snapshots")
    }

    pub(crate) fn incoming(&self) -> PathBuf {
        self.root.join("incoming")
    }
}

#[cfg(test)]
mod tests {
    use super::{DirectoryError, StoreDirectory};

    #[test]
    fn a_directory_in_use_is_refused_and_free_again_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        let taken = StoreDirectory::take(dir.path()).unwrap();
        assert!(matches!(StoreDirectory::take(dir.path()), Err(DirectoryError::InUse { .. })));
        drop(taken);
        StoreDirectory::take(dir.path()).unwrap();
    }

    #[test]
    fn half_received_snapshots_are_gone_after_a_start() {
        let dir = tempfile::tempdir().unwrap();
        drop(StoreDirectory::take(dir.path()).unwrap());
        std::fs::create_dir(dir.path().join("incoming/half")).unwrap();
        std::fs::write(dir.path().join("incoming/half/CURRENT"), b"x").unwrap();
        let taken = StoreDirectory::take(dir.path()).unwrap();
        assert_eq!(std::fs::read_dir(taken.incoming()).unwrap().count(), 0);
    }
}
