use tonic::Status;

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum KvError {
    /// A cluster did not start, or did not end.
    #[error("{what}: {said}")]
    Cluster {
        /// What was tried.
        what: &'static str,
        /// What it said.
        said: String,
    },
    /// A request failed, though nothing disturbs the servers.
    #[error("{what} was refused: {status}")]
    Refused {
        /// What was asked.
        what: &'static str,
        /// The answer.
        status: Box<Status>,
    },
    /// An answer cannot be right.
    #[error("WRONG ANSWER to {what}: {why}")]
    WrongAnswer {
        /// What was asked.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// Changes were lost or applied twice.
    #[error("{lost} changes were lost and {doubled} applied twice: see the table")]
    NotOnce {
        /// Confirmed, and not there.
        lost: u64,
        /// There more than once.
        doubled: u64,
    },
}

impl KvError {
    /// For `map_err` of a call.
    pub(super) fn refused(what: &'static str) -> impl FnOnce(Status) -> Self {
        move |status| Self::Refused { what, status: Box::new(status) }
    }

    pub(super) fn wrong(what: &'static str, why: impl Into<String>) -> Self {
        Self::WrongAnswer { what, why: why.into() }
    }
}
