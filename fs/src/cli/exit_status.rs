use std::process::ExitCode;

use crate::client::ClientError;

/// How a command ended, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ExitStatus {
    /// It did what was asked.
    Done = 0,
    /// It failed for a reason that has no number of its own.
    Failed = 1,
    /// The command line, or a configuration file it names, is wrong.
    Usage = 2,
    /// The key does not exist.
    NotFound = 3,
    /// The key exists and must not.
    Exists = 4,
    /// The cluster answers, but cannot do this in its present state.
    NotReady = 5,
    /// No master answers, or none is known.
    Unreachable = 6,
}

impl ExitStatus {
    /// Of a command of ours that ended with this code.
    pub(crate) fn from_code(code: i32) -> Self {
        match code {
            0 => Self::Done,
            2 => Self::Usage,
            3 => Self::NotFound,
            4 => Self::Exists,
            5 => Self::NotReady,
            6 => Self::Unreachable,
            _ => Self::Failed,
        }
    }
}

impl From<&ClientError> for ExitStatus {
    fn from(error: &ClientError) -> Self {
        match error {
            ClientError::Unreachable { .. } => Self::Unreachable,
            ClientError::Unavailable { .. }
            | ClientError::TooFewNodes { .. }
            | ClientError::NodeRefused { .. }
            | ClientError::TargetsLost { .. }
            | ClientError::TooFewChunks { .. } => Self::NotReady,
            ClientError::KeyExists { .. } => Self::Exists,
            ClientError::KeyNotFound { .. } | ClientError::BlobNotFound { .. } => Self::NotFound,
            ClientError::InvalidKey { .. } | ClientError::InvalidLayout { .. } | ClientError::InvalidRequest { .. } => {
                Self::Usage
            }
            ClientError::OutcomeUnknown { .. }
            | ClientError::KeyChanged { .. }
            | ClientError::ValueTooLong { .. }
            | ClientError::NoSpace { .. }
            | ClientError::Corrupt { .. }
            | ClientError::SessionLost { .. }
            | ClientError::Refused { .. }
            | ClientError::Protocol { .. } => Self::Failed,
        }
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::ExitStatus;
    use crate::client::ClientError;

    #[test]
    fn the_numbers_are_those_that_scripts_rely_on() {
        use ExitStatus::{Done, Exists, Failed, NotFound, NotReady, Unreachable, Usage};
        let codes = [Done, Failed, Usage, NotFound, Exists, NotReady, Unreachable].map(|status| status as u8);
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6]);
        for code in 0..=6 {
            assert_eq!(i32::from(ExitStatus::from_code(code) as u8), code);
        }
        assert_eq!(ExitStatus::from_code(130), Failed);
    }

    #[test]
    fn causes_have_the_number_of_their_kind() {
        let status = |error: ClientError| ExitStatus::from(&error);
        let (key, why) = ("k".to_owned(), "w".to_owned());
        assert_eq!(status(ClientError::KeyNotFound { key: key.clone() }), ExitStatus::NotFound);
        assert_eq!(status(ClientError::KeyExists { key }), ExitStatus::Exists);
        assert_eq!(status(ClientError::NoSpace { why: why.clone() }), ExitStatus::Failed);
        assert_eq!(status(ClientError::Unavailable { what: "look", why: why.clone() }), ExitStatus::NotReady);
        let unreachable = ClientError::Unreachable { what: "look", masters: String::new(), why };
        assert_eq!(status(unreachable), ExitStatus::Unreachable);
    }
}
