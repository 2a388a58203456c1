/// What applying an entry of the log came to. A refusal is a value: every master comes to the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Its writes are in the state.
    Applied {
        /// Log index they were made at: an earlier one if the command came again.
        index: u64,
    },
    /// A condition did not hold; nothing was written.
    ConditionFailed {
        /// Position of the operation, from 0.
        operation: u32,
    },
    /// The epoch was not the current one; nothing was written.
    Deposed,
    /// A copy of a command whose proposer waits no longer; it did nothing.
    Answered,
}
