use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use cairn_proto::wire;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ClientWriteError, Fatal, InitializeError, RaftError};
use openraft::raft::ReadPolicy;
use openraft::{Instant, ServerState, Snapshot};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::super::{Attempt, Member, MemberRole, MemberState, MemberStatus};
use super::convert::{
    append_from_wire, append_response_to_wire, snapshot_meta_from_wire, transfer_from_wire, vote_from_wire,
    vote_request_from_wire, vote_response_to_wire, vote_to_wire,
};
use super::settings::{LogLimits, config};
use super::snapshot::SnapshotFiles;
use super::{InvalidMessage, LogStore, LoggedCommand, Network, NoFollowers, Peer, Peers, Raft, Silence, StateMachine};

/// How long a leader that stops waits for its successor.
const HAND_OVER_LIMIT: Duration = Duration::from_secs(1);

/// Between two looks whether the part in the group has failed.
const FAILURE_PAUSE: Duration = Duration::from_millis(20);

/// This master's part in the Raft group.
#[derive(Clone)]
pub(crate) struct Group {
    pub(super) raft: Raft,
    pub(super) me: u64,
    pub(super) peers: Arc<Peers>,
    pub(super) changing: Arc<tokio::sync::Mutex<()>>,
    roles: Roles,
}

/// What a master is in the group, and every change of that.
#[derive(Clone)]
struct Roles {
    leads: watch::Receiver<bool>,
    leader: watch::Receiver<Option<u64>>,
}

/// How much of the log a master keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogSize {
    /// Index of the last entry; 0 before the first.
    pub last_index: u64,
    /// Entries up to this index are gone.
    pub purged_index: u64,
}

impl LogSize {
    /// Entries in the log.
    pub fn entries(self) -> u64 {
        self.last_index.saturating_sub(self.purged_index)
    }
}

/// Why the group could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The log and the state do not fit together, or one of them is damaged.
    #[error("cannot start from what is stored: {why}")]
    Storage {
        /// What was found.
        why: String,
    },
    /// The members to start a new group with are not usable.
    #[error("cannot start a new group: {why}")]
    Members {
        /// What is wrong with them.
        why: String,
    },
}

impl StartError {
    fn storage(error: &impl std::fmt::Display) -> Self {
        Self::Storage { why: error.to_string() }
    }
}

/// Why a request of another master has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    /// It is not one that a correct master sends.
    #[error(transparent)]
    Invalid(#[from] InvalidMessage),
    /// This master has stopped taking part.
    #[error("this master has stopped: {why}")]
    Stopped {
        /// Why.
        why: String,
    },
}

impl Group {
    /// Starts this master's part.
    pub(crate) async fn start(
        me: u64,
        limits: LogLimits,
        peers: Arc<Peers>,
        log: LogStore,
        state: StateMachine,
    ) -> Result<(Self, JoinHandle<()>), StartError> {
        let config = config(limits).map_err(|error| StartError::storage(&error))?;
        let silence = Arc::new(Silence::default());
        let no_followers = log.no_followers();
        let network = Network::new(me, Arc::clone(&peers), Arc::clone(&silence));
        let raft =
            Raft::new(me, Arc::new(config), network, log, state).await.map_err(|error| StartError::storage(&error))?;
        silence.follow(&raft);
        let (roles, watching) = Roles::watch(&raft, me, no_followers);
        Ok((Self { raft, me, peers, changing: Arc::default(), roles }, watching))
    }

    /// Whether this disk has been part of a group.
    pub(crate) async fn is_grouped(&self) -> Result<bool, StartError> {
        self.raft.is_initialized().await.map_err(|error| StartError::storage(&error))
    }

    /// Starts a new group. Every member of it does this with the same members, so none waits for a first one.
    pub(crate) async fn found(&self, members: BTreeMap<u64, Peer>) -> Result<(), StartError> {
        match self.raft.initialize(members).await {
            // Another member's entries came first.
            Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => {}
            Err(error) => return Err(StartError::Members { why: error.to_string() }),
        }
        self.raft.trigger().elect(true).await.map_err(|error| StartError::storage(&error))
    }

    /// This master's Raft id.
    pub(crate) fn me(&self) -> u64 {
        self.me
    }

    /// Puts a command into this master's log, if it leads; answers when this master has applied it. Proposals made at
    /// the same time share writes to the log.
    pub(crate) async fn propose(&self, command: LoggedCommand) -> Attempt {
        match self.raft.client_write(command).await {
            Ok(answer) => Attempt::Done(answer.data),
            Err(RaftError::APIError(error)) => match error {
                ClientWriteError::LogEntryDiscarded(_) => Attempt::Unknown { why: error.to_string() },
                ClientWriteError::ForwardToLeader(_)
                | ClientWriteError::ChangeMembershipError(_)
                | ClientWriteError::PreconditionFailed(_) => Attempt::NotTaken { why: error.to_string() },
            },
            Err(RaftError::Fatal(error)) => Attempt::Unknown { why: error.to_string() },
        }
    }

    /// The index that a linearizable read has to reach, confirmed by a majority after the call. Never by the leader's
    /// own lease, which does not survive a restart of its followers. `None` unless this master leads.
    pub(crate) async fn read_index(&self) -> Option<u64> {
        match self.raft.get_read_log_id(ReadPolicy::ReadIndex).await {
            Ok((read_log_id, _)) => Some(read_log_id.log_id().index),
            Err(error) => {
                tracing::debug!(%error, "no majority confirms a read");
                None
            }
        }
    }

    /// Whether this master leads the group, and every change of that.
    pub(crate) fn leads(&self) -> watch::Receiver<bool> {
        self.roles.leads.clone()
    }

    /// The master that leads the group as far as this one knows, and every change of that.
    pub(crate) fn leader(&self) -> watch::Receiver<Option<u64>> {
        self.roles.leader.clone()
    }

    /// Returns when this master takes part no longer.
    pub(crate) async fn stopped(self) {
        let mut leads = self.roles.leads;
        while leads.changed().await.is_ok() {}
    }

    /// Returns why this master can take part no longer, when that happens.
    pub(crate) async fn failed(&self) -> String {
        let mut metrics = self.raft.metrics();
        loop {
            if let Err(error) = &metrics.borrow_and_update().running_state
                && *error != Fatal::Stopped
            {
                return error.to_string();
            }
            if metrics.changed().await.is_err() {
                // Stopped on purpose: nothing fails any more.
                std::future::pending::<()>().await;
            }
            // There is news with every entry, and hardly ever this.
            tokio::time::sleep(FAILURE_PAUSE).await;
        }
    }

    /// The members as this master sees them. One that answered within `fresh` counts as active.
    pub(crate) fn members(&self, fresh: Duration) -> Vec<MemberStatus> {
        let metrics = self.raft.metrics().borrow_watched().clone();
        let leader = metrics.current_leader;
        let heard = |id: u64| match &metrics.heartbeat {
            None => MemberState::Unknown,
            Some(heard) if heard.get(&id).is_some_and(|since| since.is_some_and(|since| since.elapsed() < fresh)) => {
                MemberState::Active
            }
            Some(_) => MemberState::Unreachable,
        };
        let stored = |id: u64| metrics.replication.as_ref()?.get(&id)?.as_ref().map(|log_id| log_id.index);
        let voters: BTreeSet<u64> = metrics.membership_config.voter_ids().collect();
        let members = metrics.membership_config.nodes().map(|(id, peer)| {
            let own = *id == self.me;
            let applied = if own { metrics.last_applied.map(|log_id| log_id.index) } else { stored(*id) };
            MemberStatus {
                member: Member { id: *id, name: peer.name.clone(), address: peer.address.clone() },
                state: if own || leader == Some(*id) { MemberState::Active } else { heard(*id) },
                raft_leader: leader == Some(*id),
                elected: false,
                role: if voters.contains(id) { MemberRole::Voter } else { MemberRole::Learner },
                disk: peer.disk,
                applied_index: applied,
            }
        });
        members.collect()
    }

    /// How much of the log this master keeps.
    pub(crate) fn log_size(&self) -> LogSize {
        let metrics = self.raft.metrics().borrow_watched().clone();
        LogSize {
            last_index: metrics.last_log_index.unwrap_or(0),
            purged_index: metrics.purged.map_or(0, |log_id| log_id.index),
        }
    }

    /// Asks the voter that is furthest ahead to lead, if this master does, and waits a moment. True once another master
    /// leads.
    pub(crate) async fn hand_over(&self) -> bool {
        let metrics = self.raft.metrics().borrow_watched().clone();
        let voters: BTreeSet<u64> = metrics.membership_config.voter_ids().collect();
        let followers = metrics.replication.into_iter().flatten();
        let best = followers.filter(|(id, _)| *id != self.me && voters.contains(id)).max_by_key(|(_, stored)| *stored);
        let (ServerState::Leader, Some((successor, Some(_)))) = (metrics.state, best) else { return false };
        let handed_over = self.pass_on(successor).await;
        if handed_over {
            tracing::info!(successor, "handed the Raft group over");
        }
        handed_over
    }

    /// Asks `successor` to lead, if this master does, and waits a moment. True once another master leads.
    pub(crate) async fn pass_on(&self, successor: u64) -> bool {
        if let Err(error) = self.raft.trigger().transfer_leader(successor).await {
            tracing::info!(%error, "could not hand the Raft group over");
            return false;
        }
        let me = self.me;
        let taken = self.raft.wait(Some(HAND_OVER_LIMIT));
        taken.metrics(|metrics| metrics.current_leader.is_some_and(|id| id != me), "a successor leads").await.is_ok()
    }

    /// Index of the last entry that this master has purged from its log; 0 if none was.
    #[cfg(test)]
    pub(crate) fn purged_index(&self) -> u64 {
        self.raft.metrics().borrow_watched().purged.map_or(0, |purged| purged.index)
    }

    /// Entries in this master's log.
    #[cfg(test)]
    pub(crate) fn log_entries(&self) -> u64 {
        let last = self.raft.metrics().borrow_watched().last_log_index.unwrap_or(0);
        last.saturating_sub(self.purged_index())
    }

    /// Whether this master stands for election when it hears no leader. When asked to lead, it does anyway.
    #[cfg(test)]
    pub(crate) fn stand_for_election(&self, stands: bool) {
        self.raft.runtime_config().elect(stands);
    }

    /// The term this master is in.
    #[cfg(test)]
    pub(crate) fn term(&self) -> u64 {
        self.raft.server_metrics().borrow_watched().vote.leader_id().term
    }

    /// Stops taking part.
    pub(crate) async fn stop(&self) {
        if let Err(error) = self.raft.shutdown().await {
            tracing::warn!(%error, "the Raft group did not stop cleanly");
        }
    }

    pub(crate) async fn append(
        &self,
        request: wire::AppendEntriesRequest,
    ) -> Result<wire::AppendEntriesResponse, RequestError> {
        let answer = self.raft.append_entries(append_from_wire(request)?).await.map_err(stopped)?;
        Ok(append_response_to_wire(&answer))
    }

    pub(crate) async fn vote(&self, request: wire::VoteRequest) -> Result<wire::VoteResponse, RequestError> {
        let checked = vote_request_from_wire(&request)?;
        let answer = if request.pre_vote { self.raft.pre_vote(checked).await } else { self.raft.vote(checked).await };
        Ok(vote_response_to_wire(&answer.map_err(stopped)?))
    }

    pub(crate) async fn install(
        &self,
        vote: Option<wire::RaftVote>,
        meta: Option<wire::SnapshotMeta>,
        files: SnapshotFiles,
    ) -> Result<wire::InstallSnapshotResponse, RequestError> {
        let vote = vote.ok_or_else(|| InvalidMessage::missing("vote"))?;
        let meta = snapshot_meta_from_wire(meta.ok_or_else(|| InvalidMessage::missing("meta"))?)?;
        let snapshot = Snapshot { meta, snapshot: Arc::new(files) };
        let answer = self.raft.install_full_snapshot(vote_from_wire(&vote), snapshot).await;
        let answer = answer.map_err(stopped)?;
        Ok(wire::InstallSnapshotResponse { vote: Some(vote_to_wire(&answer.vote)) })
    }

    pub(crate) async fn transfer(
        &self,
        request: wire::TransferLeaderRequest,
    ) -> Result<wire::TransferLeaderResponse, RequestError> {
        let answer = self.raft.handle_transfer_leader(transfer_from_wire(&request)?).await.map_err(stopped)?;
        Ok(wire::TransferLeaderResponse { accepted: answer.is_ok() })
    }
}

impl Roles {
    fn watch(raft: &Raft, me: u64, no_followers: NoFollowers) -> (Self, JoinHandle<()>) {
        let mut metrics = raft.server_metrics();
        let (leads_sender, leads) = watch::channel(false);
        let (leader_sender, leader) = watch::channel(None);
        let task = tokio::spawn(async move {
            loop {
                let (now_leads, now_leader) = {
                    let metrics = metrics.borrow_and_update();
                    let leads = metrics.state == ServerState::Leader;
                    no_followers.update(me, leads, metrics.membership_config.nodes().map(|(id, _)| *id));
                    (leads, metrics.current_leader)
                };
                leads_sender.send_if_modified(|known| std::mem::replace(known, now_leads) != now_leads);
                leader_sender.send_if_modified(|known| std::mem::replace(known, now_leader) != now_leader);
                if metrics.changed().await.is_err() {
                    leads_sender.send_replace(false);
                    leader_sender.send_replace(None);
                    return;
                }
            }
        });
        (Self { leads, leader }, task)
    }
}

fn stopped(error: impl std::fmt::Display) -> RequestError {
    RequestError::Stopped { why: error.to_string() }
}
