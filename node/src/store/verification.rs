//! Reads what is sealed, and says whether it is what its record says.

use std::collections::BTreeSet;

use bytes::Bytes;
use cairn_proto::ids::SegmentId;
use rocksdb::{DBRawIteratorWithThreadMode, ReadOptions};

use super::cells::Cells;
use super::chunk_record::ChunkRecord;
use super::database::{Database, Rocks};
use super::error::StoreError;
use super::key::{Position, end_of_cells, first_cell, position_of};
use super::placement::BulkPlace;
use super::tally::CellMark;
use super::{Store, Tally, settings};

/// What one step of a scan reads at most before it returns, or the look at a chunk before it pauses.
const SCAN_STEP_BYTES: u64 = 4 << 20;

/// What a sealed chunk is, as it lies on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// All of it is there as its record says; so many bytes were read.
    Sound(u64),
    /// It is not here any more.
    Gone,
    /// Some of it is not.
    Damaged {
        /// Its place in every row.
        chunk_index: u8,
        /// What is wrong.
        why: String,
        /// The generation of logged cells that has a table which cannot be read.
        generation: Option<u32>,
    },
}

/// Where a scan of a family of logged cells has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScanStep {
    /// So much was read, and the next step begins here.
    Next(Vec<u8>, u64),
    /// All was read.
    End(u64),
    /// A table cannot be read.
    Damaged(String),
}

/// One look at all cells of a chunk.
struct Walk<'a> {
    database: &'a Database,
    segment: SegmentId,
    cells: Cells,
    tally: Tally,
    /// Logged cells of rows that lie in tables too.
    shadows: BTreeSet<Position>,
    /// Read since the last pause.
    read_bytes: u64,
    pause: &'a dyn Fn(u64),
}

impl Store {
    /// Reads every cell of a sealed chunk, and compares count, bytes and digest with the record's. Blocks on the disk,
    /// and tells now and then how much was read since the last time, to be held up there.
    pub fn verify(&self, segment: SegmentId, pause: &dyn Fn(u64)) -> Result<Verdict, StoreError> {
        let Some(record) = self.record(segment)? else { return Ok(Verdict::Gone) };
        let verdict = Walk::over(&self.workshop.database, segment, &record, pause);
        if matches!(verdict, Verdict::Damaged { .. }) && self.record(segment)?.as_ref() != Some(&record) {
            // Deleted or moved while it was read: then it is looked at in the next pass.
            return Ok(Verdict::Gone);
        }
        Ok(verdict)
    }

    /// Reads on in a generation of logged cells, also what lies between chunks: a compaction reads that too.
    pub fn scan_generation(&self, generation: u32, from: &[u8]) -> ScanStep {
        let database = &self.workshop.database;
        let Some(family) = database.generation(generation) else { return ScanStep::End(0) };
        let mut rows = database.rocks().raw_iterator_cf_opt(&family, settings::scan());
        rows.seek(from);
        let mut bytes = 0;
        while let Some((key, value)) = rows.item() {
            bytes += (key.len() + value.len()) as u64;
            if bytes >= SCAN_STEP_BYTES {
                return ScanStep::Next([key, &[0]].concat(), bytes);
            }
            rows.next();
        }
        match rows.status() {
            Ok(()) => ScanStep::End(bytes),
            Err(error) => ScanStep::Damaged(error.to_string()),
        }
    }

    /// Forgets all blocks that were read, so that what is read next comes from the disk.
    pub fn forget_blocks(&self) {
        self.workshop.database.forget_blocks();
    }
}

impl<'a> Walk<'a> {
    fn over(
        database: &'a std::sync::Arc<Database>,
        segment: SegmentId,
        record: &ChunkRecord,
        pause: &'a dyn Fn(u64),
    ) -> Verdict {
        let cells = Cells::new(std::sync::Arc::clone(database), segment, record.chunk_index, record.placement);
        let (tally, shadows) = (Tally::EMPTY, BTreeSet::new());
        let mut walk = Walk { database, segment, cells, tally, shadows, read_bytes: 0, pause };
        let chunk_index = record.chunk_index;
        let damaged = |why: String, generation| Verdict::Damaged { chunk_index, why, generation };
        if let Err(failure) = walk.logged(record) {
            let generation = failure.is_of_table.then_some(record.placement.generation);
            return damaged(failure.why, generation);
        }
        if let Some(bulk) = record.placement.bulk
            && let Err(failure) = walk.bulk(bulk)
        {
            return damaged(failure.why, None);
        }
        pause(walk.read_bytes);
        if walk.tally == record.tally {
            return Verdict::Sound(walk.tally.length_bytes);
        }
        let Tally { cells, length_bytes, .. } = walk.tally;
        let (expected, expected_bytes) = (record.tally.cells, record.tally.length_bytes);
        damaged(format!("{cells} cells of {length_bytes} bytes are there, of {expected} of {expected_bytes}"), None)
    }

    fn logged(&mut self, record: &ChunkRecord) -> Result<(), Failure> {
        let Some(family) = self.database.generation(record.placement.generation) else { return Ok(()) };
        let first_bulk = record.placement.bulk.map(|bulk| bulk.first);
        let mut rows = self.database.rocks().raw_iterator_cf_opt(&family, self.bounds(first_cell(self.segment).into()));
        rows.seek_to_first();
        while let Some((key, value)) = rows.item() {
            let position = position_of(key).ok_or_else(|| Failure::of_cell("a key that is none"))?;
            let in_tables = first_bulk.is_some_and(|first| position >= first);
            // Without the record's word, cells before the tables' are what a repair that broke off has left.
            if !in_tables || record.placement.shadowed {
                self.count(position, value)?;
            }
            if in_tables && record.placement.shadowed {
                self.shadows.insert(position);
            }
            rows.next();
        }
        rows.status().map_err(|error| Failure { why: error.to_string(), is_of_table: true })
    }

    /// What is shadowed does not count, and need not be readable: after a block that is not, it goes on behind the next
    /// row that is shadowed. Whatever else was skipped is missing in the count.
    fn bulk(&mut self, bulk: BulkPlace) -> Result<(), Failure> {
        let Some(family) = self.database.bulk(bulk.family) else { return Ok(()) };
        let from = bulk.first.key(self.segment).to_vec();
        let mut rows = self.database.rocks().raw_iterator_cf_opt(&family, self.bounds(from));
        rows.seek_to_first();
        let mut last = None;
        loop {
            self.table_rows(&mut rows, &mut last)?;
            let Err(error) = rows.status() else { return Ok(()) };
            let next = match last {
                None => self.shadows.first(),
                Some(last) => self.shadows.range((std::ops::Bound::Excluded(last), std::ops::Bound::Unbounded)).next(),
            };
            let Some(&next) = next else { return Err(Failure::of_cell(error.as_ref())) };
            last = Some(next);
            rows.seek([next.key(self.segment).as_slice(), &[0]].concat());
        }
    }

    fn table_rows(
        &mut self,
        rows: &mut DBRawIteratorWithThreadMode<'_, Rocks>,
        last: &mut Option<Position>,
    ) -> Result<(), Failure> {
        while let Some((key, value)) = rows.item() {
            let position = position_of(key).ok_or_else(|| Failure::of_cell("a key that is none"))?;
            if !self.shadows.contains(&position) {
                self.count(position, value)?;
            }
            *last = Some(position);
            rows.next();
        }
        Ok(())
    }

    fn count(&mut self, position: Position, value: &[u8]) -> Result<(), Failure> {
        let frame = self.cells.parsed(position, Bytes::copy_from_slice(value));
        let frame = frame.map_err(|error| Failure::of_cell(&error.to_string()))?;
        self.tally.add(&CellMark::of(&frame));
        self.read_bytes += value.len() as u64;
        if self.read_bytes >= SCAN_STEP_BYTES {
            (self.pause)(std::mem::take(&mut self.read_bytes));
        }
        Ok(())
    }

    fn bounds(&self, from: Vec<u8>) -> ReadOptions {
        let mut options = settings::scan();
        options.set_iterate_lower_bound(from);
        options.set_iterate_upper_bound(end_of_cells(self.segment));
        options
    }
}

/// Why a chunk is not sound.
struct Failure {
    why: String,
    /// RocksDB cannot read a table, as opposed to a value that is another than was written.
    is_of_table: bool,
}

impl Failure {
    fn of_cell(why: &str) -> Self {
        Self { why: why.to_owned(), is_of_table: false }
    }
}
