use super::Outcome;

/// What one attempt to have a command applied came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// The command went through the log.
    Done(Outcome),
    /// This attempt has certainly not put it into the log.
    NotTaken {
        /// The cause, for people.
        why: String,
    },
    /// It may be in the log.
    Unknown {
        /// The cause, for people.
        why: String,
    },
}
