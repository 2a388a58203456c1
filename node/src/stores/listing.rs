use cairn_proto::ids::SegmentId;

use crate::store::{InventoryPage, ListedChunk, StoreError};

/// A page that names a chunk if there are any. All that one would have named may have been deleted while it was read: then
/// those behind them come next.
pub(super) fn begun(list: impl Fn() -> Result<InventoryPage, StoreError>) -> Result<InventoryPage, StoreError> {
    loop {
        let page = list()?;
        if !page.more || !page.chunks.is_empty() {
            return Ok(page);
        }
    }
}

/// One page of at most `limit` chunks out of one of each device, all from the same place on. It ends where the first of
/// them ends that has more, so that no chunk is skipped.
pub(super) fn merge(pages: Vec<InventoryPage>, limit: usize) -> InventoryPage {
    let last = |page: &InventoryPage| page.chunks.last().map(|chunk| chunk.segment);
    let end: Option<SegmentId> = pages.iter().filter(|page| page.more).filter_map(last).min();
    let mut more = end.is_some();
    let mut chunks: Vec<ListedChunk> = pages.into_iter().flat_map(|page| page.chunks).collect();
    chunks.sort_by_key(|chunk| chunk.segment);
    if let Some(end) = end {
        chunks.retain(|chunk| chunk.segment <= end);
    }
    more |= chunks.len() > limit;
    chunks.truncate(limit);
    InventoryPage { chunks, more }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use cairn_proto::ids::{SegmentId, SessionId, TransactionId};
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    use super::{begun, merge};
    use crate::store::{InventoryPage, ListedChunk, Tally};

    fn segment(number: u8) -> SegmentId {
        SegmentId::from_bytes([number; 16])
    }

    fn listed(number: u8) -> ListedChunk {
        let transaction = TransactionId { session: SessionId(1), sequence: 1 };
        ListedChunk { segment: segment(number), transaction, chunk_index: 0, tally: Tally::EMPTY }
    }

    fn page(numbers: &BTreeSet<u8>, after: Option<SegmentId>, limit: usize) -> InventoryPage {
        let behind: Vec<ListedChunk> =
            numbers.iter().map(|number| listed(*number)).filter(|chunk| Some(chunk.segment) > after).collect();
        InventoryPage { more: behind.len() > limit, chunks: behind.into_iter().take(limit).collect() }
    }

    #[test]
    fn a_page_whose_chunks_were_all_deleted_is_not_the_last() {
        let emptied = InventoryPage { chunks: Vec::new(), more: true };
        let next = InventoryPage { chunks: vec![listed(3)], more: false };
        let pages = std::cell::RefCell::new(vec![next.clone(), emptied]);
        assert_eq!(begun(|| Ok(pages.borrow_mut().pop().unwrap())).unwrap(), next);
    }

    #[test]
    fn a_page_that_lost_chunks_meanwhile_ends_before_what_it_has_not_seen() {
        // The first device has more behind 3, and named one chunk less than it might have.
        let first = InventoryPage { chunks: vec![listed(1), listed(3)], more: true };
        let second = InventoryPage { chunks: vec![listed(2), listed(9)], more: false };
        let merged = merge(vec![first, second], 3);
        assert_eq!((merged.chunks, merged.more), (vec![listed(1), listed(2), listed(3)], true));
    }

    proptest! {
        #[test]
        fn page_after_page_names_every_chunk_once_and_in_order(
            places in proptest::collection::btree_map(0_u8..200, 0_usize..3, 0..60),
            limit in 1_usize..9,
        ) {
            let device = |device: usize| places.iter().filter(|(_, at)| **at == device).map(|(number, _)| *number).collect();
            let devices: Vec<BTreeSet<u8>> = (0..3).map(device).collect();
            let (mut found, mut after) = (Vec::new(), None);
            loop {
                let merged = merge(devices.iter().map(|numbers| page(numbers, after, limit)).collect(), limit);
                prop_assert!(merged.chunks.len() <= limit);
                found.extend(merged.chunks.iter().map(|chunk| chunk.segment));
                after = found.last().copied();
                if !merged.more {
                    break;
                }
                prop_assert!(!merged.chunks.is_empty());
            }
            prop_assert_eq!(found, places.keys().map(|number| segment(*number)).collect::<Vec<_>>());
        }
    }
}
