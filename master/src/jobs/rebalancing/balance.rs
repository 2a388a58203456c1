use std::collections::BTreeMap;

use cairn_proto::ids::NodeId;
use cairn_proto::records::{ChunkPlace, Segment};

use crate::scheduler::{Candidate, is_spread_as_well};

/// Fill levels are told apart in millionths.
const WHOLE: u128 = 1_000_000;
/// Between the fullest and the emptiest node: above this, chunks begin to move.
const START_GAP: u64 = 50_000;
/// Down to this, they go on. The difference keeps what comes and goes from starting it again.
const STOP_GAP: u64 = 25_000;

/// A node that chunks may come to or go from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BalancedNode {
    /// Where its chunks lie.
    pub(super) place: ChunkPlace,
    /// Bytes of the chunks that records name there.
    pub(super) held_bytes: u64,
    /// As the scheduler sees it.
    pub(super) candidate: Candidate,
}

impl BalancedNode {
    /// How full it is with so many bytes, in millionths.
    fn fill_with(&self, bytes: u64) -> u64 {
        let part = u128::from(bytes) * WHOLE / u128::from(self.candidate.limit_bytes.max(1));
        u64::try_from(part).unwrap_or(u64::MAX)
    }

    fn fill(&self) -> u64 {
        self.fill_with(self.held_bytes)
    }
}

/// One chunk that goes from a fuller node to an emptier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::jobs) struct Move {
    pub(in crate::jobs) chunk: usize,
    pub(in crate::jobs) from: ChunkPlace,
    pub(in crate::jobs) to: ChunkPlace,
    pub(in crate::jobs) length_bytes: u64,
}

/// What the nodes hold, as it will be once the moves that were decided are done.
///
/// A move never makes the emptier node the fuller one, so the sum of the squares of all fill levels falls with each: moves
/// end, and none is taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Balance(BTreeMap<NodeId, BalancedNode>);

impl Balance {
    pub(super) fn new(nodes: impl IntoIterator<Item = BalancedNode>) -> Self {
        Self(nodes.into_iter().map(|node| (node.place.node, node)).collect())
    }

    /// Between the fullest and the emptiest node, in millionths of their limits.
    fn gap(&self) -> u64 {
        let fills = || self.0.values().map(BalancedNode::fill);
        fills().max().unwrap_or(0) - fills().min().unwrap_or(0)
    }

    /// Whether chunks should begin to move.
    pub(super) fn is_uneven(&self) -> bool {
        self.gap() > START_GAP
    }

    /// Whether chunks that move may stop.
    pub(super) fn is_even(&self) -> bool {
        self.gap() <= STOP_GAP
    }

    /// The chunk of a whole segment that is best moved, and where to: from its fullest node to the emptiest that has none of
    /// it, if that evens them out and leaves the segment spread as well as it was.
    pub(super) fn choose(&self, segment: &Segment) -> Option<Move> {
        let named: Vec<ChunkPlace> = segment.chunks.iter().filter_map(|chunk| chunk.place).collect();
        let with_cells = segment.chunks.iter().enumerate().filter(|(_, chunk)| chunk.cells > 0);
        let mut sources: Vec<(usize, &BalancedNode, u64)> =
            with_cells.filter_map(|(index, chunk)| Some((index, self.at(chunk.place?)?, chunk.length_bytes))).collect();
        sources.sort_by_key(|(_, source, _)| std::cmp::Reverse(source.fill()));
        let has_none = |node: &&BalancedNode| named.iter().all(|place| place.node != node.place.node);
        let mut targets: Vec<&BalancedNode> = self.0.values().filter(has_none).collect();
        targets.sort_by_key(|target| target.fill());
        let pairs = sources.iter().flat_map(|source| targets.iter().map(move |target| (source, *target)));
        let mut suitable = pairs.filter(|((_, source, length), target)| {
            evens_out(source, target, *length) && self.keeps_spread(&named, source.place, target)
        });
        suitable.next().map(|((chunk, source, length_bytes), target)| Move {
            chunk: *chunk,
            from: source.place,
            to: target.place,
            length_bytes: *length_bytes,
        })
    }

    /// Counts a move as done.
    pub(super) fn note(&mut self, moved: &Move) {
        if let Some(from) = self.0.get_mut(&moved.from.node) {
            from.held_bytes = from.held_bytes.saturating_sub(moved.length_bytes);
        }
        if let Some(to) = self.0.get_mut(&moved.to.node) {
            to.held_bytes = to.held_bytes.saturating_add(moved.length_bytes);
            to.candidate.fill(moved.length_bytes);
        }
    }

    fn at(&self, place: ChunkPlace) -> Option<&BalancedNode> {
        self.0.get(&place.node).filter(|node| node.place == place)
    }

    /// A place that is not known here may lie anywhere: then nothing is moved.
    fn keeps_spread(&self, named: &[ChunkPlace], from: ChunkPlace, target: &BalancedNode) -> bool {
        let others = named.iter().filter(|place| **place != from);
        let others: Option<Vec<&Candidate>> =
            others.map(|place| self.0.get(&place.node).map(|node| &node.candidate)).collect();
        let (Some(others), Some(source)) = (others, self.at(from)) else { return false };
        let with = |one| -> Vec<&Candidate> { others.iter().copied().chain([one]).collect() };
        is_spread_as_well(&with(&source.candidate), &with(&target.candidate))
    }
}

/// Whether the source is clearly fuller, is not the emptier one afterwards, and the chunk fits.
fn evens_out(source: &BalancedNode, target: &BalancedNode, length_bytes: u64) -> bool {
    let is_clear = source.fill() > target.fill().saturating_add(STOP_GAP);
    let (left, filled) =
        (source.held_bytes.saturating_sub(length_bytes), target.held_bytes.saturating_add(length_bytes));
    is_clear && source.fill_with(left) >= target.fill_with(filled) && target.candidate.has_room(length_bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use cairn_proto::ids::{IncarnationId, NodeId, SegmentId, SessionId, TransactionId};
    use cairn_proto::records::{Chunk, ChunkPlace, Segment};
    use cairn_proto::wire;
    use proptest::prelude::{Strategy, prop_assert, proptest};
    use proptest::sample::subsequence;

    use super::{Balance, BalancedNode, START_GAP, STOP_GAP};
    use crate::scheduler::Candidate;

    /// Chunks of one segment in the model.
    const WIDTH: usize = 3;

    fn place(number: usize) -> ChunkPlace {
        let number = u8::try_from(number).unwrap();
        ChunkPlace { node: NodeId::from_bytes([number; 16]), incarnation: IncarnationId::from_bytes([1; 16]) }
    }

    fn segment(nodes: &[usize], length_bytes: u64) -> Segment {
        let chunk = |number: &usize| Chunk { place: Some(place(*number)), cells: 1, length_bytes, digest: [7; 32] };
        Segment {
            id: SegmentId::generate(),
            layout: wire::Layout { data: 2, code: 1, cell_size_bytes: 4096, stripe_size_bytes: 1 << 20 },
            length_bytes: 2 * length_bytes,
            chunks: nodes.iter().map(chunk).collect(),
            contents: None,
            uses: 1,
            version: 1,
            transaction: TransactionId { session: SessionId(1), sequence: 1 },
        }
    }

    /// Nodes with these limits and datacenters that hold the chunks of these segments.
    fn balance(nodes: &[(u64, Option<u8>)], segments: &[Segment]) -> Balance {
        Balance::new(nodes.iter().enumerate().map(|(number, (limit_bytes, datacenter))| {
            let chunks = segments.iter().flat_map(|segment| &segment.chunks);
            let here = chunks.filter(|chunk| chunk.place == Some(place(number)));
            let held_bytes = here.map(|chunk| chunk.length_bytes).sum();
            let locality = datacenter.map(|name| ("dc".to_owned(), name.to_string())).into_iter().collect();
            let (node, limit_bytes) = (place(number).node, *limit_bytes);
            let free_bytes = limit_bytes.saturating_sub(held_bytes);
            let largest_free_bytes = free_bytes;
            let candidate = Candidate { node, free_bytes, largest_free_bytes, limit_bytes, locality };
            BalancedNode { place: place(number), held_bytes, candidate }
        }))
    }

    /// Moves what the decisions say until a whole pass moves nothing; answers how many moves that took.
    fn run(balance: &mut Balance, segments: &mut [Segment]) -> usize {
        let mut moves = 0;
        loop {
            let before = moves;
            for segment in segments.iter_mut() {
                if let Some(chosen) = balance.choose(segment) {
                    segment.chunks[chosen.chunk].place = Some(chosen.to);
                    balance.note(&chosen);
                    moves += 1;
                }
            }
            assert!(moves < 1_000_000, "it does not end");
            if moves == before {
                return moves;
            }
        }
    }

    fn datacenters(segment: &Segment, nodes: &[(u64, Option<u8>)]) -> usize {
        let of = |chunk: &Chunk| nodes[usize::from(chunk.place.unwrap().node.as_bytes()[0])].1;
        segment.chunks.iter().map(of).collect::<HashSet<_>>().len()
    }

    /// Between 4 and 8 nodes of different size, two of them empty, and segments on the others.
    fn cluster() -> impl Strategy<Value = (Vec<(u64, Option<u8>)>, Vec<Segment>)> {
        (4usize..8).prop_flat_map(|count| {
            let nodes = proptest::collection::vec((2_000_000u64..4_000_000, proptest::option::of(0u8..3)), count);
            let homes = subsequence((0..count - 1).collect::<Vec<_>>(), WIDTH);
            let segments = proptest::collection::vec((homes, 1000u64..20_000), 0..200);
            let segments = segments.prop_map(|all| all.iter().map(|(homes, bytes)| segment(homes, *bytes)).collect());
            (nodes, segments)
        })
    }

    proptest! {
        #[test]
        fn moves_end_keep_the_spread_and_are_never_taken_back((nodes, mut segments) in cluster()) {
            let mut balance = balance(&nodes, &segments);
            let before: Vec<usize> = segments.iter().map(|segment| datacenters(segment, &nodes)).collect();
            let moves = run(&mut balance, &mut segments);
            prop_assert!(moves <= WIDTH * segments.len() * nodes.len());
            prop_assert!(run(&mut balance.clone(), &mut segments) == 0, "it stays still");
            for (segment, before) in segments.iter().zip(before) {
                let distinct: HashSet<_> = segment.chunks.iter().map(|chunk| chunk.place.unwrap().node).collect();
                prop_assert!(distinct.len() == WIDTH);
                prop_assert!(datacenters(segment, &nodes) >= before);
            }
        }

        #[test]
        fn nodes_without_domains_end_within_a_few_percent((mut nodes, mut segments) in cluster(), limit in 2u64..4) {
            for node in &mut nodes {
                *node = (limit * 1_000_000, None);
            }
            let mut balance = balance(&nodes, &segments);
            run(&mut balance, &mut segments);
            prop_assert!(balance.gap() <= STOP_GAP + 2000, "{}", balance.gap());
            prop_assert!(!balance.is_uneven());
        }
    }

    #[test]
    fn small_differences_start_nothing() {
        let nodes = [(1_000_000, None), (1_000_000, None)];
        let mut one = balance(&nodes, &[]);
        assert!(one.is_even() && !one.is_uneven());
        one.0.get_mut(&place(0).node).unwrap().held_bytes = START_GAP;
        assert!(!one.is_even() && !one.is_uneven());
        one.0.get_mut(&place(0).node).unwrap().held_bytes = START_GAP + 1;
        assert!(one.is_uneven());
    }

    #[test]
    fn a_chunk_whose_move_would_cost_spread_stays() {
        let nodes = [(1000, Some(0)), (1000, Some(1)), (1000, Some(2)), (1000, Some(1))];
        let segments = [(); 2].map(|()| segment(&[0, 1, 2], 300));
        let chosen = balance(&nodes, &segments).choose(&segments[0]).unwrap();
        assert_eq!((chosen.chunk, chosen.from, chosen.to), (1, place(1), place(3)));
    }
}
