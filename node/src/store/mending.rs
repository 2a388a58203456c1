//! Puts the cells of a sealed chunk right where it is.
//!
//! What cannot be read, or lies in a table that must go, is written once more through the log, where it shadows what was
//! there; then the record says so. A repair that breaks off leaves cells that nothing names, or equal ones.

use std::sync::Arc;

use cairn_codec::Frame;
use cairn_proto::ids::SegmentId;
use fail::fail_point;

use super::cells::Cells;
use super::change::{Change, LoggedFamily};
use super::chunk_record::ChunkRecord;
use super::error::StoreError;
use super::inspection::Inspector;
use super::key::{Position, chunks, end_of_cells, first_cell};
use super::placement::Placement;
use super::reclaim::drop_table;
use super::writer::Durability;
use super::{Store, Tally};

/// A sealed chunk that is being put right.
pub struct Mending {
    segment: SegmentId,
    /// As it was at the beginning. If it is another at the end, nothing of this counts.
    before: ChunkRecord,
    after: Placement,
    inspector: Inspector,
    has_written: bool,
}

impl Mending {
    /// What looks at its cells.
    pub fn inspector(&self) -> &Inspector {
        &self.inspector
    }

    /// Leaves damaged tables of its own alone.
    pub(super) fn without_suspects(mut self) -> Self {
        self.inspector.suspects.clear();
        self
    }

    /// A row that was logged before, in the same generation, is counted already.
    fn count(&mut self, position: Position, payload_bytes: u64) {
        let in_tables = self.after.bulk.is_some_and(|bulk| position >= bulk.first);
        if in_tables || self.inspector.moves_logged {
            self.after.count_logged(position, payload_bytes);
        }
    }
}

impl Store {
    /// Begins to put a chunk right; `None` if it has no record here. The tally must be the record's.
    pub fn begin_mending(
        &self,
        segment: SegmentId,
        chunk_index: u8,
        expected: &Tally,
    ) -> Result<Option<Mending>, StoreError> {
        let Some(before) = self.record(segment)? else { return Ok(None) };
        if before.chunk_index != chunk_index {
            return Err(StoreError::AnotherChunk { segment });
        }
        if before.tally != *expected {
            return Err(StoreError::Stale { segment });
        }
        let database = &self.workshop.database;
        database.forget_cells();
        let generation = database.newest_generation();
        let moved = Placement { generation, logged_cells: 0, logged_bytes: 0, ..before.placement };
        let moves_logged = before.placement.generation != generation;
        let after = if moves_logged { moved } else { before.placement };
        let cells = Cells::new(Arc::clone(database), segment, chunk_index, before.placement);
        let suspects = self.suspects.lock().get(&segment).cloned().unwrap_or_default();
        let inspector = Inspector { cells, placement: before.placement, moves_logged, suspects };
        Ok(Some(Mending { segment, before, after, inspector, has_written: false }))
    }

    /// Writes cells that are right. They count from the end of the mending on.
    pub async fn write_mended(&self, mending: &mut Mending, frames: Vec<Frame>) -> Result<(), StoreError> {
        self.let_in(&frames)?;
        self.require_newest(mending)?;
        let mut changes = Vec::with_capacity(frames.len());
        for frame in frames {
            let position = Position { stripe: frame.id().stripe, row: frame.id().row };
            mending.count(position, frame.payload_len() as u64);
            let (family, key) = (LoggedFamily::Cells(mending.after.generation), position.key(mending.segment).to_vec());
            changes.push(Change::Put { family, key, value: frame.into_bytes() });
        }
        mending.has_written |= !changes.is_empty();
        self.write(changes, Durability::Buffered).await
    }

    /// Has the record name what was written; durable on return. Tables that must go are gone then.
    pub async fn end_mending(&self, mending: Mending) -> Result<Tally, StoreError> {
        let (segment, tally) = (mending.segment, mending.before.tally);
        {
            let _sealed = self.sealed_changes.lock().await;
            self.require_newest(&mending)?;
            if self.record(segment)?.as_ref() != Some(&mending.before) {
                return self.drop_mended(&mending).await;
            }
            if mending.has_written || mending.inspector.moves_logged {
                fail_point!("cells-mended", |_| Err(StoreError::WriteFailed { why: "failpoint".to_owned() }));
                let record = ChunkRecord { placement: mending.after, ..mending.before.clone() };
                let (family, key) = (LoggedFamily::Chunks, chunks::record(segment));
                self.write(vec![Change::Put { family, key, value: record.encode() }], Durability::Synced).await?;
                fail_point!("chunk-mended", |_| Err(StoreError::WriteFailed { why: "failpoint".to_owned() }));
            }
        }
        if let Some(bulk) = mending.before.placement.bulk {
            for table in &mending.inspector.suspects {
                drop_table(&self.workshop.database, bulk.family, table.first.key(segment), table.last.key(segment))?;
            }
        }
        if !mending.inspector.suspects.is_empty() {
            self.suspects.lock().remove(&segment);
        }
        Ok(tally)
    }

    /// The chunk was deleted or changed meanwhile.
    async fn drop_mended(&self, mending: &Mending) -> Result<Tally, StoreError> {
        let segment = mending.segment;
        if self.record(segment)?.is_none() && mending.has_written {
            let family = LoggedFamily::Cells(mending.after.generation);
            let (from, to) = (first_cell(segment).to_vec(), end_of_cells(segment));
            self.write(vec![Change::DeleteRange { family, from, to }], Durability::Buffered).await?;
        }
        Err(StoreError::NotFound { segment })
    }

    fn require_newest(&self, mending: &Mending) -> Result<(), StoreError> {
        if self.workshop.database.newest_generation() == mending.after.generation {
            return Ok(());
        }
        Err(StoreError::Broken {
            segment: mending.segment,
            why: "its logged cells are to lie elsewhere now".to_owned(),
        })
    }
}
