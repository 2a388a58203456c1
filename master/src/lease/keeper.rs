use std::sync::Arc;
use std::time::Duration;

use cairn_proto::ids::ClusterId;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};
use tonic::async_trait;

use super::decide::{Lease, LeaseProposal, ProposalResult, Purpose};
use super::{LeaseRecord, Life, SeenLease};
use crate::clock::WallClock;
use crate::store::{
    CLUSTER_KEY, Command, CommitError, Epoch, Expected, LEASE_KEY, LeaseOptions, Standing, encode_cluster, encode_lease,
};

/// The store as the keeper of the lease needs it.
#[async_trait]
pub(crate) trait LeaseStore: Send + Sync {
    /// Proposes a write of the lease; when it returns `Ok`, the write is applied here and its notice sent.
    /// Within `limit` it is through, refused, or its outcome is unknown.
    async fn propose(&self, command: Command, limit: Duration) -> Result<(), CommitError>;
}

/// Who keeps a lease, and how.
pub(crate) struct Holder {
    pub(crate) life: Life,
    pub(crate) master: u64,
    pub(crate) address: String,
    pub(crate) options: LeaseOptions,
    /// For the times in the record, which are for people.
    pub(crate) wall_clock: Arc<dyn WallClock>,
}

/// What the keeper watches.
pub(crate) struct Watched {
    pub(crate) lease: watch::Receiver<Option<SeenLease>>,
    pub(crate) cluster: watch::Receiver<Option<ClusterId>>,
    pub(crate) raft_leader: watch::Receiver<bool>,
}

/// Keeps this master's lease: acquires it while this master leads the Raft group, extends it wherever that is led, and
/// tells everybody what the standing is.
pub(crate) struct LeaseKeeper<S> {
    holder: Holder,
    watched: Watched,
    store: S,
    lease: Lease,
    standing: watch::Sender<Standing>,
    orders: ReleaseOrders,
}

/// Orders to give up the lease; each is answered when that is done.
pub(crate) type ReleaseOrders = mpsc::Receiver<oneshot::Sender<()>>;

impl<S: LeaseStore> LeaseKeeper<S> {
    pub(crate) fn new(
        holder: Holder,
        mut watched: Watched,
        store: S,
        standing: watch::Sender<Standing>,
        orders: ReleaseOrders,
    ) -> Self {
        let seen = watched.lease.borrow_and_update().clone();
        let lease = Lease::new(holder.life, holder.options, seen, Instant::now());
        Self { holder, watched, store, lease, standing, orders }
    }

    /// Runs until told to stop, then releases the lease if it is held. False if it ends although nobody told it to.
    pub(crate) async fn run(mut self, mut stopped: oneshot::Receiver<()>) -> bool {
        let told = loop {
            let raft_leader = *self.watched.raft_leader.borrow_and_update();
            let step = self.lease.step(Instant::now(), raft_leader);
            self.announce(step.standing);
            if let Some(proposal) = step.proposal {
                self.propose(proposal).await;
                continue;
            }
            let wake_at = step.wake_at;
            let alive = tokio::select! {
                _ = &mut stopped => break true,
                changed = self.watched.lease.changed() => self.saw(changed.is_ok()),
                changed = self.watched.raft_leader.changed() => changed.is_ok(),
                Some(done) = self.orders.recv() => {
                    self.release().await;
                    if done.send(()).is_err() {
                        tracing::debug!("who asked for the release has gone meanwhile");
                    }
                    true
                }
                () = sleep_until(wake_at.unwrap_or_else(Instant::now)), if wake_at.is_some() => true,
            };
            if !alive {
                break false;
            }
        };
        self.lease.stop();
        self.release().await;
        told
    }

    fn saw(&mut self, alive: bool) -> bool {
        let seen = self.watched.lease.borrow_and_update().clone();
        self.lease.saw(seen);
        alive
    }

    /// While a proposal is under way the lease may run out: the standing follows the clock meanwhile.
    async fn propose(&mut self, proposal: LeaseProposal) {
        let command = self.command(proposal);
        let limit = self.holder.options.period;
        let result = {
            let answer = self.store.propose(command, limit);
            tokio::pin!(answer);
            loop {
                let now = Instant::now();
                let standing = self.lease.standing(now);
                let until = match &standing {
                    Standing::Elected { serve_until, .. } => Some(*serve_until),
                    Standing::Following { .. } => None,
                };
                announce(&self.standing, standing);
                tokio::select! {
                    answer = &mut answer => break answer,
                    () = sleep_until(until.unwrap_or(now)), if until.is_some() => {}
                }
            }
        };
        let result = match result {
            Ok(()) => ProposalResult::Applied,
            Err(CommitError::ConditionFailed { .. } | CommitError::Deposed | CommitError::Unavailable { .. }) => {
                ProposalResult::Refused
            }
            Err(CommitError::OutcomeUnknown { .. }) => ProposalResult::Unknown,
        };
        tracing::debug!(?proposal, ?result, "wrote the leader lease");
        self.saw(true);
        self.lease.finished(proposal, result, Instant::now());
    }

    async fn release(&mut self) {
        self.saw(true);
        let proposal = self.lease.release(Instant::now());
        self.announce(self.lease.standing(Instant::now()));
        let Some(proposal) = proposal else { return };
        let command = self.command(proposal);
        let result = match self.store.propose(command, self.holder.options.period).await {
            Ok(()) => {
                tracing::info!(epoch = proposal.epoch.0, "released the leader lease");
                ProposalResult::Applied
            }
            Err(error) => {
                tracing::info!(%error, "the leader lease runs out by itself");
                ProposalResult::Unknown
            }
        };
        self.saw(true);
        self.lease.finished(proposal, result, Instant::now());
    }

    fn announce(&self, standing: Standing) {
        announce(&self.standing, standing);
    }

    fn command(&self, proposal: LeaseProposal) -> Command {
        let expected = proposal.replaces.map_or(Expected::Absent, Expected::Version);
        let mut command = Command::new();
        command.put_if(LEASE_KEY, encode_lease(&self.record(proposal).to_wire()), expected);
        let cluster = *self.watched.cluster.borrow();
        if proposal.purpose == Purpose::Acquire && cluster.is_none() {
            command.put_if(CLUSTER_KEY, encode_cluster(ClusterId::generate()), Expected::Absent);
        }
        command
    }

    fn record(&self, proposal: LeaseProposal) -> LeaseRecord {
        let seen = self.watched.lease.borrow();
        let seen = seen.as_ref().map(|seen| &seen.record);
        let now_ms = self.holder.wall_clock.unix_ms();
        let start_at_ms = match (proposal.purpose, seen) {
            (Purpose::Extend | Purpose::Release, Some(record)) => record.start_at_ms,
            (Purpose::Acquire, _) | (_, None) => now_ms,
        };
        let period_ms = u64::try_from(self.holder.options.period.as_millis()).unwrap_or(u64::MAX);
        let end_at_ms = match proposal.purpose {
            Purpose::Release => start_at_ms,
            // A wall clock that jumped back must not make a held lease look released.
            Purpose::Acquire | Purpose::Extend => now_ms.saturating_add(period_ms).max(start_at_ms + 1),
        };
        LeaseRecord {
            leader: self.holder.life.master,
            boot: self.holder.life.boot,
            epoch: proposal.epoch,
            start_at_ms,
            end_at_ms,
            version: seen.map_or(1, |record| record.version + 1),
            master: self.holder.master,
            address: self.holder.address.clone(),
        }
    }
}

fn announce(channel: &watch::Sender<Standing>, standing: Standing) {
    channel.send_if_modified(|current| {
        if *current == standing {
            return false;
        }
        if epoch(current) != epoch(&standing) {
            tracing::info!(?standing, "the standing of this master has changed");
        }
        *current = standing;
        true
    });
}

fn epoch(standing: &Standing) -> Option<Epoch> {
    match standing {
        Standing::Elected { epoch, .. } => Some(*epoch),
        Standing::Following { .. } => None,
    }
}
