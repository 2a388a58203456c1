use cairn_proto::records::Chunk;
use cairn_proto::wire::NodeState;
use serde::Serialize;

/// What is to be said of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ChunkState {
    /// Its node serves it.
    Ok,
    /// The blob is so small that nothing of it belongs here.
    Empty,
    /// Its node has missed heartbeats.
    Suspect,
    /// Its node does not answer.
    Down,
    /// Its node is gone, or came back without its data.
    Lost,
    /// It was never stored; repair is to make it.
    Missing,
}

impl ChunkState {
    /// Of a chunk whose node, if it has one, is in that state with the data of that time, or is gone.
    pub(super) fn of(chunk: &Chunk, node: Option<NodeState>) -> Self {
        match (chunk.place, node) {
            _ if chunk.cells == 0 => Self::Empty,
            (None, _) => Self::Missing,
            (Some(_), None | Some(NodeState::Removed | NodeState::Unspecified)) => Self::Lost,
            (Some(_), Some(NodeState::Dead)) => Self::Down,
            (Some(_), Some(NodeState::Suspect)) => Self::Suspect,
            (Some(_), Some(NodeState::Active | NodeState::ReadOnly | NodeState::Maintenance | NodeState::Draining)) => {
                Self::Ok
            }
        }
    }

    /// Whether its bytes can be had now.
    #[must_use]
    pub fn can_be_read(self) -> bool {
        match self {
            Self::Ok | Self::Empty | Self::Suspect => true,
            Self::Down | Self::Lost | Self::Missing => false,
        }
    }

    /// For people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Empty => "empty",
            Self::Suspect => "suspect",
            Self::Down => "down",
            Self::Lost => "lost",
            Self::Missing => "missing",
        }
    }
}

#[cfg(test)]
mod tests {
    use cairn_proto::ids::{IncarnationId, NodeId};
    use cairn_proto::records::{Chunk, ChunkPlace};
    use cairn_proto::wire::NodeState;

    use super::ChunkState;

    #[test]
    fn a_chunk_is_what_its_place_and_node_make_it() {
        let place = ChunkPlace { node: NodeId::generate(), incarnation: IncarnationId::generate() };
        let stored = Chunk { place: Some(place), cells: 1, length_bytes: 1, digest: [1; 32] };
        let hole = Chunk { place: None, ..stored.clone() };
        let empty = Chunk { cells: 0, ..hole.clone() };
        assert_eq!(ChunkState::of(&stored, Some(NodeState::Active)), ChunkState::Ok);
        assert_eq!(ChunkState::of(&stored, Some(NodeState::Suspect)), ChunkState::Suspect);
        assert_eq!(ChunkState::of(&stored, Some(NodeState::Dead)), ChunkState::Down);
        assert_eq!(ChunkState::of(&stored, None), ChunkState::Lost);
        assert_eq!(ChunkState::of(&hole, None), ChunkState::Missing);
        assert_eq!(ChunkState::of(&empty, None), ChunkState::Empty);
    }
}
