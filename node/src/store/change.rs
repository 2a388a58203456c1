use bytes::Bytes;
use rocksdb::WriteBatch;

use super::database::Database;

/// A family that is written through the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LoggedFamily {
    Cells,
    Chunks,
    System,
}

/// One step of a batch.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Put {
        family: LoggedFamily,
        key: Vec<u8>,
        value: Bytes,
    },
    Delete {
        family: LoggedFamily,
        key: Vec<u8>,
    },
    /// From the first key up to, and without, the second.
    DeleteRange {
        family: LoggedFamily,
        from: Vec<u8>,
        to: Vec<u8>,
    },
}

impl Change {
    /// Bytes it holds while it waits.
    pub(crate) fn size_bytes(&self) -> usize {
        match self {
            Self::Put { key, value, .. } => key.len() + value.len(),
            Self::Delete { key, .. } => key.len(),
            Self::DeleteRange { from, to, .. } => from.len() + to.len(),
        }
    }

    pub(crate) fn add_to(&self, batch: &mut WriteBatch, database: &Database) {
        match self {
            Self::Put { family, key, value } => batch.put_cf(&database.logged(*family), key, value),
            Self::Delete { family, key } => batch.delete_cf(&database.logged(*family), key),
            Self::DeleteRange { family, from, to } => batch.delete_range_cf(&database.logged(*family), from, to),
        }
    }
}
