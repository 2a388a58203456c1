use bytes::Bytes;

use super::apply::{State, Write};
use super::{ReadError, WATCHED_PREFIX};

/// What one command did to one watched record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Log index of the command.
    pub index: u64,
    /// The record's key.
    pub key: Bytes,
    /// Its value before; `None` if there was no record.
    pub before: Option<Bytes>,
    /// Its value afterwards; `None` if it was removed.
    pub after: Option<Bytes>,
}

impl Change {
    /// What `writes`, made at `index` on top of `state`, change. The bytes are copies: a write may be a small part of the
    /// message that it came in, which would be kept as long.
    pub(crate) fn of(state: &dyn State, writes: &[Write], index: u64) -> Result<Vec<Self>, ReadError> {
        let mut changes = Vec::new();
        for (key, written) in writes.iter().filter(|(key, _)| key.starts_with(WATCHED_PREFIX)) {
            let before = state.get(key)?.map(|stored| Bytes::copy_from_slice(&stored.value));
            let after = written.as_ref().map(|written| Bytes::copy_from_slice(&written.value));
            if before.is_some() || after.is_some() {
                changes.push(Self { index, key: Bytes::copy_from_slice(key), before, after });
            }
        }
        Ok(changes)
    }

    /// Bytes of its key and values.
    pub(super) fn size_bytes(&self) -> usize {
        let length = |value: &Option<Bytes>| value.as_ref().map_or(0, Bytes::len);
        self.key.len() + length(&self.before) + length(&self.after)
    }
}
