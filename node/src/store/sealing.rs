use std::sync::atomic::Ordering;

use cairn_codec::Frame;
use fail::fail_point;

use super::change::Change;
use super::chunk_record::ChunkRecord;
use super::error::StoreError;
use super::open_segment::{OpenSegment, Progress};
use super::rebuilder::is_same_writer;
use super::writer::Durability;
use super::{Store, Tally, Target};

impl Store {
    /// Takes in the last cells, makes all of the chunk durable and refuses further ones. The cells, the
    /// tables and the record that counts them are on stable storage on return. Repeated, it answers the same.
    pub async fn seal(
        &self,
        target: &Target,
        frames: Vec<Frame>,
        expected: &Tally,
        may_open: impl FnOnce() -> Result<(), StoreError>,
    ) -> Result<Tally, StoreError> {
        let opened = if frames.is_empty() {
            self.segments.find(target.segment, target.transaction, target.chunk_index)
        } else {
            self.let_in(&frames)?;
            self.open_segment(target, may_open).map(Some)
        };
        // After the look for an open segment: one that was sealed meanwhile is found here.
        if let Some(tally) = self.sealed(target, expected)? {
            return Ok(tally);
        }
        let segment = opened?.ok_or_else(|| mismatch(&Tally::EMPTY, expected))?;
        let mut progress = segment.progress().await;
        if let Some(record) = progress.sealed() {
            return sealed_again(target, record, expected);
        }
        segment.require_writing(&progress)?;
        let changes = self.absorb(&segment, &mut progress, frames).await?;
        if progress.tally() != *expected {
            let error = mismatch(&progress.tally(), expected);
            self.write_buffered(&segment, &mut progress, changes).await?;
            return Err(error);
        }
        self.write_sealed(&segment, &mut progress, changes).await
    }

    /// What a repeated seal is told; nothing if the segment is not sealed here. A seal outlives the boot
    /// and the session that made it.
    pub fn sealed(&self, target: &Target, expected: &Tally) -> Result<Option<Tally>, StoreError> {
        self.record(target.segment)?.map(|record| sealed_again(target, &record, expected)).transpose()
    }

    async fn write_sealed(
        &self,
        segment: &OpenSegment,
        progress: &mut Progress,
        mut changes: Vec<Change>,
    ) -> Result<Tally, StoreError> {
        let closed = progress.close_tables(&self.workshop).await;
        closed.inspect_err(|error| progress.break_off(error))?;
        let record = segment.record(progress);
        changes.extend(segment.sealing(progress, &record));
        let written = self.write(changes, Durability::Synced).await;
        written.inspect_err(|error| progress.break_off(error))?;
        let tally = record.tally;
        progress.seal(record);
        self.segments.sealed(segment.id);
        self.sealed_chunks.fetch_add(1, Ordering::Relaxed);
        fail_point!("chunk-sealed", |_| Err(StoreError::WriteFailed { why: "failpoint".to_owned() }));
        Ok(tally)
    }
}

/// What a seal that comes again is told: the same, if it is the same.
fn sealed_again(target: &Target, record: &ChunkRecord, expected: &Tally) -> Result<Tally, StoreError> {
    if !is_same_writer(record.transaction, target.transaction) || record.chunk_index != target.chunk_index {
        return Err(StoreError::AlreadySealed { segment: target.segment });
    }
    if record.tally == *expected { Ok(record.tally) } else { Err(mismatch(&record.tally, expected)) }
}

fn mismatch(held: &Tally, expected: &Tally) -> StoreError {
    let why = format!(
        "{} cells of {} bytes are here and the writer names {} of {}{}",
        held.cells,
        held.length_bytes,
        expected.cells,
        expected.length_bytes,
        if held.digest == expected.digest { "" } else { ", with another digest" },
    );
    StoreError::SealMismatch { why }
}
