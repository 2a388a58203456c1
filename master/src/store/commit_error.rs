/// Where a command stands in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// Its log index; the version of every key that it wrote.
    pub index: u64,
}

/// Why a command did not, or may not, apply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// A condition did not hold. Nothing applied; read again and decide again.
    #[error("condition of operation {operation} does not hold")]
    ConditionFailed {
        /// Position of the operation in the command, from 0.
        operation: usize,
    },
    /// The epoch is not that of the current lease. Nothing applied, and nothing under that epoch will.
    #[error("another master has been elected since")]
    Deposed,
    /// The command was never put into the log, so it will not apply. Worth trying again, elsewhere or later.
    #[error("the store takes no commands: {why}")]
    Unavailable {
        /// The cause, for people.
        why: String,
    },
    /// The command may or may not apply, now or later.
    #[error("outcome unknown: {why}")]
    OutcomeUnknown {
        /// The cause, for people.
        why: String,
    },
}
