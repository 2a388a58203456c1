use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use cairn_proto::wire;
use fail::fail_point;
use futures_util::{Stream, StreamExt};
use openraft::storage::{ApplyResponder, EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend, Snapshot};
use parking_lot::Mutex;
use tokio::task::spawn_blocking;
use uuid::Uuid;

use super::super::apply::{Applied, Overlay, apply};
use super::super::state_database::position_of_checkpoint;
use super::super::state_store::{StateError, StateStore};
use super::super::{Change, Outcome, Proposal, ReadError, RecentCommands};
use super::convert::{snapshot_meta_from_wire, snapshot_meta_to_wire};
use super::snapshot::SnapshotFiles;
use super::{Entry, LogId, SnapshotMeta, StoredMembership, Types};

/// Entries applied by one write.
const APPLY_BATCH_ENTRIES: usize = 64;

type TakenSnapshot =
    Snapshot<openraft::type_config::alias::CommittedLeaderIdOf<Types>, u64, super::Peer, Arc<SnapshotFiles>>;
type Current = Arc<Mutex<Option<TakenSnapshot>>>;
type Item = (Entry, Option<ApplyResponder<Types>>);

/// Applies entries to the state, one batch at a time, and takes and installs snapshots of it.
pub(crate) struct StateMachine {
    store: Arc<StateStore>,
    progress: Progress,
    snapshots: PathBuf,
    current: Current,
}

/// What the state says of the log besides the data.
#[derive(Debug)]
struct Progress {
    position: SnapshotMeta,
    highest_master: u64,
    recent: RecentCommands,
}

/// What a batch of entries comes to.
struct Batch<'a> {
    overlay: Overlay<'a>,
    changes: Vec<Change>,
}

/// A checkpoint that is yet to be measured.
pub(crate) struct SnapshotBuilder {
    taken: Option<Result<PathBuf, ReadError>>,
    position: SnapshotMeta,
    current: Current,
}

impl StateMachine {
    /// On the state as it is; `snapshots` is where checkpoints to send are kept.
    pub(crate) fn new(store: Arc<StateStore>, snapshots: PathBuf) -> Result<Self, ReadError> {
        let progress = Progress::read(&store)?;
        Ok(Self { store, progress, snapshots, current: Current::default() })
    }

    /// True if nothing was ever applied.
    pub(crate) fn is_empty(&self) -> bool {
        self.progress.position.last_log_id.is_none()
    }

    /// On the thread of the caller: a batch goes to the memtable without a sync, which takes less time than handing it
    /// to another thread. After an error nothing more is applied.
    fn apply_batch(&mut self, batch: Vec<Item>) -> io::Result<()> {
        apply_batch(&self.store, &mut self.progress, batch).map_err(io::Error::other)
    }
}

impl Progress {
    fn read(store: &StateStore) -> Result<Self, ReadError> {
        let database = store.current();
        Ok(Self {
            position: read_position(database.position()?)?,
            highest_master: database.highest_master()?,
            recent: database.recent_commands()?,
        })
    }

    /// Applies one entry on top of what the batch has written so far.
    fn apply(&mut self, batch: &mut Batch<'_>, entry: &Entry) -> Result<Outcome, ReadError> {
        let index = entry.log_id.index;
        self.position.last_log_id = Some(entry.log_id);
        match &entry.payload {
            EntryPayload::Blank => Ok(Outcome::Applied { index }),
            EntryPayload::Membership(membership) => {
                let highest = membership.nodes().map(|(id, _)| *id).max().unwrap_or(0);
                self.highest_master = self.highest_master.max(highest);
                self.position.last_membership = StoredMembership::new(Some(entry.log_id), membership.clone());
                Ok(Outcome::Applied { index })
            }
            EntryPayload::Normal(command) => self.apply_once(batch, command.proposal(), index),
        }
    }

    /// A command that came before has the outcome that it had then.
    fn apply_once(&mut self, batch: &mut Batch<'_>, proposal: &Proposal, index: u64) -> Result<Outcome, ReadError> {
        let before = proposal.number.and_then(|number| self.recent.outcome(proposal.epoch, number));
        if let Some(outcome) = before {
            return Ok(outcome);
        }
        let outcome = match apply(&batch.overlay, proposal.epoch, &proposal.operations, index)? {
            Applied::Writes(writes) => {
                batch.changes.extend(Change::of(&batch.overlay, &writes, index)?);
                batch.overlay.absorb(writes);
                Outcome::Applied { index }
            }
            Applied::ConditionFailed { operation } => {
                Outcome::ConditionFailed { operation: u32::try_from(operation).unwrap_or(u32::MAX) }
            }
            Applied::Deposed => Outcome::Deposed,
        };
        if let Some(number) = proposal.number {
            self.recent.record(proposal.epoch, number, outcome);
        }
        Ok(outcome)
    }
}

/// Applies a batch by one write: its data, its position, membership and recent commands together. Answers when it is
/// readable.
fn apply_batch(store: &StateStore, progress: &mut Progress, items: Vec<Item>) -> Result<(), ReadError> {
    let database = store.current();
    let mut batch = Batch { overlay: Overlay::new(&*database), changes: Vec::new() };
    let mut answers = Vec::with_capacity(items.len());
    for (entry, responder) in items {
        let outcome = progress.apply(&mut batch, &entry)?;
        answers.push((outcome, responder));
    }
    let position = snapshot_meta_to_wire(&progress.position, String::new());
    let Batch { overlay, changes } = batch;
    store.write(&overlay.into_writes(), changes, &position, progress.highest_master, &progress.recent)?;
    fail_point!("command-applied");
    for (outcome, responder) in answers {
        if let Some(responder) = responder {
            responder.send(outcome);
        }
    }
    Ok(())
}

impl RaftStateMachine<Types> for StateMachine {
    type SnapshotData = Arc<SnapshotFiles>;
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        let position = &self.progress.position;
        Ok((position.last_log_id, position.last_membership.clone()))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> Result<(), io::Error>
    where
        Strm: Stream<Item = Result<EntryResponder<Types>, io::Error>> + Unpin + OptionalSend,
    {
        let mut batch = Vec::new();
        while let Some(item) = entries.next().await {
            batch.push(item?);
            if batch.len() == APPLY_BATCH_ENTRIES {
                self.apply_batch(std::mem::take(&mut batch))?;
            }
        }
        if batch.is_empty() { Ok(()) } else { self.apply_batch(batch) }
    }

    /// Takes the checkpoint before the next entry is applied, so that its label is true.
    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        let dir = self.snapshots.join(Uuid::now_v7().to_string());
        let database = self.store.current();
        let taken = spawn_blocking(move || database.checkpoint(&dir).map(|()| dir)).await;
        let taken = taken.unwrap_or_else(|error| Err(ReadError::Database { why: error.to_string() }));
        SnapshotBuilder {
            taken: Some(taken),
            position: self.progress.position.clone(),
            current: Arc::clone(&self.current),
        }
    }

    /// The state is replaced by one rename; the log may then be purged up to the snapshot.
    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: Arc<SnapshotFiles>) -> Result<(), io::Error> {
        let store = Arc::clone(&self.store);
        let (label, files) = (meta.clone(), Arc::clone(&snapshot));
        let installed = spawn_blocking(move || install(&store, &label, &files)).await.map_err(io::Error::other)?;
        installed.map_err(io::Error::other)?;
        self.progress = Progress::read(&self.store).map_err(io::Error::other)?;
        *self.current.lock() = Some(Snapshot { meta: meta.clone(), snapshot });
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<TakenSnapshot>, io::Error> {
        Ok(self.current.lock().clone())
    }
}

impl RaftSnapshotBuilder<Types> for SnapshotBuilder {
    type SnapshotData = Arc<SnapshotFiles>;

    async fn build_snapshot(&mut self) -> Result<TakenSnapshot, io::Error> {
        let taken = self.taken.take().ok_or_else(|| io::Error::other("the snapshot was built before"))?;
        let dir = taken.map_err(io::Error::other)?;
        let files = spawn_blocking(move || SnapshotFiles::measure(dir)).await.map_err(io::Error::other)??;
        let snapshot = Snapshot { meta: self.position.clone(), snapshot: Arc::new(files) };
        let mut current = self.current.lock();
        if current.as_ref().is_none_or(|current| current.meta.last_log_id <= snapshot.meta.last_log_id) {
            *current = Some(snapshot.clone());
        }
        Ok(snapshot)
    }
}

/// Checks that the contents are what the label says, and only then makes them the state.
fn install(store: &StateStore, label: &SnapshotMeta, files: &SnapshotFiles) -> Result<(), StateError> {
    let staging = store.directory().staging()?;
    files.copy_to(&staging)?;
    let contents = read_position(position_of_checkpoint(&staging)?)?;
    if contents != *label {
        let what = format!("a snapshot labelled {label} contains {contents}");
        return Err(ReadError::Damaged { what }.into());
    }
    store.install(&staging)
}

fn read_position(position: wire::SnapshotMeta) -> Result<SnapshotMeta, ReadError> {
    snapshot_meta_from_wire(position).map_err(|error| ReadError::Damaged { what: error.to_string() })
}

#[cfg(test)]
mod tests;
