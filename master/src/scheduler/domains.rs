use std::collections::BTreeMap;

use super::candidate::Candidate;

/// For each level of failure domains, how many of the nodes lie in each domain. A label that is missing counts as a domain
/// that all nodes without it share.
fn shares(nodes: &[&Candidate], depth: usize) -> Vec<Vec<usize>> {
    let of_level = |level: usize| {
        let mut shares: BTreeMap<&[(String, String)], usize> = BTreeMap::new();
        for node in nodes {
            *shares.entry(&node.locality[..level.min(node.locality.len())]).or_default() += 1;
        }
        shares.into_values().collect()
    };
    (1..=depth).map(of_level).collect()
}

fn depth(nodes: &[&Candidate]) -> usize {
    nodes.iter().map(|node| node.locality.len()).max().unwrap_or(0)
}

/// The widest level at which the loss of any one domain costs at most `spare` chunks `before` and more `after`.
pub fn first_level_broken(before: &[&Candidate], after: &[&Candidate], spare: usize) -> Option<usize> {
    let largest = |nodes: &[&Candidate]| -> Vec<usize> {
        shares(nodes, depth(nodes)).into_iter().map(|shares| shares.into_iter().max().unwrap_or(0)).collect()
    };
    let (before, after) = (largest(before), largest(after));
    before.iter().zip(&after).position(|(before, after)| *before <= spare && *after > spare)
}

/// Whether the chunks of a segment lie at least as evenly over the domains of each level `after` as `before`.
pub fn is_spread_as_well(before: &[&Candidate], after: &[&Candidate]) -> bool {
    let depth = depth(before).max(depth(after));
    let unevenness = |nodes: &[&Candidate]| -> Vec<usize> {
        shares(nodes, depth).iter().map(|shares| shares.iter().map(|share| share * share).sum()).collect()
    };
    unevenness(before).iter().zip(unevenness(after)).all(|(before, after)| after <= *before)
}

#[cfg(test)]
mod tests {
    use cairn_proto::ids::NodeId;

    use super::{Candidate, first_level_broken, is_spread_as_well};

    fn at(datacenter: &str, rack: &str) -> Candidate {
        let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let locality = vec![label("dc", datacenter), label("rack", rack)];
        Candidate { node: NodeId::generate(), free_bytes: 0, largest_free_bytes: 0, limit_bytes: 0, locality }
    }

    #[test]
    fn chunks_are_spread_as_well_if_no_level_is_less_even() {
        let [one, two, three, four] = [at("a", "1"), at("b", "1"), at("a", "2"), at("a", "1")];
        assert!(is_spread_as_well(&[&one, &three], &[&one, &two]));
        assert!(!is_spread_as_well(&[&one, &two], &[&one, &three]));
        assert!(!is_spread_as_well(&[&one, &three], &[&one, &four]));
        assert!(is_spread_as_well(&[&one, &three], &[&four, &three]));
    }

    #[test]
    fn a_level_is_broken_if_it_was_sound_before() {
        let [one, two, three] = [at("a", "1"), at("b", "1"), at("a", "2")];
        assert_eq!(first_level_broken(&[&one, &two], &[&one, &three], 1), Some(0));
        assert_eq!(first_level_broken(&[&one, &three], &[&one, &one], 1), Some(1));
        assert_eq!(first_level_broken(&[&one, &two], &[&one, &three], 2), None);
    }
}
