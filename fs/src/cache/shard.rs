use bytes::Bytes;
use lru::LruCache;

use super::{Admission, CellKey};

/// What an entry takes beside its payload: map, list and reference count.
pub(super) const ENTRY_OVERHEAD_BYTES: usize = 128;

/// One independently locked part of the cache.
#[derive(Debug)]
pub(super) struct Shard {
    entries: LruCache<CellKey, Entry>,
    used_bytes: usize,
    limit_bytes: usize,
}

#[derive(Debug)]
struct Entry {
    payload: Bytes,
    weight: usize,
}

impl Shard {
    pub(super) fn new(limit_bytes: usize) -> Self {
        Self { entries: LruCache::unbounded(), used_bytes: 0, limit_bytes }
    }

    pub(super) fn get(&mut self, key: &CellKey) -> Option<Bytes> {
        self.entries.get(key).map(|entry| entry.payload.clone())
    }

    /// Whether a payload of `length` fits without pushing anything out.
    pub(super) fn has_room(&self, length: usize) -> bool {
        self.used_bytes + length + ENTRY_OVERHEAD_BYTES <= self.limit_bytes
    }

    /// Inserts a payload that keeps `bytes` in memory, and gives what was pushed out for the caller to drop.
    pub(super) fn insert(&mut self, key: CellKey, payload: Bytes, bytes: usize, admission: Admission) -> Vec<Bytes> {
        let weight = bytes + ENTRY_OVERHEAD_BYTES;
        let mut victims = Vec::new();
        if let Some((_, replaced)) = self.entries.push(key, Entry { payload, weight }) {
            self.used_bytes -= replaced.weight;
            victims.push(replaced.payload);
        }
        self.used_bytes += weight;
        if admission == Admission::Streaming {
            self.entries.demote(&key);
        }
        while self.used_bytes > self.limit_bytes {
            let Some((_, victim)) = self.entries.pop_lru() else { break };
            self.used_bytes -= victim.weight;
            victims.push(victim.payload);
        }
        victims
    }

    pub(super) fn used_bytes(&self) -> usize {
        self.used_bytes
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use cairn_proto::ids::SegmentId;
    use proptest::prelude::{Strategy, any, prop_assert_eq, proptest};

    use super::{ENTRY_OVERHEAD_BYTES, Shard};
    use crate::cache::{Admission, CellKey};

    const LIMIT_BYTES: usize = 4000;

    fn key(row: u64) -> CellKey {
        CellKey { segment: SegmentId::from_bytes([1; 16]), row, chunk: 0 }
    }

    #[derive(Debug, Clone)]
    enum Operation {
        Get(u64),
        Insert(u64, usize, bool),
    }

    fn operation() -> impl Strategy<Value = Operation> {
        (0..12_u64, 1..600_usize, any::<bool>(), any::<bool>()).prop_map(|(row, length, streaming, get)| {
            if get { Operation::Get(row) } else { Operation::Insert(row, length, streaming) }
        })
    }

    /// Keys and lengths from the least to the most recently used.
    #[derive(Default)]
    struct Model(Vec<(u64, usize)>);

    impl Model {
        fn get(&mut self, row: u64) -> Option<usize> {
            let at = self.0.iter().position(|(have, _)| *have == row)?;
            let entry = self.0.remove(at);
            self.0.push(entry);
            Some(entry.1)
        }

        fn insert(&mut self, row: u64, length: usize, streaming: bool) {
            self.0.retain(|(have, _)| *have != row);
            self.0.insert(if streaming { 0 } else { self.0.len() }, (row, length));
            while self.used() > LIMIT_BYTES {
                self.0.remove(0);
            }
        }

        fn used(&self) -> usize {
            self.0.iter().map(|(_, length)| length + ENTRY_OVERHEAD_BYTES).sum()
        }
    }

    proptest! {
        #[test]
        fn a_shard_is_a_list_by_last_use(operations in proptest::collection::vec(operation(), 0..60)) {
            let (mut shard, mut model) = (Shard::new(LIMIT_BYTES), Model::default());
            for operation in operations {
                match operation {
                    Operation::Get(row) => {
                        prop_assert_eq!(shard.get(&key(row)).map(|payload| payload.len()), model.get(row));
                    }
                    Operation::Insert(row, length, streaming) => {
                        let admission = if streaming { Admission::Streaming } else { Admission::Warm };
                        shard.insert(key(row), Bytes::from(vec![0; length]), length, admission);
                        model.insert(row, length, streaming);
                    }
                }
                prop_assert_eq!(shard.used_bytes(), model.used());
            }
        }
    }
}
