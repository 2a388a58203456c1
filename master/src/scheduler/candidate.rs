use cairn_proto::ids::NodeId;
use serde::Deserialize;

/// A node that serves writes, as the scheduler sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The node.
    pub node: NodeId,
    /// Room that is neither used nor reserved.
    pub free_bytes: u64,
    /// The same on the one of its devices that has most: a chunk lies on one.
    pub largest_free_bytes: u64,
    /// Room in all.
    pub limit_bytes: u64,
    /// Labels, widest failure domain first.
    pub locality: Vec<(String, String)>,
}

impl Candidate {
    /// Whether a chunk of so many bytes has room there.
    pub fn has_room(&self, bytes: u64) -> bool {
        self.largest_free_bytes >= bytes
    }

    /// Counts a chunk that is to go there.
    pub fn fill(&mut self, bytes: u64) {
        self.free_bytes = self.free_bytes.saturating_sub(bytes);
        self.largest_free_bytes = self.largest_free_bytes.min(self.free_bytes);
    }
}

/// Which of several equally spread nodes is taken first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Score {
    /// The fullest that still has room: leaves whole nodes empty.
    BestFit,
    /// The emptiest: evens out at once, and so sends every write to a node just added.
    WorstFit,
    /// The emptier eighth of its limit first, and any node within it: evens out in the long run without a rush.
    #[default]
    Hybrid,
}

/// Steps that [`Score::Hybrid`] tells apart.
const HYBRID_STEPS: u128 = 8;
/// Steps that the other scores tell apart.
const FINE_STEPS: u128 = 1 << 20;

impl Score {
    /// The rank of a candidate: lower is taken first.
    pub(super) fn rank(self, candidate: &Candidate) -> u64 {
        let free = |steps: u128| {
            let part = u128::from(candidate.free_bytes) * steps / u128::from(candidate.limit_bytes.max(1));
            u64::try_from(part.min(steps)).expect("at most 2^20 steps")
        };
        match self {
            Self::BestFit => free(FINE_STEPS),
            Self::WorstFit => u64::MAX - free(FINE_STEPS),
            Self::Hybrid => u64::MAX - free(HYBRID_STEPS),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Candidate, Score};
    use cairn_proto::ids::NodeId;

    fn with_free(free_bytes: u64) -> Candidate {
        let (node, largest_free_bytes) = (NodeId::generate(), free_bytes);
        Candidate { node, free_bytes, largest_free_bytes, limit_bytes: 1000, locality: Vec::new() }
    }

    #[test]
    fn scores_prefer_what_they_say() {
        let (full, empty) = (with_free(100), with_free(900));
        assert!(Score::BestFit.rank(&full) < Score::BestFit.rank(&empty));
        assert!(Score::WorstFit.rank(&empty) < Score::WorstFit.rank(&full));
        assert!(Score::Hybrid.rank(&empty) < Score::Hybrid.rank(&full));
    }

    #[test]
    fn a_chunk_needs_its_room_on_one_device() {
        let mut candidate = Candidate { largest_free_bytes: 60, ..with_free(100) };
        assert!(candidate.has_room(60) && !candidate.has_room(61));
        candidate.fill(50);
        assert!(candidate.has_room(50) && !candidate.has_room(51));
    }

    #[test]
    fn hybrid_does_not_tell_nearly_equal_nodes_apart() {
        assert_eq!(Score::Hybrid.rank(&with_free(880)), Score::Hybrid.rank(&with_free(990)));
        assert_ne!(Score::WorstFit.rank(&with_free(880)), Score::WorstFit.rank(&with_free(990)));
    }
}
