use cairn_proto::wire::Device;

/// Room on the devices of one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(clippy::struct_field_names, reason = "names end in their unit")]
pub(super) struct DeviceRoom {
    /// What they may hold in all.
    pub(super) limit_bytes: u64,
    /// What is free on all of them.
    pub(super) free_bytes: u64,
    /// What is free on the one that has most: a chunk lies whole on one device.
    pub(super) largest_bytes: u64,
}

impl DeviceRoom {
    /// What is not used, and will not be by what is reserved on their node.
    pub(super) fn of(devices: &[Device], reserved_bytes: u64) -> Self {
        let mut room = Self::default();
        for (device, reserved_bytes) in devices.iter().zip(shares(devices, reserved_bytes)) {
            let free_bytes = free(device).saturating_sub(reserved_bytes);
            room.limit_bytes = room.limit_bytes.saturating_add(device.limit_bytes);
            room.free_bytes = room.free_bytes.saturating_add(free_bytes);
            room.largest_bytes = room.largest_bytes.max(free_bytes);
        }
        room
    }
}

/// Names on each device its part of what is reserved on their node.
pub(super) fn reserve(devices: &mut [Device], reserved_bytes: u64) {
    let shares: Vec<u64> = shares(devices, reserved_bytes).collect();
    for (device, share) in devices.iter_mut().zip(shares) {
        device.reserved_bytes = share;
    }
}

/// What is reserved on a node, shared out. It is the node that chooses the device of a chunk, by what is free: so each is
/// taken to give its part of that. What rounding leaves is the first one's.
fn shares(devices: &[Device], reserved_bytes: u64) -> impl Iterator<Item = u64> {
    let all_free = devices.iter().map(|device| u128::from(free(device))).sum::<u128>().max(1);
    let part = move |device: &Device| {
        let part = u128::from(reserved_bytes) * u128::from(free(device)) / all_free;
        u64::try_from(part).expect("a part of what is reserved")
    };
    let rest = reserved_bytes - devices.iter().map(part).sum::<u64>();
    let rests = std::iter::once(rest).chain(std::iter::repeat(0));
    devices.iter().map(part).zip(rests).map(|(part, rest)| part + rest)
}

fn free(device: &Device) -> u64 {
    device.limit_bytes.saturating_sub(device.used_bytes)
}

#[cfg(test)]
mod tests {
    use cairn_proto::wire::Device;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::{DeviceRoom, free, reserve};

    fn device((limit_bytes, used_bytes): (u64, u64)) -> Device {
        Device { name: String::new(), limit_bytes, used_bytes, reserved_bytes: 7 }
    }

    fn reserved(devices: &[(u64, u64)], bytes: u64) -> Vec<u64> {
        let mut devices: Vec<Device> = devices.iter().copied().map(device).collect();
        reserve(&mut devices, bytes);
        devices.iter().map(|device| device.reserved_bytes).collect()
    }

    #[test]
    fn each_device_is_reserved_its_part_of_what_is_free() {
        assert_eq!(reserved(&[(100, 40)], 20), [20]);
        assert_eq!(reserved(&[(100, 40), (100, 70), (50, 60)], 30), [20, 10, 0]);
        assert_eq!(reserved(&[(100, 100), (50, 50)], 8), [8, 0]);
        assert!(reserved(&[], 8).is_empty());
    }

    #[test]
    fn a_chunk_fits_where_one_device_has_room_for_it() {
        let room = DeviceRoom::of(&[(100, 40), (100, 70)].map(device), 30);
        assert_eq!(room, DeviceRoom { limit_bytes: 200, free_bytes: 60, largest_bytes: 40 });
    }

    proptest! {
        #[test]
        fn all_of_it_is_reserved_and_no_device_more_than_it_has_free(
            devices in proptest::collection::vec((any::<u64>(), any::<u64>()), 1..9),
            bytes: u64,
        ) {
            let mut all: Vec<Device> = devices.into_iter().map(device).collect();
            reserve(&mut all, bytes);
            let sum: u128 = all.iter().map(|device| u128::from(device.reserved_bytes)).sum();
            prop_assert_eq!(sum, u128::from(bytes));
            let free_in_all: u128 = all.iter().map(|device| u128::from(free(device))).sum();
            if u128::from(bytes) <= free_in_all {
                // The first takes what rounding leaves: less than one byte for each device.
                let over = all.iter().map(|device| device.reserved_bytes.saturating_sub(free(device))).max();
                prop_assert!(over.unwrap_or(0) <= all.len() as u64);
            }
        }
    }
}
