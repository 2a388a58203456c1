use std::collections::HashMap;

use rand::Rng;
use rand::seq::SliceRandom;

use super::candidate::{Candidate, Score};

/// Chooses `count` of the candidates, spread as evenly as their numbers allow over the widest failure domains, within
/// that over the next, and so on; among equals by score, then at random. What `kept` nodes hold already counts.
///
/// Taking, one after the other, a node whose domains hold the fewest so far is exact here: domains are nested, and the
/// cost of a domain grows with each node taken from it.
pub(super) fn choose<'a, R: Rng + ?Sized>(
    kept: &[&'a Candidate],
    candidates: &[&'a Candidate],
    count: usize,
    score: Score,
    random: &mut R,
) -> Vec<&'a Candidate> {
    let all: Vec<&Candidate> = kept.iter().chain(candidates).copied().collect();
    let depth = all.iter().map(|candidate| candidate.locality.len()).max().unwrap_or(0);
    let mut all: Vec<(Vec<usize>, &Candidate)> = with_domains(&all, depth);
    let mut left = all.split_off(kept.len());
    let mut taken_from: HashMap<usize, usize> = HashMap::new();
    for domain in all.into_iter().flat_map(|(domains, _)| domains) {
        *taken_from.entry(domain).or_default() += 1;
    }
    left.shuffle(random);
    left.sort_by_key(|(_, candidate)| score.rank(candidate));
    let mut chosen = Vec::with_capacity(count);
    while chosen.len() < count && !left.is_empty() {
        let loads = |domains: &[usize]| -> Vec<usize> {
            domains.iter().map(|domain| taken_from.get(domain).copied().unwrap_or(0)).collect()
        };
        let next = (0..left.len()).min_by_key(|&index| loads(&left[index].0)).expect("some candidate is left");
        let (domains, candidate) = left.remove(next);
        for domain in domains {
            *taken_from.entry(domain).or_default() += 1;
        }
        chosen.push(candidate);
    }
    chosen
}

/// Each candidate with the numbers of its domains, widest first. A label that is missing counts as a domain that all
/// nodes without it share.
fn with_domains<'a>(candidates: &[&'a Candidate], depth: usize) -> Vec<(Vec<usize>, &'a Candidate)> {
    type Prefix<'a> = &'a [(String, String)];
    let mut numbers: HashMap<(usize, Prefix<'a>), usize> = HashMap::new();
    candidates
        .iter()
        .map(|&candidate| {
            let domains = (1..=depth)
                .map(|level| {
                    let prefix = &candidate.locality[..level.min(candidate.locality.len())];
                    let next = numbers.len();
                    *numbers.entry((level, prefix)).or_insert(next)
                })
                .collect();
            (domains, candidate)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Candidate, Score, choose};
    use cairn_proto::ids::NodeId;
    use proptest::prelude::{Strategy, any, prop_assert_eq, proptest};
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use std::collections::{BTreeMap, HashSet};

    /// For each level, the sum over its domains of the square of the nodes in it: least when most even.
    fn unevenness(chosen: &[&Candidate], depth: usize) -> Vec<usize> {
        (1..=depth)
            .map(|level| {
                let mut counts: BTreeMap<&[(String, String)], usize> = BTreeMap::new();
                for candidate in chosen {
                    *counts.entry(&candidate.locality[..level]).or_default() += 1;
                }
                counts.values().map(|count| count * count).sum()
            })
            .collect()
    }

    fn every_choice<'a>(candidates: &[&'a Candidate], count: usize) -> Vec<Vec<&'a Candidate>> {
        (0u32..1 << candidates.len())
            .filter(|set| set.count_ones() as usize == count)
            .map(|set| (0..candidates.len()).filter(|bit| set >> bit & 1 == 1).map(|bit| candidates[bit]).collect())
            .collect()
    }

    fn cluster() -> impl Strategy<Value = Vec<Candidate>> {
        proptest::collection::vec((0u8..3, 0u8..3, 0u8..2, 1u64..1000), 1..10).prop_map(|nodes| {
            nodes
                .into_iter()
                .map(|(datacenter, rack, switch, free_bytes)| Candidate {
                    node: NodeId::generate(),
                    free_bytes,
                    largest_free_bytes: free_bytes,
                    limit_bytes: 1000,
                    locality: [("datacenter", datacenter), ("rack", rack), ("switch", switch)]
                        .map(|(key, value)| (key.to_owned(), value.to_string()))
                        .to_vec(),
                })
                .collect()
        })
    }

    proptest! {
        #[test]
        fn the_spread_is_as_even_as_any(nodes in cluster(), wanted in 1usize..7, seed in any::<u64>(), score in 0..3) {
            let candidates: Vec<&Candidate> = nodes.iter().collect();
            let count = wanted.min(candidates.len());
            let score = [Score::BestFit, Score::WorstFit, Score::Hybrid][usize::try_from(score).unwrap()];
            let chosen = choose(&[], &candidates, count, score, &mut StdRng::seed_from_u64(seed));
            let distinct: HashSet<_> = chosen.iter().map(|candidate| candidate.node).collect();
            prop_assert_eq!(distinct.len(), count);
            let best = every_choice(&candidates, count).iter().map(|choice| unevenness(choice, 3)).min().unwrap();
            prop_assert_eq!(unevenness(&chosen, 3), best);
        }

        #[test]
        fn one_more_beside_others_is_as_even_as_any(nodes in cluster(), split in 0usize..9, seed in any::<u64>()) {
            let (kept, others) = nodes.split_at(split.min(nodes.len() - 1));
            let (kept, others): (Vec<&Candidate>, Vec<&Candidate>) = (kept.iter().collect(), others.iter().collect());
            let chosen = choose(&kept, &others, 1, Score::Hybrid, &mut StdRng::seed_from_u64(seed));
            let with = |other: &[&Candidate]| -> Vec<usize> {
                unevenness(&kept.iter().chain(other).copied().collect::<Vec<_>>(), 3)
            };
            prop_assert_eq!(chosen.len(), 1);
            prop_assert_eq!(with(&chosen), others.iter().map(|other| with(&[other])).min().unwrap());
        }
    }

    #[test]
    fn nodes_without_labels_are_all_used_in_time() {
        let nodes: Vec<Candidate> = (0..8)
            .map(|_| Candidate {
                node: NodeId::generate(),
                free_bytes: 9,
                largest_free_bytes: 9,
                limit_bytes: 10,
                locality: Vec::new(),
            })
            .collect();
        let candidates: Vec<&Candidate> = nodes.iter().collect();
        let mut random = StdRng::seed_from_u64(7);
        let used: HashSet<NodeId> = (0..64)
            .flat_map(|_| choose(&[], &candidates, 3, Score::Hybrid, &mut random))
            .map(|candidate| candidate.node)
            .collect();
        assert_eq!(used.len(), 8);
    }
}
