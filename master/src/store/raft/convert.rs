//! Between the messages on the wire and the types of the group. What comes in is checked here.

use cairn_proto::wire;
use cairn_proto::wire::append_entries_response::Outcome as WireOutcome;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest, VoteRequest, VoteResponse,
};
use openraft::vote::{RaftLeaderId, RaftVote, leader_id_adv::LeaderId};

use super::entry_convert::{entry_from_wire, entry_to_wire, membership_from_wire, membership_to_wire};
use super::{LogId, SnapshotMeta, StoredMembership, Types, Vote};

/// A message, or a stored record, that no correct master writes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid Raft message: {what}")]
pub(crate) struct InvalidMessage {
    /// What is wrong with it.
    pub(crate) what: String,
}

impl InvalidMessage {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into() }
    }

    pub(super) fn missing(field: &str) -> Self {
        Self::new(format!("{field} is missing"))
    }
}

pub(crate) fn log_id_to_wire(log_id: &LogId) -> wire::LogId {
    wire::LogId { term: log_id.leader_id.term, master: log_id.leader_id.node_id, index: log_id.index }
}

pub(crate) fn log_id_from_wire(log_id: &wire::LogId) -> LogId {
    LogId::new(LeaderId::new(log_id.term, log_id.master), log_id.index)
}

pub(crate) fn vote_to_wire(vote: &Vote) -> wire::RaftVote {
    let leader = vote.leader_id();
    wire::RaftVote { term: leader.term, master: leader.node_id, committed: vote.is_committed() }
}

pub(crate) fn vote_from_wire(vote: &wire::RaftVote) -> Vote {
    Vote::from_leader_id(LeaderId::new(vote.term, vote.master), vote.committed)
}

fn required_vote(vote: Option<wire::RaftVote>) -> Result<Vote, InvalidMessage> {
    vote.as_ref().map(vote_from_wire).ok_or_else(|| InvalidMessage::missing("vote"))
}

pub(crate) fn append_to_wire(
    request: &AppendEntriesRequest<Types>,
    header: wire::RaftHeader,
) -> wire::AppendEntriesRequest {
    wire::AppendEntriesRequest {
        header: Some(header),
        vote: Some(vote_to_wire(&request.vote)),
        previous: request.prev_log_id.as_ref().map(log_id_to_wire),
        entries: request.entries.iter().map(entry_to_wire).collect(),
        committed: request.leader_commit.as_ref().map(log_id_to_wire),
    }
}

/// Refuses entries that do not follow one another, and the first that does not follow `previous`.
pub(crate) fn append_from_wire(
    request: wire::AppendEntriesRequest,
) -> Result<AppendEntriesRequest<Types>, InvalidMessage> {
    let entries = request.entries.into_iter().map(entry_from_wire).collect::<Result<Vec<_>, _>>()?;
    let mut expected = request.previous.map_or(0, |previous| previous.index.saturating_add(1));
    for entry in &entries {
        if entry.log_id.index != expected {
            return Err(InvalidMessage::new(format!("entry {} where {expected} is due", entry.log_id.index)));
        }
        expected = expected.saturating_add(1);
    }
    Ok(AppendEntriesRequest {
        vote: required_vote(request.vote)?,
        prev_log_id: request.previous.as_ref().map(log_id_from_wire),
        entries,
        leader_commit: request.committed.as_ref().map(log_id_from_wire),
    })
}

pub(crate) fn append_response_to_wire(response: &AppendEntriesResponse<Types>) -> wire::AppendEntriesResponse {
    let outcome = match response {
        AppendEntriesResponse::Success => WireOutcome::Success(true),
        AppendEntriesResponse::PartialSuccess(Some(log_id)) => WireOutcome::PartialSuccess(log_id_to_wire(log_id)),
        // Nothing accepted and nothing known to differ: the sender must look further back.
        AppendEntriesResponse::PartialSuccess(None) | AppendEntriesResponse::Conflict => WireOutcome::Conflict(true),
        AppendEntriesResponse::HigherVote(vote) => WireOutcome::HigherVote(vote_to_wire(vote)),
    };
    wire::AppendEntriesResponse { outcome: Some(outcome) }
}

pub(crate) fn append_response_from_wire(
    response: &wire::AppendEntriesResponse,
) -> Result<AppendEntriesResponse<Types>, InvalidMessage> {
    match &response.outcome {
        Some(WireOutcome::Success(true)) => Ok(AppendEntriesResponse::Success),
        Some(WireOutcome::PartialSuccess(log_id)) => {
            Ok(AppendEntriesResponse::PartialSuccess(Some(log_id_from_wire(log_id))))
        }
        Some(WireOutcome::Conflict(true)) => Ok(AppendEntriesResponse::Conflict),
        Some(WireOutcome::HigherVote(vote)) => Ok(AppendEntriesResponse::HigherVote(vote_from_wire(vote))),
        Some(WireOutcome::Success(false) | WireOutcome::Conflict(false)) | None => {
            Err(InvalidMessage::missing("outcome"))
        }
    }
}

pub(crate) fn vote_request_to_wire(
    request: &VoteRequest<Types>,
    header: wire::RaftHeader,
    pre_vote: bool,
) -> wire::VoteRequest {
    wire::VoteRequest {
        header: Some(header),
        vote: Some(vote_to_wire(&request.vote)),
        last_log_id: request.last_log_id.as_ref().map(log_id_to_wire),
        pre_vote,
        leadership_transfer: request.leadership_transfer,
    }
}

pub(crate) fn vote_request_from_wire(request: &wire::VoteRequest) -> Result<VoteRequest<Types>, InvalidMessage> {
    let last_log_id = request.last_log_id.as_ref().map(log_id_from_wire);
    let mut checked = VoteRequest::new(required_vote(request.vote)?, last_log_id);
    checked.leadership_transfer = request.leadership_transfer;
    Ok(checked)
}

pub(crate) fn vote_response_to_wire(response: &VoteResponse<Types>) -> wire::VoteResponse {
    wire::VoteResponse {
        vote: Some(vote_to_wire(&response.vote)),
        last_log_id: response.last_log_id.as_ref().map(log_id_to_wire),
        granted: response.vote_granted,
    }
}

pub(crate) fn vote_response_from_wire(response: &wire::VoteResponse) -> Result<VoteResponse<Types>, InvalidMessage> {
    let last_log_id = response.last_log_id.as_ref().map(log_id_from_wire);
    Ok(VoteResponse::new(required_vote(response.vote)?, last_log_id, response.granted))
}

pub(crate) fn transfer_to_wire(
    request: &TransferLeaderRequest<Types>,
    header: wire::RaftHeader,
) -> wire::TransferLeaderRequest {
    wire::TransferLeaderRequest {
        header: Some(header),
        from: Some(vote_to_wire(request.from_leader())),
        to: *request.to_node_id(),
        last_log_id: request.last_log_id().map(log_id_to_wire),
    }
}

pub(crate) fn transfer_from_wire(
    request: &wire::TransferLeaderRequest,
) -> Result<TransferLeaderRequest<Types>, InvalidMessage> {
    let last_log_id = request.last_log_id.as_ref().map(log_id_from_wire);
    Ok(TransferLeaderRequest::new(required_vote(request.from)?, request.to, last_log_id))
}

/// `snapshot_id` is for the logs of both sides alone.
pub(crate) fn snapshot_meta_to_wire(meta: &SnapshotMeta, snapshot_id: String) -> wire::SnapshotMeta {
    wire::SnapshotMeta {
        last_log_id: meta.last_log_id.as_ref().map(log_id_to_wire),
        membership_log_id: meta.last_membership.log_id().as_ref().map(log_id_to_wire),
        membership: Some(membership_to_wire(meta.last_membership.membership())),
        snapshot_id,
    }
}

pub(crate) fn snapshot_meta_from_wire(meta: wire::SnapshotMeta) -> Result<SnapshotMeta, InvalidMessage> {
    let membership = meta.membership.ok_or_else(|| InvalidMessage::missing("membership"))?;
    let membership_log_id = meta.membership_log_id.as_ref().map(log_id_from_wire);
    Ok(SnapshotMeta {
        last_log_id: meta.last_log_id.as_ref().map(log_id_from_wire),
        last_membership: StoredMembership::new(membership_log_id, membership_from_wire(membership)?),
    })
}

pub(crate) fn snapshot_response_from_wire(
    response: &wire::InstallSnapshotResponse,
) -> Result<SnapshotResponse<Types>, InvalidMessage> {
    Ok(SnapshotResponse::new(required_vote(response.vote)?))
}
