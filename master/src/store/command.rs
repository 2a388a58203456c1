use bytes::Bytes;

use super::{Expected, Operation};

/// Operations that apply together or not at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Command {
    operations: Vec<Operation>,
}

impl Command {
    /// A command that does nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes a key.
    pub fn put(&mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) -> &mut Self {
        self.push(Operation::Put { key: key.into(), value: value.into() })
    }

    /// Writes a key if it is as expected; otherwise nothing of the command applies.
    pub fn put_if(&mut self, key: impl Into<Bytes>, value: impl Into<Bytes>, expected: Expected) -> &mut Self {
        self.push(Operation::PutIf { key: key.into(), value: value.into(), expected })
    }

    /// Nothing of the command applies unless the key is as expected.
    pub fn require(&mut self, key: impl Into<Bytes>, expected: Expected) -> &mut Self {
        self.push(Operation::If { key: key.into(), expected })
    }

    /// Removes a key.
    pub fn delete(&mut self, key: impl Into<Bytes>) -> &mut Self {
        self.push(Operation::Delete { key: key.into() })
    }

    /// Adds to the end of a value.
    pub fn append(&mut self, key: impl Into<Bytes>, suffix: impl Into<Bytes>) -> &mut Self {
        self.push(Operation::Append { key: key.into(), suffix: suffix.into() })
    }

    /// Writes under `prefix` followed by the log index of this command in network order.
    pub fn put_at_index(&mut self, prefix: impl Into<Bytes>, value: impl Into<Bytes>) -> &mut Self {
        self.push(Operation::PutAtIndex { prefix: prefix.into(), value: value.into() })
    }

    /// The operations in order; [`CommitError::ConditionFailed`](super::CommitError) counts them from 0.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// True while there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// Adds the operations of another command behind these.
    pub(crate) fn extend(&mut self, other: Self) {
        self.operations.extend(other.operations);
    }

    pub(crate) fn into_operations(self) -> Vec<Operation> {
        self.operations
    }

    fn push(&mut self, operation: Operation) -> &mut Self {
        self.operations.push(operation);
        self
    }
}
