use std::io;
use std::path::PathBuf;

use super::ports::PortError;
use super::settings::SettingsError;
use crate::cli::ExitStatus;

/// Why a dev cluster could not be started, stopped or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DevFailure {
    /// It cannot be built as asked.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Its ports are taken.
    #[error(transparent)]
    Port(#[from] PortError),
    /// A file of the cluster could not be used.
    #[error("cannot {action} {}: {source}", .path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Something else lives there.
    #[error("{} is not empty and holds no dev cluster", .0.display())]
    Foreign(PathBuf),
    /// Nothing lives there.
    #[error("no dev cluster in {}", .0.display())]
    NoCluster(PathBuf),
    /// Another `cairn dev` works on it.
    #[error("another `cairn dev` (pid {pid}) runs {}", .directory.display())]
    Busy {
        /// The cluster.
        directory: PathBuf,
        /// The other process.
        pid: String,
    },
    /// Its mount is somewhere else.
    #[error("the cluster is mounted at {} now", .0.display())]
    MountRuns(PathBuf),
    /// No daemon of that name.
    #[error("the cluster has no daemon {name:?}, only {known}")]
    UnknownDaemon {
        /// The name given.
        name: String,
        /// Names there are.
        known: String,
    },
    /// It does not run.
    #[error("{0} does not run")]
    NotRunning(String),
    /// A process could not be handled.
    #[error("cannot {action} {name}: {source}")]
    Process {
        /// What was tried.
        action: &'static str,
        /// The daemon.
        name: String,
        /// What the system says.
        source: io::Error,
    },
    /// A daemon ended before it was ready.
    #[error("{name} ended ({how}) before it was ready; the end of {}:\n{tail}", .log.display())]
    EndedEarly {
        /// The daemon.
        name: String,
        /// Exit code or signal.
        how: String,
        /// Its log.
        log: PathBuf,
        /// Last lines of it.
        tail: String,
    },
    /// Some daemons are still not ready.
    #[error("not ready after {seconds} s: {waiting}; their logs are in {}", .logs.display())]
    TooSlow {
        /// How long was waited.
        seconds: u64,
        /// Which daemons.
        waiting: String,
        /// Where to look.
        logs: PathBuf,
    },
    /// A daemon had to be killed, or left something undone.
    #[error("{0} did not stop in order and was killed")]
    KilledAtStop(String),
}

impl DevFailure {
    /// The number that programs see.
    pub(crate) fn exit_status(&self) -> ExitStatus {
        match self {
            Self::Settings(_) | Self::UnknownDaemon { .. } => ExitStatus::Usage,
            Self::NoCluster(_) => ExitStatus::NotFound,
            Self::TooSlow { .. } => ExitStatus::NotReady,
            Self::Port(_)
            | Self::File { .. }
            | Self::Foreign(_)
            | Self::Busy { .. }
            | Self::NotRunning(_)
            | Self::MountRuns(_)
            | Self::Process { .. }
            | Self::EndedEarly { .. }
            | Self::KilledAtStop(_) => ExitStatus::Failed,
        }
    }

    /// What to try next, where that helps.
    pub(crate) fn next_step(&self) -> Option<&'static str> {
        match self {
            Self::Port(PortError::Taken { .. }) => Some("name other ports: --base-port P"),
            Self::Foreign(_) => Some("name a new directory: --dir DIR"),
            Self::NoCluster(_) => Some("start one with: cairn dev --dir DIR"),
            Self::Busy { .. } | Self::MountRuns(_) => Some("stop it with: cairn dev stop --dir DIR"),
            Self::NotRunning(_) | Self::TooSlow { .. } => Some("cairn dev status"),
            _ => None,
        }
    }

    /// For `map_err` on the cluster's files.
    pub(crate) fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }

    /// For `map_err` on its processes.
    pub(crate) fn process(action: &'static str, name: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let name = name.into();
        move |source| Self::Process { action, name, source }
    }
}
