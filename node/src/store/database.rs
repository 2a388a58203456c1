use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_proto::storage::{ManifestWatch, check_manifest, forget_manifest};
use parking_lot::Mutex;
use rocksdb::properties::{CUR_SIZE_ALL_MEM_TABLES, LIVE_SST_FILES_SIZE};
use rocksdb::{BoundColumnFamily, ColumnFamilyDescriptor, DBWithThreadMode, MultiThreaded, Options};

use super::change::LoggedFamily;
use super::error::StoreError;
use super::generations::{self, Generations};
use super::record_copies::RecordCopy;
use super::settings::{MemoryShares, Settings};

/// Tables that a bulk family may hold before new chunks go to another one: ingesting takes longer with each.
const FAMILY_TABLES: usize = 2_000;

const BULK_PREFIX: &str = "files-";

pub(crate) type Rocks = DBWithThreadMode<MultiThreaded>;

/// The RocksDB instance of a store and its families.
pub(crate) struct Database {
    // Dropped before the watch, whose last look then sees all of it.
    rocks: Rocks,
    _watch: ManifestWatch,
    settings: Settings,
    dir: PathBuf,
    /// Number of bulk families; they are `files-0` and on.
    bulk_families: Mutex<u32>,
    generations: Generations,
    /// Families of records that are being made anew: the others are read.
    unread: Mutex<BTreeSet<RecordCopy>>,
}

impl Database {
    /// Opens what is there; makes a database only where there is none at all. One whose manifest was cut is refused
    /// before `RocksDB` removes the tables that the rest of it does not name.
    pub(crate) fn open(dir: &Path, shares: MemoryShares) -> Result<Self, StoreError> {
        let exists = dir.join("CURRENT").exists();
        if exists { check_manifest(dir) } else { forget_manifest(dir) }.map_err(|error| refused(dir, &error))?;
        let settings = Settings::new(shares);
        let damaged = generations::is_marked_damaged(dir);
        let opened = open_families(dir, &settings, !exists, damaged).map_err(|error| refused(dir, &error))?;
        let (rocks, bulk_families, generations) = opened;
        let watch = ManifestWatch::start(dir).map_err(|error| refused(dir, &error))?;
        let bulk_families = Mutex::new(bulk_families);
        let (dir, unread) = (dir.to_owned(), Mutex::default());
        let database = Self { rocks, _watch: watch, settings, dir, bulk_families, generations, unread };
        database.settle_records()?;
        if damaged {
            database.compact_records()?;
            database.leave_generation(database.newest_generation())?;
            generations::forget_mark(&database.dir).map_err(|error| refused(&database.dir, &error))?;
        }
        Ok(database)
    }

    pub(crate) fn rocks(&self) -> &Rocks {
        &self.rocks
    }

    /// The device everything lies on.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The family that is read: that of some records, or the newest generation. These stay.
    pub(crate) fn logged(&self, family: LoggedFamily) -> Arc<BoundColumnFamily<'_>> {
        let found = match (RecordCopy::pair(family), family) {
            (Some([first, other]), _) => {
                let is_read = !self.unread.lock().contains(&first);
                self.rocks.cf_handle(if is_read { first.name() } else { other.name() })
            }
            (None, LoggedFamily::Cells(generation)) => self.generation(generation),
            (None, _) => None,
        };
        found.expect("made when the database was opened, or when the one before it was left")
    }

    /// The families that a change goes to: both of records, and none if it is a generation that is gone.
    pub(crate) fn written(&self, family: LoggedFamily) -> Vec<Arc<BoundColumnFamily<'_>>> {
        match (RecordCopy::pair(family), family) {
            (Some(pair), _) => pair.into_iter().filter_map(|copy| self.rocks.cf_handle(copy.name())).collect(),
            (None, LoggedFamily::Cells(generation)) => self.generation(generation).into_iter().collect(),
            (None, _) => Vec::new(),
        }
    }

    /// Whether the records of a family may be read there, or are read where they are kept once more.
    pub(crate) fn set_read(&self, copy: RecordCopy, is_read: bool) {
        let mut unread = self.unread.lock();
        if is_read {
            unread.remove(&copy)
        } else {
            unread.insert(copy)
        };
    }

    /// Settings of a family of records.
    pub(crate) fn record_options(&self) -> Options {
        self.settings.records(true)
    }

    /// Has tables of records merged by themselves again.
    fn compact_records(&self) -> Result<(), StoreError> {
        for family in RecordCopy::ALL.into_iter().filter_map(|copy| self.rocks.cf_handle(copy.name())) {
            let compacted = self.rocks.set_options_cf(&family, &[("disable_auto_compactions", "false")]);
            compacted.map_err(|error| StoreError::WriteFailed { why: error.to_string() })?;
        }
        Ok(())
    }

    /// Every family that is written through the log.
    pub(crate) fn logged_families(&self) -> Vec<Arc<BoundColumnFamily<'_>>> {
        let cells = self.generations().into_iter().filter_map(|generation| self.generation(generation));
        let records = RecordCopy::ALL.into_iter().filter_map(|copy| self.rocks.cf_handle(copy.name()));
        cells.chain(records).collect()
    }

    /// A generation of logged cells, if it is still there.
    pub(crate) fn generation(&self, generation: u32) -> Option<Arc<BoundColumnFamily<'_>>> {
        self.rocks.cf_handle(&generations::name(generation))
    }

    /// Those that are there, the newest last.
    pub(crate) fn generations(&self) -> Vec<u32> {
        self.generations.all()
    }

    /// The one that cells are written to.
    pub(crate) fn newest_generation(&self) -> u32 {
        self.generations.newest()
    }

    /// Has cells written to a newer generation than this one, because it has a damaged table.
    pub(crate) fn leave_generation(&self, left: u32) -> Result<(), StoreError> {
        self.generations.leave(left, &self.rocks, &self.settings.logged(true))
    }

    /// Has the next start leave the newest generation.
    pub(crate) fn mark_damaged(&self) -> std::io::Result<()> {
        generations::mark_damaged(&self.dir)
    }

    /// Drops a generation that nothing names any more.
    pub(crate) fn drop_generation(&self, left: u32) -> Result<(), StoreError> {
        self.generations.drop_left(left, &self.rocks)
    }

    /// Forgets all blocks that were read, so that what is read next comes from the disk.
    pub(crate) fn forget_blocks(&self) {
        self.settings.forget_blocks();
    }

    /// The same, of cells alone.
    pub(crate) fn forget_cells(&self) {
        self.settings.forget_cells();
    }

    /// A second look at its tables, from the disk: a table that is open here is not read again where its index lies.
    pub(crate) fn second_look(&self, scratch: &Path) -> Result<Rocks, StoreError> {
        let options = Settings::second_look(scratch);
        let families = Rocks::list_cf(&options, &self.dir).map_err(|error| read_failure(&error))?;
        let descriptors =
            families.into_iter().map(|name| ColumnFamilyDescriptor::new(name, Settings::second_look_family()));
        Rocks::open_cf_descriptors_read_only(&options, &self.dir, descriptors, false)
            .map_err(|error| read_failure(&error))
    }

    /// A bulk family by its number, if there is one.
    pub(crate) fn bulk(&self, family: u32) -> Option<Arc<BoundColumnFamily<'_>>> {
        self.rocks.cf_handle(&bulk_name(family))
    }

    pub(crate) fn bulk_numbers(&self) -> std::ops::Range<u32> {
        0..*self.bulk_families.lock()
    }

    /// The family that a new chunk's tables should go to; makes one when all are full.
    pub(crate) fn roomy_bulk(&self) -> Result<u32, StoreError> {
        let mut families = self.bulk_families.lock();
        let roomy = (0..*families).rev().find(|&number| {
            self.bulk(number)
                .is_some_and(|family| self.rocks.get_column_family_metadata_cf(&family).file_count < FAMILY_TABLES)
        });
        if let Some(number) = roomy {
            return Ok(number);
        }
        let number = *families;
        self.rocks
            .create_cf(bulk_name(number), &self.settings.bulk())
            .map_err(|error| StoreError::WriteFailed { why: error.to_string() })?;
        *families += 1;
        Ok(number)
    }

    /// Whether the family of this name is the generation that cells are written to.
    pub(crate) fn is_newest_generation(&self, name: &str) -> bool {
        generations::number(name) == Some(self.newest_generation())
    }

    /// Number of the bulk family of this name.
    pub(crate) fn bulk_number(name: &str) -> Option<u32> {
        name.strip_prefix(BULK_PREFIX)?.parse().ok()
    }

    /// A record, if there is one.
    pub(crate) fn record(&self, family: LoggedFamily, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.rocks.get_cf(&self.logged(family), key).or_else(|error| {
            // The other copy, if there is one, is as good.
            let other = RecordCopy::pair(family).and_then(|[_, other]| self.rocks.cf_handle(other.name()));
            other.map_or(Err(read_failure(&error)), |other| {
                self.rocks.get_cf(&other, key).map_err(|error| read_failure(&error))
            })
        })
    }

    /// Bytes in tables, and in write buffers, which the log holds too.
    pub(crate) fn used_bytes(&self) -> Result<u64, StoreError> {
        let logged = self.logged_families();
        let bulk = self.bulk_numbers().filter_map(|number| self.bulk(number));
        let mut used = 0;
        for family in logged.into_iter().chain(bulk) {
            for property in [LIVE_SST_FILES_SIZE, CUR_SIZE_ALL_MEM_TABLES] {
                let size = self.rocks.property_int_value_cf(&family, property).map_err(|error| read_failure(&error))?;
                used += size.unwrap_or(0);
            }
        }
        Ok(used)
    }
}

/// Opens the instance with all families it has, and tells how many bulk ones and which generations these are. Only the
/// newest generation is compacted, unless it is `damaged` too.
fn open_families(
    dir: &Path,
    settings: &Settings,
    create: bool,
    damaged: bool,
) -> Result<(Rocks, u32, Generations), rocksdb::Error> {
    let options = settings.database(create);
    let names = if create { Vec::new() } else { Rocks::list_cf(&options, dir)? };
    let (bulk_families, generations) = (count_bulk(&names), Generations::among(&names));
    let newest = generations.newest();
    let cells = generations
        .all()
        .into_iter()
        .map(|generation| (generations::name(generation), settings.logged(generation == newest && !damaged)));
    // Those that an older store has not, and one that was being made anew, are made when it is open.
    let is_there = |copy: &RecordCopy| create || names.iter().any(|name| name == copy.name());
    let records = RecordCopy::ALL.into_iter().filter(is_there);
    let records = records.map(|copy| (copy.name().to_owned(), settings.records(!damaged)));
    let default = ("default".to_owned(), settings.bulk());
    let bulk = (0..bulk_families).map(|number| (bulk_name(number), settings.bulk()));
    let descriptors = cells
        .chain(records)
        .chain([default])
        .chain(bulk)
        .map(|(name, options): (String, Options)| ColumnFamilyDescriptor::new(name, options));
    Ok((Rocks::open_cf_descriptors(&options, dir, descriptors)?, bulk_families, generations))
}

fn refused(dir: &Path, why: &dyn std::fmt::Display) -> StoreError {
    StoreError::Open { dir: dir.display().to_string(), why: why.to_string() }
}

pub(crate) fn read_failure(error: &rocksdb::Error) -> StoreError {
    StoreError::ReadFailed { why: error.to_string() }
}

fn bulk_name(number: u32) -> String {
    format!("{BULK_PREFIX}{number}")
}

/// Families are made in order and never dropped, so the highest number tells how many there are.
fn count_bulk(names: &[String]) -> u32 {
    names.iter().filter_map(|name| Database::bulk_number(name)).max().map_or(0, |highest| highest + 1)
}

#[cfg(test)]
mod tests {
    use super::Database;
    use crate::store::settings::MemoryShares;

    #[test]
    fn bulk_families_are_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let shares = MemoryShares::of(64 << 20);
        let database = Database::open(&dir.path().join("db"), shares).unwrap();
        assert_eq!(database.roomy_bulk().unwrap(), 0);
        assert_eq!(database.roomy_bulk().unwrap(), 0);
        drop(database);
        let database = Database::open(&dir.path().join("db"), shares).unwrap();
        assert_eq!(database.bulk_numbers(), 0..1);
        assert!(database.bulk(0).is_some());
    }
}
