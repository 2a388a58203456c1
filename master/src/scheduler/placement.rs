use cairn_codec::Layout;
use cairn_proto::Refusal;
use cairn_proto::ids::NodeId;
use rand::Rng;
use rand::seq::SliceRandom;

use super::candidate::{Candidate, Score};
use super::spread::choose;

/// The node of each chunk, in chunk order; `None` is a hole.
pub type Placement = Vec<Option<NodeId>>;

/// So many nodes that do not serve are named.
const NAMED_NODES: usize = 8;

/// Why a segment cannot be placed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CannotPlace {
    /// Fewer nodes serve writes than a segment may start with.
    #[error("{serving} nodes serve writes, {needed} are needed")]
    TooFewNodes {
        /// Nodes that a segment needs at least.
        needed: usize,
        /// Nodes that serve.
        serving: usize,
        /// Names of those that do not.
        missing: Vec<String>,
    },
    /// Enough nodes serve, too few of them have room.
    #[error("{with_room} nodes have room, {needed} are needed")]
    NoSpace {
        /// Nodes that a segment needs at least.
        needed: usize,
        /// Nodes that serve and have room.
        with_room: usize,
    },
}

impl From<CannotPlace> for Refusal {
    fn from(error: CannotPlace) -> Self {
        match error {
            CannotPlace::TooFewNodes { needed, serving, missing } => {
                Self::TooFewNodes { needed: needed.to_string(), serving: serving.to_string(), missing: named(&missing) }
            }
            CannotPlace::NoSpace { .. } => Self::NoSpace { what: error.to_string() },
        }
    }
}

fn named(missing: &[String]) -> String {
    match missing.split_at_checked(NAMED_NODES) {
        Some((first, others)) if !others.is_empty() => format!("{} and {} others", first.join(", "), others.len()),
        _ if missing.is_empty() => "none registered".to_owned(),
        _ => missing.join(", "),
    }
}

/// Holes that a segment may have: one code chunk is always spare, so that the last lost node costs no data.
pub fn most_holes(layout: &Layout) -> usize {
    layout.code().saturating_sub(1)
}

/// Places the chunks of a new segment on distinct candidates, each with room for `room_bytes`, spread over failure
/// domains, in random order. With fewer candidates than chunks, the rest are holes. `missing` names the nodes that do
/// not serve, for the message.
pub fn place<R: Rng + ?Sized>(
    candidates: &[Candidate],
    missing: &[String],
    layout: &Layout,
    room_bytes: u64,
    score: Score,
    random: &mut R,
) -> Result<Placement, CannotPlace> {
    let needed = layout.chunks() - most_holes(layout);
    if candidates.len() < needed {
        return Err(CannotPlace::TooFewNodes { needed, serving: candidates.len(), missing: missing.to_vec() });
    }
    let roomy: Vec<&Candidate> = candidates.iter().filter(|candidate| candidate.has_room(room_bytes)).collect();
    if roomy.len() < needed {
        return Err(CannotPlace::NoSpace { needed, with_room: roomy.len() });
    }
    let mut nodes: Vec<NodeId> = choose(&[], &roomy, layout.chunks().min(roomy.len()), score, random)
        .into_iter()
        .map(|candidate| candidate.node)
        .collect();
    nodes.shuffle(random);
    let holes = layout.chunks() - nodes.len();
    Ok(chunks_with_holes(layout, holes).map(|hole| if hole { None } else { nodes.pop() }).collect())
}

/// Places one more chunk of a segment beside those that `kept` nodes keep: on one of the candidates, which are others.
pub fn place_beside<R: Rng + ?Sized>(
    kept: &[Candidate],
    candidates: &[Candidate],
    missing: &[String],
    room_bytes: u64,
    score: Score,
    random: &mut R,
) -> Result<NodeId, CannotPlace> {
    let kept: Vec<&Candidate> = kept.iter().collect();
    let roomy: Vec<&Candidate> = candidates.iter().filter(|candidate| candidate.has_room(room_bytes)).collect();
    choose(&kept, &roomy, 1, score, random).first().map(|chosen| chosen.node).ok_or_else(|| {
        if candidates.is_empty() {
            CannotPlace::TooFewNodes { needed: 1, serving: 0, missing: missing.to_vec() }
        } else {
            CannotPlace::NoSpace { needed: 1, with_room: 0 }
        }
    })
}

/// Which chunks are holes: data chunks from the highest down to the second, so that a blob of one cell (data chunk 0
/// and the code chunks) keeps all of its copies; only then code chunks, from the highest.
fn chunks_with_holes(layout: &Layout, holes: usize) -> impl Iterator<Item = bool> {
    let data = layout.data();
    let data_holes = holes.min(data - 1);
    let code_holes = holes - data_holes;
    let chunks = layout.chunks();
    (0..chunks).map(move |chunk| {
        let data_hole = chunk < data && chunk >= data - data_holes;
        data_hole || chunk >= chunks - code_holes
    })
}

#[cfg(test)]
mod tests {
    use super::{Candidate, CannotPlace, Placement, Score, most_holes, named, place};
    use cairn_codec::Layout;
    use cairn_proto::ids::NodeId;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use std::collections::HashSet;

    fn layout(data: u32, code: u32) -> Layout {
        Layout::new(data, code, 65536, 64 << 20).unwrap()
    }

    fn nodes(free: &[u64]) -> Vec<Candidate> {
        free.iter()
            .map(|&free_bytes| Candidate {
                node: NodeId::generate(),
                free_bytes,
                largest_free_bytes: free_bytes,
                limit_bytes: 1 << 30,
                locality: Vec::new(),
            })
            .collect()
    }

    fn holes(placement: &Placement) -> Vec<usize> {
        (0..placement.len()).filter(|&chunk| placement[chunk].is_none()).collect()
    }

    fn placed(layout: &Layout, count: usize) -> Result<Placement, CannotPlace> {
        place(
            &nodes(&vec![1000; count]),
            &["node-9".to_owned()],
            layout,
            1,
            Score::Hybrid,
            &mut StdRng::seed_from_u64(1),
        )
    }

    #[test]
    fn a_hole_is_the_highest_data_chunk() {
        assert_eq!(holes(&placed(&layout(4, 2), 5).unwrap()), [3]);
        assert_eq!(holes(&placed(&layout(4, 3), 5).unwrap()), [2, 3]);
        assert_eq!(holes(&placed(&layout(4, 2), 6).unwrap()), [0usize; 0]);
    }

    #[test]
    fn without_data_chunks_to_spare_a_hole_is_a_code_chunk() {
        assert_eq!(holes(&placed(&layout(1, 2), 2).unwrap()), [2]);
        assert_eq!(holes(&placed(&layout(2, 4), 3).unwrap()), [1, 4, 5]);
    }

    #[test]
    fn a_few_of_many_missing_nodes_are_named() {
        let told = |count: usize| named(&(1..=count).map(|number| format!("node-{number}")).collect::<Vec<_>>());
        assert_eq!(told(0), "none registered");
        assert_eq!(told(2), "node-1, node-2");
        assert!(told(8).ends_with(", node-8"));
        assert!(told(300).ends_with(", node-8 and 292 others"), "{}", told(300));
    }

    #[test]
    fn too_few_nodes_are_refused_naming_the_missing() {
        let missing = vec!["node-9".to_owned()];
        assert_eq!(
            placed(&layout(4, 2), 4),
            Err(CannotPlace::TooFewNodes { needed: 5, serving: 4, missing: missing.clone() })
        );
        assert_eq!(placed(&layout(4, 1), 4), Err(CannotPlace::TooFewNodes { needed: 5, serving: 4, missing }));
        assert!(placed(&layout(4, 0), 4).is_ok());
    }

    #[test]
    fn full_nodes_are_no_space() {
        let result =
            place(&nodes(&[5, 5, 5, 50, 50, 50]), &[], &layout(4, 2), 10, Score::Hybrid, &mut StdRng::seed_from_u64(1));
        assert_eq!(result, Err(CannotPlace::NoSpace { needed: 5, with_room: 3 }));
    }

    proptest! {
        #[test]
        fn placed_nodes_are_distinct_and_have_room(
            free in proptest::collection::vec(0u64..100, 1..12),
            data in 1u32..6,
            code in 0u32..4,
            room in 0u64..100,
            seed in any::<u64>(),
        ) {
            let candidates = nodes(&free);
            let layout = layout(data, code);
            let with_room = free.iter().filter(|&&free| free >= room).count();
            match place(&candidates, &[], &layout, room, Score::Hybrid, &mut StdRng::seed_from_u64(seed)) {
                Ok(placement) => {
                    prop_assert_eq!(placement.len(), layout.chunks());
                    prop_assert!(placement[0].is_some());
                    let used: Vec<NodeId> = placement.iter().flatten().copied().collect();
                    prop_assert_eq!(used.iter().collect::<HashSet<_>>().len(), used.len());
                    prop_assert_eq!(used.len(), layout.chunks().min(with_room));
                    for candidate in candidates.iter().filter(|candidate| used.contains(&candidate.node)) {
                        prop_assert!(candidate.free_bytes >= room);
                    }
                }
                Err(_) => prop_assert!(with_room < layout.chunks() - most_holes(&layout)),
            }
        }
    }
}
