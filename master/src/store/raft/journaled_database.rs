use std::io;
use std::path::Path;
use std::sync::Arc;

use fail::fail_point;
use rocksdb::{DB, ReadOptions, ReadTier, WriteBatch, WriteOptions};

use super::super::database::{Database, WalRecovery};
use super::super::durable_files::create_dir;
use super::super::journal::{Journal, RecordNumber};
use super::log_records::{JOURNALED_KEY, damaged, database};

/// The journal's directory in that of the instance.
const JOURNAL_DIR: &str = "journal";

/// A RocksDB instance whose writes are made durable by a [`Journal`] instead of its own write-ahead log.
///
/// Every record of the journal is a list of batches, the last of which also says its number. A record is durable before
/// its batches are written to the instance, so the instance never holds what the journal lacks, and always says
/// which records it holds. Those that its table files do not hold yet are in the journal, and are written to it again
/// when it is opened.
pub(super) struct JournaledDatabase {
    database: Arc<Database>,
    journal: Journal,
}

impl JournaledDatabase {
    /// Opens the instance in `dir`, and brings it up to date; makes it only if `create`.
    ///
    /// One that never had a journal gets one.
    pub(super) fn open(dir: &Path, create: bool) -> io::Result<Self> {
        let opened = Database::open(dir, create, WalRecovery::TornTailOnly).map_err(io::Error::other)?;
        let db = opened.db();
        let dir = dir.join(JOURNAL_DIR);
        create_dir(&dir)?;
        let journal = match journaled(db, &ReadOptions::default())? {
            None => begin_first(db, &dir)?,
            Some(held) => catch_up(db, &dir, held)?,
        };
        Ok(Self { database: Arc::new(opened), journal })
    }

    pub(super) fn database(&self) -> &Arc<Database> {
        &self.database
    }

    /// Writes batches in their order; they are durable when it returns, if `sync`. After a failure nothing more may be
    /// written.
    pub(super) fn write(&mut self, mut batches: Vec<WriteBatch>, sync: bool) -> io::Result<()> {
        let Some(last) = batches.last_mut() else { return Ok(()) };
        last.put(JOURNALED_KEY, self.journal.next().0.to_be_bytes());
        let begun_another = self.journal.append(batches.iter().map(WriteBatch::data))?;
        fail_point!("log-written");
        if sync {
            self.journal.sync()?;
        }
        let db = self.database.db();
        for batch in batches {
            db.write_opt(batch, &journaled_elsewhere()).map_err(database)?;
        }
        if begun_another { self.journal.release(in_tables(db)?) } else { Ok(()) }
    }
}

/// A journal for an instance that has none. From then on one that is not there is missing.
fn begin_first(db: &DB, dir: &Path) -> io::Result<Journal> {
    if Journal::exists(dir)? {
        // Left by a first start that did not come to its end, without a record.
        let none =
            |number, _: Vec<&[u8]>| Err(damaged(&format!("it has record {number} of a journal and no mark of it")));
        Journal::replay(dir, RecordNumber::NONE, none).map_err(io::Error::other)?;
    }
    let journal = Journal::begin(dir, RecordNumber::NONE)?;
    db.put(JOURNALED_KEY, RecordNumber::NONE.0.to_be_bytes()).map_err(database)?;
    db.flush().map_err(database)?;
    Ok(journal)
}

/// Writes to the instance what the journal holds behind `held`, and begins a new segment once that is durable.
fn catch_up(db: &DB, dir: &Path, held: RecordNumber) -> io::Result<Journal> {
    let again = |_, batches: Vec<&[u8]>| {
        for batch in batches {
            db.write_opt(WriteBatch::from_data(batch), &journaled_elsewhere()).map_err(database)?;
        }
        Ok(())
    };
    let last = Journal::replay(dir, held, again).map_err(io::Error::other)?;
    if last > held {
        db.flush().map_err(database)?;
    }
    Journal::begin(dir, last)
}

/// The last record of the journal whose batches the table files hold: those a crash leaves.
fn in_tables(db: &DB) -> io::Result<RecordNumber> {
    let mut tables = ReadOptions::default();
    tables.set_read_tier(ReadTier::Persisted);
    Ok(journaled(db, &tables)?.unwrap_or(RecordNumber::NONE))
}

fn journaled(db: &DB, options: &ReadOptions) -> io::Result<Option<RecordNumber>> {
    let Some(value) = db.get_pinned_opt(JOURNALED_KEY, options).map_err(database)? else { return Ok(None) };
    let number = <[u8; 8]>::try_from(&value[..]).map_err(|_| damaged("the number of its last record"))?;
    Ok(Some(RecordNumber(u64::from_be_bytes(number))))
}

/// For writes that the journal makes durable.
fn journaled_elsewhere() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.disable_wal(true);
    options
}
