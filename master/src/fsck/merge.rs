use std::cmp::Ordering;

/// An item of one of two sorted lists, or one of each with the same key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Merged<L, R> {
    /// Only the first has it.
    Left(L),
    /// Only the second has it.
    Right(R),
    /// Both have it.
    Both(L, R),
}

/// Goes through two lists, each sorted by rising keys, side by side.
pub(super) fn merge<L, R, K: Ord>(
    left: impl IntoIterator<Item = L>,
    right: impl IntoIterator<Item = R>,
    left_key: impl Fn(&L) -> K,
    right_key: impl Fn(&R) -> K,
) -> impl Iterator<Item = Merged<L, R>> {
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    std::iter::from_fn(move || {
        let order = match (left.peek(), right.peek()) {
            (Some(left), Some(right)) => left_key(left).cmp(&right_key(right)),
            (Some(_), None) => Ordering::Less,
            (None, _) => Ordering::Greater,
        };
        match order {
            Ordering::Less => left.next().map(Merged::Left),
            Ordering::Greater => right.next().map(Merged::Right),
            Ordering::Equal => left.next().zip(right.next()).map(|(left, right)| Merged::Both(left, right)),
        }
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use cairn_proto::ids::SegmentId;
    use proptest::collection::{btree_set, vec};
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::{Merged, merge};
    use crate::fsck::paged_list::{OfSegment, PagedList, bound};

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    struct Item(u8);

    impl OfSegment for Item {
        fn segment(&self) -> SegmentId {
            SegmentId::from_bytes([self.0; 16])
        }
    }

    /// The pages of a sorted list, none of them empty.
    struct Pages {
        rest: Vec<Item>,
        size: usize,
        list: PagedList<Item>,
    }

    impl Pages {
        fn new(items: &BTreeSet<u8>, size: usize) -> Self {
            Self { rest: items.iter().map(|item| Item(*item)).collect(), size, list: PagedList::default() }
        }

        fn fill(&mut self) {
            if self.list.needs_page() {
                let page: Vec<Item> = self.rest.drain(..self.size.min(self.rest.len())).collect();
                self.list.add(page, !self.rest.is_empty());
            }
        }
    }

    proptest! {
        #[test]
        fn lists_merged_page_by_page_compare_as_the_whole_sets(
            left in btree_set(any::<u8>(), 0..60),
            rights in vec((btree_set(any::<u8>(), 0..60), 1_usize..9), 1..4),
            size in 1_usize..9,
        ) {
            let mut records = Pages::new(&left, size);
            let mut nodes: Vec<Pages> = rights.iter().map(|(items, size)| Pages::new(items, *size)).collect();
            let mut found = vec![(BTreeSet::new(), BTreeSet::new(), BTreeSet::new()); nodes.len()];
            while !(records.list.is_done() && nodes.iter().all(|node| node.list.is_done())) {
                records.fill();
                nodes.iter_mut().for_each(Pages::fill);
                let all = nodes.iter().map(|node| node.list.complete_through());
                let bound = bound(all.chain([records.list.complete_through()]));
                let page = records.list.take_through(bound);
                for (node, found) in nodes.iter_mut().zip(&mut found) {
                    let listed = node.list.take_through(bound);
                    for merged in merge(page.iter().copied(), listed, OfSegment::segment, OfSegment::segment) {
                        match merged {
                            Merged::Left(item) => found.0.insert(item.0),
                            Merged::Right(item) => found.1.insert(item.0),
                            Merged::Both(item, _) => found.2.insert(item.0),
                        };
                    }
                }
            }
            for ((items, _), found) in rights.iter().zip(found) {
                let expected: (BTreeSet<u8>, BTreeSet<u8>, BTreeSet<u8>) = (
                    left.difference(items).copied().collect(),
                    items.difference(&left).copied().collect(),
                    left.intersection(items).copied().collect(),
                );
                prop_assert_eq!(found, expected);
            }
        }
    }
}
