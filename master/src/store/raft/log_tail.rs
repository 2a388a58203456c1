use std::collections::VecDeque;
use std::ops::Range;

use super::{Entry, LogId};

/// Bytes of entries kept in memory once they are durable.
const TAIL_LIMIT_BYTES: usize = 4 << 20;

/// The end of the log: what of it is in memory, and where it ends.
///
/// Entries that are not yet durable are always in memory, so the log can be read past what is on disk. Durable ones
/// stay while there is room, so that replicating and applying a new entry reads no disk. What has no room any more goes
/// when an entry is added, not when one becomes durable: it is given back by a thread like the one that took it, and not
/// by the one that writes the log, which would hold its allocator up.
#[derive(Debug, Default)]
pub(super) struct LogTail {
    purged: Option<LogId>,
    last: Option<LogId>,
    /// No entry is below this index.
    start: u64,
    /// Contiguous, ending at `last`.
    cached: VecDeque<Cached>,
    cached_bytes: usize,
    /// Writes up to this number are durable.
    durable: u64,
}

#[derive(Debug)]
struct Cached {
    entry: Entry,
    size_bytes: usize,
    /// Number of the write that makes it durable.
    write: u64,
}

impl LogTail {
    /// A log on disk whose first entry, if it has one, is at `start`.
    pub(super) fn new(purged: Option<LogId>, start: u64, last: Option<LogId>) -> Self {
        Self { purged, start, last: last.max(purged), ..Self::default() }
    }

    pub(super) fn purged(&self) -> Option<LogId> {
        self.purged
    }

    pub(super) fn last(&self) -> Option<LogId> {
        self.last
    }

    /// The index an appended entry must have; a log that never had an entry takes any.
    pub(super) fn next_index(&self) -> Option<u64> {
        self.last.map(|last| last.index + 1)
    }

    pub(super) fn push(&mut self, entry: Entry, size_bytes: usize, write: u64) {
        if self.last.is_none() {
            self.start = entry.log_id.index;
        }
        self.last = Some(entry.log_id);
        self.cached_bytes += size_bytes;
        self.cached.push_back(Cached { entry, size_bytes, write });
        while self.cached_bytes > TAIL_LIMIT_BYTES && self.cached.front().is_some_and(|c| c.write <= self.durable) {
            self.pop_front();
        }
    }

    /// Writes up to `write` are on stable storage.
    pub(super) fn set_durable(&mut self, write: u64) {
        self.durable = self.durable.max(write);
    }

    /// Forgets every entry behind `last`.
    pub(super) fn truncate_after(&mut self, last: Option<LogId>) {
        if self.last.map(|end| end.index) <= last.map(|last| last.index) {
            return;
        }
        while let Some(back) = self.cached.back()
            && last.is_none_or(|last| back.entry.log_id.index > last.index)
        {
            self.cached_bytes -= back.size_bytes;
            self.cached.pop_back();
        }
        self.last = last.max(self.purged);
    }

    /// Forgets every entry up to `upto`, inclusive.
    pub(super) fn purge(&mut self, upto: LogId) {
        self.purged = self.purged.max(Some(upto));
        self.start = self.start.max(upto.index + 1);
        self.last = self.last.max(Some(upto));
        while self.cached.front().is_some_and(|c| c.entry.log_id.index <= upto.index) {
            self.pop_front();
        }
    }

    /// `range` cut to what the log holds.
    pub(super) fn clamp(&self, range: Range<u64>) -> Range<u64> {
        let end = self.last.map_or(0, |last| last.index + 1);
        range.start.max(self.start)..range.end.min(end)
    }

    /// First index that is in memory; the end of the log if none is.
    pub(super) fn cached_from(&self) -> u64 {
        let end = self.last.map_or(0, |last| last.index + 1);
        self.cached.front().map_or(end, |cached| cached.entry.log_id.index)
    }

    /// Entries of `range` that are in memory, while their sizes add up to at most `limit_bytes`; at least one.
    pub(super) fn cached(&self, range: Range<u64>, limit_bytes: usize) -> Vec<Entry> {
        let from = self.cached_from();
        let skip = usize::try_from(range.start.saturating_sub(from)).unwrap_or(usize::MAX);
        let mut size_bytes = 0;
        let mut entries = Vec::new();
        for cached in self.cached.iter().skip(skip).take_while(|cached| cached.entry.log_id.index < range.end) {
            size_bytes += cached.size_bytes;
            if size_bytes > limit_bytes && !entries.is_empty() {
                break;
            }
            entries.push(cached.entry.clone());
        }
        entries
    }

    fn pop_front(&mut self) {
        if let Some(cached) = self.cached.pop_front() {
            self.cached_bytes -= cached.size_bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use cairn_proto::wire;
    use openraft::EntryPayload;

    use super::super::convert::log_id_from_wire;
    use super::{Entry, LogTail, TAIL_LIMIT_BYTES};

    fn entry(index: u64) -> Entry {
        Entry { log_id: log_id_from_wire(&wire::LogId { term: 1, master: 1, index }), payload: EntryPayload::Blank }
    }

    fn indexes(tail: &LogTail, range: std::ops::Range<u64>) -> Vec<u64> {
        tail.cached(range, usize::MAX).iter().map(|entry| entry.log_id.index).collect()
    }

    #[test]
    fn only_durable_entries_leave_the_memory() {
        let mut tail = LogTail::new(None, 0, None);
        for index in 0..4 {
            tail.push(entry(index), TAIL_LIMIT_BYTES, index + 1);
        }
        assert_eq!(indexes(&tail, 0..4), [0, 1, 2, 3]);
        tail.set_durable(2);
        tail.push(entry(4), TAIL_LIMIT_BYTES, 5);
        assert_eq!(indexes(&tail, tail.cached_from()..5), [2, 3, 4]);
        tail.set_durable(5);
        tail.push(entry(5), 1, 6);
        assert_eq!(indexes(&tail, tail.cached_from()..6), [5]);
    }

    #[test]
    fn an_entry_written_again_after_a_truncation_is_not_taken_for_the_durable_one() {
        let mut tail = LogTail::new(None, 0, None);
        tail.push(entry(0), TAIL_LIMIT_BYTES, 1);
        tail.push(entry(1), TAIL_LIMIT_BYTES, 1);
        tail.truncate_after(Some(entry(0).log_id));
        tail.push(entry(1), TAIL_LIMIT_BYTES, 3);
        tail.set_durable(1);
        tail.push(entry(2), 1, 4);
        assert_eq!(indexes(&tail, tail.cached_from()..3), [1, 2]);
        assert_eq!(tail.last(), Some(entry(2).log_id));
    }

    #[test]
    fn a_read_stops_at_the_byte_limit_but_gives_at_least_one_entry() {
        let mut tail = LogTail::new(None, 0, None);
        (0..5).for_each(|index| tail.push(entry(index), 10, 1));
        assert_eq!(tail.cached(1..5, 25).len(), 2);
        assert_eq!(tail.cached(1..5, 1).len(), 1);
    }

    #[test]
    fn purging_past_the_end_moves_the_end() {
        let mut tail = LogTail::new(None, 0, None);
        tail.push(entry(0), 1, 1);
        tail.purge(entry(9).log_id);
        assert_eq!((tail.last(), tail.purged()), (Some(entry(9).log_id), Some(entry(9).log_id)));
        assert_eq!(tail.next_index(), Some(10));
        assert!(tail.clamp(0..20).is_empty());
    }
}
