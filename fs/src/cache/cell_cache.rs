use std::hash::{BuildHasher, RandomState};

use bytes::Bytes;
use cairn_proto::ids::SegmentId;
use parking_lot::Mutex;

use super::shard::Shard;

/// Independently locked parts of the cache.
const SHARDS: usize = 16;
/// An entry above this part of its shard is refused: it would push out too much at once.
const LARGEST_SHARE: usize = 8;
/// A value that keeps more than this many times its own bytes in memory is copied.
const PINNING_LIMIT: usize = 2;

/// Which cell, over all blobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CellKey {
    /// The segment.
    pub segment: SegmentId,
    /// Row in the segment.
    pub row: u64,
    /// Index of the chunk.
    pub chunk: u8,
}

/// How a cell enters the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// As the most recently used; the least recently used make room.
    Warm,
    /// By a reader that passes through: only where there is room, and first to go, so that one long read does not
    /// push out what others use.
    Streaming,
}

/// Payloads of cells, the least recently used dropped first, within a fixed number of bytes. Cells never change, so
/// nothing is ever stale.
#[derive(Debug)]
pub struct CellCache {
    shards: Vec<Mutex<Shard>>,
    hasher: RandomState,
    shard_bytes: usize,
}

impl CellCache {
    /// A cache of `limit_bytes`, entries' overhead included. 0: nothing is kept.
    #[must_use]
    pub fn new(limit_bytes: usize) -> Self {
        let shard_bytes = limit_bytes / SHARDS;
        let shards = (0..SHARDS).map(|_| Mutex::new(Shard::new(shard_bytes))).collect();
        Self { shards, hasher: RandomState::new(), shard_bytes }
    }

    /// The payload of a cell, which counts as used now.
    pub fn get(&self, key: &CellKey) -> Option<Bytes> {
        self.shard(key).lock().get(key)
    }

    /// Keeps the payload of a cell. `pinned_bytes` is what the payload keeps in memory as a slice of something larger;
    /// it is copied if that is out of proportion.
    pub fn insert(&self, key: CellKey, payload: &Bytes, pinned_bytes: usize, admission: Admission) {
        let shard = self.shard(&key);
        if payload.len() > self.shard_bytes / LARGEST_SHARE
            || (admission == Admission::Streaming && !shard.lock().has_room(payload.len()))
        {
            return;
        }
        let owned = if pinned_bytes > payload.len() * PINNING_LIMIT {
            Bytes::copy_from_slice(payload)
        } else {
            payload.clone()
        };
        let weight = owned.len().max(if pinned_bytes > payload.len() * PINNING_LIMIT { 0 } else { pinned_bytes });
        // Freeing the victims' memory takes a while: it happens here, outside the lock.
        let victims = shard.lock().insert(key, owned, weight, admission);
        drop(victims);
    }

    /// Bytes that count against the limit now.
    pub fn used_bytes(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().used_bytes()).sum()
    }

    fn shard(&self, key: &CellKey) -> &Mutex<Shard> {
        let hash = self.hasher.hash_one(key);
        // The low bits choose the bucket inside the shard's map.
        &self.shards[usize::try_from(hash >> 48).unwrap_or(0) % SHARDS]
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use cairn_proto::ids::SegmentId;

    use super::{Admission, CellCache, CellKey, LARGEST_SHARE, SHARDS};

    const SHARD_BYTES: usize = 1 << 20;

    fn cache() -> CellCache {
        CellCache::new(SHARD_BYTES * SHARDS)
    }

    fn key(row: u64) -> CellKey {
        CellKey { segment: SegmentId::from_bytes([1; 16]), row, chunk: 0 }
    }

    #[test]
    fn a_cell_is_found_again() {
        let cache = cache();
        let payload = Bytes::from(vec![7; 1000]);
        cache.insert(key(1), &payload, 1000, Admission::Warm);
        assert_eq!(cache.get(&key(1)), Some(payload));
        assert_eq!(cache.get(&key(2)), None);
    }

    #[test]
    fn the_limit_holds_whatever_comes() {
        let cache = cache();
        for row in 0..2000 {
            cache.insert(key(row), &Bytes::from(vec![0; 60_000]), 60_000, Admission::Warm);
            assert!(cache.used_bytes() <= SHARD_BYTES * SHARDS);
        }
        assert!(cache.used_bytes() > SHARD_BYTES * SHARDS / 2);
    }

    #[test]
    fn a_slice_of_a_large_message_is_copied() {
        let cache = cache();
        let message = Bytes::from(vec![7; 1 << 20]);
        let slice = message.slice(..1000);
        cache.insert(key(1), &slice, message.len(), Admission::Warm);
        assert_ne!(cache.get(&key(1)).unwrap().as_ptr(), slice.as_ptr());
        assert!(cache.used_bytes() < 2000);
    }

    #[test]
    fn an_entry_too_large_for_its_shard_is_refused() {
        let cache = cache();
        let payload = Bytes::from(vec![7; SHARD_BYTES / LARGEST_SHARE + 1]);
        cache.insert(key(1), &payload, payload.len(), Admission::Warm);
        assert_eq!(cache.get(&key(1)), None);
    }

    #[test]
    fn a_passing_reader_pushes_nothing_out() {
        let cache = cache();
        let payload = Bytes::from(vec![7; 60_000]);
        (0..2000).for_each(|row| cache.insert(key(row), &payload, payload.len(), Admission::Warm));
        let warm: Vec<u64> = (0..2000).filter(|row| cache.get(&key(*row)).is_some()).collect();
        (2000..4000).for_each(|row| cache.insert(key(row), &payload, payload.len(), Admission::Streaming));
        assert!(warm.iter().all(|row| cache.get(&key(*row)).is_some()));
    }

    #[test]
    fn a_cache_of_nothing_keeps_nothing() {
        let cache = CellCache::new(0);
        cache.insert(key(1), &Bytes::from_static(b"x"), 1, Admission::Warm);
        assert_eq!(cache.get(&key(1)), None);
    }
}
