use std::collections::BTreeMap;

use crate::scheduler::Candidate;

/// For each level of failure domains, the most chunks that lie in one domain: what its loss costs. A label that is
/// missing counts as a domain that all nodes without it share.
pub(super) fn largest_shares(nodes: &[&Candidate]) -> Vec<usize> {
    let depth = nodes.iter().map(|node| node.locality.len()).max().unwrap_or(0);
    let largest = |level: usize| {
        let mut shares: BTreeMap<&[(String, String)], usize> = BTreeMap::new();
        for node in nodes {
            *shares.entry(&node.locality[..level.min(node.locality.len())]).or_default() += 1;
        }
        shares.into_values().max().unwrap_or(0)
    };
    (1..=depth).map(largest).collect()
}

/// The widest level at which the loss of any one domain costs at most `spare` chunks `before` and more `after`.
pub(super) fn first_level_broken(before: &[&Candidate], after: &[&Candidate], spare: usize) -> Option<usize> {
    let (before, after) = (largest_shares(before), largest_shares(after));
    before.iter().zip(&after).position(|(before, after)| *before <= spare && *after > spare)
}

#[cfg(test)]
mod tests {
    use cairn_proto::ids::NodeId;

    use super::{Candidate, first_level_broken, largest_shares};

    fn at(datacenter: &str, rack: &str) -> Candidate {
        let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let locality = vec![label("dc", datacenter), label("rack", rack)];
        Candidate { node: NodeId::generate(), free_bytes: 0, limit_bytes: 0, locality }
    }

    #[test]
    fn what_the_loss_of_a_domain_costs_is_told_for_each_level() {
        let nodes = [at("a", "1"), at("a", "2"), at("a", "2"), at("b", "2")];
        assert_eq!(largest_shares(&nodes.iter().collect::<Vec<_>>()), [3, 2]);
        assert_eq!(largest_shares(&[]), [0usize; 0]);
    }

    #[test]
    fn a_level_is_broken_if_it_was_sound_before() {
        let [one, two, three] = [at("a", "1"), at("b", "1"), at("a", "2")];
        assert_eq!(first_level_broken(&[&one, &two], &[&one, &three], 1), Some(0));
        assert_eq!(first_level_broken(&[&one, &three], &[&one, &one], 1), Some(1));
        assert_eq!(first_level_broken(&[&one, &two], &[&one, &three], 2), None);
    }
}
