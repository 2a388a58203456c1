use std::sync::Arc;
use std::time::Duration;

use cairn_proto::ids::{ClusterId, MasterId};
use cairn_proto::wire;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tonic::async_trait;

use super::directory::StoreDirectory;
use super::proposer::Proposer;
use super::raft::Peers;
use super::state_store::StateStore;
use super::{
    COMMAND_LIMIT_BYTES, ChangeHistory, Command, CommitError, Committed, Epoch, Group, Introduction, LeaseOptions,
    LogSize, MemberStatus, Operation, ReadError, Standing, Store, View,
};

/// Bytes of commands that are being committed at a time; further ones wait.
const COMMITTING_LIMIT_BYTES: usize = 64 << 20;
/// How long a stop waits for the databases to close.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);

/// The process can take no further part and must end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the replicated store has failed: {why}")]
pub struct FatalError {
    /// The cause.
    pub why: String,
}

/// The store of one master of the group.
pub struct ReplicatedStore {
    proposer: Proposer,
    committing: Semaphore,
    state: Arc<StateStore>,
    standing: watch::Receiver<Standing>,
    lease_options: LeaseOptions,
    release_lease: mpsc::Sender<oneshot::Sender<()>>,
    peers: Arc<Peers>,
    own: Introduction,
    failure: watch::Receiver<Option<FatalError>>,
    running: Mutex<Option<Running>>,
}

/// What a stop takes apart.
pub(super) struct Running {
    pub(super) stop_keeper: oneshot::Sender<()>,
    pub(super) keeper: JoinHandle<()>,
    pub(super) tasks: Vec<JoinHandle<()>>,
    pub(super) log_closed: watch::Receiver<()>,
    pub(super) directory: StoreDirectory,
}

/// What a store is put together from.
pub(super) struct Parts {
    pub(super) proposer: Proposer,
    pub(super) state: Arc<StateStore>,
    pub(super) standing: watch::Receiver<Standing>,
    pub(super) lease_options: LeaseOptions,
    pub(super) release_lease: mpsc::Sender<oneshot::Sender<()>>,
    pub(super) peers: Arc<Peers>,
    pub(super) own: Introduction,
    pub(super) failure: watch::Receiver<Option<FatalError>>,
    pub(super) running: Running,
}

impl ReplicatedStore {
    pub(super) fn new(parts: Parts) -> Self {
        Self {
            proposer: parts.proposer,
            committing: Semaphore::new(COMMITTING_LIMIT_BYTES),
            state: parts.state,
            standing: parts.standing,
            lease_options: parts.lease_options,
            release_lease: parts.release_lease,
            peers: parts.peers,
            own: parts.own,
            failure: parts.failure,
            running: Mutex::new(Some(parts.running)),
        }
    }

    /// The members of the group as this master sees them.
    pub fn members_status(&self) -> Vec<MemberStatus> {
        let elected = self.elected();
        let mut members = self.proposer.group().members(self.fresh());
        for status in &mut members {
            status.elected = elected == Some(status.member.id);
        }
        members
    }

    /// How long ago a master that answers has answered at most.
    pub(super) fn fresh(&self) -> Duration {
        self.lease_options.period
    }

    /// The lease as this master has applied it.
    pub fn lease(&self) -> Option<wire::LeaderLease> {
        self.state.lease().borrow().as_ref().map(|seen| seen.record.to_wire())
    }

    /// The cluster, once an elected master has given it an id.
    pub fn cluster(&self) -> Option<ClusterId> {
        *self.state.cluster().borrow()
    }

    /// How much of the log this master keeps.
    pub fn log_size(&self) -> LogSize {
        self.proposer.group().log_size()
    }

    /// This master's disk.
    pub fn master_id(&self) -> MasterId {
        self.proposer.id()
    }

    /// Returns when the process must end: its log or state can no longer be trusted.
    pub async fn fatal(&self) -> FatalError {
        let mut failure = self.failure.clone();
        let failed = failure.wait_for(Option::is_some).await.ok().and_then(|failure| failure.clone());
        match failed {
            Some(failure) => failure,
            None => std::future::pending().await,
        }
    }

    /// Gives up the lease, hands the group over, stops, and waits until the log is closed. Further calls do nothing.
    pub async fn shutdown(&self) {
        let Some(running) = self.running.lock().take() else { return };
        if running.stop_keeper.send(()).is_ok() && running.keeper.await.is_err() {
            tracing::error!("the keeper of the leader lease panicked");
        }
        if *self.proposer.group().leads().borrow() && !self.proposer.group().hand_over().await {
            tracing::info!("stopping before another master leads the Raft group");
        }
        self.proposer.group().stop().await;
        for task in running.tasks {
            task.abort();
        }
        let mut log_closed = running.log_closed;
        let closing = async { while log_closed.changed().await.is_ok() {} };
        if timeout(CLOSE_LIMIT, closing).await.is_err() {
            tracing::warn!(dir = %running.directory.root().display(), "stopping while the Raft log is still read");
        }
    }

    /// This master's part in the Raft group.
    pub(super) fn group(&self) -> &Group {
        self.proposer.group()
    }

    pub(super) fn peers(&self) -> &Peers {
        &self.peers
    }

    pub(super) fn state(&self) -> &StateStore {
        &self.state
    }

    /// Who this master is, to others.
    pub(super) fn introduction(&self) -> Introduction {
        Introduction { cluster: self.cluster(), grouped: true, ..self.own.clone() }
    }

    /// Gives up the lease if it is held; returns once that is known.
    pub(super) async fn give_up_lease(&self) {
        let (done, given_up) = oneshot::channel();
        if self.release_lease.send(done).await.is_ok() && given_up.await.is_err() {
            tracing::debug!("the keeper of the lease stopped meanwhile, and gave it up");
        }
    }

    /// Channels that close with the databases: whoever opens the directory again in this process waits for them.
    pub fn closed(&self) -> Vec<watch::Receiver<()>> {
        let log = self.running.lock().as_ref().map(|running| running.log_closed.clone());
        log.into_iter().chain([self.state.current().closed()]).collect()
    }

    fn elected(&self) -> Option<u64> {
        let lease = self.state.lease();
        let lease = lease.borrow();
        let seen = lease.as_ref()?;
        let alive = seen.seen_at.elapsed() < self.lease_options.period + self.lease_options.buffer;
        (alive && !seen.record.is_released()).then_some(seen.record.master)
    }
}

#[async_trait]
impl Store for ReplicatedStore {
    async fn commit(&self, epoch: Epoch, command: Command) -> Result<Committed, CommitError> {
        let size_bytes: usize = command.operations().iter().map(Operation::size_bytes).sum();
        if size_bytes > COMMAND_LIMIT_BYTES {
            let why = format!("a command of {size_bytes} bytes is over the limit of {COMMAND_LIMIT_BYTES}");
            return Err(CommitError::Unavailable { why });
        }
        let permits = u32::try_from(size_bytes).unwrap_or(u32::MAX);
        let room = self.committing.acquire_many(permits).await;
        let _room = room.map_err(|error| CommitError::Unavailable { why: error.to_string() })?;
        self.proposer.commit(epoch, command).await
    }

    fn view(&self) -> Result<Box<dyn View>, ReadError> {
        self.state.view()
    }

    async fn read_index(&self) -> Option<u64> {
        self.proposer.group().read_index().await
    }

    async fn wait_applied(&self, index: u64) {
        let reached = self.state.applied().wait_for(|applied| *applied >= index).await.is_ok();
        debug_assert!(reached, "the state store outlives its waiters");
    }

    fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.clone()
    }

    fn changes(&self) -> Arc<ChangeHistory> {
        self.state.changes()
    }
}
