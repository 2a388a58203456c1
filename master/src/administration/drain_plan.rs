use std::collections::{BTreeMap, HashMap};

use cairn_codec::Layout;
use cairn_proto::ids::NodeId;
use cairn_proto::records::{ChunkPlace, Segment};
use rand::Rng;

use crate::scheduler::{Candidate, Score, first_level_broken, place_beside};
use crate::status::Held;

/// Why a node cannot be emptied, and what comes first.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DrainHindrance {
    /// New segments would not find a node for each chunk.
    #[error("{left} nodes would be left to write to and layout {layout} needs {needed}; add a node first")]
    TooFewNodes {
        /// Nodes that take chunks without it.
        left: usize,
        /// As many as the default layout has chunks.
        needed: usize,
        /// The default layout.
        layout: String,
    },
    /// Every other node that takes chunks has one of the segment already.
    #[error("{segments} segments have a chunk on every other node already; add a node first")]
    NoOtherNode {
        /// So many.
        segments: u64,
    },
    /// The others have too little room.
    #[error(
        "the other nodes have no room for {chunks} of its chunks ({bytes} bytes); add a node or delete something first"
    )]
    NoRoom {
        /// Chunks that find none.
        chunks: u64,
        /// Their bytes.
        bytes: u64,
    },
    /// A failure domain could not be lost any more.
    #[error(
        "{segments} segments would not outlive the loss of one {label} any more; add a node in another {label} first"
    )]
    SpreadBroken {
        /// Segments.
        segments: u64,
        /// The kind of domain.
        label: String,
    },
}

/// What emptying a node takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrainPlan {
    /// What lies there.
    pub held: Held,
    /// Room on the nodes that take chunks.
    pub free_bytes: u64,
    /// Where it would go.
    pub targets: BTreeMap<NodeId, Held>,
    /// Why it cannot be done.
    pub hindrance: Option<DrainHindrance>,
}

/// Tries the emptying of a node out, one segment after the other.
pub struct DrainPlanner<R> {
    leaving: ChunkPlace,
    /// The nodes that take chunks, with what is left of their room.
    takers: Vec<Candidate>,
    /// Every node, for the spread.
    known: HashMap<NodeId, Candidate>,
    random: R,
    held: Held,
    targets: BTreeMap<NodeId, Held>,
    without_node: u64,
    without_room: Held,
    broken: BTreeMap<usize, u64>,
}

impl<R: Rng> DrainPlanner<R> {
    /// For what lies at `leaving`, to be moved to some of the nodes that take chunks; `known` are all nodes.
    pub fn new(leaving: ChunkPlace, mut takers: Vec<Candidate>, known: Vec<Candidate>, random: R) -> Self {
        takers.retain(|taker| taker.node != leaving.node);
        Self {
            leaving,
            takers,
            known: known.into_iter().map(|node| (node.node, node)).collect(),
            random,
            held: Held::default(),
            targets: BTreeMap::new(),
            without_node: 0,
            without_room: Held::default(),
            broken: BTreeMap::new(),
        }
    }

    /// Finds a place for the chunk of one more segment, if it has one there.
    pub fn add(&mut self, segment: &Segment) {
        let with_cells = || segment.chunks.iter().filter(|chunk| chunk.cells > 0);
        let Some(chunk) = with_cells().find(|chunk| chunk.place == Some(self.leaving)) else { return };
        note(&mut self.held, chunk.length_bytes);
        let named: Vec<NodeId> =
            segment.chunks.iter().filter_map(|chunk| chunk.place).map(|place| place.node).collect();
        let others: Vec<Candidate> = with_cells()
            .filter_map(|chunk| chunk.place)
            .filter(|place| *place != self.leaving)
            .filter_map(|place| self.known.get(&place.node).cloned())
            .collect();
        let free: Vec<Candidate> = self.takers.iter().filter(|taker| !named.contains(&taker.node)).cloned().collect();
        if free.is_empty() {
            self.without_node += 1;
            return;
        }
        let placed = place_beside(&others, &free, &[], chunk.length_bytes, Score::WorstFit, &mut self.random);
        let Ok(target) = placed else {
            note(&mut self.without_room, chunk.length_bytes);
            return;
        };
        note(self.targets.entry(target).or_default(), chunk.length_bytes);
        self.check_spread(&others, target, segment.layout.code as usize);
        for taker in self.takers.iter_mut().filter(|taker| taker.node == target) {
            taker.fill(chunk.length_bytes);
        }
    }

    fn check_spread(&mut self, others: &[Candidate], target: NodeId, spare: usize) {
        let with = |node: NodeId| -> Vec<&Candidate> { others.iter().chain(self.known.get(&node)).collect() };
        if let Some(level) = first_level_broken(&with(self.leaving.node), &with(target), spare) {
            *self.broken.entry(level).or_default() += 1;
        }
    }

    /// What it comes to, in a cluster whose new segments have this layout.
    pub fn finish(self, layout: &Layout) -> DrainPlan {
        DrainPlan {
            held: self.held,
            free_bytes: self.takers.iter().map(|taker| taker.free_bytes).sum::<u64>() + self.planned_bytes(),
            hindrance: self.hindrance(layout),
            targets: self.targets,
        }
    }

    fn planned_bytes(&self) -> u64 {
        self.targets.values().map(|held| held.bytes).sum()
    }

    fn hindrance(&self, layout: &Layout) -> Option<DrainHindrance> {
        let (left, needed) = (self.takers.len(), layout.chunks());
        if left < needed {
            return Some(DrainHindrance::TooFewNodes { left, needed, layout: layout.to_string() });
        }
        if self.without_node > 0 {
            return Some(DrainHindrance::NoOtherNode { segments: self.without_node });
        }
        if self.without_room.chunks > 0 {
            let Held { chunks, bytes } = self.without_room;
            return Some(DrainHindrance::NoRoom { chunks, bytes });
        }
        let (level, segments) = self.broken.first_key_value()?;
        let labels = self.known.values().filter_map(|node| node.locality.get(*level));
        let label = labels.map(|(key, _)| key.clone()).min().unwrap_or_default();
        Some(DrainHindrance::SpreadBroken { segments: *segments, label })
    }
}

fn note(held: &mut Held, bytes: u64) {
    held.chunks += 1;
    held.bytes += bytes;
}

#[cfg(test)]
mod tests {
    use cairn_codec::Layout;
    use cairn_proto::ids::{IncarnationId, NodeId, SegmentId, SessionId, TransactionId};
    use cairn_proto::records::{Chunk, ChunkPlace, Segment};
    use cairn_proto::wire;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::{Candidate, DrainHindrance, DrainPlan, DrainPlanner};

    fn place(number: u8) -> ChunkPlace {
        ChunkPlace { node: NodeId::from_bytes([number; 16]), incarnation: IncarnationId::from_bytes([1; 16]) }
    }

    /// A segment of layout 2+1 with a chunk of ten bytes on each of these nodes.
    fn segment(nodes: [u8; 3]) -> Segment {
        let chunk = |number| Chunk { place: Some(place(number)), cells: 1, length_bytes: 10, digest: [7; 32] };
        Segment {
            id: SegmentId::generate(),
            layout: wire::Layout { data: 2, code: 1, cell_size_bytes: 4096, stripe_size_bytes: 1 << 20 },
            length_bytes: 20,
            chunks: nodes.map(chunk).to_vec(),
            contents: None,
            uses: 1,
            version: 1,
            transaction: TransactionId { session: SessionId(1), sequence: 1 },
        }
    }

    fn node(number: u8, free_bytes: u64, datacenter: Option<&str>) -> Candidate {
        let locality = datacenter.map(|name| ("dc".to_owned(), name.to_owned())).into_iter().collect();
        let (node, largest_free_bytes) = (place(number).node, free_bytes);
        Candidate { node, free_bytes, largest_free_bytes, limit_bytes: 100, locality }
    }

    /// Node 1 is to be emptied of these segments.
    fn plan(nodes: &[Candidate], segments: &[Segment]) -> DrainPlan {
        let random = StdRng::seed_from_u64(1);
        let mut planner = DrainPlanner::new(place(1), nodes.to_vec(), nodes.to_vec(), random);
        for segment in segments {
            planner.add(segment);
        }
        planner.finish(&Layout::new(2, 1, 4096, 1 << 20).unwrap())
    }

    #[test]
    fn what_lies_there_goes_where_there_is_room_and_nothing_of_the_segment() {
        let nodes = [node(1, 0, None), node(2, 50, None), node(3, 50, None), node(4, 15, None), node(5, 14, None)];
        let segments = [segment([1, 2, 3]), segment([1, 2, 3]), segment([2, 3, 4])];
        let plan = plan(&nodes, &segments);
        assert_eq!((plan.held.chunks, plan.held.bytes, plan.free_bytes), (2, 20, 129));
        assert_eq!(plan.targets.keys().copied().collect::<Vec<_>>(), [place(4).node, place(5).node]);
        assert_eq!(plan.hindrance, None);
    }

    #[test]
    fn too_few_nodes_for_new_segments_or_for_those_there_are_stop_it() {
        let nodes = [node(1, 9, None), node(2, 50, None), node(3, 50, None)];
        let too_few = plan(&nodes, &[]).hindrance;
        assert_eq!(too_few, Some(DrainHindrance::TooFewNodes { left: 2, needed: 3, layout: "2+1".to_owned() }));
        let mut wide = segment([1, 2, 3]);
        wide.chunks.push(Chunk { place: Some(place(4)), ..wide.chunks[0].clone() });
        let nodes = [node(1, 9, None), node(2, 50, None), node(3, 50, None), node(4, 50, None)];
        assert_eq!(plan(&nodes, &[wide]).hindrance, Some(DrainHindrance::NoOtherNode { segments: 1 }));
    }

    #[test]
    fn too_little_room_stops_it() {
        let nodes = [node(1, 9, None), node(2, 50, None), node(3, 50, None), node(4, 19, None)];
        let segments = [segment([1, 2, 3]), segment([1, 2, 3])];
        assert_eq!(plan(&nodes, &segments).hindrance, Some(DrainHindrance::NoRoom { chunks: 1, bytes: 10 }));
    }

    #[test]
    fn a_domain_that_could_be_lost_before_must_not_be_needed_afterwards() {
        let nodes =
            |last| [node(1, 9, Some("a")), node(2, 50, Some("b")), node(3, 50, Some("c")), node(4, 50, Some(last))];
        let segments = [segment([1, 2, 3])];
        let broken = DrainHindrance::SpreadBroken { segments: 1, label: "dc".to_owned() };
        assert_eq!(plan(&nodes("b"), &segments).hindrance, Some(broken));
        assert_eq!(plan(&nodes("a"), &segments).hindrance, None);
    }
}
