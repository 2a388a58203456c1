use std::io;
use std::path::PathBuf;

/// Why mounting or unmounting failed.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// The path is no directory that can be mounted on.
    #[error("cannot mount at {path}: {why}")]
    BadPath {
        /// The path.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The kernel or its helper refuses.
    #[error("cannot mount at {path}: {source}; mounting needs root or fusermount3, and /dev/fuse")]
    Mount {
        /// The path.
        path: PathBuf,
        /// The refusal.
        source: io::Error,
    },
    /// The mount stays.
    #[error("cannot unmount {path}: {source}")]
    Unmount {
        /// The path.
        path: PathBuf,
        /// The refusal.
        source: io::Error,
    },
}
