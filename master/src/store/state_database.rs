use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use cairn_proto::wire;
use prost::Message;
use rocksdb::checkpoint::Checkpoint;
use rocksdb::{DB, Options, WriteBatch};
use tokio::sync::watch;

use super::apply::{State, Write};
use super::database::{Database, DatabaseError, WalRecovery, unsynced};
use super::recent_values::RecentValues;
use super::{ReadError, RecentCommands, Versioned};

/// In front of every key of the state.
pub(super) const DATA_PREFIX: u8 = b'd';
/// The record that says which entries of the log the state contains.
pub(super) const POSITION_KEY: &[u8] = b"m";
/// The highest Raft id that was ever a member's, 8 bytes in network order.
const HIGHEST_MASTER_KEY: &[u8] = b"h";
/// The record of the commands that may come again.
const RECENT_COMMANDS_KEY: &[u8] = b"r";

/// The state: a RocksDB instance of its own.
///
/// Writes are not synced. After a crash the state is what some prefix of the log makes it, and the log, which is
/// never purged past what a checkpoint has made durable, brings it up to date.
pub(crate) struct StateDatabase {
    // Dropped before `directory`, which may remove the files.
    database: Database,
    directory: Directory,
    recent_values: RecentValues,
}

struct Directory {
    path: PathBuf,
    retired: AtomicBool,
}

impl StateDatabase {
    pub(crate) fn open(dir: &Path, create: bool) -> Result<Self, ReadError> {
        let refused = |error: DatabaseError| ReadError::Database { why: error.to_string() };
        let database = Database::open(dir, create, WalRecovery::UpToFirstDamage).map_err(refused)?;
        let directory = Directory { path: dir.to_owned(), retired: AtomicBool::new(false) };
        Ok(Self { database, directory, recent_values: RecentValues::default() })
    }

    /// Applies writes and what the state says of the log besides, together. There is one writer at a time. The highest
    /// id of a master is told where it is a new one.
    pub(crate) fn write(
        &self,
        writes: &[Write],
        position: &wire::SnapshotMeta,
        new_highest_master: Option<u64>,
        recent: &RecentCommands,
    ) -> Result<(), ReadError> {
        let mut batch = WriteBatch::default();
        for (key, written) in writes {
            match written {
                Some(versioned) => batch.put(data_key(key), versioned.encode()),
                None => batch.delete(data_key(key)),
            }
        }
        batch.put(POSITION_KEY, position.encode_to_vec());
        if let Some(highest_master) = new_highest_master {
            batch.put(HIGHEST_MASTER_KEY, highest_master.to_be_bytes());
        }
        batch.put(RECENT_COMMANDS_KEY, recent.to_wire().encode_to_vec());
        self.recent_values.note(writes, index_of(position));
        self.database.db().write_opt(batch, &unsynced()).map_err(failed)
    }

    /// Which entries the state contains, and the membership they left.
    pub(crate) fn position(&self) -> Result<wire::SnapshotMeta, ReadError> {
        position_of(self.db())
    }

    /// The highest Raft id that was ever a member's.
    pub(crate) fn highest_master(&self) -> Result<u64, ReadError> {
        let Some(stored) = self.db().get_pinned(HIGHEST_MASTER_KEY).map_err(failed)? else { return Ok(0) };
        let bytes = <[u8; 8]>::try_from(&stored[..]);
        let damaged = |_| ReadError::Damaged { what: "the highest id of a master".to_owned() };
        bytes.map(u64::from_be_bytes).map_err(damaged)
    }

    /// The commands that may come again.
    pub(crate) fn recent_commands(&self) -> Result<RecentCommands, ReadError> {
        let Some(stored) = self.db().get_pinned(RECENT_COMMANDS_KEY).map_err(failed)? else {
            return Ok(RecentCommands::default());
        };
        let damaged = |why: String| ReadError::Damaged { what: format!("the record of recent commands: {why}") };
        let record = wire::RecentCommands::decode(&stored[..]).map_err(|error| damaged(error.to_string()))?;
        RecentCommands::from_wire(record).map_err(|error| damaged(error.to_string()))
    }

    /// Takes a checkpoint into `dir`, which must not exist. What it contains is then durable here too, because the
    /// memtables are written out for it.
    pub(crate) fn checkpoint(&self, dir: &Path) -> Result<(), ReadError> {
        Checkpoint::new(self.db()).and_then(|checkpoint| checkpoint.create_checkpoint(dir)).map_err(failed)
    }

    /// Removes the files once nobody reads them any more.
    pub(crate) fn retire(&self) {
        self.directory.retired.store(true, Ordering::Relaxed);
    }

    /// What views need not look up.
    pub(super) fn recent_values(&self) -> &RecentValues {
        &self.recent_values
    }

    pub(super) fn db(&self) -> &DB {
        self.database.db()
    }

    /// Its channel closes once the database is closed.
    pub(crate) fn closed(&self) -> watch::Receiver<()> {
        self.database.closed()
    }
}

impl State for StateDatabase {
    /// For whoever applies commands: what is found is kept at hand.
    fn get(&self, key: &[u8]) -> Result<Option<Versioned>, ReadError> {
        self.recent_values.get_or_else(key, u64::MAX, || {
            let Some(stored) = self.db().get_pinned(data_key(key)).map_err(failed)? else { return Ok(None) };
            let found = Versioned::decode(Bytes::copy_from_slice(&stored))?;
            self.recent_values.keep(key, &found);
            Ok(Some(found))
        })
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if self.retired.load(Ordering::Relaxed)
            && let Err(error) = fs::remove_dir_all(&self.path)
        {
            tracing::warn!(%error, path = %self.path.display(), "a replaced state is left until the next start");
        }
    }
}

/// The position of a checkpoint, read without changing it beyond RocksDB's own message file.
pub(crate) fn position_of_checkpoint(dir: &Path) -> Result<wire::SnapshotMeta, ReadError> {
    let db = DB::open_for_read_only(&Options::default(), dir, false).map_err(failed)?;
    position_of(&db)
}

pub(super) fn position_of(db: &DB) -> Result<wire::SnapshotMeta, ReadError> {
    match db.get_pinned(POSITION_KEY).map_err(failed)? {
        Some(stored) => decode_position(&stored),
        None => Ok(wire::SnapshotMeta { membership: Some(wire::Membership::default()), ..Default::default() }),
    }
}

pub(super) fn decode_position(stored: &[u8]) -> Result<wire::SnapshotMeta, ReadError> {
    wire::SnapshotMeta::decode(stored)
        .map_err(|error| ReadError::Damaged { what: format!("the state's position: {error}") })
}

/// Index of the last entry that a state contains.
pub(super) fn index_of(position: &wire::SnapshotMeta) -> u64 {
    position.last_log_id.map_or(0, |log_id| log_id.index)
}

pub(super) fn data_key(key: &[u8]) -> Vec<u8> {
    let mut data_key = Vec::with_capacity(1 + key.len());
    data_key.push(DATA_PREFIX);
    data_key.extend_from_slice(key);
    data_key
}

pub(super) fn failed(error: rocksdb::Error) -> ReadError {
    ReadError::Database { why: error.into_string() }
}
