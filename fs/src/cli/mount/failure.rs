use std::io;
use std::path::PathBuf;

use crate::cli::ExitStatus;
use crate::fuse::MountError;

/// Why something could not be mounted or unmounted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MountFailure {
    /// A file or folder could not be used.
    #[error("cannot {action} {}: {source}", .path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The mount table could not be read.
    #[error("cannot read the mount table: {0}")]
    Table(io::Error),
    /// The kernel refused.
    #[error(transparent)]
    Kernel(#[from] MountError),
    /// It is mounted there.
    #[error("Cairn is mounted at {} already", .0.display())]
    Mounted(PathBuf),
    /// Nothing of ours is mounted there.
    #[error("no mount of Cairn at {}", .0.display())]
    NotMounted(PathBuf),
    /// Its process lives and cannot be asked from here.
    #[error("the mount at {} belongs to a process that does not answer here", .0.display())]
    Elsewhere(PathBuf),
    /// The process that was to stay could not be started.
    #[error("cannot start the mount: {0}")]
    Start(io::Error),
    /// The process that was to stay has ended.
    #[error("the mount ended before it was ready; the end of {}:\n{tail}", .log.display())]
    Background {
        /// Its exit code; a signal leaves none.
        exit_code: Option<i32>,
        /// Its log.
        log: PathBuf,
        /// Last lines of it.
        tail: String,
    },
    /// The other side broke off.
    #[error("the mount ended without saying how: {0}")]
    BrokenOff(io::Error),
    /// It ended, and not everything is stored.
    #[error("unmounted, but not everything is stored: {}", .0.join("; "))]
    Unfinished(Vec<String>),
}

impl MountFailure {
    /// The number that programs see.
    pub(crate) fn exit_status(&self) -> ExitStatus {
        match self {
            Self::Mounted(_) => ExitStatus::Exists,
            Self::NotMounted(_) => ExitStatus::NotFound,
            Self::Background { exit_code: Some(code), .. } => ExitStatus::from_code(*code),
            Self::File { .. }
            | Self::Table(_)
            | Self::Kernel(_)
            | Self::Elsewhere(_)
            | Self::Start(_)
            | Self::Background { exit_code: None, .. }
            | Self::BrokenOff(_)
            | Self::Unfinished(_) => ExitStatus::Failed,
        }
    }

    /// What to try next, where that helps.
    pub(crate) fn next_step(&self) -> Option<&'static str> {
        match self {
            Self::Mounted(_) => Some("cairn umount PATH ends it"),
            Self::Elsewhere(_) => Some("umount PATH, in the namespace of that process"),
            _ => None,
        }
    }

    /// For `map_err` on files and folders.
    pub(crate) fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }
}
