use bytes::Bytes;

use super::Versioned;

/// Why the state could not be read. Neither kind passes by itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The database failed.
    #[error("cannot read the store: {why}")]
    Database {
        /// What it said.
        why: String,
    },
    /// What was stored is not what any master writes.
    #[error("the store is damaged: {what}")]
    Damaged {
        /// What was found.
        what: String,
    },
}

/// One consistent snapshot of the applied state. It keeps old data alive: hold it for one request.
pub trait View: Send + Sync {
    /// Log index of the last command that the snapshot shows.
    fn applied_index(&self) -> u64;

    /// The value of a key.
    fn get(&self, key: &[u8]) -> Result<Option<Versioned>, ReadError>;

    /// At most `limit` keys from `start` up to, but without, `end`, in order.
    fn scan(&self, start: &[u8], end: &[u8], limit: usize) -> Result<Vec<(Bytes, Versioned)>, ReadError>;
}
