//! How the masters of the group are, for people.

use cairn_proto::wire;

use crate::store::{MemberRole, MemberState, MemberStatus, ReplicatedStore};

/// Tells how the masters are.
pub trait Group: Send + Sync {
    /// Every master of the group.
    fn masters(&self) -> Vec<wire::MasterStatus>;
}

impl Group for ReplicatedStore {
    fn masters(&self) -> Vec<wire::MasterStatus> {
        self.members_status().into_iter().map(wire::MasterStatus::from).collect()
    }
}

impl From<MemberStatus> for wire::MasterStatus {
    fn from(status: MemberStatus) -> Self {
        Self {
            id: status.member.id,
            name: status.member.name,
            address: status.member.address,
            state: wire::MasterState::from(status.state).into(),
            elected: status.elected,
            raft_leader: status.raft_leader,
            applied_index: status.applied_index,
            voter: status.role == MemberRole::Voter,
            disk: status.disk.to_wire(),
        }
    }
}

impl From<MemberState> for wire::MasterState {
    fn from(state: MemberState) -> Self {
        match state {
            MemberState::Active => Self::Active,
            MemberState::Unreachable => Self::Unreachable,
            MemberState::Unknown => Self::Unknown,
        }
    }
}
