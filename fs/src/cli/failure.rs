use std::io;
use std::path::PathBuf;

use super::ExitStatus;
use super::cluster::NoMasters;
use super::config_file::ConfigFileError;
use super::dev::DevFailure;
use super::mount::MountFailure;
use crate::client::ClientError;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The cluster refused, or was not reached.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// No masters are named anywhere.
    #[error(transparent)]
    NoMasters(#[from] NoMasters),
    /// A configuration file cannot be used.
    #[error(transparent)]
    ConfigFile(#[from] ConfigFileError),
    /// A daemon was given none.
    #[error("--config FILE is missing")]
    NoConfig,
    /// A text is no key.
    #[error(transparent)]
    Key(#[from] cairn_proto::records::InvalidKey),
    /// A key cannot be derived from the file name.
    #[error("{} names no file to take the key from", .0.display())]
    NoFileName(PathBuf),
    /// Standard input has no name.
    #[error("standard input has no name to use as the key")]
    NoKeyForStandardInput,
    /// A local file could not be used.
    #[error("cannot {action} {}: {source}", .path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Standard input could not be read.
    #[error("cannot read standard input: {0}")]
    Input(io::Error),
    /// Standard output could not be written.
    #[error("cannot write to standard output: {0}")]
    Output(io::Error),
    /// The processor lacks what the build needs.
    #[error(transparent)]
    Processor(#[from] cairn_codec::MissingCpuFeature),
    /// The log could not be set up.
    #[error(transparent)]
    Logging(#[from] super::logging::InvalidLogFilter),
    /// The system refused something that every daemon needs.
    #[error("cannot {action}: {source}")]
    System {
        /// What was tried.
        action: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// A master ended with an error.
    #[error(transparent)]
    Master(#[from] cairn_master::RunError),
    /// A node ended with an error.
    #[error(transparent)]
    Node(#[from] cairn_node::RunError),
    /// A mount could not be made or ended.
    #[error(transparent)]
    Mount(#[from] MountFailure),
    /// A cluster of `cairn dev`.
    #[error(transparent)]
    Dev(#[from] DevFailure),
    /// A node is not found by what it was called.
    #[error(transparent)]
    UnknownNode(#[from] UnknownNode),
    /// The cluster did not become ready.
    #[error("not ready: {0}")]
    NotReady(String),
}

/// Why a text names no node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UnknownNode {
    /// There is none.
    #[error("no node {text:?}; there are: {known}")]
    None {
        /// What was asked for.
        text: String,
        /// Names of those there are.
        known: String,
    },
    /// There are several.
    #[error("several nodes are called {text:?}; name one by its id: {ids}")]
    Several {
        /// What was asked for.
        text: String,
        /// Their ids.
        ids: String,
    },
}

impl Failure {
    /// The number that programs see.
    pub(crate) fn exit_status(&self) -> ExitStatus {
        match self {
            Self::Client(error) => error.into(),
            Self::NoMasters(_) => ExitStatus::Unreachable,
            Self::ConfigFile(_)
            | Self::NoConfig
            | Self::Key(_)
            | Self::NoFileName(_)
            | Self::NoKeyForStandardInput
            | Self::UnknownNode(UnknownNode::Several { .. })
            | Self::Logging(_) => ExitStatus::Usage,
            Self::UnknownNode(UnknownNode::None { .. }) => ExitStatus::NotFound,
            Self::NotReady(_) => ExitStatus::NotReady,
            Self::Mount(error) => error.exit_status(),
            Self::Dev(error) => error.exit_status(),
            Self::File { .. }
            | Self::Input(_)
            | Self::Output(_)
            | Self::Processor(_)
            | Self::System { .. }
            | Self::Master(_)
            | Self::Node(_) => ExitStatus::Failed,
        }
    }

    /// What to try next, where that helps.
    pub(crate) fn next_step(&self) -> Option<&'static str> {
        match self {
            Self::NoMasters(_) => Some("--masters HOST:PORT, or start a cluster with: cairn dev"),
            Self::NoFileName(_) | Self::NoKeyForStandardInput => Some("name it: cairn put FILE KEY"),
            Self::NotReady(_) | Self::Client(ClientError::TooFewNodes { .. }) => Some("cairn status"),
            Self::Client(ClientError::Unreachable { .. }) => Some("start the masters; on one machine: cairn dev"),
            Self::Mount(error) => error.next_step(),
            Self::Dev(error) => error.next_step(),
            Self::Client(ClientError::KeyNotFound { .. }) => Some("cairn ls"),
            _ => None,
        }
    }

    /// Whether the reader of standard output wanted no more, as in `cairn ls | head`.
    pub(crate) fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// For `map_err` on operations on local files.
    pub(crate) fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }

    /// The line that people see.
    pub(crate) fn report(&self, subject: &str) -> String {
        match self.next_step() {
            Some(step) => format!("cairn: {subject}: {self} ({step})"),
            None => format!("cairn: {subject}: {self}"),
        }
    }
}
