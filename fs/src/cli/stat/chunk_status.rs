use cairn_proto::records::{Chunk, Segment};
use cairn_proto::wire::NodeState;
use serde::Serialize;

use crate::client::FoundBlob;

/// One chunk as `stat --json` prints it.
#[derive(Debug, Serialize)]
pub(super) struct ChunkStatus {
    pub(super) segment: String,
    pub(super) index: usize,
    pub(super) kind: &'static str,
    pub(super) node: Option<String>,
    pub(super) address: Option<String>,
    pub(super) state: ChunkState,
    pub(super) size: u64,
}

/// What is to be said of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ChunkState {
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
    fn of(chunk: &Chunk, node: Option<NodeState>) -> Self {
        match (chunk.place, node) {
            _ if chunk.cells == 0 => Self::Empty,
            (None, _) => Self::Missing,
            (Some(_), None | Some(NodeState::Removed | NodeState::Unspecified)) => Self::Lost,
            (Some(_), Some(NodeState::Dead | NodeState::Maintenance)) => Self::Down,
            (Some(_), Some(NodeState::Suspect)) => Self::Suspect,
            (Some(_), Some(NodeState::Active | NodeState::ReadOnly | NodeState::Draining)) => Self::Ok,
        }
    }

    fn can_be_read(self) -> bool {
        match self {
            Self::Ok | Self::Empty | Self::Suspect => true,
            Self::Down | Self::Lost | Self::Missing => false,
        }
    }

    pub(super) fn name(self) -> &'static str {
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

/// The chunks of one segment of a blob.
pub(super) fn chunks_of(found: &FoundBlob, segment: &Segment) -> Vec<ChunkStatus> {
    let data = usize::try_from(segment.layout.data).unwrap_or(usize::MAX);
    let status = |(index, chunk): (usize, &Chunk)| {
        let node = chunk.place.and_then(|place| found.node(place.node).map(|node| (place, node)));
        let state = node.filter(|(place, node)| node.incarnation == place.incarnation).map(|(_, node)| node.state);
        ChunkStatus {
            segment: segment.id.to_string(),
            index,
            kind: if index < data { "data" } else { "code" },
            node: node.map(|(_, node)| node.name.clone()),
            address: node.map(|(_, node)| node.address.clone()),
            state: ChunkState::of(chunk, state),
            size: chunk.length_bytes,
        }
    };
    segment.chunks.iter().enumerate().map(status).collect()
}

/// Of the segment that is worst off: how many of its chunks may still go.
pub(super) fn spare(segments: &[Vec<ChunkStatus>], data: usize) -> Option<i64> {
    let count = |chunks: usize| i64::try_from(chunks).unwrap_or(i64::MAX);
    let readable = |chunks: &Vec<ChunkStatus>| chunks.iter().filter(|chunk| chunk.state.can_be_read()).count();
    segments.iter().map(|chunks| count(readable(chunks)) - count(data)).min()
}

#[cfg(test)]
mod tests {
    use cairn_proto::ids::{IncarnationId, NodeId};
    use cairn_proto::records::{Chunk, ChunkPlace};
    use cairn_proto::wire::NodeState;

    use super::{ChunkState, ChunkStatus, spare};

    fn chunk(index: usize, state: ChunkState) -> ChunkStatus {
        ChunkStatus {
            segment: "s".to_owned(),
            index,
            kind: if index < 4 { "data" } else { "code" },
            node: Some(format!("node-{index}")),
            address: None,
            state,
            size: 10,
        }
    }

    fn chunks(states: [ChunkState; 6]) -> Vec<ChunkStatus> {
        states.into_iter().enumerate().map(|(index, state)| chunk(index, state)).collect()
    }

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

    #[test]
    fn the_worst_segment_decides_what_is_spare() {
        use ChunkState::{Down, Empty, Lost, Missing, Ok};
        let whole = chunks([Ok, Empty, Empty, Empty, Ok, Ok]);
        let hurt = chunks([Ok, Down, Lost, Ok, Missing, Ok]);
        assert_eq!(spare(std::slice::from_ref(&whole), 4), Some(2));
        assert_eq!(spare(&[whole, hurt], 4), Some(-1));
        assert_eq!(spare(&[], 4), None);
    }
}
