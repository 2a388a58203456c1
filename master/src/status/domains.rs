use std::collections::HashMap;

use cairn_proto::ids::{IncarnationId, NodeId};
use cairn_proto::records::{ChunkPlace, Segment};

/// Labels of a node, widest failure domain first.
pub type Locality = Vec<(String, String)>;

/// What tells a domain of a level apart: its labels, and the node if that has no label of the level.
type DomainKey<'a> = (Option<NodeId>, &'a [(String, String)]);

/// Where the nodes are whose chunks count, and which failure domains that makes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Domains {
    nodes: HashMap<NodeId, (IncarnationId, Vec<usize>)>,
    levels: Vec<Level>,
}

/// One level of failure domains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Level {
    /// Key of the label that tells its domains apart.
    pub label: String,
    /// How many there are.
    pub domains: usize,
}

impl Domains {
    /// Of nodes with the current lives of their data. A domain is a prefix of the labels; a node with fewer labels than
    /// others is a domain of its own on the levels it does not name.
    pub fn of(nodes: impl IntoIterator<Item = (ChunkPlace, Locality)>) -> Self {
        let nodes: Vec<(ChunkPlace, Locality)> = nodes.into_iter().collect();
        let depth = nodes.iter().map(|(_, locality)| locality.len()).max().unwrap_or(0);
        let mut known: Vec<HashMap<DomainKey<'_>, usize>> = vec![HashMap::new(); depth];
        let mut places = HashMap::new();
        for (place, locality) in &nodes {
            let domain = |(level, known): (usize, &mut HashMap<_, usize>)| {
                let prefix = &locality[..locality.len().min(level + 1)];
                let own = Some(place.node).filter(|_| locality.len() <= level);
                let next = known.len();
                *known.entry((own, prefix)).or_insert(next)
            };
            let domains = known.iter_mut().enumerate().map(domain).collect();
            places.insert(place.node, (place.incarnation, domains));
        }
        let label =
            |level: usize| nodes.iter().find_map(|(_, locality)| locality.get(level)).map(|(key, _)| key.clone());
        let level = |(level, known): (usize, &HashMap<_, _>)| Level {
            label: label(level).unwrap_or_default(),
            domains: known.len(),
        };
        let levels = known.iter().enumerate().map(level).collect();
        Self { nodes: places, levels }
    }

    /// The levels, widest first.
    pub fn levels(&self) -> &[Level] {
        &self.levels
    }

    /// Whether a place counts.
    pub fn has(&self, place: &ChunkPlace) -> bool {
        self.nodes.get(&place.node).is_some_and(|(incarnation, _)| *incarnation == place.incarnation)
    }

    /// How many chunks of a segment the fullest domain of each level keeps.
    pub fn most_in_one(&self, segment: &Segment) -> Vec<usize> {
        let mut counts: Vec<HashMap<usize, usize>> = vec![HashMap::new(); self.levels.len()];
        let places = segment.chunks.iter().filter(|chunk| chunk.cells > 0).filter_map(|chunk| chunk.place);
        for place in places.filter(|place| self.has(place)) {
            let (_, domains) = &self.nodes[&place.node];
            for (counts, domain) in counts.iter_mut().zip(domains) {
                *counts.entry(*domain).or_default() += 1;
            }
        }
        counts.iter().map(|counts| counts.values().copied().max().unwrap_or(0)).collect()
    }
}
