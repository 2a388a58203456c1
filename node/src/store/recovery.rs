use std::path::Path;

use bytes::Bytes;
use cairn_proto::ids::SegmentId;
use rocksdb::{Direction, IteratorMode, Range, WriteBatch};

use super::change::{Change, LoggedFamily};
use super::chunk_record::ChunkRecord;
use super::database::{Database, read_failure};
use super::error::StoreError;
use super::key::{chunks, end_of_cells, first_cell, segment_of};
use super::reclaim::{LeftOver, drop_tables};
use super::settings;

/// Deletions that go into one batch of a start.
const BATCH_SEGMENTS: usize = 1_024;

const OWNER: &[u8] = b"owner";

/// What a start found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Recovered {
    pub(crate) sealed_chunks: u64,
    /// Segments that were open when the last process ended, with bytes they had in tables of the logged family.
    pub(crate) dropped: Vec<(SegmentId, u64)>,
    /// Deleted cells that the last process did not give back.
    pub(crate) left_over: Option<LeftOver>,
}

/// Binds the database to its owner, or refuses another's. The binding is durable on return.
pub(crate) fn check_owner(database: &Database, owner: &str) -> Result<(), StoreError> {
    match database.record(LoggedFamily::System, OWNER)? {
        Some(theirs) if theirs == owner.as_bytes() => Ok(()),
        Some(theirs) => Err(foreign(&String::from_utf8_lossy(&theirs), owner)),
        None if has_chunks(database)? => Err(foreign("nobody", owner)),
        None => {
            let mut batch = WriteBatch::new();
            let (key, value) = (OWNER.to_vec(), Bytes::copy_from_slice(owner.as_bytes()));
            Change::Put { family: LoggedFamily::System, key, value }.add_to(&mut batch, database);
            write(database, batch)
        }
    }
}

/// Drops what was never sealed. Its writers know from the new boot id that it is gone.
pub(crate) fn recover(database: &Database) -> Result<Recovered, StoreError> {
    let dropped = drop_open_segments(database)?;
    drop_unsealed_tables(database)?;
    let (mut sealed_chunks, mut live_bytes) = (0, 0);
    each_entry(database, &chunks::record_prefix(), |_, record| {
        sealed_chunks += 1;
        // One that cannot be read is found by whoever reads the chunk; here it only makes the estimate worse.
        live_bytes += ChunkRecord::decode(record).map_or(0, |record| record.placement.logged_stored_bytes());
        Ok(())
    })?;
    let left_over = left_over(database, live_bytes)?;
    Ok(Recovered { sealed_chunks, dropped, left_over })
}

/// Deleted cells that still take space, if tables have marks of deletions: such marks go with what they delete, so it was
/// not given back yet. What all tables take beyond `live_bytes` is dead.
fn left_over(database: &Database, live_bytes: u64) -> Result<Option<LeftOver>, StoreError> {
    let (mut table_bytes, mut span) = (0_u64, None);
    for file in database.rocks().live_files().map_err(|error| read_failure(&error))? {
        if !database.is_newest_generation(&file.column_family_name) {
            continue;
        }
        table_bytes += file.size as u64;
        let ends = [&file.start_key, &file.end_key].map(|key| key.as_deref().and_then(segment_of));
        if file.num_deletions > 0
            && let [Some(first), Some(last)] = ends
        {
            let (lowest, highest) = span.unwrap_or((first, last));
            span = Some((first.min(lowest), last.max(highest)));
        }
    }
    Ok(span.map(|span| LeftOver { bytes: table_bytes.saturating_sub(live_bytes), span }))
}

/// A store whose records cannot be read is refused with the next step.
pub(crate) fn refused_if_unreadable(dir: &Path, error: StoreError) -> StoreError {
    match error {
        StoreError::ReadFailed { why } | StoreError::DamagedRecord { why } => {
            StoreError::Open { dir: dir.display().to_string(), why }
        }
        other => other,
    }
}

fn foreign(theirs: &str, ours: &str) -> StoreError {
    StoreError::ForeignDatabase { theirs: theirs.to_owned(), ours: ours.to_owned() }
}

fn has_chunks(database: &Database) -> Result<bool, StoreError> {
    let mut any = false;
    each_key(database, &chunks::record_prefix(), |_| {
        any = true;
        Ok(())
    })?;
    Ok(any)
}

fn drop_open_segments(database: &Database) -> Result<Vec<(SegmentId, u64)>, StoreError> {
    let mut open = Vec::new();
    each_key(database, &chunks::open_prefix(), |segment| {
        open.push(segment);
        Ok(())
    })?;
    let mut dropped = Vec::with_capacity(open.len());
    for group in open.chunks(BATCH_SEGMENTS) {
        let mut batch = WriteBatch::new();
        for &segment in group {
            dropped.push((segment, table_bytes(database, segment)));
            for generation in database.generations() {
                let family = LoggedFamily::Cells(generation);
                let (from, to) = (first_cell(segment).to_vec(), end_of_cells(segment));
                Change::DeleteRange { family, from, to }.add_to(&mut batch, database);
            }
            let note = Change::Delete { family: LoggedFamily::Chunks, key: chunks::open(segment) };
            note.add_to(&mut batch, database);
        }
        write(database, batch)?;
    }
    Ok(dropped)
}

fn table_bytes(database: &Database, segment: SegmentId) -> u64 {
    let (from, to) = (first_cell(segment), end_of_cells(segment));
    let cells = database.generations().into_iter().filter_map(|generation| database.generation(generation));
    let sizes = cells.flat_map(|cells| database.rocks().get_approximate_sizes_cf(&cells, &[Range::new(&from, &to)]));
    sizes.sum()
}

/// A table may be in the database durably while the note of its segment is lost with the log's tail, so
/// tables are checked against the records themselves.
fn drop_unsealed_tables(database: &Database) -> Result<(), StoreError> {
    for file in database.rocks().live_files().map_err(|error| read_failure(&error))? {
        let Some(family) = Database::bulk_number(&file.column_family_name) else { continue };
        let Some(segment) = file.start_key.as_deref().and_then(segment_of) else { continue };
        if database.record(LoggedFamily::Chunks, &chunks::record(segment))?.is_none() {
            tracing::info!(%segment, table = file.name, "dropped a table that was never sealed");
            drop_tables(database, family, segment)?;
        }
    }
    Ok(())
}

fn each_key(
    database: &Database,
    prefix: &[u8],
    mut visit: impl FnMut(SegmentId) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    each_entry(database, prefix, |segment, _| visit(segment))
}

fn each_entry(
    database: &Database,
    prefix: &[u8],
    mut visit: impl FnMut(SegmentId, &[u8]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let family = database.logged(LoggedFamily::Chunks);
    for entry in database.rocks().iterator_cf(&family, IteratorMode::From(prefix, Direction::Forward)) {
        let (key, value) = entry.map_err(|error| read_failure(&error))?;
        if !key.starts_with(prefix) {
            break;
        }
        let why = || StoreError::DamagedRecord { why: format!("a key of {} bytes", key.len()) };
        visit(chunks::segment(&key).ok_or_else(why)?, &value)?;
    }
    Ok(())
}

fn write(database: &Database, batch: WriteBatch) -> Result<(), StoreError> {
    database
        .rocks()
        .write_opt(batch, &settings::durable())
        .map_err(|error| StoreError::WriteFailed { why: error.to_string() })
}
