use std::cmp::Reverse;

/// A device, as a new segment sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room<'a> {
    /// Its name.
    pub(super) device: &'a str,
    pub(super) limit_bytes: u64,
    /// What it holds, and what its open segments are expected to take yet.
    pub(super) taken_bytes: u64,
    pub(super) takes_writes: bool,
}

/// Parts of a device's limit that are told apart.
const STEPS: u128 = 1 << 32;

impl Room<'_> {
    /// The part of its limit that is left.
    fn free_part(&self) -> u128 {
        let free_bytes = self.limit_bytes.saturating_sub(self.taken_bytes);
        u128::from(free_bytes) * STEPS / u128::from(self.limit_bytes.max(1))
    }
}

/// The device for a new segment, by its place: the one with the largest part of its limit left, and of equal ones the first
/// by name. Those that refuse writes come last, so that they are asked, and say why, only when all refuse.
pub(super) fn choose(rooms: &[Room<'_>]) -> usize {
    let rank = |room: &Room<'_>| (room.takes_writes, room.free_part());
    let order = |index: &usize| (rank(&rooms[*index]), Reverse(rooms[*index].device));
    (0..rooms.len()).max_by_key(order).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Strategy, any, prop_assert, prop_assume, proptest};

    use super::{Room, choose};

    const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

    fn room(device: &str, limit_bytes: u64, taken_bytes: u64) -> Room<'_> {
        Room { device, limit_bytes, taken_bytes, takes_writes: true }
    }

    fn rooms() -> impl Strategy<Value = Vec<Room<'static>>> {
        let figures = (1..1_000_000_u64, 0..1_200_000_u64, any::<bool>());
        proptest::collection::vec(figures, 1..=NAMES.len()).prop_map(|figures| {
            let rooms = NAMES.into_iter().zip(figures).map(|(device, (limit_bytes, taken_bytes, takes_writes))| Room {
                device,
                limit_bytes,
                taken_bytes,
                takes_writes,
            });
            rooms.collect()
        })
    }

    #[test]
    fn the_largest_free_part_wins_and_of_equal_ones_the_first_by_name() {
        assert_eq!(choose(&[room("a", 100, 50), room("b", 1000, 400)]), 1);
        assert_eq!(choose(&[room("b", 100, 50), room("a", 1000, 500)]), 1);
        assert_eq!(choose(&[room("a", 0, 0), room("b", 10, 9)]), 1);
    }

    #[test]
    fn one_that_refuses_is_taken_when_all_do() {
        let refusing = |room: Room<'static>| Room { takes_writes: false, ..room };
        assert_eq!(choose(&[refusing(room("a", 100, 0)), room("b", 100, 99)]), 1);
        assert_eq!(choose(&[refusing(room("a", 100, 98)), refusing(room("b", 100, 99))]), 0);
    }

    proptest! {
        #[test]
        fn no_device_that_takes_writes_has_a_larger_part_free(rooms in rooms()) {
            let chosen = rooms[choose(&rooms)];
            prop_assume!(chosen.takes_writes);
            for other in rooms.iter().filter(|room| room.takes_writes) {
                prop_assert!(chosen.free_part() >= other.free_part());
            }
        }

        #[test]
        fn devices_of_any_sizes_fill_evenly(limits in proptest::collection::vec(100_000..1_000_000_u64, 2..6)) {
            let mut rooms: Vec<Room<'_>> = NAMES.iter().zip(&limits).map(|(name, limit)| room(name, *limit, 0)).collect();
            let segment = 1_000;
            let total: u64 = limits.iter().sum();
            for _ in 0..total / 2 / segment {
                let chosen = choose(&rooms);
                rooms[chosen].taken_bytes += segment;
            }
            // None is further ahead than by the last segment that it took.
            let filled = |room: &Room<'_>, bytes: u64| u128::from(bytes) * u128::from(total) / u128::from(room.limit_bytes);
            let least = rooms.iter().map(|room| filled(room, room.taken_bytes)).min().unwrap();
            for room in &rooms {
                prop_assert!(filled(room, room.taken_bytes.saturating_sub(segment)) <= least);
            }
        }
    }
}
