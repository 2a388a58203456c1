use std::io;
use std::path::{Path, PathBuf};

use super::subject::SubjectError;

/// Why a round has no figures.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    /// The directory does not do what is asked.
    #[error("{}: {source}", .path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// What was read is not what was written.
    #[error("WRONG BYTES in {}", .0.display())]
    WrongBytes(PathBuf),
    /// The system does not do what it has to.
    #[error(transparent)]
    Subject(#[from] SubjectError),
}

impl WorkError {
    /// For `map_err` of what is done with a file.
    pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File { path: path.to_path_buf(), source }
    }
}
