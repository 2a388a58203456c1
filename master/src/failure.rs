//! How a request to a manager can fail: refused, or the state could not be read or written.

use cairn_proto::Refusal;
use tonic::Status;

use crate::store::{CommitError, ReadError};

/// A record that does not hold what its key promises.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("record {key} is damaged: {why}")]
pub struct DamagedRecord {
    /// The record's key, escaped.
    pub key: String,
    /// What is wrong with it.
    pub why: String,
}

/// The replicated state could not be read.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The store failed.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A record made no sense.
    #[error(transparent)]
    Damaged(#[from] DamagedRecord),
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It may not be, and the client is told why.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The state could not be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// The command was not committed, or nobody knows.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        Self::State(error.into())
    }
}

impl Failure {
    /// What the client is told. A commit that failed or whose outcome is open is worth the same request again:
    /// the reply kept under its id tells whether it ran.
    pub fn into_status(self, elected: Option<String>) -> Status {
        match self {
            Self::Refused(refusal) => refusal.into(),
            Self::State(error) => {
                tracing::error!(%error, "cannot read the replicated state");
                Status::internal(error.to_string())
            }
            Self::Commit(CommitError::Deposed) => Refusal::NotElected { elected: elected.unwrap_or_default() }.into(),
            Self::Commit(error) => Refusal::NotReady { why: error.to_string() }.into(),
        }
    }
}
