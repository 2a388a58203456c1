//! Moves the logged cells of sealed chunks out of generations that are being left.

use bytes::Bytes;
use cairn_codec::Frame;
use cairn_proto::ids::SegmentId;

use super::chunk_record::ChunkRecord;
use super::database::read_failure;
use super::error::StoreError;
use super::key::{Position, end_of_cells, first_cell, position_of};
use super::mending::Mending;
use super::settings;
use super::{Store, change::LoggedFamily, key::chunks};

/// Cells that are moved at once.
const PIECE_BYTES: usize = 4 << 20;

impl Store {
    /// Cells are logged to a newer generation than this one from now on, because it has a damaged table.
    pub fn leave_generation(&self, generation: u32) -> Result<(), StoreError> {
        self.workshop.database.leave_generation(generation)
    }

    /// The generations of logged cells, the newest last. All but the newest are being left.
    pub fn generations(&self) -> Vec<u32> {
        self.workshop.database.generations()
    }

    /// Moves the logged cells of a sealed chunk to the newest generation, if they lie in another. `true`: they did. An
    /// error, if one of them cannot be read: then it takes other nodes to put the chunk right.
    pub async fn move_logged(&self, segment: SegmentId) -> Result<bool, StoreError> {
        let Some(record) = self.record(segment)? else { return Ok(false) };
        if record.placement.generation == self.workshop.database.newest_generation() {
            return Ok(false);
        }
        let Some(mut mending) = self.begin_mending(segment, record.chunk_index, &record.tally)? else {
            return Ok(false);
        };
        let mut from = Some(first_cell(segment).to_vec());
        while let Some(key) = from {
            let (frames, next) = self.logged_piece(segment, &record, &mending, &key)?;
            self.write_mended(&mut mending, frames).await?;
            from = next;
        }
        self.end_moving(mending).await
    }

    async fn end_moving(&self, mending: Mending) -> Result<bool, StoreError> {
        match self.end_mending(mending.without_suspects()).await {
            Err(StoreError::NotFound { .. }) => Ok(false),
            ended => ended.map(|_| true),
        }
    }

    /// Some logged cells from a key on, and where the next are.
    fn logged_piece(
        &self,
        segment: SegmentId,
        record: &ChunkRecord,
        mending: &Mending,
        from: &[u8],
    ) -> Result<(Vec<Frame>, Option<Vec<u8>>), StoreError> {
        let database = &self.workshop.database;
        let Some(family) = database.generation(record.placement.generation) else { return Ok((Vec::new(), None)) };
        let mut options = settings::scan();
        options.set_iterate_upper_bound(end_of_cells(segment));
        let mut rows = database.rocks().raw_iterator_cf_opt(&family, options);
        rows.seek(from);
        let (mut frames, mut bytes) = (Vec::new(), 0);
        while let Some((key, value)) = rows.item() {
            if bytes >= PIECE_BYTES {
                return Ok((frames, Some(key.to_vec())));
            }
            bytes += value.len();
            let position = position_of(key).ok_or(StoreError::NotFound { segment })?;
            if is_named(record, position) {
                frames.push(mending.inspector().parsed(position, Bytes::copy_from_slice(value))?);
            }
            rows.next();
        }
        rows.status().map_err(|error| read_failure(&error))?;
        Ok((frames, None))
    }

    /// Drops the generations that no chunk and no writer names any more; answers how many are left beside the newest.
    pub async fn drop_left_generations(&self) -> Result<usize, StoreError> {
        let database = &self.workshop.database;
        let newest = database.newest_generation();
        let (used, left): (Vec<u32>, Vec<u32>) = database
            .generations()
            .into_iter()
            .filter(|generation| *generation != newest)
            .partition(|generation| self.segments.use_generation(*generation));
        let mut kept = used.len();
        // In this order: what was open in one and is sealed by now has a record.
        let named = if left.is_empty() { Vec::new() } else { self.named_generations()? };
        let _sealed = self.sealed_changes.lock().await;
        for generation in left {
            if named.contains(&generation) {
                kept += 1;
                continue;
            }
            // What was moved out of it is on stable storage before it goes.
            database.rocks().flush_wal(true).map_err(|error| StoreError::WriteFailed { why: error.to_string() })?;
            database.drop_generation(generation)?;
            tracing::info!(generation, "a generation of logged cells with a damaged table is gone");
        }
        Ok(kept)
    }

    fn named_generations(&self) -> Result<Vec<u32>, StoreError> {
        let database = &self.workshop.database;
        let mut records =
            database.rocks().raw_iterator_cf_opt(&database.logged(LoggedFamily::Chunks), settings::scan());
        let prefix = chunks::record_prefix();
        records.seek(&prefix);
        let mut named = Vec::new();
        while let Some((_, value)) = records.item().filter(|(key, _)| key.starts_with(&prefix)) {
            let generation = ChunkRecord::decode(value)?.placement.generation;
            if !named.contains(&generation) {
                named.push(generation);
            }
            records.next();
        }
        records.status().map_err(|error| read_failure(&error))?;
        Ok(named)
    }
}

/// Without the record's word, a logged row that lies in tables is what a repair that broke off has left.
fn is_named(record: &ChunkRecord, position: Position) -> bool {
    record.placement.shadowed || record.placement.bulk.is_none_or(|bulk| position < bulk.first)
}
