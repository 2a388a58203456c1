use std::path::Path;

use cairn_proto::storage::{ManifestError, ManifestWatch, check_manifest, forget_manifest};
use rocksdb::{DB, DBRecoveryMode, LogLevel, Options, WriteOptions};
use tokio::sync::watch;

use super::directory::IF_LOST;

/// Bytes of one memtable.
const MEMTABLE_BYTES: usize = 16 << 20;
/// Bytes of write-ahead log after which memtables are written out.
const WAL_LIMIT_BYTES: u64 = 64 << 20;
/// Table files kept open.
const OPEN_FILES_LIMIT: i32 = 512;
/// Threads that write tables out and merge them.
const BACKGROUND_JOBS: i32 = 2;
/// Bytes of the list of files before it is written anew: it is part of every checkpoint.
const MANIFEST_BYTES: usize = 64 << 10;
/// RocksDB's own message files that are kept.
const MESSAGE_FILES: usize = 2;
/// Bytes of one of them.
const MESSAGE_FILE_BYTES: usize = 1 << 20;

/// An open RocksDB instance that says when it is closed.
pub(crate) struct Database {
    // Dropped in this order: the last look of the watch sees all of the instance, and the notice comes last.
    db: DB,
    _watch: ManifestWatch,
    closed: watch::Sender<()>,
}

/// What a crash may have done to the tail of the write-ahead log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WalRecovery {
    /// Every acknowledged write was synced: only a torn last record is accepted, damage before it is not.
    TornTailOnly,
    /// Writes are not synced and can be made again: everything from the first damage on is dropped.
    UpToFirstDamage,
}

/// Why an instance cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DatabaseError {
    /// `RocksDB` refuses it.
    #[error(transparent)]
    Rocks(#[from] rocksdb::Error),
    /// Its manifest is not what was left.
    #[error("{0}. Put the whole file back. {if_lost}", if_lost = IF_LOST)]
    Manifest(#[from] ManifestError),
}

impl Database {
    /// Opens the instance in `dir`; makes it only if `create`. One whose manifest was cut is refused before `RocksDB`
    /// removes the files that the rest of it does not name.
    pub(crate) fn open(dir: &Path, create: bool, recovery: WalRecovery) -> Result<Self, DatabaseError> {
        if create && !dir.join("CURRENT").exists() { forget_manifest(dir) } else { check_manifest(dir) }?;
        let db = DB::open(&options(create, recovery), dir)?;
        let watch = ManifestWatch::start(dir)?;
        Ok(Self { db, _watch: watch, closed: watch::Sender::new(()) })
    }

    /// The instance.
    pub(crate) fn db(&self) -> &DB {
        &self.db
    }

    /// Its channel closes once the instance is closed.
    pub(crate) fn closed(&self) -> watch::Receiver<()> {
        self.closed.subscribe()
    }
}

/// For writes that are made durable by a later sync, or can be made again.
pub(crate) fn unsynced() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.set_sync(false);
    options
}

fn options(create: bool, recovery: WalRecovery) -> Options {
    let mut options = Options::default();
    options.create_if_missing(create);
    options.set_paranoid_checks(true);
    options.set_wal_recovery_mode(match recovery {
        WalRecovery::TornTailOnly => DBRecoveryMode::TolerateCorruptedTailRecords,
        WalRecovery::UpToFirstDamage => DBRecoveryMode::PointInTime,
    });
    options.set_track_and_verify_wals_in_manifest(recovery == WalRecovery::TornTailOnly);
    options.set_write_buffer_size(MEMTABLE_BYTES);
    options.set_max_total_wal_size(WAL_LIMIT_BYTES);
    options.set_max_manifest_file_size(MANIFEST_BYTES);
    options.set_max_open_files(OPEN_FILES_LIMIT);
    options.set_max_background_jobs(BACKGROUND_JOBS);
    options.set_keep_log_file_num(MESSAGE_FILES);
    options.set_max_log_file_size(MESSAGE_FILE_BYTES);
    options.set_log_level(LogLevel::Warn);
    options
}
