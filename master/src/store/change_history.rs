use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::Change;

/// Changes that are kept; the oldest go first.
const CHANGES_LIMIT: usize = 65_536;
/// Bytes that they take.
const CHANGES_LIMIT_BYTES: usize = 32 << 20;
/// What a change takes besides its key and values.
const CHANGE_OVERHEAD_BYTES: usize = 256;

/// Changes of watched records that this master has applied, up to a number and size. It is memory of one process: what was
/// applied before, or came with a snapshot, it does not know.
///
/// Whoever reads it pulls; nobody is waited for, so a slow reader loses what it did not take in time.
#[derive(Debug)]
pub struct ChangeHistory {
    ring: Mutex<Ring>,
    noticed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Ring {
    /// In order of their index.
    changes: VecDeque<Arc<Change>>,
    size_bytes: usize,
    /// Every change behind this index is there.
    lost: u64,
    /// Index up to which the history has come.
    applied: u64,
}

/// Some changes that follow one another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangePage {
    /// The changes, all of any command that has one here.
    pub changes: Vec<Arc<Change>>,
    /// They are all up to this index.
    pub through: u64,
    /// Whether there are more.
    pub is_cut: bool,
}

/// Changes are asked for that are not kept any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("changes up to index {lost} are not kept any more")]
pub struct HistoryLost {
    /// Changes up to this index may be missing.
    pub lost: u64,
}

impl Default for ChangeHistory {
    fn default() -> Self {
        Self { ring: Mutex::default(), noticed: watch::Sender::new(0) }
    }
}

impl ChangeHistory {
    /// Forgets all: how the state at `applied` came about is not known.
    pub(crate) fn begin(&self, applied: u64) {
        *self.ring.lock() = Ring { lost: applied, applied, ..Ring::default() };
        self.noticed.send_replace(applied);
    }

    /// Adds the changes of the commands up to `applied`.
    pub(crate) fn record(&self, changes: Vec<Change>, applied: u64) {
        let has_news = !changes.is_empty();
        let mut ring = self.ring.lock();
        for change in changes {
            ring.push(change);
        }
        ring.applied = applied;
        drop(ring);
        if has_news {
            self.noticed.send_replace(applied);
        }
    }

    /// Up to `limit` changes behind `index`, and a few more if the last command had several.
    pub fn after(&self, index: u64, limit: usize) -> Result<ChangePage, HistoryLost> {
        self.ring.lock().after(index, limit)
    }

    /// Index up to which the history has come.
    pub fn applied(&self) -> u64 {
        self.ring.lock().applied
    }

    /// Told of whenever there are new changes, or all are forgotten.
    pub fn noticed(&self) -> watch::Receiver<u64> {
        self.noticed.subscribe()
    }
}

impl Ring {
    fn push(&mut self, change: Change) {
        self.size_bytes += weight_bytes(&change);
        self.changes.push_back(Arc::new(change));
        while self.changes.len() > CHANGES_LIMIT || self.size_bytes > CHANGES_LIMIT_BYTES {
            let Some(oldest) = self.changes.pop_front() else { return };
            self.size_bytes -= weight_bytes(&oldest);
            self.lost = oldest.index;
        }
    }

    fn after(&self, index: u64, limit: usize) -> Result<ChangePage, HistoryLost> {
        if index < self.lost {
            return Err(HistoryLost { lost: self.lost });
        }
        let start = self.changes.partition_point(|change| change.index <= index);
        let mut end = self.changes.len().min(start + limit);
        while end > start && self.changes.get(end).is_some_and(|next| next.index == self.changes[end - 1].index) {
            end += 1;
        }
        let changes: Vec<Arc<Change>> = self.changes.range(start..end).cloned().collect();
        let is_cut = end < self.changes.len();
        let through = changes.last().filter(|_| is_cut).map_or(self.applied, |last| last.index);
        Ok(ChangePage { changes, through, is_cut })
    }
}

fn weight_bytes(change: &Change) -> usize {
    change.size_bytes() + CHANGE_OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{CHANGES_LIMIT, CHANGES_LIMIT_BYTES, ChangeHistory, HistoryLost};
    use crate::store::Change;

    fn change(index: u64, key: &str) -> Change {
        Change { index, key: Bytes::copy_from_slice(key.as_bytes()), before: None, after: None }
    }

    fn indexes(history: &ChangeHistory, after: u64, limit: usize) -> (Vec<u64>, u64, bool) {
        let page = history.after(after, limit).unwrap();
        (page.changes.iter().map(|change| change.index).collect(), page.through, page.is_cut)
    }

    #[test]
    fn a_page_never_parts_the_changes_of_one_command() {
        let history = ChangeHistory::default();
        history.record(vec![change(2, "a"), change(4, "b"), change(4, "c"), change(7, "d")], 9);
        assert_eq!(indexes(&history, 0, 10), (vec![2, 4, 4, 7], 9, false));
        assert_eq!(indexes(&history, 0, 2), (vec![2, 4, 4], 4, true));
        assert_eq!(indexes(&history, 4, 1), (vec![7], 9, false));
        assert_eq!(indexes(&history, 2, 1), (vec![4, 4], 4, true));
        assert_eq!(indexes(&history, 7, 1), (vec![], 9, false));
    }

    #[test]
    fn progress_is_seen_without_changes_and_wakes_nobody() {
        let history = ChangeHistory::default();
        let mut noticed = history.noticed();
        history.record(Vec::new(), 5);
        assert_eq!(indexes(&history, 5, 1), (vec![], 5, false));
        assert_eq!(history.applied(), 5);
        assert!(!noticed.has_changed().unwrap());
        history.record(vec![change(6, "a")], 6);
        assert!(noticed.has_changed().unwrap());
        assert_eq!(*noticed.borrow_and_update(), 6);
    }

    #[test]
    fn the_oldest_changes_go_first_and_whoever_needs_them_is_told() {
        let history = ChangeHistory::default();
        let changes = (1..=CHANGES_LIMIT as u64 + 3).map(|index| change(index, "k"));
        history.record(changes.collect(), CHANGES_LIMIT as u64 + 3);
        assert_eq!(history.after(2, 1), Err(HistoryLost { lost: 3 }));
        assert_eq!(indexes(&history, 3, 2), (vec![4, 5], 5, true));
    }

    #[test]
    fn long_keys_leave_room_for_fewer() {
        let history = ChangeHistory::default();
        let changes = (1..=40_000).map(|index| change(index, &"k".repeat(1024)));
        history.record(changes.collect(), 40_000);
        let HistoryLost { lost } = history.after(0, 1).unwrap_err();
        let kept = history.after(lost, usize::MAX / 2).unwrap().changes;
        assert_eq!(kept.first().unwrap().index, lost + 1);
        let size_bytes: usize = kept.iter().map(|change| change.size_bytes()).sum();
        assert!((CHANGES_LIMIT_BYTES / 2..CHANGES_LIMIT_BYTES).contains(&size_bytes), "{size_bytes}");
    }

    #[test]
    fn a_state_that_came_otherwise_has_no_history() {
        let history = ChangeHistory::default();
        history.record(vec![change(2, "a")], 2);
        let mut noticed = history.noticed();
        noticed.mark_unchanged();
        history.begin(50);
        assert!(noticed.has_changed().unwrap(), "watchers learn of it at once");
        assert_eq!(history.after(2, 10), Err(HistoryLost { lost: 50 }));
        assert_eq!(indexes(&history, 50, 10), (vec![], 50, false));
    }
}
