use bytes::Bytes;

/// What a key must be like for a command to apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// The key does not exist.
    Absent,
    /// The key exists.
    Present,
    /// The key exists and was last written by the command at this log index.
    Version(u64),
    /// The key exists and has this value.
    Value(Bytes),
    /// The key does not exist, or its value has at most so many bytes.
    AtMostBytes(u64),
}

/// One step of a command. It sees what the steps before it wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Writes the key.
    Put {
        /// Key to write.
        key: Bytes,
        /// Its new value.
        value: Bytes,
    },
    /// Writes the key if it is as expected, and otherwise refuses the whole command.
    PutIf {
        /// Key to write.
        key: Bytes,
        /// Its new value.
        value: Bytes,
        /// What it must be like before.
        expected: Expected,
    },
    /// Refuses the whole command unless the key is as expected.
    If {
        /// Key to look at.
        key: Bytes,
        /// What it must be like.
        expected: Expected,
    },
    /// Removes the key; a key that does not exist stays so.
    Delete {
        /// Key to remove.
        key: Bytes,
    },
    /// Adds bytes to the end of the value; a key that does not exist starts empty.
    Append {
        /// Key to write.
        key: Bytes,
        /// Bytes to add.
        suffix: Bytes,
    },
    /// Writes the key `prefix` followed by the log index of the command, 8 bytes in network order.
    PutAtIndex {
        /// Key up to the index.
        prefix: Bytes,
        /// Value of the key.
        value: Bytes,
    },
}

impl Operation {
    /// Bytes of its key and value.
    pub(crate) fn size_bytes(&self) -> usize {
        match self {
            Self::Put { key, value } | Self::PutIf { key, value, .. } => key.len() + value.len(),
            Self::If { key, .. } | Self::Delete { key } => key.len(),
            Self::Append { key, suffix } => key.len() + suffix.len(),
            Self::PutAtIndex { prefix, value } => prefix.len() + value.len(),
        }
    }
}
