use std::io;

use cairn_fs::client::ClientError;

/// Why a measured client ends without having done its work.
#[derive(Debug, thiserror::Error)]
pub enum ScalingClientError {
    /// The cluster did not do what was asked.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// No runtime, or nobody reads the answers.
    #[error(transparent)]
    System(#[from] io::Error),
    /// What was read is not what was written.
    #[error("WRONG BYTES in {0}")]
    WrongBytes(String),
    /// It was asked for something that there is not.
    #[error("{0}")]
    Input(String),
}
