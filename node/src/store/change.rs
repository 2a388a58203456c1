use bytes::Bytes;
use rocksdb::WriteBatch;

use super::database::Database;

/// A family that is written through the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LoggedFamily {
    /// A generation of logged cells.
    Cells(u32),
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

    /// Nothing is done in a generation that is gone: what still writes there was deleted meanwhile.
    pub(crate) fn add_to(&self, batch: &mut WriteBatch, database: &Database) {
        for family in database.written(self.family()) {
            match self {
                Self::Put { key, value, .. } => batch.put_cf(&family, key, value),
                Self::Delete { key, .. } => batch.delete_cf(&family, key),
                Self::DeleteRange { from, to, .. } => batch.delete_range_cf(&family, from, to),
            }
        }
    }

    fn family(&self) -> LoggedFamily {
        match self {
            Self::Put { family, .. } | Self::Delete { family, .. } | Self::DeleteRange { family, .. } => *family,
        }
    }
}
