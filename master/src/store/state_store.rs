use std::io;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use cairn_proto::ids::ClusterId;
use cairn_proto::wire;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

use super::apply::{State, Write, decode_lease};
use super::state_database::{StateDatabase, index_of};
use super::state_directory::StateDirectory;
use super::state_view::StateView;
use super::{CLUSTER_KEY, Change, ChangeHistory, LEASE_KEY, RECORD_FORMAT, ReadError, RecentCommands, View};
use crate::lease::{LeaseRecord, SeenLease};

/// The applied state, and notices of what happens to it.
pub(crate) struct StateStore {
    current: ArcSwap<StateDatabase>,
    /// The latest view, until there is a newer state.
    latest: Mutex<Option<StateView>>,
    directory: StateDirectory,
    applied: watch::Sender<u64>,
    lease: watch::Sender<Option<SeenLease>>,
    cluster: watch::Sender<Option<ClusterId>>,
    highest_master: watch::Sender<u64>,
    changes: Arc<ChangeHistory>,
}

/// Why a state cannot be opened or replaced.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The directory cannot be read or written.
    #[error("cannot use the state's directory: {0}")]
    Directory(#[from] io::Error),
    /// The database cannot be opened or read.
    #[error(transparent)]
    Database(#[from] ReadError),
    /// The state is gone, although the directory has been in use.
    #[error("the state is missing: restore the directory, or join again with a new id")]
    Missing,
}

impl StateStore {
    /// Opens the newest state under `root`; makes the first one only if `create`.
    pub(crate) fn open(root: &Path, create: bool) -> Result<Self, StateError> {
        let directory = StateDirectory::new(root.to_owned());
        let (dir, missing) = directory.newest()?;
        if missing && !create {
            return Err(StateError::Missing);
        }
        let database = StateDatabase::open(&dir, create)?;
        directory.remove_others()?;
        let store = Self {
            current: ArcSwap::from_pointee(database),
            latest: Mutex::default(),
            directory,
            applied: watch::Sender::new(0),
            lease: watch::Sender::new(None),
            cluster: watch::Sender::new(None),
            highest_master: watch::Sender::new(0),
            changes: Arc::default(),
        };
        store.announce()?;
        Ok(store)
    }

    pub(crate) fn current(&self) -> Arc<StateDatabase> {
        self.current.load_full()
    }

    /// Requests between two writes share one view: taking one is a look-up and a lock of the database's own.
    pub(crate) fn view(&self) -> Result<Box<dyn View>, ReadError> {
        let mut latest = self.latest.lock();
        let view = match &*latest {
            Some(view) => view.clone(),
            None => latest.insert(StateView::new(self.current())?).clone(),
        };
        Ok(Box::new(view))
    }

    /// Applies writes and their position, then tells who waits for them. `changes` are those of watched records.
    pub(crate) fn write(
        &self,
        writes: &[Write],
        changes: Vec<Change>,
        position: &wire::SnapshotMeta,
        highest_master: u64,
        recent: &RecentCommands,
    ) -> Result<(), ReadError> {
        let new_highest = (*self.highest_master.borrow() != highest_master).then_some(highest_master);
        self.current.load().write(writes, position, new_highest, recent)?;
        // Whoever is told of the new state from here on must see it.
        self.forget_view();
        if let Some(highest_master) = new_highest {
            self.highest_master.send_replace(highest_master);
        }
        if writes.iter().any(|(key, _)| key == LEASE_KEY) {
            self.announce_lease()?;
        }
        if writes.iter().any(|(key, _)| key == CLUSTER_KEY) {
            self.announce_cluster()?;
        }
        self.changes.record(changes, index_of(position));
        self.announce_position(position);
        Ok(())
    }

    /// Where the next state is put together.
    pub(crate) fn directory(&self) -> &StateDirectory {
        &self.directory
    }

    /// Makes a complete, synced directory the state. A crash leaves the old state or the new one.
    pub(crate) fn install(&self, staging: &Path) -> Result<(), StateError> {
        let generation = self.directory.install(staging)?;
        let replaced = self.current.swap(Arc::new(StateDatabase::open(&generation, false)?));
        self.forget_view();
        replaced.retire();
        drop(replaced);
        Ok(self.announce()?)
    }

    /// The latest changes of watched records.
    pub(crate) fn changes(&self) -> Arc<ChangeHistory> {
        Arc::clone(&self.changes)
    }

    pub(crate) fn applied(&self) -> watch::Receiver<u64> {
        self.applied.subscribe()
    }

    pub(crate) fn lease(&self) -> watch::Receiver<Option<SeenLease>> {
        self.lease.subscribe()
    }

    /// Takes the cluster's id from elsewhere while the state has none.
    pub(crate) fn remember(&self, cluster: Option<ClusterId>) {
        self.cluster.send_if_modified(|known| {
            let learns = known.is_none() && cluster.is_some();
            *known = known.or(cluster);
            learns
        });
    }

    pub(crate) fn cluster(&self) -> watch::Receiver<Option<ClusterId>> {
        self.cluster.subscribe()
    }

    /// The highest Raft id that was ever a member's.
    pub(crate) fn highest_master(&self) -> watch::Receiver<u64> {
        self.highest_master.subscribe()
    }

    /// A view that is being taken meanwhile is of a state before and goes, or of the new one.
    fn forget_view(&self) {
        let forgotten = self.latest.lock().take();
        drop(forgotten);
    }

    fn announce(&self) -> Result<(), ReadError> {
        self.announce_lease()?;
        self.announce_cluster()?;
        self.highest_master.send_replace(self.current.load().highest_master()?);
        let position = self.current.load().position()?;
        // How the state came to be so is not known.
        self.changes.begin(index_of(&position));
        self.announce_position(&position);
        Ok(())
    }

    fn announce_position(&self, position: &wire::SnapshotMeta) {
        self.applied.send_replace(index_of(position));
    }

    fn announce_lease(&self) -> Result<(), ReadError> {
        let seen_at = Instant::now();
        let seen = match self.current.load().get(LEASE_KEY)? {
            None => None,
            Some(stored) => {
                let record = LeaseRecord::from_wire(decode_lease(&stored.value)?)
                    .map_err(|error| ReadError::Damaged { what: format!("the leader lease: {error}") })?;
                Some(SeenLease { record, version: stored.version, seen_at })
            }
        };
        self.lease.send_replace(seen);
        Ok(())
    }

    fn announce_cluster(&self) -> Result<(), ReadError> {
        let stored = self.current.load().get(CLUSTER_KEY)?;
        let cluster = stored.map(|stored| decode_cluster(&stored.value)).transpose()?;
        if cluster.is_some() {
            self.cluster.send_replace(cluster);
        }
        Ok(())
    }
}

/// The cluster's id as it is stored: format version, then 16 bytes.
pub(crate) fn encode_cluster(cluster: ClusterId) -> Vec<u8> {
    [&[RECORD_FORMAT], cluster.as_bytes().as_slice()].concat()
}

fn decode_cluster(value: &[u8]) -> Result<ClusterId, ReadError> {
    match value.split_first() {
        Some((&RECORD_FORMAT, id)) => ClusterId::from_wire(id).map_err(|error| error.to_string()),
        _ => Err("unknown format".to_owned()),
    }
    .map_err(|why| ReadError::Damaged { what: format!("the cluster's id: {why}") })
}
