//! Looks whether every table can still be opened: what an open table has in memory is not read again.

use std::collections::{BTreeMap, HashMap};

use cairn_proto::ids::SegmentId;
use rocksdb::{ErrorKind, LiveFile};

use super::Store;
use super::database::{Database, Rocks, read_failure};
use super::error::StoreError;
use super::generations;
use super::key::{Position, position_of, segment_of};
use super::reclaim::flush;
use super::record_copies::RecordCopy;
use super::settings;

/// Segments whose damaged tables are remembered until they are repaired; more are found by the next pass.
const SUSPECTS_LIMIT: usize = 65_536;

/// How often it is tried to open the database a second time.
const SECOND_LOOK_ATTEMPTS: usize = 5;

/// The tables of a segment that cannot be opened.
pub(crate) type Suspects = HashMap<SegmentId, Vec<SuspectTable>>;

/// A table of one segment, by its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SuspectTable {
    pub(crate) first: Position,
    pub(crate) last: Position,
}

/// The tables that cannot be opened, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableReport {
    /// How many were looked at.
    pub tables: usize,
    /// Segments that have one of their own.
    pub segments: BTreeMap<SegmentId, String>,
    /// Generations of logged cells that have one.
    pub generations: BTreeMap<u32, String>,
    /// Families of records that have one.
    pub records: BTreeMap<RecordCopy, String>,
}

impl Store {
    /// Opens every table anew. Blocks on the disk.
    pub fn check_tables(&self) -> Result<TableReport, StoreError> {
        let look = self.second_look()?;
        let files = look.live_files().map_err(|error| read_failure(&error))?;
        let mut report = TableReport { tables: files.len(), ..TableReport::default() };
        for file in &files {
            if let Some(why) = failure(&look, file) {
                self.note_damaged(file, why, &mut report);
            }
        }
        Ok(report)
    }

    /// Log files come and go while it is opened, which fails then.
    fn second_look(&self) -> Result<Rocks, StoreError> {
        let (database, scratch) = (&self.workshop.database, self.workshop.staging.dir());
        // What is in the log is read into memory, so there had better be little.
        flush(database, &self.workshop.fatal)?;
        let mut looked = database.second_look(scratch);
        for _ in 1..SECOND_LOOK_ATTEMPTS {
            if looked.is_ok() {
                break;
            }
            looked = database.second_look(scratch);
        }
        looked
    }

    fn note_damaged(&self, file: &LiveFile, why: String, report: &mut TableReport) {
        let family = &file.column_family_name;
        tracing::error!(table = file.name, family, why, "a table cannot be opened");
        if let Some(generation) = generations::number(family) {
            report.generations.insert(generation, why);
        } else if Database::bulk_number(family).is_some() {
            let keys = file.start_key.as_deref().zip(file.end_key.as_deref());
            let Some((start, end)) = keys else { return };
            let rows = position_of(start).zip(position_of(end));
            let Some((segment, (first, last))) = segment_of(start).zip(rows) else { return };
            report.segments.insert(segment, why);
            let mut suspects = self.suspects.lock();
            if suspects.len() < SUSPECTS_LIMIT {
                let tables = suspects.entry(segment).or_default();
                tables.retain(|table| table.first != first);
                tables.push(SuspectTable { first, last });
            }
        } else if let Some(copy) = RecordCopy::named(family) {
            report.records.insert(copy, why);
        }
    }
}

/// Why a table cannot be opened, if so. One that is not there any more was merged or deleted meanwhile.
fn failure(look: &Rocks, file: &LiveFile) -> Option<String> {
    let (family, start) = (look.cf_handle(&file.column_family_name)?, file.start_key.as_ref()?);
    let mut options = settings::scan();
    options.set_iterate_lower_bound(start.clone());
    let mut rows = look.raw_iterator_cf_opt(&family, options);
    rows.seek(start);
    let error = rows.status().err()?;
    let is_gone = error.kind() == ErrorKind::IOError && error.to_string().contains("No such file");
    (!is_gone).then(|| error.to_string())
}
