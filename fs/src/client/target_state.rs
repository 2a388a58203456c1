use cairn_proto::records::Chunk;

use super::target::{PlannedTarget, Target, TargetFailure};
use super::target_stream::TargetStream;

/// Where the cells of one chunk go.
#[derive(Debug)]
pub(super) enum TargetState {
    /// The segment opened with this hole.
    Hole,
    /// No cell of the chunk exists yet.
    Quiet(Target),
    /// Cells were sent.
    Started(Target, TargetStream),
    /// Cells reach it by way of the node of another chunk. Whether all did, its seal tells.
    Relayed { target: Target, via_chunk: usize },
    /// As before, but that node was lost.
    CutOff { target: Target, entry: String },
    /// The chunk is durable on its node, exactly as recorded here.
    Sealed(Target, Chunk),
}

impl From<PlannedTarget> for TargetState {
    fn from(planned: PlannedTarget) -> Self {
        let PlannedTarget { target, via_chunk } = planned;
        match via_chunk {
            None => Self::Quiet(target),
            Some(via_chunk) => Self::Relayed { target, via_chunk },
        }
    }
}

impl TargetState {
    pub(super) fn target(&self) -> Option<&Target> {
        match self {
            Self::Hole => None,
            Self::Quiet(target)
            | Self::Started(target, _)
            | Self::Relayed { target, .. }
            | Self::CutOff { target, .. }
            | Self::Sealed(target, _) => Some(target),
        }
    }

    pub(super) fn failure(&self) -> Option<TargetFailure> {
        match self {
            Self::Hole => Some(TargetFailure::NotPlaced),
            Self::Quiet(_) | Self::Relayed { .. } | Self::Sealed(..) => None,
            Self::Started(_, stream) => stream.failure().cloned(),
            Self::CutOff { entry, .. } => Some(TargetFailure::EntryLost(entry.clone())),
        }
    }
}
