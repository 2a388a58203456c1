use cairn_proto::records::{Chunk, ChunkPlace, Segment};

use crate::nodes::PlaceStanding;

/// Chunks that may still be lost, at or below which a dead node is not waited for.
const URGENT_SPARE: i64 = 1;
/// The same for a node in maintenance: somebody sees to it that it comes back.
const URGENT_SPARE_IN_MAINTENANCE: i64 = 0;

/// What is missing of a segment, and what is to be moved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Damage {
    /// Chunks that may still be lost before it cannot be read; negative when it cannot be read already.
    pub(super) spare: i64,
    /// The chunks to rebuild now, in order.
    pub(super) due: Vec<usize>,
    /// Their bytes.
    pub(super) due_bytes: u64,
    /// The chunks that can be read and whose nodes are to be emptied, in order.
    pub(super) leaving: Vec<usize>,
    /// Their bytes.
    pub(super) leaving_bytes: u64,
    /// Whether such a node is named for a chunk without cells.
    pub(super) is_named_idly: bool,
}

impl Damage {
    /// Looks at a segment; `None` if nothing is missing or leaving. Nothing may be due of what is missing.
    ///
    /// A chunk is due when it is at no node or its place is gone. One at a dead node is due only once few chunks are to
    /// spare: most nodes come back, and then nothing is to be done. One at a dead node in maintenance is due with none
    /// to spare.
    pub(super) fn of(segment: &Segment, standing: impl Fn(ChunkPlace) -> PlaceStanding) -> Option<Self> {
        let standings: Vec<Option<PlaceStanding>> = segment
            .chunks
            .iter()
            .map(|chunk| (chunk.cells > 0).then(|| chunk.place.map_or(PlaceStanding::Gone, &standing)))
            .collect();
        let there = standings.iter().filter(|standing| standing.is_none_or(PlaceStanding::is_readable)).count();
        let leaving: Vec<usize> =
            (0..standings.len()).filter(|chunk| standings[*chunk] == Some(PlaceStanding::Leaving)).collect();
        let is_named_idly = idle_places(segment, &standing).next().is_some();
        if there == segment.chunks.len() && leaving.is_empty() && !is_named_idly {
            return None;
        }
        let spare = i64::try_from(there).unwrap_or(i64::MAX) - i64::from(segment.layout.data);
        let is_due = |standing: Option<PlaceStanding>| match standing {
            None | Some(PlaceStanding::Present | PlaceStanding::Leaving) => false,
            Some(PlaceStanding::Excused) => spare <= URGENT_SPARE_IN_MAINTENANCE,
            Some(PlaceStanding::Away) => spare <= URGENT_SPARE,
            Some(PlaceStanding::Gone) => true,
        };
        let due: Vec<usize> = (0..standings.len()).filter(|chunk| is_due(standings[*chunk])).collect();
        let bytes = |chunks: &[usize]| chunks.iter().map(|chunk| segment.chunks[*chunk].length_bytes).sum();
        let (due_bytes, leaving_bytes) = (bytes(&due), bytes(&leaving));
        Some(Self { spare, due, due_bytes, leaving, leaving_bytes, is_named_idly })
    }

    /// The chunk to make next, if one can be: what is missing first, as long as the others suffice for it.
    pub(super) fn next(&self) -> Option<usize> {
        let missing = if self.spare >= 0 { self.due.first() } else { None };
        missing.or_else(|| self.leaving.first()).copied()
    }

    /// Whether a chunk is still to be made, and can be.
    pub(super) fn wants(&self, chunk: usize) -> bool {
        (self.spare >= 0 && self.due.contains(&chunk)) || self.leaving.contains(&chunk)
    }

    /// Whether nothing is due, so that what is to be done has time.
    pub(super) fn is_move(&self) -> bool {
        self.due.is_empty() && (!self.leaving.is_empty() || self.is_named_idly)
    }
}

/// The chunks without cells for which a node is named that is to be emptied.
pub(super) fn idle_places<'a>(
    segment: &'a Segment,
    standing: &'a impl Fn(ChunkPlace) -> PlaceStanding,
) -> impl Iterator<Item = usize> + 'a {
    let is_idle =
        |chunk: &Chunk| chunk.cells == 0 && chunk.place.is_some_and(|place| standing(place) == PlaceStanding::Leaving);
    segment.chunks.iter().enumerate().filter(move |(_, chunk)| is_idle(chunk)).map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use cairn_proto::ids::{IncarnationId, NodeId, SegmentId, SessionId, TransactionId};
    use cairn_proto::records::{Chunk, ChunkPlace, Segment};
    use cairn_proto::wire;

    use super::Damage;
    use crate::nodes::PlaceStanding::{Away, Excused, Gone, Leaving, Present};

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

    /// So much to spare, and these chunks of ten bytes due.
    fn missing(spare: i64, due: &[usize]) -> Damage {
        Damage { spare, due: due.to_vec(), due_bytes: 10 * due.len() as u64, ..Damage::default() }
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
        assert_eq!(damage(&hole, &[], &[]), Some(missing(1, &[1])));
        assert_eq!(damage(&whole(), &[], &[3, 5]), Some(missing(0, &[2, 4])));
    }

    #[test]
    fn a_dead_node_is_waited_for_while_enough_is_to_spare() {
        let mut wide = whole();
        wide.layout.data = 3;
        assert_eq!(damage(&wide, &[2], &[]), Some(missing(2, &[])));
        assert_eq!(damage(&wide, &[2], &[]).unwrap().next(), None);
        assert_eq!(damage(&whole(), &[2], &[]), Some(missing(1, &[1])));
        assert_eq!(damage(&wide, &[2], &[6]), Some(missing(1, &[1, 5])));
    }

    #[test]
    fn what_cannot_be_read_cannot_be_repaired() {
        let lost = damage(&whole(), &[1], &[2, 3]).unwrap();
        assert_eq!(lost.spare, -1);
        assert_eq!(lost.next(), None);
    }

    #[test]
    fn a_node_in_maintenance_is_waited_for_until_nothing_is_to_spare() {
        let excused = |segment: &Segment, away: &[u8], gone: &[u8]| {
            Damage::of(segment, |place| match place.node.as_bytes()[0] {
                number if away.contains(&number) => Excused,
                number if gone.contains(&number) => Gone,
                _ => Present,
            })
        };
        assert_eq!(excused(&whole(), &[2], &[]), Some(missing(1, &[])));
        assert_eq!(excused(&whole(), &[2, 3], &[]), Some(missing(0, &[1, 2])));
        assert_eq!(excused(&whole(), &[2], &[5]), Some(missing(0, &[1, 4])));
    }

    #[test]
    fn what_is_leaving_can_be_read_and_comes_after_what_is_missing() {
        let leaving = |segment: &Segment, leaving: &[u8], gone: &[u8]| {
            Damage::of(segment, |place| match place.node.as_bytes()[0] {
                number if leaving.contains(&number) => Leaving,
                number if gone.contains(&number) => Gone,
                _ => Present,
            })
        };
        let moved = leaving(&whole(), &[3], &[]).unwrap();
        assert_eq!((moved.spare, moved.next(), moved.is_move(), moved.leaving_bytes), (2, Some(2), true, 10));
        let both = leaving(&whole(), &[3], &[5]).unwrap();
        assert_eq!((both.spare, both.next(), both.is_move()), (1, Some(4), false));
        assert!(both.wants(2) && both.wants(4) && !both.wants(0));
        let lost = leaving(&whole(), &[3], &[1, 2, 5]).unwrap();
        assert_eq!((lost.spare, lost.next(), lost.wants(0)), (-1, Some(2), false), "it is copied");
    }

    #[test]
    fn a_leaving_node_is_not_named_for_nothing() {
        let small = segment([
            (Some(1), true),
            (Some(2), false),
            (None, false),
            (None, false),
            (Some(5), true),
            (Some(6), true),
        ]);
        let standing = |place: ChunkPlace| if place.node.as_bytes()[0] == 2 { Leaving } else { Present };
        let idle = Damage::of(&small, standing).unwrap();
        assert_eq!((idle.next(), idle.is_move(), idle.is_named_idly), (None, true, true));
    }
}
