use cairn_proto::records::Chunk;

use super::target::{Target, TargetFailure};
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
    /// The chunk is durable on its node, exactly as recorded here.
    Sealed(Target, Chunk),
}

impl TargetState {
    pub(super) fn target(&self) -> Option<&Target> {
        match self {
            Self::Hole => None,
            Self::Quiet(target) | Self::Started(target, _) | Self::Sealed(target, _) => Some(target),
        }
    }

    pub(super) fn failure(&self) -> Option<TargetFailure> {
        match self {
            Self::Hole => Some(TargetFailure::NotPlaced),
            Self::Quiet(_) | Self::Sealed(..) => None,
            Self::Started(_, stream) => stream.failure().cloned(),
        }
    }
}
