use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use cairn_codec::Frame;
use cairn_proto::ids::{SegmentId, TransactionId};
use tokio::sync::{Mutex, MutexGuard};
use tokio::task::JoinHandle;

use super::cells::Cells;
use super::change::{Change, LoggedFamily};
use super::chunk_record::ChunkRecord;
use super::database::Database;
use super::error::StoreError;
use super::ingestions::Ingestions;
use super::key::{Position, chunks};
use super::placement::{BulkPlace, Placement};
use super::reservation::Reservation;
use super::staging::{StagingArea, StagingFile};
use super::tally::{CellMark, Tally};
use crate::fatal::Fatal;

/// Steps that a seal adds to its cells'.
const SEALING_CHANGES: usize = 3;

/// What an open segment works on; shared by all of a store.
pub(crate) struct Workshop {
    pub(crate) database: Arc<Database>,
    pub(crate) staging: StagingArea,
    pub(crate) ingestions: Arc<Ingestions>,
    /// Payload bytes of a chunk from which on rows are worth tables.
    pub(crate) bulk_from_bytes: u64,
    pub(crate) fatal: Fatal,
}

/// A segment that takes cells. It lives in this process only: what is not sealed is not kept over a restart.
pub(crate) struct OpenSegment {
    pub(crate) id: SegmentId,
    pub(crate) transaction: TransactionId,
    pub(crate) chunk_index: u8,
    /// The generation that its logged cells go to.
    pub(crate) generation: u32,
    reservation: Reservation,
    progress: Mutex<Progress>,
}

/// How far a segment has come. Its size does not depend on how much was written.
pub(crate) struct Progress {
    phase: Phase,
    tally: Tally,
    placement: Placement,
    highest: Option<(Position, CellMark)>,
    staging: Option<StagingFile>,
    /// The table before `staging`, on its way into the database. There is at most one.
    closing: Option<JoinHandle<Result<(), StoreError>>>,
    noted: bool,
}

enum Phase {
    Writing,
    Sealed(ChunkRecord),
    Dropped,
    /// A write did not come to its end, so the tally may not tell what is stored.
    Broken(String),
}

impl OpenSegment {
    pub(crate) fn new(
        id: SegmentId,
        transaction: TransactionId,
        chunk_index: u8,
        generation: u32,
        reservation: Reservation,
    ) -> Self {
        let progress = Progress {
            phase: Phase::Writing,
            tally: Tally::EMPTY,
            placement: Placement { generation, ..Placement::default() },
            highest: None,
            staging: None,
            closing: None,
            noted: false,
        };
        Self { id, transaction, chunk_index, generation, reservation, progress: Mutex::new(progress) }
    }

    pub(crate) async fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().await
    }

    /// Takes in checked frames of this chunk. Rows for a table are in it when this returns; all else is
    /// in the changes, which the caller must write before it releases `progress` and then call `settle`.
    pub(crate) async fn absorb(
        &self,
        progress: &mut Progress,
        frames: Vec<Frame>,
        workshop: &Arc<Workshop>,
    ) -> Result<Vec<Change>, StoreError> {
        progress.phase = Phase::Broken("it was cut off".to_owned());
        let mut changes = Vec::with_capacity(frames.len() + SEALING_CHANGES);
        let mut in_changes = HashMap::new();
        for frame in frames {
            let position = Position { stripe: frame.id().stripe, row: frame.id().row };
            let mark = CellMark::of(&frame);
            self.reservation.took(frame.bytes().len() as u64);
            let rises = progress.highest.is_none_or(|(highest, _)| position > highest);
            if !rises && let Some(old) = self.old_mark(progress, position, &in_changes, workshop).await? {
                progress.tally.remove(&old);
            }
            if !(rises && self.stage(progress, position, &frame, workshop).await?) {
                progress.placement.count_logged(position, frame.payload_len() as u64);
                in_changes.insert(position, mark);
                let key = position.key(self.id).to_vec();
                let family = LoggedFamily::Cells(self.generation);
                changes.push(Change::Put { family, key, value: frame.into_bytes() });
            }
            progress.tally.add(&mark);
            if rises {
                progress.highest = Some((position, mark));
            } else if let Some((highest, last)) = &mut progress.highest
                && *highest == position
            {
                *last = mark;
            }
        }
        Ok(changes)
    }

    /// The cell that a row written again replaces, if there is one.
    async fn old_mark(
        &self,
        progress: &mut Progress,
        position: Position,
        in_changes: &HashMap<Position, CellMark>,
        workshop: &Arc<Workshop>,
    ) -> Result<Option<CellMark>, StoreError> {
        if let Some(mark) = in_changes.get(&position) {
            return Ok(Some(*mark));
        }
        if let Some((highest, mark)) = progress.highest
            && highest == position
        {
            return Ok(Some(mark));
        }
        progress.close_tables(workshop).await?;
        let cells = self.cells(progress, workshop);
        let read = tokio::task::spawn_blocking(move || cells.read(position)).await;
        Ok(read.map_err(|error| cut_off(&error))??.map(|frame| CellMark::of(&frame)))
    }

    /// Puts a rising row into a table, unless the chunk is too small yet or no table is to be had.
    async fn stage(
        &self,
        progress: &mut Progress,
        position: Position,
        frame: &Frame,
        workshop: &Arc<Workshop>,
    ) -> Result<bool, StoreError> {
        if !progress.placement.wants_bulk(progress.tally.length_bytes, workshop.bulk_from_bytes) {
            return Ok(false);
        }
        if progress.staging.as_ref().is_some_and(|table| table.stripe() != position.stripe) {
            progress.close_table(workshop).await?;
        }
        if progress.staging.is_none() {
            let family = match progress.placement.bulk {
                Some(bulk) => bulk.family,
                None => workshop.database.roomy_bulk()?,
            };
            progress.staging = workshop.staging.begin(family, position.stripe)?;
            if progress.staging.is_some() {
                progress.placement.bulk.get_or_insert(BulkPlace { family, first: position });
            }
        }
        match &mut progress.staging {
            Some(table) => table.put(self.id, position, frame.bytes(), &workshop.fatal).map(|()| true),
            None => Ok(false),
        }
    }

    /// What can be read of the segment now. Tables must be closed first to be seen.
    pub(crate) fn cells(&self, progress: &Progress, workshop: &Workshop) -> Cells {
        Cells::new(Arc::clone(&workshop.database), self.id, self.chunk_index, progress.placement)
    }

    /// The record by which the segment would be sealed now.
    pub(crate) fn record(&self, progress: &Progress) -> ChunkRecord {
        ChunkRecord {
            transaction: self.transaction,
            chunk_index: self.chunk_index,
            tally: progress.tally,
            placement: progress.placement,
        }
    }

    /// The note by which a start finds the cells of a segment that was never sealed. It must be in the
    /// log before them or with them.
    pub(crate) fn note(&self, progress: &Progress) -> Option<Change> {
        let family = LoggedFamily::Chunks;
        (!progress.noted).then(|| Change::Put { family, key: chunks::open(self.id), value: Bytes::new() })
    }

    /// The steps that seal the segment under `record` and take back its note.
    pub(crate) fn sealing(&self, progress: &Progress, record: &ChunkRecord) -> Vec<Change> {
        let family = LoggedFamily::Chunks;
        let of_session = chunks::of_session(self.transaction.session, self.id);
        let mut changes = vec![
            Change::Put { family, key: chunks::record(self.id), value: record.encode() },
            Change::Put { family, key: of_session, value: Bytes::new() },
        ];
        if progress.noted {
            changes.push(Change::Delete { family, key: chunks::open(self.id) });
        }
        changes
    }

    /// Refuses unless the segment takes cells.
    pub(crate) fn require_writing(&self, progress: &Progress) -> Result<(), StoreError> {
        let segment = self.id;
        match &progress.phase {
            Phase::Writing => Ok(()),
            Phase::Sealed(_) => Err(StoreError::AlreadySealed { segment }),
            Phase::Dropped => Err(StoreError::Dropped { segment }),
            Phase::Broken(why) => Err(StoreError::Broken { segment, why: why.clone() }),
        }
    }
}

impl Progress {
    pub(crate) fn tally(&self) -> Tally {
        self.tally
    }

    pub(crate) fn placement(&self) -> Placement {
        self.placement
    }

    /// The record, if the segment was sealed while the caller waited for it.
    pub(crate) fn sealed(&self) -> Option<&ChunkRecord> {
        match &self.phase {
            Phase::Sealed(record) => Some(record),
            _ => None,
        }
    }

    /// The note is written, with or before the cells.
    pub(crate) fn noted(&mut self) {
        self.noted = true;
    }

    /// All changes are written: the tally tells what is stored.
    pub(crate) fn settle(&mut self) {
        self.phase = Phase::Writing;
    }

    /// A write failed: the segment takes nothing more.
    pub(crate) fn break_off(&mut self, error: &StoreError) {
        self.phase = Phase::Broken(error.to_string());
    }

    pub(crate) fn seal(&mut self, record: ChunkRecord) {
        self.phase = Phase::Sealed(record);
    }

    /// Takes no more cells; tables that are being written vanish. Returns whether it had a seal already.
    pub(crate) async fn drop_cells(&mut self) -> bool {
        if matches!(self.phase, Phase::Sealed(_)) {
            return true;
        }
        self.phase = Phase::Dropped;
        self.staging = None;
        if let Some(closing) = self.closing.take()
            && let Err(error) = closing.await
        {
            tracing::error!(%error, "a table was cut off on its way into the store");
        }
        false
    }

    /// Sends the table being written on its way and waits for the one before it, so that a stream
    /// never has more than two.
    async fn close_table(&mut self, workshop: &Arc<Workshop>) -> Result<(), StoreError> {
        self.await_closing().await?;
        if let Some(table) = self.staging.take() {
            let ingestion = workshop.ingestions.begin();
            let workshop = Arc::clone(workshop);
            self.closing = Some(tokio::task::spawn_blocking(move || {
                let outcome = table.ingest(&workshop.database, &workshop.fatal);
                // Whoever waits for the ingestion may close the database.
                drop(workshop);
                drop(ingestion);
                outcome
            }));
        }
        Ok(())
    }

    /// Returns when every row so far is in the database; those in tables are durable too.
    pub(crate) async fn close_tables(&mut self, workshop: &Arc<Workshop>) -> Result<(), StoreError> {
        self.close_table(workshop).await?;
        self.await_closing().await
    }

    async fn await_closing(&mut self) -> Result<(), StoreError> {
        match self.closing.take() {
            Some(closing) => closing.await.map_err(|error| cut_off(&error))?,
            None => Ok(()),
        }
    }
}

fn cut_off(error: &tokio::task::JoinError) -> StoreError {
    StoreError::WriteFailed { why: format!("a task of the store was cut off: {error}") }
}
