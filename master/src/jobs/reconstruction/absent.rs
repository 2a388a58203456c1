//! Chunks that records name at nodes which answer and do not have them. Whoever compares records with inventories finds
//! them; they are made again where they are to be. An election forgets them, and the next comparison finds them again.

use std::collections::BTreeMap;

use cairn_proto::ids::SegmentId;
use cairn_proto::records::ChunkPlace;

use crate::nodes::Flaw;

/// Segments that are remembered with their absent chunks; the next comparison finds more when these are made.
const SEGMENTS_LIMIT: usize = 65_536;

/// The chunks that are known to be absent, each once.
#[derive(Debug, Default)]
pub(super) struct AbsentChunks(BTreeMap<SegmentId, Vec<(ChunkPlace, usize)>>);

impl AbsentChunks {
    /// Remembers a chunk. `true`: it was not known.
    pub(super) fn add(&mut self, place: ChunkPlace, flaw: Flaw) -> bool {
        if self.0.len() >= SEGMENTS_LIMIT && !self.0.contains_key(&flaw.segment) {
            return false;
        }
        let chunks = self.0.entry(flaw.segment).or_default();
        let is_new = chunks.iter().all(|(at, chunk)| (*at, *chunk) != (place, flaw.chunk));
        if is_new {
            chunks.push((place, flaw.chunk));
        }
        is_new
    }

    /// All of them.
    pub(super) fn flaws(&self) -> Vec<(ChunkPlace, Flaw)> {
        let of = |(segment, chunks): (&SegmentId, &Vec<(ChunkPlace, usize)>)| {
            let segment = *segment;
            let flaw = move |(place, chunk): &(ChunkPlace, usize)| (*place, Flaw { segment, chunk: *chunk });
            chunks.iter().map(flaw).collect::<Vec<_>>()
        };
        self.0.iter().flat_map(of).collect()
    }

    /// Whether a chunk of a segment is known to be absent at a place.
    pub(super) fn has(&self, segment: SegmentId, place: ChunkPlace) -> bool {
        self.0.get(&segment).is_some_and(|chunks| chunks.iter().any(|(at, _)| *at == place))
    }

    /// What was at a place was made there. `true`: it was known to be absent.
    pub(super) fn made(&mut self, segment: SegmentId, place: ChunkPlace) -> bool {
        let Some(chunks) = self.0.get_mut(&segment) else { return false };
        let before = chunks.len();
        chunks.retain(|(at, _)| *at != place);
        let was_absent = chunks.len() < before;
        if chunks.is_empty() {
            self.0.remove(&segment);
        }
        was_absent
    }

    /// Nothing of the segment is to be at such a place any more.
    pub(super) fn forget(&mut self, segment: SegmentId) {
        self.0.remove(&segment);
    }
}

#[cfg(test)]
mod tests {
    use cairn_proto::ids::{IncarnationId, NodeId, SegmentId};
    use cairn_proto::records::ChunkPlace;

    use super::{AbsentChunks, SEGMENTS_LIMIT};
    use crate::nodes::Flaw;

    fn place(number: u8) -> ChunkPlace {
        ChunkPlace { node: NodeId::from_bytes([number; 16]), incarnation: IncarnationId::from_bytes([1; 16]) }
    }

    #[test]
    fn a_chunk_is_absent_once_until_it_was_made() {
        let mut absent = AbsentChunks::default();
        let segment = SegmentId::generate();
        let (first, second) = (Flaw { segment, chunk: 1 }, Flaw { segment, chunk: 4 });
        assert!(absent.add(place(1), first) && !absent.add(place(1), first) && absent.add(place(2), second));
        assert_eq!(absent.flaws(), [(place(1), first), (place(2), second)]);
        assert!(absent.made(segment, place(1)) && !absent.made(segment, place(1)));
        assert!(!absent.has(segment, place(1)) && absent.has(segment, place(2)));
        absent.forget(segment);
        assert_eq!(absent.flaws(), []);
    }

    #[test]
    fn with_too_many_those_that_are_known_count() {
        let mut absent = AbsentChunks::default();
        let flaw = |segment| Flaw { segment, chunk: 0 };
        let known = SegmentId::generate();
        assert!(absent.add(place(1), flaw(known)));
        for _ in 1..SEGMENTS_LIMIT {
            assert!(absent.add(place(1), flaw(SegmentId::generate())));
        }
        assert!(!absent.add(place(1), flaw(SegmentId::generate())));
        assert!(absent.add(place(2), flaw(known)), "its segment is remembered");
    }
}
