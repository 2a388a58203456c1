use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_proto::storage::{ManifestWatch, check_manifest, forget_manifest};
use parking_lot::Mutex;
use rocksdb::properties::{CUR_SIZE_ALL_MEM_TABLES, LIVE_SST_FILES_SIZE};
use rocksdb::{BoundColumnFamily, ColumnFamilyDescriptor, DBWithThreadMode, MultiThreaded, Options};

use super::change::LoggedFamily;
use super::error::StoreError;
use super::settings::{MemoryShares, Settings};

/// Tables that a bulk family may hold before new chunks go to another one: ingesting takes longer with each.
const FAMILY_TABLES: usize = 2_000;

const CELLS: &str = "cells";
const CHUNKS: &str = "chunks";
const SYSTEM: &str = "system";
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
}

impl Database {
    /// Opens what is there; makes a database only where there is none at all. One whose manifest was cut is refused
    /// before `RocksDB` removes the tables that the rest of it does not name.
    pub(crate) fn open(dir: &Path, shares: MemoryShares) -> Result<Self, StoreError> {
        let exists = dir.join("CURRENT").exists();
        if exists { check_manifest(dir) } else { forget_manifest(dir) }.map_err(|error| refused(dir, &error))?;
        let settings = Settings::new(shares);
        let (rocks, bulk_families) = open_families(dir, &settings, !exists).map_err(|error| refused(dir, &error))?;
        let watch = ManifestWatch::start(dir).map_err(|error| refused(dir, &error))?;
        Ok(Self { rocks, _watch: watch, settings, dir: dir.to_owned(), bulk_families: Mutex::new(bulk_families) })
    }

    pub(crate) fn rocks(&self) -> &Rocks {
        &self.rocks
    }

    /// The device everything lies on.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn logged(&self, family: LoggedFamily) -> Arc<BoundColumnFamily<'_>> {
        let name = match family {
            LoggedFamily::Cells => CELLS,
            LoggedFamily::Chunks => CHUNKS,
            LoggedFamily::System => SYSTEM,
        };
        self.rocks.cf_handle(name).expect("made when the database was opened, and never dropped")
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

    /// Whether the family of this name has cells that went through the log.
    pub(crate) fn has_logged_cells(name: &str) -> bool {
        name == CELLS
    }

    /// Number of the bulk family of this name.
    pub(crate) fn bulk_number(name: &str) -> Option<u32> {
        name.strip_prefix(BULK_PREFIX)?.parse().ok()
    }

    /// A record, if there is one.
    pub(crate) fn record(&self, family: LoggedFamily, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.rocks.get_cf(&self.logged(family), key).map_err(|error| read_failure(&error))
    }

    /// Bytes in tables, and in write buffers, which the log holds too.
    pub(crate) fn used_bytes(&self) -> Result<u64, StoreError> {
        let logged =
            [LoggedFamily::Cells, LoggedFamily::Chunks, LoggedFamily::System].map(|family| self.logged(family));
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

/// Opens the instance with all families it has, and tells how many bulk ones these are.
fn open_families(dir: &Path, settings: &Settings, create: bool) -> Result<(Rocks, u32), rocksdb::Error> {
    let options = Settings::database(create);
    let names = if create { Vec::new() } else { Rocks::list_cf(&options, dir)? };
    let bulk_families = count_bulk(&names);
    let families = [(CELLS, settings.logged()), (CHUNKS, settings.records()), (SYSTEM, settings.records())]
        .map(|(name, options)| (name.to_owned(), options));
    let default = ("default".to_owned(), settings.bulk());
    let bulk = (0..bulk_families).map(|number| (bulk_name(number), settings.bulk()));
    let descriptors = families
        .into_iter()
        .chain([default])
        .chain(bulk)
        .map(|(name, options): (String, Options)| ColumnFamilyDescriptor::new(name, options));
    Ok((Rocks::open_cf_descriptors(&options, dir, descriptors)?, bulk_families))
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
