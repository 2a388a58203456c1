use std::sync::Arc;

use cairn_proto::ids::{IncarnationId, NodeId};
use cairn_proto::records::ChunkPlace;
use cairn_proto::{Refusal, wire};

use super::nodes::NodeConnections;

/// The node that one chunk of a new segment goes to.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) node: NodeId,
    pub(super) name: String,
    pub(super) incarnation: IncarnationId,
    /// What every request for the chunk carries.
    pub(super) chunk: wire::ChunkTarget,
    pub(super) connections: Arc<NodeConnections>,
}

impl Target {
    /// As one that another node passes cells on to.
    pub(super) fn as_relay(&self) -> wire::RelayTarget {
        wire::RelayTarget { node: self.node.to_wire(), target: Some(self.chunk.clone()) }
    }

    pub(super) fn place(&self) -> ChunkPlace {
        ChunkPlace { node: self.node, incarnation: self.incarnation }
    }
}

/// A target, and how its cells get there.
#[derive(Debug, Clone)]
pub(super) struct PlannedTarget {
    pub(super) target: Target,
    /// The chunk by way of whose node they go; `None`: they are sent to it.
    pub(super) via_chunk: Option<usize>,
}

/// Why a target was lost.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum TargetFailure {
    #[error("{0}")]
    Refused(Refusal),
    #[error("{0}")]
    Transport(String),
    #[error("took nothing for {} s", .0.as_secs())]
    Stalled(std::time::Duration),
    #[error("did not answer within {} s", .0.as_secs())]
    NoAnswer(std::time::Duration),
    #[error("failed for another file just now")]
    FailedElsewhere,
    #[error("answered {0}")]
    WrongAnswer(String),
    #[error("its cells went by way of {0}, which was lost")]
    EntryLost(String),
    #[error("no node was free for this chunk")]
    NotPlaced,
}

impl TargetFailure {
    pub(super) fn is_full(&self) -> bool {
        matches!(self, Self::Refused(Refusal::NodeRefusesWrites { .. }))
    }

    /// Whether the node, rather than this write on it, is to be passed over.
    pub(super) fn is_of_node(&self) -> bool {
        match self {
            Self::Transport(_) | Self::Stalled(_) | Self::NoAnswer(_) | Self::Refused(Refusal::NotReady { .. }) => true,
            Self::Refused(_) | Self::EntryLost(_) | Self::FailedElsewhere | Self::WrongAnswer(_) | Self::NotPlaced => {
                false
            }
        }
    }
}
