//! What a program sees of a failure. Exhaustive on purpose: a new error must choose its errno here.

use nix::errno::Errno;

use super::FsError;
use crate::client::ClientError;

impl From<&FsError> for Errno {
    fn from(error: &FsError) -> Self {
        match error {
            FsError::NotFound => Self::ENOENT,
            FsError::Exists => Self::EEXIST,
            FsError::NameTooLong { .. } => Self::ENAMETOOLONG,
            FsError::NameNotUtf8 => Self::EILSEQ,
            FsError::InvalidName { .. } | FsError::InvalidArgument { .. } => Self::EINVAL,
            FsError::NotPermitted { .. } => Self::EPERM,
            FsError::Unsupported { .. } => Self::EOPNOTSUPP,
            FsError::NoAttribute => Self::ENODATA,
            FsError::WriterKilled { .. } => Self::ECANCELED,
            FsError::TooLarge { .. } => Self::EFBIG,
            FsError::BadHandle => Self::EBADF,
            FsError::IsDirectory => Self::EISDIR,
            FsError::NotDirectory => Self::ENOTDIR,
            FsError::LookAgain | FsError::Replaced { .. } => Self::ESTALE,
            FsError::Unfinished | FsError::Internal { .. } => Self::EIO,
            FsError::DeadlinePassed { .. } => Self::ETIMEDOUT,
            FsError::Store(error) => of_store(error),
        }
    }
}

fn of_store(error: &ClientError) -> Errno {
    match error {
        // Nobody to talk to, be it the masters or the storage nodes that the layout needs: no fault of the file.
        // Programs print "No route to host"; the log names who is missing.
        ClientError::Unreachable { .. } | ClientError::Unavailable { .. } | ClientError::TooFewNodes { .. } => {
            Errno::EHOSTUNREACH
        }
        // It may have happened: a program that tries again on its own must look first.
        ClientError::OutcomeUnknown { .. } => Errno::ETIMEDOUT,
        ClientError::KeyExists { .. } => Errno::EEXIST,
        ClientError::KeyNotFound { .. } => Errno::ENOENT,
        // A handle open on a blob keeps it, so its absence is a loss and not a missing name.
        ClientError::KeyChanged { .. } | ClientError::BlobNotFound { .. } => Errno::ESTALE,
        ClientError::InvalidKey { .. }
        | ClientError::InvalidLayout { .. }
        | ClientError::InvalidRequest { .. }
        | ClientError::ValueTooLong { .. } => Errno::EINVAL,
        ClientError::NoSpace { .. } => Errno::ENOSPC,
        ClientError::TargetsLost { .. }
        | ClientError::TooFewChunks { .. }
        | ClientError::Corrupt { .. }
        | ClientError::SessionLost { .. }
        | ClientError::NodeRefused { .. }
        | ClientError::Refused { .. }
        | ClientError::Protocol { .. } => Errno::EIO,
    }
}

impl FsError {
    /// What a program sees of it.
    #[must_use]
    pub fn errno(&self) -> Errno {
        self.into()
    }
}

#[cfg(test)]
mod tests {
    use super::{ClientError, Errno, FsError};

    #[test]
    fn a_full_cluster_is_never_a_bare_input_output_error() {
        let error = FsError::Store(ClientError::NoSpace { why: "node-1 is full".to_owned() });
        assert_eq!(error.errno(), Errno::ENOSPC);
    }

    #[test]
    fn too_few_nodes_are_named_in_the_text() {
        let error = FsError::Store(ClientError::TooFewNodes {
            needed: "5".to_owned(),
            serving: "4".to_owned(),
            missing: "node-2, node-5".to_owned(),
        });
        assert_eq!(error.errno(), Errno::EHOSTUNREACH);
        assert!(error.to_string().contains("node-2, node-5"));
    }
}
