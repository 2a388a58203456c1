/// What applying an entry of the log came to. A refusal is a value: every master comes to the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Its writes are in the state.
    Applied,
    /// A condition did not hold; nothing was written.
    ConditionFailed {
        /// Position of the operation, from 0.
        operation: usize,
    },
    /// The epoch was not the current one; nothing was written.
    Deposed,
}
