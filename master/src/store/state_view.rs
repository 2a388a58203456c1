use std::sync::Arc;

use bytes::Bytes;
use rocksdb::{DB, Direction, IteratorMode, ReadOptions, SnapshotWithThreadMode};

use super::state_database::{POSITION_KEY, StateDatabase, data_key, decode_position, failed, index_of};
use super::{ReadError, Versioned, View};

/// A snapshot of the state; copies share it.
#[derive(Clone)]
pub(crate) struct StateView {
    taken: Arc<Taken>,
}

/// A RocksDB snapshot of the state, with the database it belongs to.
struct Taken {
    // Dropped before `database`, which it points into.
    snapshot: SnapshotWithThreadMode<'static, DB>,
    database: Arc<StateDatabase>,
    applied_index: u64,
}

impl StateView {
    pub(crate) fn new(database: Arc<StateDatabase>) -> Result<Self, ReadError> {
        let snapshot = database.db().snapshot();
        // SAFETY: the snapshot borrows the `DB` inside `database`. The `Arc` keeps that `DB` at its place on the heap
        // for as long as this view lives, nothing moves out of it, and the snapshot is the first field to be dropped.
        #[allow(unsafe_code)]
        let snapshot = unsafe {
            std::mem::transmute::<SnapshotWithThreadMode<'_, DB>, SnapshotWithThreadMode<'static, DB>>(snapshot)
        };
        let position = snapshot.get_pinned(POSITION_KEY).map_err(failed)?;
        let position = position.map(|stored| decode_position(&stored)).transpose()?.unwrap_or_default();
        Ok(Self { taken: Arc::new(Taken { snapshot, database, applied_index: index_of(&position) }) })
    }
}

impl View for StateView {
    fn applied_index(&self) -> u64 {
        self.taken.applied_index
    }

    fn get(&self, key: &[u8]) -> Result<Option<Versioned>, ReadError> {
        let Taken { snapshot, database, applied_index } = &*self.taken;
        database.recent_values().get_or_else(key, *applied_index, || {
            let stored = snapshot.get_pinned(data_key(key)).map_err(failed)?;
            stored.map(|stored| Versioned::decode(Bytes::copy_from_slice(&stored))).transpose()
        })
    }

    fn scan(&self, start: &[u8], end: &[u8], limit: usize) -> Result<Vec<(Bytes, Versioned)>, ReadError> {
        if start >= end {
            return Ok(Vec::new());
        }
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(data_key(end));
        let from = data_key(start);
        let items = self.taken.snapshot.iterator_opt(IteratorMode::From(&from, Direction::Forward), options);
        items
            .take(limit)
            .map(|item| {
                let (key, stored) = item.map_err(failed)?;
                let key = Bytes::from(key.into_vec()).slice(1..);
                Ok((key, Versioned::decode(Bytes::from(stored.into_vec()))?))
            })
            .collect()
    }
}
