/// A chunk whose cells reach its node by way of another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Relayed {
    /// The chunk.
    pub chunk: usize,
    /// The chunk whose node passes them on. It is sent to itself.
    pub via: usize,
}

/// Labels, widest failure domain first.
type Locality = [(String, String)];

/// Plans how the copies of a segment reach their nodes: into each datacenter but the client's they go once, to the node
/// of the first chunk there, which passes them on to the others. A datacenter is what the labels say up to the first whose
/// key is one of `datacenter_keys`. Whoever has no such label, node or client, is sent to, or sends, directly.
pub fn plan_transfer(
    client: &Locality,
    targets: &[Option<Vec<(String, String)>>],
    datacenter_keys: &[String],
) -> Vec<Relayed> {
    let Some(home) = datacenter(client, datacenter_keys) else { return Vec::new() };
    let remote = |locality: &'_ Option<Vec<(String, String)>>| {
        let found = datacenter(locality.as_deref()?, datacenter_keys)?;
        (found != home).then(|| found.to_vec())
    };
    let datacenters: Vec<Option<Vec<(String, String)>>> = targets.iter().map(remote).collect();
    let relayed = |(chunk, found): (usize, &Option<Vec<(String, String)>>)| {
        let via = datacenters[..chunk].iter().position(|earlier| found.is_some() && earlier == found)?;
        Some(Relayed { chunk, via })
    };
    datacenters.iter().enumerate().filter_map(relayed).collect()
}

fn datacenter<'a>(locality: &'a Locality, keys: &[String]) -> Option<&'a Locality> {
    let last = locality.iter().position(|(key, _)| keys.contains(key))?;
    Some(&locality[..=last])
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, proptest};

    use super::{Relayed, plan_transfer};

    fn at(labels: &[(&str, &str)]) -> Vec<(String, String)> {
        labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn keys() -> Vec<String> {
        vec!["datacenter".to_owned(), "dc".to_owned()]
    }

    #[test]
    fn each_remote_datacenter_is_entered_once() {
        let [a, b, c] = ["a", "b", "c"].map(|name| at(&[("datacenter", name), ("rack", "r1")]));
        let targets = [&b, &a, &c, &b, &c, &a, &b].map(|place| Some(place.clone()));
        let expected = [(3, 0), (4, 2), (6, 0)].map(|(chunk, via)| Relayed { chunk, via });
        assert_eq!(plan_transfer(&a, &targets, &keys()), expected);
    }

    #[test]
    fn racks_of_ones_own_datacenter_are_sent_to_directly() {
        let rack = |name| at(&[("dc", "a"), ("rack", name)]);
        let targets = [Some(rack("1")), Some(rack("2")), Some(rack("2"))];
        assert_eq!(plan_transfer(&rack("1"), &targets, &keys()), []);
    }

    #[test]
    fn the_same_name_in_another_region_is_another_datacenter() {
        let place = |region, name| at(&[("region", region), ("datacenter", name)]);
        let targets = [Some(place("eu", "1")), Some(place("us", "1")), Some(place("us", "1"))];
        assert_eq!(plan_transfer(&place("eu", "1"), &targets, &keys()), [Relayed { chunk: 2, via: 1 }]);
    }

    #[test]
    fn without_labels_or_where_nothing_is_configured_all_is_sent_directly() {
        let (home, away) = (at(&[("dc", "a")]), at(&[("dc", "b")]));
        let targets = [Some(away.clone()), None, Some(away), Some(Vec::new()), Some(Vec::new())];
        assert_eq!(plan_transfer(&[], &targets, &keys()), []);
        assert_eq!(plan_transfer(&home, &targets, &[]), []);
        assert_eq!(plan_transfer(&home, &targets, &keys()), [Relayed { chunk: 2, via: 0 }]);
    }

    fn place() -> impl Strategy<Value = Option<Vec<(String, String)>>> {
        (any::<bool>(), 0u8..4, 0u8..2).prop_map(|(is_placed, datacenter, rack)| {
            let labels = [("datacenter", datacenter), ("rack", rack)];
            is_placed.then(|| labels.map(|(key, value)| (key.to_owned(), value.to_string())).to_vec())
        })
    }

    proptest! {
        #[test]
        fn what_is_sent_and_what_is_relayed_make_up_all_targets(
            targets in proptest::collection::vec(place(), 1..12),
            home in 0u8..4,
        ) {
            let home = home.to_string();
            let relayed = plan_transfer(&at(&[("datacenter", &home)]), &targets, &keys());
            let chunks: HashSet<usize> = relayed.iter().map(|relayed| relayed.chunk).collect();
            let datacenter = |chunk: usize| targets[chunk].as_ref().map(|labels| labels[0].1.clone());
            for Relayed { chunk, via } in &relayed {
                prop_assert!(!chunks.contains(via), "an entry is sent to");
                prop_assert!(datacenter(*chunk).is_some());
                prop_assert_eq!(datacenter(*chunk), datacenter(*via));
            }
            let mut entered = HashSet::new();
            for chunk in (0..targets.len()).filter(|chunk| !chunks.contains(chunk)) {
                let into = datacenter(chunk).filter(|into| *into != home);
                prop_assert!(into.is_none_or(|into| entered.insert(into)), "entered once");
            }
        }
    }
}
