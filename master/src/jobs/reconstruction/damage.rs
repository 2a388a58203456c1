use cairn_proto::records::{ChunkPlace, Segment};

use crate::nodes::PlaceStanding;

/// Chunks that may still be lost, at or below which a dead node is not waited for.
const URGENT_SPARE: i64 = 1;

/// What is missing of a segment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Damage {
    /// Chunks that may still be lost before it cannot be read; negative when it cannot be read already.
    pub(super) spare: i64,
    /// The chunks to rebuild now, in order.
    pub(super) due: Vec<usize>,
    /// Their bytes.
    pub(super) due_bytes: u64,
}

impl Damage {
    /// Looks at a segment; `None` if nothing is missing. Nothing may be due of what is missing.
    ///
    /// A chunk is due when it is at no node or its place is gone. One at a dead node is due only once few chunks are to
    /// spare: most nodes come back, and then nothing is to be done.
    pub(super) fn of(segment: &Segment, standing: impl Fn(ChunkPlace) -> PlaceStanding) -> Option<Self> {
        let standings: Vec<Option<PlaceStanding>> = segment
            .chunks
            .iter()
            .map(|chunk| (chunk.cells > 0).then(|| chunk.place.map_or(PlaceStanding::Gone, &standing)))
            .collect();
        let there = standings.iter().filter(|standing| standing.is_none_or(|it| it == PlaceStanding::Present)).count();
        if there == segment.chunks.len() {
            return None;
        }
        let spare = i64::try_from(there).unwrap_or(i64::MAX) - i64::from(segment.layout.data);
        let is_due = |standing: Option<PlaceStanding>| match standing {
            None | Some(PlaceStanding::Present) => false,
            Some(PlaceStanding::Away) => spare <= URGENT_SPARE,
            Some(PlaceStanding::Gone) => true,
        };
        let due: Vec<usize> = (0..standings.len()).filter(|chunk| is_due(standings[*chunk])).collect();
        let due_bytes = due.iter().map(|chunk| segment.chunks[*chunk].length_bytes).sum();
        Some(Self { spare, due, due_bytes })
    }

    /// Whether anything can be done about it now.
    pub(super) fn can_be_repaired(&self) -> bool {
        self.spare >= 0 && !self.due.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use cairn_proto::ids::{IncarnationId, NodeId, SegmentId, SessionId, TransactionId};
    use cairn_proto::records::{Chunk, ChunkPlace, Segment};
    use cairn_proto::wire;

    use super::Damage;
    use crate::nodes::PlaceStanding::{Away, Gone, Present};

    /// A segment of layout 4+2 whose chunk i is at node i + 1; `None` is a hole, and a chunk without cells has `false`.
    fn segment(chunks: [(Option<u8>, bool); 6]) -> Segment {
        let chunk = |(node, has_cells): (Option<u8>, bool)| Chunk {
            place: node.map(|number| ChunkPlace {
                node: NodeId::from_bytes([number; 16]),
                incarnation: IncarnationId::from_bytes([1; 16]),
            }),
            cells: u64::from(has_cells),
            length_bytes: if has_cells { 10 } else { 0 },
            ..Chunk::default()
        };
        Segment {
            id: SegmentId::generate(),
            layout: wire::Layout { data: 4, code: 2, ..wire::Layout::default() },
            length_bytes: 1,
            chunks: chunks.map(chunk).to_vec(),
            contents: None,
            uses: 1,
            version: 1,
            transaction: TransactionId { session: SessionId(1), sequence: 1 },
        }
    }

    fn whole() -> Segment {
        segment([1, 2, 3, 4, 5, 6].map(|number| (Some(number), true)))
    }

    fn damage(segment: &Segment, away: &[u8], gone: &[u8]) -> Option<Damage> {
        Damage::of(segment, |place| match place.node.as_bytes()[0] {
            number if away.contains(&number) => Away,
            number if gone.contains(&number) => Gone,
            _ => Present,
        })
    }

    #[test]
    fn what_is_all_there_is_not_damaged() {
        assert_eq!(damage(&whole(), &[], &[]), None);
        let small =
            segment([(Some(1), true), (None, false), (None, false), (None, false), (Some(5), true), (Some(6), true)]);
        assert_eq!(damage(&small, &[], &[9]), None);
    }

    #[test]
    fn holes_and_places_that_are_gone_are_due_at_once() {
        let hole = segment([
            (Some(1), true),
            (None, true),
            (Some(3), true),
            (Some(4), true),
            (Some(5), true),
            (Some(6), true),
        ]);
        assert_eq!(damage(&hole, &[], &[]), Some(Damage { spare: 1, due: vec![1], due_bytes: 10 }));
        assert_eq!(damage(&whole(), &[], &[3, 5]), Some(Damage { spare: 0, due: vec![2, 4], due_bytes: 20 }));
    }

    #[test]
    fn a_dead_node_is_waited_for_while_enough_is_to_spare() {
        let mut wide = whole();
        wide.layout.data = 3;
        assert_eq!(damage(&wide, &[2], &[]), Some(Damage { spare: 2, due: vec![], due_bytes: 0 }));
        assert!(!damage(&wide, &[2], &[]).unwrap().can_be_repaired());
        assert_eq!(damage(&whole(), &[2], &[]), Some(Damage { spare: 1, due: vec![1], due_bytes: 10 }));
        assert_eq!(damage(&wide, &[2], &[6]), Some(Damage { spare: 1, due: vec![1, 5], due_bytes: 20 }));
    }

    #[test]
    fn what_cannot_be_read_cannot_be_repaired() {
        let lost = damage(&whole(), &[1], &[2, 3]).unwrap();
        assert_eq!(lost.spare, -1);
        assert!(!lost.can_be_repaired());
    }
}
