use cairn_proto::records::{Chunk, Segment};
use serde::Serialize;

use crate::client::{ChunkState, FoundBlob};

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

/// The chunks of one segment of a blob.
pub(super) fn chunks_of(found: &FoundBlob, segment: &Segment) -> Vec<ChunkStatus> {
    let data = usize::try_from(segment.layout.data).unwrap_or(usize::MAX);
    let status = |(index, chunk): (usize, &Chunk)| {
        let node = chunk.place.and_then(|place| found.node(place.node));
        ChunkStatus {
            segment: segment.id.to_string(),
            index,
            kind: if index < data { "data" } else { "code" },
            node: node.map(|node| node.name.clone()),
            address: node.map(|node| node.address.clone()),
            state: found.chunk_state(chunk),
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
    fn the_worst_segment_decides_what_is_spare() {
        use ChunkState::{Down, Empty, Lost, Missing, Ok};
        let whole = chunks([Ok, Empty, Empty, Empty, Ok, Ok]);
        let hurt = chunks([Ok, Down, Lost, Ok, Missing, Ok]);
        assert_eq!(spare(std::slice::from_ref(&whole), 4), Some(2));
        assert_eq!(spare(&[whole, hurt], 4), Some(-1));
        assert_eq!(spare(&[], 4), None);
    }
}
