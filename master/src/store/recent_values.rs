use std::collections::HashMap;

use bytes::Bytes;
use parking_lot::Mutex;

use super::Versioned;
use super::apply::Write;

/// Longest value that is kept.
const VALUE_LIMIT_BYTES: usize = 4 << 10;
/// Bytes of the keys and values of one generation, of which there are two.
const GENERATION_LIMIT_BYTES: usize = 8 << 20;
/// What an entry takes besides its key and value.
const ENTRY_OVERHEAD_BYTES: usize = 128;

/// Values of the state that were written or looked up lately, in memory: what a view finds here it need not look up in
/// the database.
///
/// An entry says since which index its key has been so. It is the latest, so it is also what an older view shows, as far
/// back as that index; a view from before does not find it. For that a write is noted here before the database has it.
/// What is used stays: entries move to the young generation, and when that is full, the old one goes as a whole.
#[derive(Debug)]
pub(super) struct RecentValues {
    generations: Mutex<Generations>,
}

#[derive(Debug)]
struct Generations {
    young: HashMap<Bytes, Recent>,
    old: HashMap<Bytes, Recent>,
    young_bytes: usize,
    limit_bytes: usize,
}

/// What is under a key.
#[derive(Debug, Clone)]
struct Recent {
    /// Index of the command that made it so.
    since: u64,
    /// `None`: the key was removed.
    value: Option<Bytes>,
}

impl Default for RecentValues {
    fn default() -> Self {
        Self::with_limit(GENERATION_LIMIT_BYTES)
    }
}

impl RecentValues {
    fn with_limit(limit_bytes: usize) -> Self {
        let (young, old) = (HashMap::new(), HashMap::new());
        Self { generations: Mutex::new(Generations { young, old, young_bytes: 0, limit_bytes }) }
    }

    /// What a view of the state at `index` shows under a key, from the database by `look_up` if it is not known here.
    pub(super) fn get_or_else<E>(
        &self,
        key: &[u8],
        index: u64,
        look_up: impl FnOnce() -> Result<Option<Versioned>, E>,
    ) -> Result<Option<Versioned>, E> {
        let recent = self.generations.lock().used(key);
        match recent.filter(|recent| recent.since <= index) {
            Some(Recent { since, value }) => Ok(value.map(|value| Versioned { version: since, value })),
            None => look_up(),
        }
    }

    /// Takes note of writes that are about to be made, and that make the state one of `index`.
    pub(super) fn note(&self, writes: &[Write], index: u64) {
        let mut generations = self.generations.lock();
        for (key, written) in writes {
            match written {
                Some(written) => generations.set(key, written),
                None => generations.insert(key, Recent { since: index, value: None }),
            }
        }
    }

    /// Keeps what was found in the database, if nothing is known of the key. Only for whoever makes the writes: to
    /// others it may be old by now.
    pub(super) fn keep(&self, key: &[u8], found: &Versioned) {
        let mut generations = self.generations.lock();
        if generations.used(key).is_none() {
            generations.set(key, found);
        }
    }
}

impl Generations {
    /// The entry of a key, young from now on.
    fn used(&mut self, key: &[u8]) -> Option<Recent> {
        if let Some(recent) = self.young.get(key) {
            return Some(recent.clone());
        }
        let recent = self.old.remove(key)?;
        self.insert(key, recent.clone());
        Some(recent)
    }

    /// The bytes are copies: a write may be a small part of the message that it came in, which would be kept as long.
    fn set(&mut self, key: &[u8], written: &Versioned) {
        if written.value.len() > VALUE_LIMIT_BYTES {
            return self.forget(key);
        }
        let value = Some(Bytes::copy_from_slice(&written.value));
        self.insert(key, Recent { since: written.version, value });
    }

    /// An older entry may stay in the old generation: it is not looked at as long as this one is young, and goes before.
    fn insert(&mut self, key: &[u8], recent: Recent) {
        let size_bytes = weight_bytes(key, &recent);
        if self.young_bytes + size_bytes > self.limit_bytes {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.young_bytes += size_bytes;
        if let Some(known) = self.young.get_mut(key) {
            self.young_bytes -= weight_bytes(key, known);
            *known = recent;
        } else {
            self.young.insert(Bytes::copy_from_slice(key), recent);
        }
    }

    fn forget(&mut self, key: &[u8]) {
        if let Some(recent) = self.young.remove(key) {
            self.young_bytes -= weight_bytes(key, &recent);
        }
        self.old.remove(key);
    }
}

fn weight_bytes(key: &[u8], recent: &Recent) -> usize {
    key.len() + recent.value.as_ref().map_or(0, Bytes::len) + ENTRY_OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;
    use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, proptest};

    use super::{ENTRY_OVERHEAD_BYTES, RecentValues, VALUE_LIMIT_BYTES, Versioned};

    fn versioned(version: u64, length: usize) -> Versioned {
        Versioned { version, value: Bytes::from(vec![u8::try_from(version % 251).unwrap(); length]) }
    }

    /// It has to be looked up.
    #[derive(Debug, PartialEq, Eq)]
    struct Unknown;

    fn get(recent: &RecentValues, key: &[u8], index: u64) -> Result<Option<Versioned>, Unknown> {
        recent.get_or_else(key, index, || Err(Unknown))
    }

    #[test]
    fn a_view_from_before_a_write_does_not_find_it() {
        let recent = RecentValues::default();
        let written = versioned(7, 3);
        recent.note(&[(Bytes::from("a"), Some(written.clone()))], 8);
        assert_eq!(get(&recent, b"a", 6), Err(Unknown));
        assert_eq!(get(&recent, b"a", 8), Ok(Some(written)));
        recent.note(&[(Bytes::from("a"), None)], 9);
        assert_eq!(get(&recent, b"a", 8), Err(Unknown));
        assert_eq!(get(&recent, b"a", 9), Ok(None));
    }

    #[test]
    fn a_long_value_is_not_kept_and_not_what_it_replaced() {
        let recent = RecentValues::default();
        let key = Bytes::from("a");
        recent.note(&[(key.clone(), Some(versioned(1, 3)))], 1);
        recent.note(&[(key.clone(), Some(versioned(2, VALUE_LIMIT_BYTES + 1)))], 2);
        assert_eq!(get(&recent, b"a", 2), Err(Unknown));
    }

    #[test]
    fn what_is_known_is_not_replaced_by_what_was_found() {
        let recent = RecentValues::default();
        recent.note(&[(Bytes::from("a"), Some(versioned(5, 3)))], 5);
        recent.keep(b"a", &versioned(4, 3));
        recent.keep(b"b", &versioned(4, 3));
        assert_eq!(get(&recent, b"a", 5), Ok(Some(versioned(5, 3))));
        assert_eq!(get(&recent, b"b", 5), Ok(Some(versioned(4, 3))));
    }

    #[test]
    fn what_is_used_stays_and_the_rest_goes() {
        let recent = RecentValues::with_limit(8 * (ENTRY_OVERHEAD_BYTES + 2));
        recent.note(&[(Bytes::from("a"), Some(versioned(1, 1)))], 1);
        for index in 2..100_u64 {
            let key = Bytes::copy_from_slice(&[u8::try_from(index).unwrap()]);
            recent.note(&[(key, Some(versioned(index, 1)))], index);
            assert!(get(&recent, b"a", index).is_ok(), "it was used at every index before {index}");
        }
        let kept = recent.generations.lock();
        assert!(kept.young.len() + kept.old.len() <= 16);
    }

    /// Batches of writes: each key with the length of its value, or none for a removal.
    fn batches() -> impl Strategy<Value = Vec<Vec<(u8, Option<usize>)>>> {
        let length = proptest::option::of(0_usize..40);
        let batch = proptest::collection::vec((0_u8..12, length), 0..4);
        proptest::collection::vec(batch, 1..60)
    }

    proptest! {
        #[test]
        fn what_is_found_is_what_the_state_of_that_index_has(
            batches in batches(),
            lookups in proptest::collection::vec((any::<u8>(), any::<u8>()), 60),
        ) {
            let recent = RecentValues::with_limit(6 * ENTRY_OVERHEAD_BYTES);
            let mut states = vec![BTreeMap::<u8, Versioned>::new()];
            for (batch, (back, key)) in batches.into_iter().zip(lookups) {
                let index = states.len() as u64;
                let mut state = states.last().unwrap().clone();
                let mut writes = BTreeMap::new();
                for (key, length) in batch {
                    let written = length.map(|length| versioned(index, length));
                    match &written {
                        Some(written) => state.insert(key, written.clone()),
                        None => state.remove(&key),
                    };
                    writes.insert(Bytes::copy_from_slice(&[key]), written);
                }
                recent.note(&writes.into_iter().collect::<Vec<_>>(), index);
                states.push(state);
                let key = key % 12;
                let at = states.len() - 1 - usize::from(back) % states.len().min(4);
                let found = get(&recent, &[key], at as u64);
                prop_assert!(found.is_err() || found.ok().flatten().as_ref() == states[at].get(&key));
                if let Some(stored) = states.last().unwrap().get(&key) {
                    recent.keep(&[key], stored);
                    prop_assert_eq!(get(&recent, &[key], index), Ok(Some(stored.clone())));
                }
            }
        }
    }
}
