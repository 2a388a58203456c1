use cairn_proto::wire::Label;

/// How far apart two places are: the labels of ours, widest first, that the other does not share. A client without
/// labels is equally far from every node.
pub(super) fn distance(ours: &[Label], theirs: &[Label]) -> usize {
    let shared = ours.iter().zip(theirs).take_while(|(our, their)| our == their).count();
    ours.len() - shared
}

#[cfg(test)]
mod tests {
    use cairn_proto::wire::Label;

    use super::distance;

    fn labels(values: [&str; 3]) -> Vec<Label> {
        let keys = ["region", "datacenter", "rack"];
        keys.into_iter()
            .zip(values)
            .map(|(key, value)| Label { key: key.to_owned(), value: value.to_owned() })
            .collect()
    }

    #[test]
    fn the_first_label_that_differs_counts() {
        let here = labels(["eu", "a", "r1"]);
        assert_eq!(distance(&here, &here), 0);
        assert_eq!(distance(&here, &labels(["eu", "a", "r2"])), 1);
        assert_eq!(distance(&here, &labels(["us", "a", "r1"])), 3);
        assert_eq!(distance(&[], &here), 0);
        assert_eq!(distance(&here, &[]), 3);
    }
}
