use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use cairn_proto::wire;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::async_trait;

use super::apply::{self, Applied, State, Write};
use super::{
    Change, ChangeHistory, Command, CommitError, Committed, Epoch, LEASE_KEY, ReadError, Standing, Store, Versioned,
    View,
};

/// How long a master of [`MemoryStore::elected`] may serve.
const LONG_LEASE: Duration = Duration::from_hours(24);

type Contents = BTreeMap<Bytes, Versioned>;

/// The store of one master in memory: for tests of what stands on it. Commands go through the same
/// [`apply`](apply::apply) as in the replicated store; nothing is kept or replicated.
pub struct MemoryStore {
    inner: Mutex<Inner>,
    applied: watch::Sender<u64>,
    standing: watch::Sender<Standing>,
    confirms_reads: AtomicBool,
    changes: Arc<ChangeHistory>,
}

#[derive(Default)]
struct Inner {
    index: u64,
    contents: Arc<Contents>,
    failure: Option<CommitError>,
}

impl MemoryStore {
    /// A store in the given standing; one that is elected has its lease on record.
    pub fn new(standing: Standing) -> Self {
        let store = Self {
            inner: Mutex::default(),
            applied: watch::Sender::new(0),
            standing: watch::Sender::new(Standing::Following { elected: None }),
            confirms_reads: AtomicBool::new(true),
            changes: Arc::default(),
        };
        store.set_standing(standing);
        store
    }

    /// A store whose master is elected in epoch 1.
    pub fn elected() -> Self {
        Self::new(Standing::Elected { epoch: Epoch(1), serve_until: Instant::now() + LONG_LEASE })
    }

    /// Changes the standing. Elected: the lease record becomes one of that epoch.
    pub fn set_standing(&self, standing: Standing) {
        if let Standing::Elected { epoch, .. } = standing {
            self.record_lease(epoch);
        }
        self.standing.send_replace(standing);
    }

    /// Gives the lease record another epoch while this master still believes that it is elected.
    pub fn depose(&self, successor: Epoch) {
        self.record_lease(successor);
    }

    /// From now on the store cannot tell how far a read has to go, as on a master that does not lead Raft.
    pub fn lose_read_index(&self) {
        self.confirms_reads.store(false, Ordering::Relaxed);
    }

    /// From now on nobody knows how the state came to be as it is, as after a snapshot was installed.
    pub fn lose_history(&self) {
        self.changes.begin(self.inner.lock().index);
    }

    /// The next commit fails so and applies nothing.
    pub fn fail_next(&self, failure: CommitError) {
        self.inner.lock().failure = Some(failure);
    }

    fn record_lease(&self, epoch: Epoch) {
        let lease = wire::LeaderLease { epoch: epoch.0, ..wire::LeaderLease::default() };
        let mut inner = self.inner.lock();
        inner.index += 1;
        let version = inner.index;
        let value = apply::encode_lease(&lease);
        inner.write(vec![(Bytes::from_static(LEASE_KEY), Some(Versioned { version, value }))]);
        self.changes.record(Vec::new(), version);
        self.applied.send_replace(version);
    }

    fn run(&self, epoch: Epoch, command: &Command) -> Result<Committed, CommitError> {
        let mut inner = self.inner.lock();
        if let Some(failure) = inner.failure.take() {
            return Err(failure);
        }
        let index = inner.index + 1;
        let contents = Arc::clone(&inner.contents);
        let applied = apply::apply(&*contents, epoch, command.operations(), index)
            .map_err(|error| CommitError::Unavailable { why: error.to_string() })?;
        inner.index = index;
        let mut changes = Vec::new();
        let outcome = match applied {
            Applied::Writes(writes) => {
                changes = Change::of(&*contents, &writes, index)
                    .map_err(|error| CommitError::Unavailable { why: error.to_string() })?;
                drop(contents);
                inner.write(writes);
                Ok(Committed { index })
            }
            Applied::ConditionFailed { operation } => Err(CommitError::ConditionFailed { operation }),
            Applied::Deposed => Err(CommitError::Deposed),
        };
        self.changes.record(changes, index);
        self.applied.send_replace(index);
        outcome
    }
}

impl Inner {
    fn write(&mut self, writes: Vec<Write>) {
        let contents = Arc::make_mut(&mut self.contents);
        for (key, written) in writes {
            match written {
                Some(versioned) => contents.insert(key, versioned),
                None => contents.remove(&key),
            };
        }
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn commit(&self, epoch: Epoch, command: Command) -> Result<Committed, CommitError> {
        self.run(epoch, &command)
    }

    fn view(&self) -> Result<Box<dyn View>, ReadError> {
        let inner = self.inner.lock();
        Ok(Box::new(MemoryView { index: inner.index, contents: Arc::clone(&inner.contents) }))
    }

    async fn read_index(&self) -> Option<u64> {
        self.confirms_reads.load(Ordering::Relaxed).then(|| self.inner.lock().index)
    }

    async fn wait_applied(&self, index: u64) {
        let reached = self.applied.subscribe().wait_for(|applied| *applied >= index).await.is_ok();
        debug_assert!(reached, "the sender lives as long as the store");
    }

    fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    fn changes(&self) -> Arc<ChangeHistory> {
        Arc::clone(&self.changes)
    }
}

impl State for Contents {
    fn get(&self, key: &[u8]) -> Result<Option<Versioned>, ReadError> {
        Ok(BTreeMap::get(self, key).cloned())
    }
}

struct MemoryView {
    index: u64,
    contents: Arc<Contents>,
}

impl View for MemoryView {
    fn applied_index(&self) -> u64 {
        self.index
    }

    fn get(&self, key: &[u8]) -> Result<Option<Versioned>, ReadError> {
        State::get(&*self.contents, key)
    }

    fn scan(&self, start: &[u8], end: &[u8], limit: usize) -> Result<Vec<(Bytes, Versioned)>, ReadError> {
        if start >= end {
            return Ok(Vec::new());
        }
        let range = Bytes::copy_from_slice(start)..Bytes::copy_from_slice(end);
        Ok(self.contents.range(range).take(limit).map(|(key, stored)| (key.clone(), stored.clone())).collect())
    }
}
