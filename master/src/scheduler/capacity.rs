use cairn_codec::Layout;

use super::placement::most_holes;

/// User bytes that fit on nodes with this much room each, when every segment takes as many distinct nodes as it has
/// chunks (or all there are, if segments may open with so many holes).
///
/// Each chunk of each segment lies on another node, so with `t` bytes per chunk a node gives at most `t`: the answer is
/// the largest `t` with `sum(min(room, t)) >= chunks * t`, times N. It is reached when placement evens nodes out; an
/// uneven set of failure domains can strand room that is counted here.
pub fn placeable_bytes(rooms: &[u64], layout: &Layout) -> u64 {
    let chunks = layout.chunks().min(rooms.len());
    if chunks < layout.chunks() - most_holes(layout) {
        return 0;
    }
    let given = |per_chunk: u64| -> u128 { rooms.iter().map(|&room| u128::from(room.min(per_chunk))).sum() };
    let fits = |per_chunk: u64| given(per_chunk) >= chunks as u128 * u128::from(per_chunk);
    let most = given(u64::MAX) / (chunks as u128).max(1);
    let (mut low, mut high) = (0, u64::try_from(most).unwrap_or(u64::MAX));
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if fits(middle) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    low.saturating_mul(layout.data() as u64)
}

#[cfg(test)]
mod tests {
    use super::placeable_bytes;
    use cairn_codec::Layout;
    use proptest::prelude::{prop_assert_eq, proptest};

    fn layout(data: u32, code: u32) -> Layout {
        Layout::new(data, code, 65536, 64 << 20).unwrap()
    }

    #[test]
    fn equal_nodes_give_the_data_share() {
        assert_eq!(placeable_bytes(&[600; 6], &layout(4, 2)), 2400);
        assert_eq!(placeable_bytes(&[600; 12], &layout(4, 2)), 4800);
    }

    #[test]
    fn the_smallest_nodes_bound_a_full_width_segment() {
        assert_eq!(placeable_bytes(&[100, 600, 600, 600, 600, 600], &layout(4, 2)), 400);
    }

    #[test]
    fn a_node_short_still_counts_and_two_short_do_not() {
        assert_eq!(placeable_bytes(&[600; 5], &layout(4, 2)), 2400);
        assert_eq!(placeable_bytes(&[600; 4], &layout(4, 2)), 0);
        assert_eq!(placeable_bytes(&[], &layout(1, 0)), 0);
    }

    /// Places one byte per chunk at a time on the emptiest nodes.
    fn placed_one_by_one(rooms: &[u64], layout: &Layout) -> u64 {
        let chunks = layout.chunks().min(rooms.len());
        let mut rooms = rooms.to_vec();
        let mut rows = 0;
        loop {
            rooms.sort_unstable_by(|a, b| b.cmp(a));
            if rooms.len() < chunks || rooms[..chunks].contains(&0) {
                return rows * layout.data() as u64;
            }
            rooms[..chunks].iter_mut().for_each(|room| *room -= 1);
            rows += 1;
        }
    }

    proptest! {
        #[test]
        fn what_is_promised_can_be_placed(rooms in proptest::collection::vec(0u64..30, 3..9)) {
            let layout = layout(2, 2);
            prop_assert_eq!(placeable_bytes(&rooms, &layout), placed_one_by_one(&rooms, &layout));
        }
    }
}
