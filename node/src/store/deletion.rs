use std::sync::atomic::Ordering;

use cairn_proto::ids::{SegmentId, SessionId};
use fail::fail_point;
use rocksdb::{Direction, IteratorMode, ReadOptions};

use super::change::{Change, LoggedFamily};
use super::database::Database;
use super::error::StoreError;
use super::key::{chunks, end_of_cells, first_cell};
use super::placement::Placement;
use super::rebuilder::outlives;
use super::reclaim::drop_tables;
use super::writer::Durability;
use super::{OpenSegment, Store, Target};

/// Logged cells up to which a segment's are deleted one by one: many range deletions slow every read.
const SINGLE_DELETIONS: u64 = 64;

/// Segments whose deletion is written at once.
const GROUP_SEGMENTS: usize = 256;

/// A segment that takes no more cells, and what of it is to go.
struct Doomed {
    segment: SegmentId,
    placement: Placement,
    /// Session under which it is listed, if it was sealed.
    sealed_by: Option<SessionId>,
}

impl Store {
    /// Deletes segments, sealed or not, on the order of the state at log index `deleted_at`; one that is not here is a
    /// success, and so is one that was rebuilt on the order of a later state. The deletion is on stable storage on return,
    /// and the space comes back soon after.
    pub async fn delete(&self, segments: &[SegmentId], deleted_at: u64) -> Result<(), StoreError> {
        for group in segments.chunks(GROUP_SEGMENTS) {
            let mut doomed = Vec::with_capacity(group.len());
            for &segment in group {
                let open = self.segments.close(segment, deleted_at);
                doomed.extend(self.doom(segment, open.as_deref(), deleted_at).await?);
            }
            self.delete_doomed(doomed).await?;
        }
        Ok(())
    }

    /// Drops what a session has not sealed. The session must not be admitted any more.
    pub async fn drop_session(&self, session: SessionId) -> Result<(), StoreError> {
        for group in self.segments.close_session(session).chunks(GROUP_SEGMENTS) {
            let mut doomed = Vec::with_capacity(group.len());
            for open in group {
                let mut progress = open.progress().await;
                if !progress.drop_cells().await {
                    doomed.push(Doomed { segment: open.id, placement: progress.placement(), sealed_by: None });
                }
            }
            self.delete_doomed(doomed).await?;
        }
        Ok(())
    }

    /// Lets a segment that was deleted be written again: the elected master wants a chunk of it here.
    pub fn readmit(&self, segment: SegmentId) {
        self.segments.readmit(segment);
    }

    /// Drops what a transaction has not sealed of a segment; it may be written again.
    pub async fn drop_unsealed(&self, target: &Target) -> Result<(), StoreError> {
        let Some(open) = self.segments.take(target.segment, target.transaction) else { return Ok(()) };
        let mut progress = open.progress().await;
        if progress.drop_cells().await {
            return Ok(());
        }
        let doomed = Doomed { segment: open.id, placement: progress.placement(), sealed_by: None };
        self.delete_doomed(vec![doomed]).await
    }

    async fn doom(
        &self,
        segment: SegmentId,
        open: Option<&OpenSegment>,
        deleted_at: u64,
    ) -> Result<Option<Doomed>, StoreError> {
        if let Some(open) = open {
            let mut progress = open.progress().await;
            if !progress.drop_cells().await {
                return Ok(Some(Doomed { segment, placement: progress.placement(), sealed_by: None }));
            }
        }
        let sealed = self.record(segment)?.filter(|record| !outlives(record.transaction, deleted_at));
        Ok(sealed.map(|record| Doomed {
            segment,
            placement: record.placement,
            sealed_by: Some(record.transaction.session),
        }))
    }

    async fn delete_doomed(&self, doomed: Vec<Doomed>) -> Result<(), StoreError> {
        let _sealed = self.sealed_changes.lock().await;
        let mut changes = Vec::new();
        for segment in &doomed {
            changes.extend(segment.changes(&self.workshop.database));
        }
        if changes.is_empty() {
            return Ok(());
        }
        self.write(changes, Durability::Synced).await?;
        fail_point!("chunks-deleted");
        for Doomed { segment, placement, sealed_by } in doomed {
            if sealed_by.is_some() {
                self.sealed_chunks.fetch_sub(1, Ordering::Relaxed);
            }
            if let Some(bulk) = placement.bulk {
                drop_tables(&self.workshop.database, bulk.family, segment)?;
            }
            self.reclaimer.dropped(segment, placement.logged_bytes);
        }
        Ok(())
    }
}

impl Doomed {
    /// The record goes in the same batch as the cells, so that no record ever names cells that are gone.
    /// Tables go after it: a start removes those that have no record.
    fn changes(&self, database: &Database) -> Vec<Change> {
        let family = LoggedFamily::Chunks;
        let mut changes = self.cell_changes(database);
        match self.sealed_by {
            None => changes.push(Change::Delete { family, key: chunks::open(self.segment) }),
            Some(session) => changes.extend([
                Change::Delete { family, key: chunks::record(self.segment) },
                Change::Delete { family, key: chunks::of_session(session, self.segment) },
            ]),
        }
        changes
    }

    /// Every generation is cleared: a move or a repair that broke off may have left cells in another than the record's.
    fn cell_changes(&self, database: &Database) -> Vec<Change> {
        database.generations().into_iter().flat_map(|generation| self.changes_in(database, generation)).collect()
    }

    fn changes_in(&self, database: &Database, generation: u32) -> Vec<Change> {
        let family = LoggedFamily::Cells(generation);
        let whole_range =
            || Change::DeleteRange { family, from: first_cell(self.segment).to_vec(), to: end_of_cells(self.segment) };
        if self.placement.logged_cells > SINGLE_DELETIONS {
            return vec![whole_range()];
        }
        let Some(cells) = database.generation(generation) else { return Vec::new() };
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(end_of_cells(self.segment));
        options.fill_cache(false);
        let from = first_cell(self.segment);
        let keys = database.rocks().iterator_cf_opt(&cells, options, IteratorMode::From(&from, Direction::Forward));
        let single: Result<Vec<Change>, _> =
            keys.map(|entry| entry.map(|(key, _)| Change::Delete { family, key: key.into_vec() })).collect();
        // What cannot be listed, because a table is damaged, is deleted unseen.
        single.unwrap_or_else(|_| vec![whole_range()])
    }
}
