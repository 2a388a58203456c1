//! Records are small and without them nothing else counts, so each is kept twice, in two families. One that has a damaged
//! table is made anew from the other.

use std::fs;
use std::path::{Path, PathBuf};

use fail::fail_point;
use rocksdb::{IteratorMode, WriteBatch};

use super::change::LoggedFamily;
use super::database::{Database, read_failure};
use super::error::StoreError;
use super::{Store, settings};

/// Beside the tables: the name of the family that is being made anew.
const MARKER: &str = "records.renewed";
/// Records that are copied at once.
const BATCH_BYTES: usize = 1 << 20;

/// One of the two families of some records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RecordCopy {
    /// Records of chunks, as they are read.
    Chunks,
    /// The same once more.
    ChunksAgain,
    /// Records of the node itself, as they are read.
    System,
    /// The same once more.
    SystemAgain,
}

impl RecordCopy {
    pub(crate) const ALL: [Self; 4] = [Self::Chunks, Self::ChunksAgain, Self::System, Self::SystemAgain];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Chunks => "chunks",
            Self::ChunksAgain => "chunks-again",
            Self::System => "system",
            Self::SystemAgain => "system-again",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|copy| copy.name() == name)
    }

    /// The family that has the same records.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Chunks => Self::ChunksAgain,
            Self::ChunksAgain => Self::Chunks,
            Self::System => Self::SystemAgain,
            Self::SystemAgain => Self::System,
        }
    }

    /// Where records of a logged family are: the copy that is read first, then the other. Cells have none.
    pub(crate) fn pair(family: LoggedFamily) -> Option<[Self; 2]> {
        match family {
            LoggedFamily::Cells(_) => None,
            LoggedFamily::Chunks => Some([Self::Chunks, Self::ChunksAgain]),
            LoggedFamily::System => Some([Self::System, Self::SystemAgain]),
        }
    }
}

impl Database {
    /// Makes the families whole that have a damaged table, or that are not all there. Nothing else works on the database.
    pub(crate) fn settle_records(&self) -> Result<(), StoreError> {
        let broken_off = fs::read_to_string(marker(self.dir())).ok();
        if let Some(copy) = broken_off.as_deref().and_then(RecordCopy::named) {
            self.renew_records(copy)?;
        }
        for copy in RecordCopy::ALL {
            if let Err(error) = self.scan_records(copy) {
                tracing::warn!(family = copy.name(), %error, "records are copied from where they are kept once more");
                self.scan_records(copy.other())?;
                self.renew_records(copy)?;
            }
        }
        Ok(())
    }

    /// Reads all records of a family.
    pub(crate) fn scan_records(&self, copy: RecordCopy) -> Result<(), StoreError> {
        let missing = || StoreError::ReadFailed { why: format!("there is no family {}", copy.name()) };
        let family = self.rocks().cf_handle(copy.name()).ok_or_else(missing)?;
        let mut records = self.rocks().raw_iterator_cf_opt(&family, settings::scan());
        records.seek_to_first();
        while records.valid() {
            records.next();
        }
        records.status().map_err(|error| read_failure(&error))
    }

    /// Makes a family anew from the other that has the same records. Nothing may be written to either meanwhile; what is
    /// read is read from the other.
    pub(crate) fn renew_records(&self, copy: RecordCopy) -> Result<(), StoreError> {
        let failed = |error: std::io::Error| StoreError::WriteFailed { why: error.to_string() };
        mark(self.dir(), copy).map_err(failed)?;
        self.set_read(copy, false);
        self.make_records_anew(copy)?;
        self.set_read(copy, true);
        fs::remove_file(marker(self.dir())).map_err(failed)
    }

    fn make_records_anew(&self, copy: RecordCopy) -> Result<(), StoreError> {
        let failed = |error: rocksdb::Error| StoreError::WriteFailed { why: error.to_string() };
        let rocks = self.rocks();
        if rocks.cf_handle(copy.name()).is_some() {
            rocks.drop_cf(copy.name()).map_err(failed)?;
        }
        fail_point!("records-dropped", |_| Err(StoreError::WriteFailed { why: "failpoint".to_owned() }));
        rocks.create_cf(copy.name(), &self.record_options()).map_err(failed)?;
        fail_point!("records-empty", |_| Err(StoreError::WriteFailed { why: "failpoint".to_owned() }));
        let (Some(to), Some(from)) = (rocks.cf_handle(copy.name()), rocks.cf_handle(copy.other().name())) else {
            return Ok(());
        };
        let mut batch = WriteBatch::new();
        for record in rocks.iterator_cf_opt(&from, settings::scan(), IteratorMode::Start) {
            let (key, value) = record.map_err(|error| read_failure(&error))?;
            batch.put_cf(&to, key, value);
            if batch.size_in_bytes() >= BATCH_BYTES {
                rocks.write(std::mem::take(&mut batch)).map_err(failed)?;
            }
        }
        rocks.write_opt(batch, &settings::durable()).map_err(failed)
    }
}

impl Store {
    /// The families of records that cannot be read, and why.
    pub fn scan_records(&self) -> Vec<(RecordCopy, String)> {
        let database = &self.workshop.database;
        let damaged = |copy: RecordCopy| Some((copy, database.scan_records(copy).err()?.to_string()));
        RecordCopy::ALL.into_iter().filter_map(damaged).collect()
    }

    /// Makes a family of records anew from the other one. Writes wait meanwhile.
    pub async fn renew_records(&self, copy: RecordCopy) -> Result<(), StoreError> {
        self.writer.renew(copy).await
    }
}

fn marker(dir: &Path) -> PathBuf {
    dir.join(MARKER)
}

fn mark(dir: &Path, copy: RecordCopy) -> std::io::Result<()> {
    use std::io::Write;
    let mut file = fs::File::create(marker(dir))?;
    file.write_all(copy.name().as_bytes())?;
    file.sync_all()?;
    fs::File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::RecordCopy;

    #[test]
    fn every_family_has_another_with_the_same_records() {
        for copy in RecordCopy::ALL {
            assert_eq!(RecordCopy::named(copy.name()), Some(copy));
            assert!(copy.other() != copy && copy.other().other() == copy);
        }
        assert_eq!(RecordCopy::named("cells"), None);
    }
}
