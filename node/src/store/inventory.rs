use cairn_proto::ids::{SegmentId, SessionId, TransactionId};
use rocksdb::{Direction, IteratorMode, ReadOptions};

use super::change::LoggedFamily;
use super::database::read_failure;
use super::error::StoreError;
use super::key::chunks;
use super::{Store, Tally};

/// A sealed chunk, as an inventory lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedChunk {
    /// Its segment.
    pub segment: SegmentId,
    /// Who wrote it.
    pub transaction: TransactionId,
    /// Its place in every row.
    pub chunk_index: u8,
    /// What it holds.
    pub tally: Tally,
}

/// Part of an inventory, in order of segment ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InventoryPage {
    /// The chunks.
    pub chunks: Vec<ListedChunk>,
    /// Whether there are more after the last.
    pub more: bool,
}

impl Store {
    /// Lists at most `limit` sealed chunks after `start_after`, of one session or of all. Blocks on the disk.
    pub fn list(
        &self,
        session: Option<SessionId>,
        start_after: Option<SegmentId>,
        limit: usize,
    ) -> Result<InventoryPage, StoreError> {
        let mut segments = self.listed_segments(session, start_after, limit + 1)?;
        let more = segments.len() > limit;
        segments.truncate(limit);
        let mut chunks = Vec::with_capacity(segments.len());
        for segment in segments {
            // Deleted since the key was read: it is no longer in the inventory.
            if let Some(record) = self.record(segment)? {
                let (transaction, chunk_index, tally) = (record.transaction, record.chunk_index, record.tally);
                chunks.push(ListedChunk { segment, transaction, chunk_index, tally });
            }
        }
        Ok(InventoryPage { chunks, more })
    }

    fn listed_segments(
        &self,
        session: Option<SessionId>,
        start_after: Option<SegmentId>,
        limit: usize,
    ) -> Result<Vec<SegmentId>, StoreError> {
        let prefix = session.map_or_else(chunks::record_prefix, chunks::session_prefix);
        let mut from = prefix.clone();
        if let Some(segment) = start_after {
            from.extend_from_slice(segment.as_bytes());
            from.push(0);
        }
        let database = &self.workshop.database;
        let family = database.logged(LoggedFamily::Chunks);
        let mut segments = Vec::new();
        let mode = IteratorMode::From(&from, Direction::Forward);
        for entry in database.rocks().iterator_cf_opt(&family, ReadOptions::default(), mode) {
            let (key, _) = entry.map_err(|error| read_failure(&error))?;
            if !key.starts_with(&prefix) || segments.len() >= limit {
                break;
            }
            let why = || StoreError::DamagedRecord { why: format!("a key of {} bytes", key.len()) };
            segments.push(chunks::segment(&key).ok_or_else(why)?);
        }
        Ok(segments)
    }
}
