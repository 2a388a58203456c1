use std::collections::{HashSet, VecDeque};

use parking_lot::Mutex;

/// Changes that are remembered: those that a watch may still tell of.
const OWN_CHANGES_LIMIT: usize = 4096;

/// Indexes of the latest commands of this client that changed keys, so that a watcher of its own knows them again.
#[derive(Debug, Default)]
pub(super) struct OwnChanges {
    latest: Mutex<Latest>,
}

#[derive(Debug, Default)]
struct Latest {
    known: HashSet<u64>,
    order: VecDeque<u64>,
}

impl OwnChanges {
    /// The masters answered that a change was made by the command at `index`.
    pub(super) fn add(&self, index: u64) {
        let mut latest = self.latest.lock();
        if !latest.known.insert(index) {
            return;
        }
        latest.order.push_back(index);
        if latest.order.len() > OWN_CHANGES_LIMIT
            && let Some(oldest) = latest.order.pop_front()
        {
            latest.known.remove(&oldest);
        }
    }

    /// Whether the command at `index` is known to be this client's.
    pub(super) fn contains(&self, index: u64) -> bool {
        self.latest.lock().known.contains(&index)
    }
}

#[cfg(test)]
mod tests {
    use super::{OWN_CHANGES_LIMIT, OwnChanges};

    #[test]
    fn the_latest_changes_are_known_and_older_ones_forgotten() {
        let own = OwnChanges::default();
        let limit = OWN_CHANGES_LIMIT as u64;
        for index in (1..=limit).chain([limit, limit + 1]) {
            own.add(index);
        }
        assert!(!own.contains(1) && !own.contains(limit + 2));
        assert!((2..=limit + 1).all(|index| own.contains(index)));
    }
}
